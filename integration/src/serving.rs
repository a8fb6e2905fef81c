//! A thread that serves until it is told to stop, and that can be as good as down meanwhile.

use std::{io, thread::JoinHandle};

use tokio::sync::watch;

/// Whether the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Serving,
    /// Connections are cut as soon as they are made.
    Outage,
    /// There is no way back from this one.
    Stopped,
}

/// The thread of one server; the server stops when this is dropped.
#[derive(Debug)]
pub(crate) struct ServingThread {
    name: &'static str,
    mode: watch::Sender<Mode>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl ServingThread {
    /// Starts `serve`, which must return once the mode is `Stopped`.
    ///
    /// # Errors
    /// The system starts no thread.
    pub(crate) fn start(
        name: &'static str,
        serve: impl FnOnce(watch::Receiver<Mode>) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let mode = watch::Sender::new(Mode::Serving);
        let modes = mode.subscribe();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || serve(modes))?;
        Ok(Self { name, mode, thread: Some(thread) })
    }

    /// Makes the server as good as down, all connections cut and new ones at once, or ends that.
    pub(crate) fn set_outage(&self, is_out: bool) {
        let mode = if is_out { Mode::Outage } else { Mode::Serving };
        self.mode.send_if_modified(|current| {
            let changes = *current != mode && *current != Mode::Stopped;
            if changes {
                *current = mode;
            }
            changes
        });
    }

    /// Stops the server and waits until its thread is gone.
    ///
    /// # Errors
    /// What went wrong while serving or stopping.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        self.mode.send_replace(Mode::Stopped);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other(format!("the thread of {} panicked", self.name))),
            None => Ok(()),
        }
    }
}

impl Drop for ServingThread {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "{} did not stop well", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_serves_until_it_is_stopped() {
        // (why, changes, modes that come one after the other)
        let cases = [
            ("nothing but the end", &[][..], &[Mode::Stopped][..]),
            ("an outage", &[true, false], &[Mode::Outage, Mode::Serving, Mode::Stopped]),
        ];
        for (why, changes, expected) in cases {
            let (seen, told) = std::sync::mpsc::channel();
            let serve = move |mut modes: watch::Receiver<Mode>| {
                let runtime = tokio::runtime::Builder::new_current_thread().build()?;
                loop {
                    let _ = runtime.block_on(modes.changed());
                    let mode = *modes.borrow_and_update();
                    let _ = seen.send(mode);
                    if mode == Mode::Stopped {
                        return Ok(());
                    }
                }
            };
            let thread = ServingThread::start("test", serve).expect("a thread");
            let mut found = Vec::new();
            for is_out in changes {
                thread.set_outage(*is_out);
                found.push(told.recv().expect("the thread lives"));
            }
            thread.stop().expect("it served well");
            found.extend(told);
            assert_eq!(found, expected, "{why}");
        }
    }

    #[test]
    fn what_ends_a_thread_is_told_when_it_is_stopped() {
        let fails = ServingThread::start("test", |_| Err(io::Error::other("no more"))).expect("a thread");
        assert_eq!(fails.stop().unwrap_err().to_string(), "no more");
        let panics = ServingThread::start("test", |_| panic!("on purpose")).expect("a thread");
        assert_eq!(panics.stop().unwrap_err().to_string(), "the thread of test panicked");
    }
}
