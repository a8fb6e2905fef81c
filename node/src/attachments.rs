//! The attachments compartment: CNI requests to addresses and host-side interfaces of this node's pods.
//!
//! ```text
//! own Pods, IPBlocks, IPPools ──> ipam::local ──> addresses, IPBlock.status
//! CNI socket ──> add, del, check, gc ──> alias, neighbour, route, (policy), link up
//! ```
//! ADD answers once policy has told that its program serves the new endpoint. The route is the commit: what is in the
//! kernel when the daemon dies is what the next one takes up.

mod absent;
mod add;
mod check;
mod del;
mod keep;
mod objects;
mod pods;
mod report;
mod restore;
mod server;
mod state;
mod status;
mod turn;

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use anyhow::{Context, Result};
use felix::kernel::{route_writer::RouteWriter, sysctl::Sysctls};
use ipam::moment::Moment;
use kube::Client;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{control_socket, shared::Shared, snapshot::Snapshots};
use objects::Objects;
use pods::PodCache;
use state::State;
use turn::Turns;

pub use status::AttachmentsView;

/// What the compartment is given.
#[derive(Clone)]
pub struct AttachmentsContext {
    /// The way to the API server.
    pub client: Client,
    /// Name of this machine's Node object.
    pub node_name: String,
    /// Path of the CNI socket.
    pub socket: PathBuf,
    /// The one writer of kernel routes.
    pub routes: RouteWriter,
    /// Where settings of the pods' interfaces are written.
    pub sysctls: Sysctls,
    /// What the compartments tell each other.
    pub shared: Shared,
    /// What status is made of; written here.
    pub view: AttachmentsView,
    /// The last-good snapshot.
    pub snapshots: Arc<Snapshots>,
}

/// The compartment's state while it runs.
pub(crate) struct Attachments {
    context: AttachmentsContext,
    pods: PodCache,
    state: State,
    turns: Turns,
    /// Something is to be told to the API server.
    unreported: Notify,
    /// Addresses were freed whose conntrack entries are to go.
    freed: Notify,
}

/// Runs until `stop`; pods keep their network.
///
/// # Errors
/// What it cannot go on without; it is then started again.
pub async fn run(context: AttachmentsContext, stop: CancellationToken) -> Result<()> {
    let attachments = Arc::new(Attachments {
        state: State::new(
            context.snapshots.memory(),
            context.shared.clone(),
            context.routes.clone(),
            context.view.clone(),
        ),
        context,
        pods: PodCache::default(),
        turns: Turns::default(),
        unreported: Notify::new(),
        freed: Notify::new(),
    });
    let mut objects = Objects::watch(&attachments.context);
    let restored = tokio::select! {
        restored = restore::restore(&attachments, &mut objects) => restored,
        () = stop.cancelled() => return Ok(()),
    };
    restored?;
    let listener = control_socket::listen(&attachments.context.socket)?;
    let ended = stop.child_token();
    let mut tasks = JoinSet::new();
    tasks.spawn(server::serve(attachments.clone(), listener, ended.clone()));
    tasks.spawn(report::run(attachments.clone(), ended.clone()));
    tasks.spawn(del::clean(attachments.clone(), ended.clone()));
    tasks.spawn(keep::run(attachments.clone(), ended.clone()));
    let result = tokio::select! {
        result = objects.follow(&attachments) => result,
        () = stop.cancelled() => Ok(()),
        // Before `ended` none ends but by a panic.
        Some(panicked) = tasks.join_next() => panicked.context("a task of attachments"),
    };
    ended.cancel();
    while tasks.join_next().await.is_some() {}
    result
}

/// Wall-clock time, because releases must be comparable across restarts.
#[expect(clippy::disallowed_methods, reason = "the shell reads the clock for the core")]
pub(crate) fn now() -> Moment {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Moment::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
