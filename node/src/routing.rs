//! The routing compartment: cluster objects to sessions, sessions to kernel routes.
//!
//! ```text
//! Node, BGPConfiguration, BGPPeer -> config::desired -> speaker ── FIB changes ──> route writer
//! own blocks (attachments) ───────────────────────────> speaker
//! ```
//! It reads no object that a tenant can write. It starts once its watches have told everything, and from the
//! last-good snapshot if the API server stays silent.

mod forwarding;
mod start;
mod view;

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, anyhow};
use bgp::{
    config::{Origination, Originations},
    driver::{self, DriverError, FibEvent, Handle},
    speaker::{RestartMode, SessionEvent, Stop},
};
use felix::kernel::route_writer::RouteWriter;
use kube::Client;
use tokio::{sync::mpsc, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    config::{self, ClusterView, Desired, NodeFacts, Problem},
    session_events,
    shared::{OwnBlocks, RoutingProgress, Shared},
    snapshot::Snapshots,
};
use forwarding::Forwarding;
use start::first_configuration;
use view::View;

/// What the compartment is given.
#[derive(Clone)]
pub struct RoutingContext {
    /// The way to the API server.
    pub client: Client,
    /// Name of this machine's Node object.
    pub node_name: String,
    /// The one writer of kernel routes.
    pub routes: RouteWriter,
    /// What the compartments tell each other.
    pub shared: Shared,
    /// The speaker, for status; written here.
    pub speaker: Arc<watch::Sender<Option<Handle>>>,
    /// The last-good configuration.
    pub snapshots: Arc<Snapshots>,
}

/// Runs until `stop`; the sessions then close without a word and the kernel keeps its routes.
///
/// # Errors
/// What routing cannot go on without: the process ends with it.
pub async fn run(context: RoutingContext, stop: CancellationToken) -> Result<()> {
    let mut view = View::watch(&context.client);
    let first = tokio::select! {
        first = first_configuration(&context, &mut view) => first?,
        () = stop.cancelled() => return Ok(()),
    };
    let mut desired = first;
    let mut forwarding = Forwarding::new(context.routes.clone(), context.shared.learned.clone());
    loop {
        let mode = forwarding.restart_mode();
        let mut session = tokio::select! {
            session = start::speaker(&context, &mut view, &mut desired, &mode) => session?,
            () = stop.cancelled() => return Ok(()),
        };
        let next = session.run(&context, &mut view, &mut desired, &mut forwarding, &stop).await?;
        session.stop(&context).await;
        match next {
            Next::Stop => return Ok(()),
            Next::ListenAgain => forwarding.speaker_ended(),
        }
    }
}

/// Why the speaker ends.
enum Next {
    Stop,
    /// Another port: only a new listener obeys that.
    ListenAgain,
}

/// A speaker that runs.
struct Running {
    handle: Handle,
    fib: mpsc::Receiver<FibEvent>,
    events: mpsc::Receiver<SessionEvent>,
    task: JoinHandle<Result<(), DriverError>>,
    listen_port: u16,
}

impl Running {
    async fn start(
        context: &RoutingContext,
        desired: &Desired,
        mode: RestartMode,
    ) -> Result<Self, DriverError> {
        let port = desired.listen_port;
        let listen: Vec<SocketAddr> = vec![([0, 0, 0, 0], port).into(), ([0_u16; 8], port).into()];
        let (handle, fib, events, task) = driver::start(desired.speaker.clone(), mode, listen).await?;
        context.speaker.send_replace(Some(handle.clone()));
        info!(asn = desired.speaker.asn, router_id = %desired.speaker.router_id, port, peers = desired.speaker.neighbors.len(), "speaker started");
        Ok(Self { handle, fib, events, task, listen_port: port })
    }

