//! The process that keeps a pod's namespaces: it sleeps, reaps what is left to it, and ends when it is told to.

use std::io;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Returns when the runtime ends the pod.
///
/// # Errors
/// When the signals cannot be blocked.
pub fn run() -> io::Result<()> {
    let signals: SigSet = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block()?;
    while signals.wait()? == Signal::SIGCHLD {
        while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) =
            waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG))
        {}
    }
    Ok(())
}
