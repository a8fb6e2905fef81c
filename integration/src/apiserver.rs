//! An API server in this process: in memory, plain HTTP, for what the product and its users ask.
//!
//! Unmodified kubectl and the clients get what a real server of that version answers, for the
//! kinds and verbs in `registry`; everything else is refused with a `Status`, never answered
//! with an empty success.
//!
//! ```text
//! http (io) -> world (verbs) -> storage (objects, history)
//!                  |-> registry (kinds), schema (prune, default, validate), strategy (per kind)
//!                  |-> patch, apply (server-side apply), table (printing), discovery, openapi
//! ```
//! Only `http`, `listen` and this file do IO; the rest takes `now` and a seed.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use k8s_openapi::jiff::Timestamp;

use self::{http::Shared, world::World};
use crate::serving::ServingThread;

mod apply;
mod discovery;
mod http;
pub(crate) mod listen;
mod names;
mod object;
mod openapi;
mod patch;
mod protobuf;
mod query;
mod registry;
mod schema;
mod selector;
mod status;
mod storage;
mod strategy;
mod table;
mod world;

/// Threads that serve. Requests are short and take the world in turn; two keep the encoding of
/// one answer from holding up the next.
const WORKERS: usize = 2;

/// A running API server; it stops when dropped.
pub struct ApiServer {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    thread: ServingThread,
}

impl ApiServer {
    /// Starts a server with an empty cluster on all of these listeners, which may belong to
    /// several network namespaces.
    ///
    /// # Errors
    /// What the system says about a listener, or about starting the threads.
    pub fn start(listeners: Vec<TcpListener>) -> io::Result<Self> {
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        // The hasher's keys are the only randomness that the standard library gives.
        let seed = RandomState::new().hash_one("object identities");
        let shared = Shared::new(World::new(storage::HISTORY_MAX, seed, Timestamp::now()));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("apiserver")
            .enable_all()
            .build()?;
        let world = Arc::clone(&shared);
        let serve = move |modes| runtime.block_on(listen::serve(listeners, world, modes));
        Ok(Self { addresses, shared, thread: ServingThread::start("apiserver", serve)? })
    }

    /// Where it listens, in the order of the listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Makes the server as good as down, all connections cut and new ones at once, or ends that. Its objects stay as
    /// they are.
    pub fn set_outage(&self, is_out: bool) {
        self.thread.set_outage(is_out);
    }

    /// Forgets all versions but the current ones, as a compaction does: watches that are behind
    /// get 410.
    pub fn forget_history(&self) {
        self.shared.world().forget_history();
        self.shared.wake();
    }

    /// Stops the server and waits until its threads are gone.
    ///
    /// # Errors
    /// Why it had stopped before, if it had.
    pub fn stop(self) -> io::Result<()> {
        self.thread.stop()
    }

    /// What is left when nobody asks the server itself any more.
    pub(crate) fn into_thread(self) -> ServingThread {
        self.thread
    }
}
