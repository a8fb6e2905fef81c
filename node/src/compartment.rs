//! Keeps a compartment going: a thread with a runtime of its own, started again with back-off when it fails.
//!
//! A panic stays inside its compartment. What the kernel has stays as it is meanwhile: nothing is torn down on the
//! way out.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// First and longest pause before a failed compartment is started again.
const RESTART_MIN: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(10);

/// A compartment that runs; join it when `stop` was cancelled.
#[derive(Debug)]
pub struct Compartment {
    name: &'static str,
    thread: JoinHandle<()>,
}

impl Compartment {
    /// Starts `run` on a thread of its own, and again each time it fails, until `stop` is cancelled.
    ///
    /// `failed` is told the reason each time, for status and metrics.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start<F>(
        name: &'static str,
        stop: CancellationToken,
        failed: impl Fn(&str) + Send + 'static,
        run: impl Fn(CancellationToken) -> F + Send + 'static,
    ) -> Result<Self>
    where
        F: Future<Output = Result<()>> + 'static,
    {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || keep_running(name, &stop, &failed, &run))
            .with_context(|| format!("no thread for {name}"))?;
        Ok(Self { name, thread })
    }

    /// Waits until the compartment has stopped.
    pub fn join(self) {
        if self.thread.join().is_err() {
            error!(compartment = self.name, "compartment ended by a panic outside its own work");
        }
    }
}

fn keep_running<F>(
    name: &'static str,
    stop: &CancellationToken,
    failed: &impl Fn(&str),
    run: &impl Fn(CancellationToken) -> F,
) where
    F: Future<Output = Result<()>> + 'static,
{
    let mut pause = RESTART_MIN;
    while !stop.is_cancelled() {
        let reason = match catch_unwind(AssertUnwindSafe(|| run_once(stop.clone(), run))) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("{error:#}"),
            Err(panic) => format!("panic: {}", panic_text(panic.as_ref())),
        };
        error!(compartment = name, %reason, pause_ms = pause.as_millis(), "compartment failed; the kernel keeps its program, starting again");
        failed(&reason);
        if wait(stop, pause) {
            return;
        }
        info!(compartment = name, "compartment starts again");
        pause = (pause * 2).min(RESTART_MAX);
    }
}

fn run_once<F>(stop: CancellationToken, run: &impl Fn(CancellationToken) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let result = runtime.block_on(run(stop));
    // Tasks of the compartment that still run end here: their futures are dropped with the runtime.
    drop(runtime);
    result
}

/// Whether `stop` was cancelled within the pause.
fn wait(stop: &CancellationToken, pause: Duration) -> bool {
    let stop = stop.clone();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        return stop.is_cancelled();
    };
    runtime.block_on(async { tokio::time::timeout(pause, stop.cancelled()).await.is_ok() })
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a text".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    #[test]
    fn failures_and_panics_restart_and_are_told() {
        let runs = Arc::new(AtomicU32::new(0));
        let reasons = Arc::new(Mutex::new(Vec::new()));
        let (told, counted) = (reasons.clone(), runs.clone());
        let compartment = Compartment::start(
            "test",
            CancellationToken::new(),
            move |reason| told.lock().unwrap().push(reason.to_owned()),
            move |_| {
                let run = counted.fetch_add(1, Ordering::SeqCst);
                async move {
                    match run {
                        0 => panic!("on purpose"),
                        1 => Err(anyhow::anyhow!("an error")),
                        _ => Ok(()),
                    }
                }
            },
        )
        .unwrap();
        compartment.join();
        assert_eq!(*reasons.lock().unwrap(), ["panic: on purpose", "an error"]);
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    }
}
