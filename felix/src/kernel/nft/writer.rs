//! The one writer of our table, on a thread of its own.
//!
//! ```text
//! replace(Program), apply(Delta) --orders--> worker --transaction--> kernel
//!                                              ^ '--> answer to each order
//!        others' changes to our table --events-+----> compare, repair
//! ```

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde::Serialize;
use tokio::sync::oneshot;

use super::NftError;
use crate::kernel::wake::{self, Waker};
use crate::program::{Delta, Program};

mod worker;

/// Who may change the table beside the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody, and the table outlives the writer; anybody on kernels before 6.9.
    Writer,
    /// Anybody, as on kernels before 6.9: what others change is repaired.
    Anybody,
}

/// The writer's state for metrics and people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RulesetStatus {
    /// Whether the kernel has the program, as far as events told.
    pub is_current: bool,
    /// Whether the table belongs to this process and outlives it; else others can change it.
    pub is_owned: bool,
    /// Transactions since the start.
    pub transactions: u64,
    /// Of these, how many put right what somebody else had changed.
    pub repairs: u64,
    /// How often the table was read and compared.
    pub comparisons: u64,
    /// How often events were lost (ENOBUFS).
    pub overruns: u64,
    /// Why the kernel does not have the program, if it does not.
    pub last_error: Option<String>,
}

/// A handle to the writer. The thread ends when the last handle is dropped or one is told to stop; its
/// owner joins it. The table stays.
#[derive(Clone, Debug)]
pub struct RulesetWriter {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What handles and worker share.
#[derive(Debug)]
struct Shared {
    mailbox: Mutex<Mailbox>,
    status: Mutex<RulesetStatus>,
    waker: Waker,
}

/// Orders in the order in which they were given. There are as many as callers that wait for an answer.
#[derive(Debug, Default)]
struct Mailbox {
    orders: VecDeque<Order>,
    is_stopped: bool,
    has_ended: bool,
}

#[derive(Debug)]
struct Order {
    work: Work,
    answer: oneshot::Sender<Result<(), NftError>>,
}

#[derive(Debug)]
enum Work {
    Replace(Box<Program>),
    Apply(Delta),
}

impl Shared {
    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, RulesetStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.mailbox().is_stopped = true;
        self.waker.wake();
    }
}

impl RulesetWriter {
    /// Starts the writer's thread in the calling thread's network namespace. It writes nothing before
    /// the first [`RulesetWriter::replace`].
    ///
    /// # Errors
    /// The kernel's error if sockets or thread cannot be had.
    pub fn start(owner: Owner) -> io::Result<(Self, JoinHandle<()>)> {
        let (waker, wakeup) = wake::pair()?;
        let shared = Arc::new(Shared { mailbox: Mutex::default(), status: Mutex::default(), waker });
        let worker = worker::Worker::open(Arc::clone(&shared), wakeup, owner)?;
        let thread = std::thread::Builder::new().name("nftables".into()).spawn(move || worker.run())?;
        Ok((Self { handle: Arc::new(Handle(shared)) }, thread))
    }

    /// From now on the table shall be this, whatever it is now. The order is given with the call; the
    /// future is done when the kernel has the program. An equal table is not written to.
    ///
    /// # Errors
    /// See [`NftError`]. The table is then as it was; the writer tries again every second.
    pub fn replace(&self, program: Program) -> impl Future<Output = Result<(), NftError>> + Send + use<> {
        self.order(Work::Replace(Box::new(program)))
    }

    /// The table changes by this delta, which follows from the program and deltas given before. The
    /// order is given with the call; the future is done when the kernel has the change. Deltas that wait
    /// together go in one transaction.
    ///
    /// # Errors
    /// See [`NftError`]. The table is then as it was, but the delta stays owed: the writer tries again
    /// with each later delta and every second, so that deltas go on to fit. What the kernel refuses for
    /// good has to be taken out again by a later delta or [`RulesetWriter::replace`].
    pub fn apply(&self, delta: Delta) -> impl Future<Output = Result<(), NftError>> + Send + use<> {
        self.order(Work::Apply(delta))
    }

    /// Counts and the last error at this moment.
    pub fn status(&self) -> RulesetStatus {
        self.handle.0.status().clone()
    }

    /// Ends the thread once it has carried out what was ordered before; the table stays.
    pub fn stop(&self) {
        self.handle.0.stop();
    }

    fn order(&self, work: Work) -> impl Future<Output = Result<(), NftError>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let mut mailbox = self.handle.0.mailbox();
        // Without a worker nobody would ever answer.
        if !mailbox.has_ended {
            mailbox.orders.push_back(Order { work, answer });
        }
        drop(mailbox);
        self.handle.0.waker.wake();
        async move { answered.await.unwrap_or(Err(NftError::Stopped)) }
    }
}
