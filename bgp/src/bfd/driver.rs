//! The shell around the table: a thread with its own sockets and clock, which waits for nobody.
//!
//! ```text
//! Handle --commands--> | table  | --datagrams--> sender (one per address of ours)
//! receiver (4 at most) | on its | --changes----> Changes (merged by session until they are taken)
//!   --datagrams------> | thread |
//! ```
//!
//! A receiver is opened with the first session that needs it, so that a machine on which nobody asks for BFD
//! keeps the ports for others.

mod changes;
mod run;
mod socket;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::{SessionKey, SessionStatus, Timers};
pub use changes::Changes;

/// Commands on their way to the thread: few, and each is answered.
const COMMAND_QUEUE_LEN: usize = 16;
/// Datagrams on their way from the receivers; what does not fit stays in the kernel's buffer.
const DATAGRAM_QUEUE_LEN: usize = 1024;
/// How long a planned stop waits at most until the neighbours have seen it.
const DISABLE_TIME_MAX: Duration = Duration::from_secs(1);

/// What the thread is asked to do.
enum Command {
    Configure(BTreeMap<SessionKey, Timers>, oneshot::Sender<io::Result<()>>),
    Status(oneshot::Sender<Vec<SessionStatus>>),
    Disable(oneshot::Sender<()>),
    End,
}

/// The thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the BFD thread has ended")]
pub struct Ended;

/// The way to the thread, which ends by [`Handle::end`] or when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Makes the sessions those that are given; others end, those that stay are not disturbed.
    ///
    /// # Errors
    /// The outer one when the thread has ended; the inner one when a port cannot be had, for instance because
    /// another BFD daemon runs. Sessions that need other ports go on.
    pub async fn configure(&self, desired: BTreeMap<SessionKey, Timers>) -> Result<io::Result<()>, Ended> {
        self.ask(|answer| Command::Configure(desired, answer)).await
    }

    /// Every session as it is now.
    ///
    /// # Errors
    /// When the thread has ended.
    pub async fn status(&self) -> Result<Vec<SessionStatus>, Ended> {
        self.ask(Command::Status).await
    }

    /// Holds all sessions down by `AdminDown` and returns once every neighbour that was up has seen it, after a
    /// second at most (RFC 5882 section 4.3: a planned stop is no failure of the way).
    ///
    /// # Errors
    /// When the thread has ended.
    pub async fn disable(&self) -> Result<(), Ended> {
        self.ask(Command::Disable).await
    }

    /// Ends the thread without a packet more.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn end(&self) -> Result<(), Ended> {
        self.commands.send(Command::End).await.map_err(|_| Ended)
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Ended> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }
}

/// Starts the thread. Changes are taken from the second part; the thread is joined by the third.
///
/// # Errors
/// When the machine gives no thread or no event queue.
pub fn start(seed: u64) -> io::Result<(Handle, Arc<Changes>, JoinHandle<()>)> {
    let (commands, command_queue) = mpsc::channel(COMMAND_QUEUE_LEN);
    let changes = Arc::new(Changes::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = Arc::clone(&changes);
    let thread = std::thread::Builder::new()
        .name("bfd".into())
        .spawn(move || runtime.block_on(run::Driver::new(seed, told).run(command_queue)))?;
    Ok((Handle { commands }, changes, thread))
}

#[expect(clippy::disallowed_methods, reason = "the driver is where the table's clock is read")]
fn now() -> Instant {
    Instant::now()
}
