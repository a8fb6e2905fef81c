//! A program that dies with the thread that started it.

#![allow(unsafe_code)]

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

/// How long a program may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A running program with its log.
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the program, its output in `log`.
    pub(super) fn start(program: &Path, arguments: &[String], log: PathBuf) -> io::Result<Self> {
        let file = File::create(&log)?;
        let mut command = std::process::Command::new(program);
        command.args(arguments.iter().map(OsString::from)).stdin(Stdio::null());
        // In a group of its own: Ctrl-C reaches the lab, which stops its programs in order.
        command.stdout(file.try_clone()?).stderr(file).process_group(0);
        let parent = nix::unistd::getpid();
        // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
        unsafe {
            command.pre_exec(move || {
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
                // The parent may have died before the line above.
                if nix::unistd::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
            });
        }
        let child = Command::from(command).kill_on_drop(true).spawn()?;
        Ok(Self { child, log })
    }

    /// Where its output goes.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> io::Result<Option<String>> {
        Ok(self.child.try_wait()?.map(|status| format!("it ended with {status}")))
    }

    /// Asks it to stop, waits, and kills it if that takes too long.
    pub(super) async fn stop(mut self) -> io::Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        }
        if tokio::time::timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}
