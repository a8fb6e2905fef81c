//! The shell around the speaker: sockets, tasks and the clock, and no decision.
//!
//! ```text
//! listener (one per address) --accepted--> |        | --bytes--> outbox -> writer -> TCP  (one per connection)
//! dial     (one per attempt) --connected-> | driver | --context-----------> reader        (one per connection)
//! reader -------messages, ends-----------> | with   | --fib queue--> receiver of FibEvent
//! writer -------congestion, ends---------> | the    | --events-----> receiver of SessionEvent
//! BFD thread ---changes------------------> |        | --sessions---> BFD thread
//! Handle -------commands-----------------> | speaker|
//! ```
//!
//! - Every channel towards the driver is bounded; whoever is faster waits, so that a peer's bytes
//!   stay in the kernel and TCP slows the peer down. The driver itself waits for nobody: what it has for
//!   a slow peer lies in that peer's outbox, whose filling is told to the speaker, and what it
//!   has for the forwarding table is merged by prefix until it is taken.
//! - A [`ConnectionId`](crate::speaker::ConnectionId) is never used twice, so that what a dead connection
//!   still had under way cannot be taken for news of a living one.
//! - The driver owns all tasks and joins them before it ends.

mod connection;
mod dial;
mod fib_queue;
mod handle;
mod kernel_options;
mod listener;
mod outbox;
mod run;
mod socket_options;
mod watch;

pub use fib_queue::FibEvent;
pub use handle::{ConfigureError, Handle, Stopped};

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use listener::Listeners;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use watch::Watch;

use crate::config::{ConfigErrors, SpeakerConfig};
use crate::speaker::{RestartMode, SessionEvent, Speaker};

/// Events on their way to the log. More than that at once says nothing more to
/// a person; what does not fit is counted instead.
const EVENT_QUEUE_LEN: usize = 1024;
/// Commands on their way to the driver: few, and each is answered.
const COMMAND_QUEUE_LEN: usize = 16;
/// Messages and ends on their way to the driver, of all connections together: enough
/// to keep it busy between two turns, little enough that a hold timer is never judged by old news.
const ARRIVAL_QUEUE_LEN: usize = 256;

/// A running speaker: the way to it, what the forwarding table shall hold, what happened (for the log), and its
/// task, which ends after [`Handle::stop`] or with an error.
pub type Started =
    (Handle, mpsc::Receiver<FibEvent>, mpsc::Receiver<SessionEvent>, JoinHandle<Result<(), DriverError>>);

/// Why the speaker did not start, or ended unasked.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The configuration cannot work; correct what it says.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// An address cannot be listened on; it is not ours, or another speaker has it.
    #[error("listen on {address}: {source}; stop the other BGP speaker or choose another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// The machine gives no thread for BFD.
    #[error("start the BFD thread: {0}; raise the limits of threads and open files")]
    Bfd(#[source] io::Error),
    /// A task panicked: nothing is known to be whole any more. Start anew.
    #[error("a task of the BGP driver panicked: {0}")]
    Panicked(#[source] tokio::task::JoinError),
}

/// Starts a speaker on the current runtime. It dials its neighbors and, where `listen`
/// says so, takes their connections; with IPv6 addresses it listens to IPv6 alone.
///
/// # Errors
/// The configuration cannot work, or an address cannot be listened on.
#[expect(clippy::unused_async, reason = "whoever can await it has the runtime that its tasks need")]
pub async fn start(
    config: SpeakerConfig,
    restart: RestartMode,
    listen: Vec<SocketAddr>,
) -> Result<Started, DriverError> {
    let listeners = Listeners::bind(&listen)?;
    let seed = RandomState::new().hash_one(0);
    let speaker = Speaker::new(now(), config, restart, seed)?;
    let (commands, command_queue) = mpsc::channel(COMMAND_QUEUE_LEN);
    let (fib_sender, fib) = mpsc::channel(fib_queue::FIB_CHANNEL_LEN);
    let (event_sender, events) = mpsc::channel(EVENT_QUEUE_LEN);
    let watch = Watch::start(seed.wrapping_add(1)).map_err(DriverError::Bfd)?;
    let handle = Handle::new(commands, watch.handle());
    let driver = run::Driver::new(speaker, listeners, watch, fib_sender, event_sender);
    let task = tokio::spawn(driver.run(command_queue));
    Ok((handle, fib, events, task))
}

/// The time that the speaker is told.
#[expect(clippy::disallowed_methods, reason = "the driver is where the speaker's clock is read")]
fn now() -> Instant {
    Instant::now()
}