    async fn run(
        &mut self,
        context: &RoutingContext,
        view: &mut View,
        desired: &mut Desired,
        forwarding: &mut Forwarding,
        stop: &CancellationToken,
    ) -> Result<Next> {
        publish(context, desired, view.cluster());
        let mut blocks = context.shared.blocks.subscribe();
        blocks.mark_changed();
        let mut sources_synced = false;
        loop {
            tokio::select! {
                // Cancel-safe, all of them: a message that is not received stays in its channel.
                event = self.fib.recv() => {
                    forwarding.apply(event.ok_or_else(|| anyhow!("the speaker ended by itself"))?);
                }
                Some(event) = self.events.recv() => {
                    session_events::log(&event);
                    context.shared.sessions.send_modify(|count| *count += 1);
                }
                changed = blocks.changed() => {
                    changed.context("attachments are gone")?;
                    let own = blocks.borrow_and_update().clone();
                    self.originate(&own, &mut sources_synced).await?;
                }
                changed = view.changed() => {
                    changed?;
                    if self.reconfigure(context, view, desired).await? {
                        return Ok(Next::ListenAgain);
                    }
                }
                () = stop.cancelled() => return Ok(Next::Stop),
            }
        }
    }

    /// End-of-RIB waits for the first complete set: a helper would sweep what it lacks (RFC 4724).
    async fn originate(&self, own: &OwnBlocks, sources_synced: &mut bool) -> Result<()> {
        let originations: Originations =
            own.blocks.iter().map(|block| (*block, Origination::default())).collect();
        self.handle.originate(originations).await?;
        if own.in_sync && !*sources_synced {
            self.handle.local_sources_synced().await?;
            *sources_synced = true;
        }
        Ok(())
    }

    /// Whether the speaker must start again on another port.
    async fn reconfigure(
        &self,
        context: &RoutingContext,
        view: &View,
        desired: &mut Desired,
    ) -> Result<bool> {
        let mut next = match config::desired(view.cluster(), &context.node_name) {
            Ok(next) => next,
            Err(problem) => {
                // The Node object may be gone for a moment; what runs goes on.
                warn!(object = %problem.object, cause = %problem.message, "the former configuration stays in force");
                context.shared.routing.send_modify(|progress| progress.problems = vec![problem]);
                return Ok(false);
            }
        };
        if next.speaker != desired.speaker {
            match self.handle.configure(next.speaker.clone()).await {
                Ok(report) => {
                    for reset in report.reset {
                        info!(peer = %reset.neighbor, because = ?reset.because, "session is reset by the new configuration");
                    }
                }
                Err(error) => {
                    error!(%error, "the new configuration is refused; the former one stays in force");
                    let message = format!("BGP goes on as before: the new configuration is refused: {error}");
                    next.problems.push(Problem::new("Node", &context.node_name, message));
                    // Not equal to what is wanted, so that the next change tries again.
                    next.speaker.clone_from(&desired.speaker);
                }
            }
        }
        *desired = next;
        publish(context, desired, view.cluster());
        Ok(desired.listen_port != self.listen_port)
    }

    async fn stop(self, context: &RoutingContext) {
        context.speaker.send_replace(None);
        if let Err(error) = self.handle.stop(Stop::Silent).await {
            warn!(%error, "the speaker did not stop in order");
        }
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "the speaker ended with an error"),
            Err(error) => error!(%error, "the speaker's task failed"),
        }
    }
}

/// Tells the others what is in force, and the next daemon, which may start without the API server.
fn publish(context: &RoutingContext, desired: &Desired, cluster: &ClusterView) {
    let node = cluster.nodes.get(&context.node_name).cloned().unwrap_or_default();
    tell(context, RoutingProgress { in_sync: true, ..progress(desired, node) });
    context.snapshots.store_routing(cluster);
}

/// What is known before the speaker runs.
fn progress(desired: &Desired, node: NodeFacts) -> RoutingProgress {
    RoutingProgress {
        node_is_known: true,
        in_sync: false,
        addresses: desired.addresses.clone(),
        node_uid: node.uid,
        node_labels: node.labels,
        asn: desired.speaker.asn,
        router_id: desired.speaker.router_id.to_string(),
        problems: desired.problems.clone(),
    }
}

/// For the other compartments and for status.
fn tell(context: &RoutingContext, progress: RoutingProgress) {
    context.shared.routing.send_if_modified(|known| {
        for problem in news(&progress.problems, &known.problems) {
            warn!(object = %problem.object, cause = %problem.message, "this is not obeyed");
        }
        let is_new = *known != progress;
        *known = progress;
        is_new
    });
}

/// The problems that were not there before: each is logged once.
fn news<'a>(problems: &'a [Problem], known: &'a [Problem]) -> impl Iterator<Item = &'a Problem> {
    problems.iter().filter(|problem| !known.contains(problem))
}
