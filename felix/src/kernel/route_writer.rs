//! The one writer of kernel routes: takes what the sources ask for, keeps the kernel equal.
//!
//! ```text
//! set(source, prefix, target) --> mailbox --wake--> worker thread --plan--> netlink batch
//!        links, addresses, routes, next hops --events--^   |
//!                                             audit -------+--> filtered dump, repair
//! ```
//!
//! - A route is ours if it has our protocol number and the metric of one of our sources. Nothing
//!   else is ever replaced or removed; an addition fails if anybody's route is in its place.
//! - Nothing that was there at the start is removed before its source is in sync, except what
//!   the source itself asks to be absent.
//! - A route that the kernel refuses is kept as pending with the kernel's reason, tried again
//!   when links, addresses or routes change, and keeps no other route from being written. Of
//!   several next hops those that work are used.
//! - When the writer ends, the kernel's routes stay as they are.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use ipnetwork::IpNetwork;
use serde::Serialize;
use tokio::sync::oneshot;

use super::wake::{self, Waker};
use crate::model::route::{Ownership, RouteSource, RouteTarget};
use crate::reconcile::route::{ObservedRoutes, RouteKey};

mod refusal;
mod schedule;
mod worker;

/// Why a route is not in the kernel although it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The kernel refuses it for now; it is tried again when something changes.
    #[error("route to {prefix} is pending: {reason}")]
    Pending {
        /// The route's destination.
        prefix: IpNetwork,
        /// The kernel's reason.
        reason: String,
    },
    /// The writer has been stopped.
    #[error("the route writer has stopped")]
    Stopped,
}

/// The writer's state for metrics and people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WriterStatus {
    /// How many routes of ours the kernel has, by source.
    pub installed: BTreeMap<RouteSource, usize>,
    /// Routes that the kernel refuses, wholly or some of their next hops, with the reason.
    #[serde(serialize_with = "as_list")]
    pub pending: BTreeMap<RouteKey, String>,
    /// Routes written or removed since the start.
    pub writes: u64,
    /// Of these, how many put right what somebody else or the kernel had changed.
    pub repairs: u64,
    /// How often the kernel's routes were read and compared.
    pub comparisons: u64,
    /// How often events were lost (ENOBUFS).
    pub overruns: u64,
}

fn as_list<S: serde::Serializer>(map: &BTreeMap<RouteKey, String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(map)
}

/// A handle to the writer. The thread ends when the last handle is dropped or one is told to
/// stop; its owner joins it.
#[derive(Clone, Debug)]
pub struct RouteWriter {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    at_start: ObservedRoutes,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// What handles and worker share.
#[derive(Debug)]
struct Shared {
    mailbox: Mutex<Mailbox>,
    status: Mutex<WriterStatus>,
    waker: Waker,
}

/// What has been asked since the worker last looked. Later words on one route replace earlier
/// ones, so it is never larger than the routes themselves.
#[derive(Debug, Default)]
struct Mailbox {
    routes: BTreeMap<RouteKey, Option<RouteTarget>>,
    in_sync: Vec<RouteSource>,
    waiters: Vec<Waiter>,
    is_stopped: bool,
    has_ended: bool,
}

/// Somebody who wants to know when the worker has carried out what it was asked before.
#[derive(Debug)]
enum Waiter {
    All(oneshot::Sender<()>),
    Route(RouteKey, oneshot::Sender<Result<(), RouteError>>),
}

impl Shared {
    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, WriterStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, write: impl FnOnce(&mut Mailbox)) {
        let mut mailbox = self.mailbox();
        // Without a worker nobody would ever answer or empty it.
        if !mailbox.has_ended {
            write(&mut mailbox);
        }
        drop(mailbox);
        self.waker.wake();
    }

    fn stop(&self) {
        self.post(|mailbox| mailbox.is_stopped = true);
    }
}

impl RouteWriter {
    /// Reads our routes from the calling thread's namespace and starts the writer's thread.
    ///
    /// # Errors
    /// The kernel's error if sockets or thread cannot be had, or routes not be read.
    pub fn start(ownership: Ownership) -> io::Result<(Self, JoinHandle<()>)> {
        let (waker, wakeup) = wake::pair()?;
        let shared = Arc::new(Shared { mailbox: Mutex::default(), status: Mutex::default(), waker });
        let worker =
            worker::Worker::open(ownership, Arc::clone(&shared), wakeup).map_err(io::Error::other)?;
        let at_start = worker.observed().clone();
        let thread = std::thread::Builder::new().name("routes".into()).spawn(move || worker.run())?;
        Ok((Self { handle: Arc::new(Handle { shared, at_start }) }, thread))
    }

    /// Asks for a route, or for its absence (`None`), and returns at once.
    ///
    /// The prefix is made canonical. Only the last word on a route counts.
    pub fn set(&self, source: RouteSource, prefix: IpNetwork, target: Option<RouteTarget>) {
        let key = key(source, prefix);
        self.handle.shared.post(|mailbox| {
            mailbox.routes.insert(key, target);
        });
    }

    /// Asks for a route as [`RouteWriter::set`] and waits until the kernel has it.
    ///
    /// # Errors
    /// `Pending` if the kernel refused it; it stays asked for. `Stopped`.
    pub async fn install(
        &self,
        source: RouteSource,
        prefix: IpNetwork,
        target: RouteTarget,
    ) -> Result<(), RouteError> {
        let key = key(source, prefix);
        let (sender, receiver) = oneshot::channel();
        self.handle.shared.post(|mailbox| {
            mailbox.routes.insert(key, Some(target));
            mailbox.waiters.push(Waiter::Route(key, sender));
        });
        receiver.await.unwrap_or(Err(RouteError::Stopped))
    }

    /// Waits until all that was asked before has been tried.
    ///
    /// Routes that the kernel refused are in [`RouteWriter::status`].
    ///
    /// # Errors
    /// `Stopped`.
    pub async fn flush(&self) -> Result<(), RouteError> {
        let (sender, receiver) = oneshot::channel();
        self.handle.shared.post(|mailbox| mailbox.waiters.push(Waiter::All(sender)));
        receiver.await.map_err(|_| RouteError::Stopped)
    }

    /// This source has asked for everything it wants: what is left of its routes from before,
    /// and not asked for, is removed from now on.
    pub fn in_sync(&self, source: RouteSource) {
        self.handle.shared.post(|mailbox| mailbox.in_sync.push(source));
    }

    /// Our routes of this source that the kernel had when the writer started.
    pub fn observed(&self, source: RouteSource) -> BTreeMap<IpNetwork, RouteTarget> {
        let of_source = self.handle.at_start.iter().filter(|(key, _)| key.source == source);
        of_source.map(|(key, target)| (key.prefix, target.clone())).collect()
    }

    /// Counts and pending routes at this moment.
    pub fn status(&self) -> WriterStatus {
        self.handle.shared.status().clone()
    }

    /// Ends the thread once it has carried out what was asked before; routes stay.
    pub fn stop(&self) {
        self.handle.shared.stop();
    }
}

fn key(source: RouteSource, prefix: IpNetwork) -> RouteKey {
    let prefix = IpNetwork::new(prefix.network(), prefix.prefix()).unwrap_or(prefix);
    RouteKey { source, prefix }
}
