//! What a leader does in each turn: observe, plan, write, tell.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt};
use kube::{Client, ResourceExt};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::http::Health;
use super::leadership::Leadership;
use super::set_up::{Outcome, SetUp};
use super::store::Store;
use super::write::{Writer, ready_reason, reference};
use super::{Options, cause, is_status, now};
use crate::ledger::Ledger;
use crate::plan::{Action, Conflict, Plan, plan};
use crate::view::View;

/// Requests that are under way at one time: enough to hide their round trips, few enough for
/// any API server's limits.
const REQUESTS_AT_ONCE: usize = 8;

/// Turns between two looks for Pods that are bound to a node without an object. A node is
/// called dead after far more turns than this.
const TURNS_PER_POD_LOOK: u32 = 30;

/// One replica's work while it leads, and its idleness while it does not.
pub(super) struct Leader {
    writer: Writer,
    set_up: SetUp,
    leadership: Leadership,
    ledger: Option<Ledger>,
    bound_elsewhere: BTreeSet<String>,
    turns: u32,
    told_conflicts: Vec<Conflict>,
    told_waiting: Vec<String>,
}

impl Leader {
    pub(super) fn new(client: Client, options: &Options, leadership: Leadership) -> Self {
        Self {
            writer: Writer::new(client.clone(), &options.identity),
            set_up: SetUp::new(client, &options.namespace),
            leadership,
            ledger: None,
            bound_elsewhere: BTreeSet::new(),
            turns: 0,
            told_conflicts: Vec::new(),
            told_waiting: Vec::new(),
        }
    }

    /// One look at everything, and all that follows from it. A replica that does not lead
    /// forgets what it knew as a leader.
    pub(super) async fn turn(&mut self, store: &mut Store, shutdown: &CancellationToken) {
        if !self.leadership.is_held() {
            self.ledger = None;
            return;
        }
        let view = self.view(store);
        let epoch = self.observe(&view);
        self.set_up(store, epoch).await;
        let Some(ledger) = self.ledger.as_ref() else { return };
        let plan = plan(now(), &view, ledger);
        self.tell(&plan);
        self.publish(&plan, epoch).await;
        self.act(&plan, store, shutdown).await;
        self.report(&plan, store).await;
        self.look_for_pods().await;
    }

    /// What `/healthz` and `/metrics` show.
    pub(super) fn health(&self, store: &Store) -> Health {
        Health {
            is_synced: store.is_synced(),
            leads: self.leadership.is_held(),
            epoch: self.ledger.as_ref().map_or(0, Ledger::epoch),
            nodes_waited_for: self.told_waiting.len(),
            conflicts: self.told_conflicts.len(),
        }
    }

    fn view(&self, store: &Store) -> View {
        let mut objects = store.objects();
        objects.bound_elsewhere.clone_from(&self.bound_elsewhere);
        View::read(now(), &objects)
    }

    /// The epoch after this look.
    fn observe(&mut self, view: &View) -> i64 {
        let Some(ledger) = &mut self.ledger else {
            let ledger = self.ledger.insert(Ledger::new(now(), view));
            info!(epoch = ledger.epoch(), cause = "this replica leads now", "epoch raised");
            return ledger.epoch();
        };
        for raised in ledger.observe(now(), view) {
            info!(epoch = ledger.epoch(), cause = %raised, "epoch raised");
        }
        ledger.epoch()
    }

    async fn set_up(&mut self, store: &Store, epoch: i64) {
        match self.set_up.run(store.pool_names(), epoch).await {
            Ok(Outcome::Quiet) => {}
            Ok(Outcome::Done(config)) => {
                let note = "default IPPools and BGPConfiguration are there; later changes of this ConfigMap change nothing";
                self.writer.tell(&config, true, "SetUp", note).await;
            }
            Ok(Outcome::Invalid(config, problems)) => {
                for problem in problems {
                    self.writer.tell(&config, false, "InvalidValue", &problem.to_string()).await;
                }
            }
            Err(error) => {
                let remedy = "install the CRDs, or see whether tortie-ipam may create them";
                warn!(
                    object = "ConfigMap tortie-config",
                    cause = &*cause(&error),
                    remedy,
                    "set-up not done yet"
                );
            }
        }
    }

