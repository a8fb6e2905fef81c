//! Starting processes inside the lab's namespaces, so that none outlives the lab.
//!
//! ```text
//! any task --Launch--> spawner thread --fork, enter namespaces, exec--> process
//!                       (its parent)                                      | PDEATHSIG = KILL
//!                      thread ends  --------------------------------------' kills it
//! ```
//!
//! The kernel ties a parent-death signal to the *thread* that forked. Worker threads of a runtime
//! come and go; therefore one thread starts every process and lives exactly as long as the lab.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Starts waiting to be carried out; a start takes a few milliseconds, so that more than this
/// many means that something starts processes in a loop.
const QUEUE_MAX: usize = 1024;

/// Which namespaces a process starts in; `None` is the supervisor's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) network: Option<Arc<OwnedFd>>,
    pub(crate) mount: Option<Arc<OwnedFd>>,
    pub(crate) hostname: Option<Arc<OwnedFd>>,
}

/// A process to be started.
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// The whole environment when set, else the supervisor's.
    pub(crate) environment: Option<BTreeMap<OsString, OsString>>,
    /// Added to the environment.
    variables: Vec<(&'static str, &'static str)>,
    pub(crate) place: Place,
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
}

impl Launch {
    /// That program without input, its output thrown away.
    pub(crate) fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: None,
            variables: Vec::new(),
            place: Place::default(),
            stdin: Stdio::null(),
            stdout: Stdio::null(),
            stderr: Stdio::null(),
        }
    }

    pub(crate) fn arguments<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    pub(crate) fn with(mut self, variable: &'static str, value: &'static str) -> Self {
        self.variables.push((variable, value));
        self
    }

    /// Output and errors go to that file.
    pub(crate) fn log_to(mut self, file: &std::fs::File) -> io::Result<Self> {
        self.stdout = file.try_clone()?.into();
        self.stderr = file.try_clone()?.into();
        Ok(self)
    }

    fn command(self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(self.stdin).stdout(self.stdout).stderr(self.stderr);
        if let Some(environment) = self.environment {
            command.env_clear().envs(environment);
        }
        command.envs(self.variables);
        // Ctrl-C in a terminal reaches the supervisor alone, which ends its processes in order.
        command.process_group(0).kill_on_drop(true);
        let place = self.place;
        let parent = nix::unistd::getpid();
        // SAFETY: the closure runs between fork and exec and makes only system calls on
        // descriptors that it owns; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(move || {
                nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
                if nix::unistd::getppid() != parent {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                enter(&place)
            });
        }
        command
    }
}

fn enter(place: &Place) -> io::Result<()> {
    for (namespace, kind) in [
        (&place.mount, CloneFlags::CLONE_NEWNS),
        (&place.hostname, CloneFlags::CLONE_NEWUTS),
        (&place.network, CloneFlags::CLONE_NEWNET),
    ] {
        if let Some(namespace) = namespace {
            setns(namespace.as_fd(), kind)?;
        }
    }
    Ok(())
}

type Start = (Launch, oneshot::Sender<io::Result<Child>>);

/// Hands processes to the spawner thread.
#[derive(Clone, Debug)]
pub(crate) struct Spawner {
    starts: mpsc::Sender<Option<Start>>,
}

impl Spawner {
    /// The running process; it is killed when the value is dropped.
    pub(crate) async fn spawn(&self, launch: Launch) -> io::Result<Child> {
        let (answer, started) = oneshot::channel();
        let program = launch.program.clone();
        self.starts.send(Some((launch, answer))).await.map_err(|_| stopped())?;
        started
            .await
            .map_err(|_| stopped())?
            .map_err(|error| io::Error::new(error.kind(), format!("start of {}: {error}", program.display())))
    }
}

/// Owns the thread that is every process' parent; dropping it kills them all.
#[derive(Debug)]
pub(crate) struct SpawnerThread {
    starts: mpsc::Sender<Option<Start>>,
    thread: Option<JoinHandle<()>>,
}

impl SpawnerThread {
    /// Must be called inside a tokio runtime, which will watch for the processes' ends.
    pub(crate) fn start() -> io::Result<(Self, Spawner)> {
        let (starts, queue) = mpsc::channel(QUEUE_MAX);
        let runtime = Handle::current();
        let thread =
            std::thread::Builder::new().name("lab-spawner".into()).spawn(move || serve(&runtime, queue))?;
        Ok((Self { starts: starts.clone(), thread: Some(thread) }, Spawner { starts }))
    }
}

impl Drop for SpawnerThread {
    fn drop(&mut self) {
        // A full queue is being drained by the thread; then the spin ends.
        while let Err(mpsc::error::TrySendError::Full(_)) = self.starts.try_send(None) {
            std::thread::yield_now();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(runtime: &Handle, mut queue: mpsc::Receiver<Option<Start>>) {
    let _inside = runtime.enter();
    while let Some(Some((launch, answer))) = queue.blocking_recv() {
        let _ = answer.send(launch.command().spawn());
    }
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the lab is being taken down")
}
