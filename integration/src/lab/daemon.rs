//! A program that is kept running, as the kubelet would, and can be killed at will by tests.

use std::io;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::process::{Launch, Spawner};

/// Between an unexpected end and the next start.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// Commands wait for the one before; tests give one at a time.
const COMMANDS_MAX: usize = 8;

enum Command {
    Stop(Signal, oneshot::Sender<()>),
    Start(oneshot::Sender<()>),
}

/// One program of the lab, restarted when it ends by itself.
#[derive(Debug)]
pub(super) struct Daemon {
    commands: mpsc::Sender<Command>,
    pid: watch::Receiver<Option<u32>>,
    task: JoinHandle<()>,
}

impl Daemon {
    /// Starts it; `launch` is called for each start.
    pub(super) async fn start(
        name: &str,
        spawner: Spawner,
        launch: impl Fn() -> io::Result<Launch> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let first = spawner.spawn(launch()?).await?;
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let (pid_sender, pid) = watch::channel(first.id());
        let keeper = Keeper { name: name.into(), spawner, launch, queue, pid: pid_sender };
        Ok(Self { commands, pid, task: tokio::spawn(keeper.keep(first)) })
    }

    /// Its process, or none while it is down.
    pub(super) fn pid(&self) -> Option<u32> {
        *self.pid.borrow()
    }

    /// Sends the signal, waits for the end, and leaves it down until `resume`.
    pub(super) async fn stop(&self, signal: Signal) {
        let (done, stopped) = oneshot::channel();
        if self.commands.send(Command::Stop(signal, done)).await.is_ok() {
            let _ = stopped.await;
        }
    }

    /// Starts it again after `stop`.
    pub(super) async fn resume(&self) {
        let (done, started) = oneshot::channel();
        if self.commands.send(Command::Start(done)).await.is_ok() {
            let _ = started.await;
        }
    }

    /// Ends it for good.
    pub(super) async fn end(self) {
        self.stop(Signal::SIGKILL).await;
        drop(self.commands);
        let _ = self.task.await;
    }
}

struct Keeper<L> {
    name: String,
    spawner: Spawner,
    launch: L,
    queue: mpsc::Receiver<Command>,
    pid: watch::Sender<Option<u32>>,
}

impl<L: Fn() -> io::Result<Launch>> Keeper<L> {
    async fn keep(mut self, mut process: Child) {
        loop {
            let Some(next) = self.watch_over(process).await else { return };
            self.pid.send_replace(next.id());
            process = next;
        }
    }

    /// The process after this one, or none at the end of the lab.
    async fn watch_over(&mut self, mut process: Child) -> Option<Child> {
        // Both arms are cancel-safe: the end of a process and a command stay until they are taken.
        tokio::select! {
            status = process.wait() => {
                tracing::warn!(daemon = %self.name, ?status, "ended by itself, is started again");
                self.pid.send_replace(None);
                self.start_after_pause().await
            }
            command = self.queue.recv() => match command {
                Some(Command::Stop(signal, done)) => {
                    send(&process, signal);
                    let _ = process.wait().await;
                    self.pid.send_replace(None);
                    let _ = done.send(());
                    self.start_on_command().await
                }
                Some(Command::Start(done)) => {
                    let _ = done.send(());
                    Some(process)
                }
                None => {
                    let _ = process.kill().await;
                    None
                }
            },
        }
    }

    async fn start_on_command(&mut self) -> Option<Child> {
        loop {
            match self.queue.recv().await? {
                Command::Stop(_, done) => drop(done.send(())),
                Command::Start(done) => {
                    let process = self.start_again().await;
                    let _ = done.send(());
                    return match process {
                        Some(process) => Some(process),
                        None => self.start_after_pause().await,
                    };
                }
            }
        }
    }

    async fn start_after_pause(&mut self) -> Option<Child> {
        loop {
            #[expect(clippy::disallowed_methods, reason = "a program that fails at once shall not spin")]
            let pause = tokio::time::sleep(RESTART_PAUSE);
            // Cancel-safe: a pause that is cut short is not continued, a command stays in the queue.
            tokio::select! {
                () = pause => {}
                command = self.queue.recv() => match command? {
                    Command::Stop(_, done) => {
                        let _ = done.send(());
                        return Box::pin(self.start_on_command()).await;
                    }
                    Command::Start(done) => drop(done.send(())),
                },
            }
            if let Some(process) = self.start_again().await {
                return Some(process);
            }
        }
    }

    async fn start_again(&self) -> Option<Child> {
        let started = match (self.launch)() {
            Ok(launch) => self.spawner.spawn(launch).await,
            Err(error) => Err(error),
        };
        started.inspect_err(|error| tracing::warn!(daemon = %self.name, %error, "does not start")).ok()
    }
}

fn send(process: &Child, signal: Signal) {
    if let Some(pid) = process.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