    /// Logs what changed since the last turn.
    fn tell(&mut self, plan: &Plan) {
        if plan.waiting_for != self.told_waiting {
            self.told_waiting.clone_from(&plan.waiting_for);
            if !plan.waiting_for.is_empty() {
                let nodes = plan.waiting_for.join(", ");
                let remedy = "see whether tortie-node runs there";
                info!(nodes, remedy, "no block is given until these nodes have said what they hold");
            }
        }
        for conflict in plan.conflicts.iter().filter(|conflict| !self.told_conflicts.contains(conflict)) {
            let Conflict { held, holder, with, other } = conflict;
            warn!(
                object = format!("Node {holder}"),
                cause = format!("its kernel holds {held}, but {with} belongs to {other}"),
                remedy = format!("delete the pods of {held} on one of the two nodes"),
                "addresses claimed twice"
            );
        }
        self.told_conflicts.clone_from(&plan.conflicts);
    }

    async fn publish(&self, plan: &Plan, epoch: i64) {
        for pool in &plan.publish {
            if let Err(error) = self.writer.publish(pool, epoch).await {
                let remedy = "none needed: it is tried again";
                warn!(
                    object = format!("IPPool {pool}"),
                    cause = &*cause(&error),
                    remedy,
                    "epoch not published"
                );
            }
        }
    }

    async fn act(&mut self, plan: &Plan, store: &mut Store, shutdown: &CancellationToken) {
        let Some(ledger) = &mut self.ledger else { return };
        for action in &plan.actions {
            if let Action::Delete { block, .. } = action {
                // Before the request: the watch may be faster than its answer.
                ledger.deleting(now(), block);
            }
        }
        let (writer, leadership) = (&self.writer, &self.leadership);
        let requests = plan.actions.iter().map(|action| async move {
            // Checked at each request: a lease that ran out meanwhile may be another's.
            if !leadership.is_held() || shutdown.is_cancelled() {
                return (action, None);
            }
            (action, Some(writer.act(action).await))
        });
        let mut answers = stream::iter(requests).buffer_unordered(REQUESTS_AT_ONCE);
        while let Some((action, answer)) = answers.next().await {
            match answer {
                Some(Ok(created)) => {
                    info!(object = %action, "done");
                    if let (Some(block), Action::Create { cidr, .. }) = (created, action) {
                        ledger.created(*cidr, block.uid().unwrap_or_default());
                        store.created(block);
                    }
                }
                answer => {
                    let error = answer.and_then(Result::err);
                    match action {
                        Action::Delete { block, .. } => ledger.not_deleted(block),
                        Action::Create { cidr, .. } if error.as_ref().is_some_and(is_unanswered) => {
                            ledger.not_answered(*cidr);
                        }
                        _ => {}
                    }
                    not_done(action, error.as_ref());
                }
            }
        }
    }

    async fn report(&self, plan: &Plan, store: &mut Store) {
        for (name, report) in &plan.pools {
            let Some(pool) = store.pool(name).filter(|_| self.leadership.is_held()) else { continue };
            let reason_before = ready_reason(pool).map(str::to_owned);
            let object = format!("IPPool {name}");
            match self.writer.report(pool, report).await {
                Ok(None) => continue,
                Ok(Some(pool)) => store.reported(pool),
                Err(error) => {
                    let remedy = "none needed: it is tried again";
                    warn!(object, cause = &*cause(&error), remedy, "status not written");
                    continue;
                }
            }
            if let Some(pool) = store.pool(name).filter(|_| reason_before.as_deref() != Some(report.reason)) {
                info!(object, reason = report.reason, cause = report.message, "condition Ready");
                self.writer.tell(&reference(pool), report.is_ready, report.reason, &report.message).await;
            }
        }
    }

    async fn look_for_pods(&mut self) {
        self.turns = self.turns.wrapping_add(1);
        let Some(ledger) = &self.ledger else { return };
        let absent: BTreeSet<String> = ledger.absent().map(str::to_owned).collect();
        if !self.turns.is_multiple_of(TURNS_PER_POD_LOOK) {
            return;
        }
        self.bound_elsewhere.clear();
        for node in absent {
            if self.writer.has_pods(&node).await {
                self.bound_elsewhere.insert(node);
            }
        }
    }
}

/// Whether nothing was answered: then the request may have been carried out all the same. An API
/// server that says 500 is alive; a broken webhook must not make every node echo an epoch a second.
fn is_unanswered(error: &kube::Error) -> bool {
    !matches!(error, kube::Error::Api(_))
}

/// A conflict means that the plan was older than the objects: the next one knows better.
fn not_done(action: &Action, error: Option<&kube::Error>) {
    match error {
        None => debug!(object = %action, "left to the next leader"),
        Some(error) if is_status(error, 409) || is_status(error, 404) => {
            debug!(object = %action, cause = &*cause(error), "out of date");
        }
        Some(error) => {
            warn!(object = %action, cause = &*cause(error), remedy = "none needed: it is tried again", "not done");
        }
    }
}
