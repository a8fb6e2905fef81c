//! `tortie-bgp`: the speaker and the route writer from a TOML file, outside any cluster.
//!
//! ```text
//! TOML file ──file──> speaker ──FIB changes──> kernel ──> route writer
//! SIGHUP reads the file again; SIGTERM stops; the control socket answers from memory
//! ```

pub mod args;
mod boot;
mod control;
mod file;
mod kernel;

use std::{path::PathBuf, sync::Arc, time::Instant};

use anyhow::{Context, Result, anyhow};
use bgp::{
    driver::{self, DriverError, FibEvent, Handle},
    speaker::{SessionEvent, Stop},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{control_socket, logging::LogLevel, session_events};
use args::Args;
use control::ControlContext;
use file::RouterFile;
use kernel::Kernel;

/// What the other side reads when the router leaves for good (RFC 9003).
const LEAVING: &str = "tortie-bgp was told to leave";

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// The file cannot be read or cannot work, an address cannot be listened on, or the kernel
/// refuses its routing table; the text says which and what to do.
pub fn run(args: Args, log_level: LogLevel) -> Result<()> {
    let file = RouterFile::read(&args.config)?;
    // Two threads: one for the speaker, one that answers meanwhile.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let router = Router::start(args, file, log_level).await?;
        router.run().await
    })
}

/// The parts that run.
struct Router {
    args: Args,
    file: RouterFile,
    /// Read by the control socket.
    published: Arc<watch::Sender<RouterFile>>,
    kernel: Kernel,
    handle: Handle,
    fib: mpsc::Receiver<FibEvent>,
    events: mpsc::Receiver<SessionEvent>,
    speaker: JoinHandle<Result<(), DriverError>>,
    control: JoinHandle<()>,
    ending: CancellationToken,
}

impl Router {
    async fn start(args: Args, file: RouterFile, log_level: LogLevel) -> Result<Self> {
        let started = now();
        let listener = control_socket::listen(&args.socket)?;
        let kernel = Kernel::start(file.kernel_routes)?;
        let restart = boot::restart_mode(&boot_file(&args.socket))?;
        let (handle, fib, events, speaker) =
            driver::start(file.speaker.clone(), restart, file.listen.clone()).await?;
        let published = Arc::new(watch::Sender::new(file.clone()));
        let ending = CancellationToken::new();
        let context = ControlContext {
            started,
            file: Arc::clone(&published),
            handle: handle.clone(),
            writer: kernel.writer(),
            log_level,
        };
        let control = tokio::spawn(control_socket::serve(Arc::new(context), listener, ending.clone()));
        info!(asn = file.speaker.asn, router_id = %file.speaker.router_id, peers = file.speaker.neighbors.len(), "router started");
        Ok(Self { args, file, published, kernel, handle, fib, events, speaker, control, ending })
    }

    async fn run(mut self) -> Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut end =
            End { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        self.handle.originate(self.file.originate.clone()).await?;
        // All there ever is to originate stands in the file.
        self.handle.local_sources_synced().await?;
        loop {
            tokio::select! {
                // Cancel-safe, all of them: what is not received stays in its queue.
                event = self.fib.recv() => match event {
                    Some(event) => self.kernel.apply(event),
                    None => return self.ended_by_itself().await,
                },
                Some(event) = self.events.recv() => session_events::log(&event),
                Some(()) = hangup.recv() => self.reload().await?,
                () = end.asked() => return self.stop().await,
            }
        }
    }

    /// Reads the file again; one that cannot work changes nothing.
    async fn reload(&mut self) -> Result<()> {
        let next = match RouterFile::read(&self.args.config) {
            Ok(next) => next,
            Err(error) => {
                error!(
                    cause = format!("{error:#}"),
                    "the new file is refused; the former one stays in force"
                );
                return Ok(());
            }
        };
        if (&next.listen, next.kernel_routes) != (&self.file.listen, self.file.kernel_routes) {
            warn!("`listen` and `kernel_routes` are read at the start alone; restart to change them");
        }
        match self.handle.configure(next.speaker.clone()).await {
            Ok(report) => info!(?report, "the new file is in force"),
            Err(driver::ConfigureError::Refused(errors)) => {
                error!(cause = %errors, "the new file is refused; the former one stays in force");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.handle.originate(next.originate.clone()).await?;
        self.published.send_replace(next.clone());
        self.file = next;
        Ok(())
    }

    /// Leaves the kernel as it is and says nothing to the neighbors, so that they keep
    /// our routes until we are back; or, if told so, takes everything away.
    async fn stop(mut self) -> Result<()> {
        let is_leaving = self.args.cleanup_on_exit;
        let stop = if is_leaving { Stop::Cease { text: LEAVING.to_owned() } } else { Stop::Silent };
        self.handle.stop(stop).await?;
        while let Some(event) = self.fib.recv().await {
            self.kernel.apply(event);
        }
        self.speaker.await.context("the speaker's task")??;
        self.ending.cancel();
        self.control.await.context("the control socket's task")?;
        if is_leaving {
            self.kernel.remove_all().await?;
            boot::forget(&boot_file(&self.args.socket));
        }
        self.kernel.stop()?;
        info!(routes_removed = is_leaving, "router stopped");
        Ok(())
    }

    async fn ended_by_itself(self) -> Result<()> {
        self.speaker.await.context("the speaker's task")??;
        Err(anyhow!("the speaker ended by itself"))
    }
}

/// The signals that end the router.
struct End {
    terminate: Signal,
    interrupt: Signal,
}

impl End {
    async fn asked(&mut self) {
        tokio::select! {
            // Cancel-safe: a signal that is not received stays noted.
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Beside the socket: both are of one router and go with the machine's boot.
fn boot_file(socket: &std::path::Path) -> PathBuf {
    socket.with_extension("boot-id")
}

#[expect(clippy::disallowed_methods, reason = "the uptime that status shows counts from here")]
fn now() -> Instant {
    Instant::now()
}
