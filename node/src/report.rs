//! `NodeReport` and Events: what people read about this node with kubectl.
//!
//! What went wrong or right is written at once, counts alone at most every 30 s; an Event says each new problem once.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use api::{
    Condition, NodeReport, NodeReportSpec, NodeReportStatus, condition,
    control::{ConditionStatus, PeerStatus},
    node_report::PeerReport,
};
use ipam::moment::Moment;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Api, Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    attachments,
    config::Problem,
    control::{ControlContext, HOST_SETTINGS},
    own_object::write_status,
};

/// How long counts may be out of date.
const COUNTS_TIME: Duration = Duration::from_secs(30);

/// How long changes are gathered before they are written.
const BATCH_TIME: Duration = Duration::from_millis(500);

/// Writes the report until `stop`; a server that is silent does not keep it.
pub async fn run(context: Arc<ControlContext>, client: Client, stop: CancellationToken) {
    tokio::select! {
        () = keep_written(context, client) => {}
        () = stop.cancelled() => {}
    }
}

async fn keep_written(context: Arc<ControlContext>, client: Client) {
    let mut writer = Writer::new(&context.node_name, client);
    let mut routing = context.shared.routing.subscribe();
    let mut policy = context.shared.policy.subscribe();
    let mut sessions = context.shared.sessions.subscribe();
    let mut host = context.shared.host.subscribe();
    loop {
        let status = status(&context, writer.written.as_ref()).await;
        writer.write(status).await;
        writer.tell_problems(&context).await;
        tokio::select! {
            // Cancel-safe, all of them: a change that is not seen now is seen next time.
            changed = routing.changed() => if changed.is_err() { return },
            changed = policy.changed() => if changed.is_err() { return },
            changed = sessions.changed() => if changed.is_err() { return },
            changed = host.changed() => if changed.is_err() { return },
            () = pause(COUNTS_TIME) => {}
        }
        pause(BATCH_TIME).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "changes are gathered for a time, counts written after one")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// The node as people read it; transition times stay where nothing changed.
async fn status(context: &ControlContext, former: Option<&NodeReportStatus>) -> NodeReportStatus {
    let node = context.node().await;
    let peers = context.peer_list().await;
    let now = attachments::now();
    let mut conditions = former.map(|former| former.conditions.clone()).unwrap_or_default();
    for observed in &node.conditions {
        condition::set(&mut conditions, reported(observed, now));
    }
    condition::set(&mut conditions, ready(&node.conditions, now));
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    NodeReportStatus {
        peers_established: count(node.peers_established),
        peers_configured: count(node.peers_configured),
        endpoints: count(node.endpoints),
        policies: count(node.policies),
        peers: peers.iter().map(|peer| peer_report(peer, now)).collect(),
        conditions,
    }
}

fn reported(observed: &ConditionStatus, now: Moment) -> Condition {
    let reason = if observed.holds { "AsConfigured" } else { "NotAsConfigured" };
    Condition::new(&observed.name, observed.holds, reason, &observed.message, &now.to_rfc3339())
}

/// `Ready` holds where all others do but those of what may happen.
fn ready(conditions: &[ConditionStatus], now: Moment) -> Condition {
    let failed: Vec<&str> = conditions
        .iter()
        .filter(|condition| !condition.holds && condition.name != HOST_SETTINGS)
        .map(|condition| condition.name.as_str())
        .collect();
    let (reason, message) = match failed.as_slice() {
        [] => ("AllWell", "every part of the node works as configured".to_owned()),
        failed => ("PartsFailed", format!("see the conditions {}", failed.join(", "))),
    };
    Condition::new("Ready", failed.is_empty(), reason, message, &now.to_rfc3339())
}

fn peer_report(peer: &PeerStatus, now: Moment) -> PeerReport {
    let since = Moment::from_unix_millis(now.unix_millis().saturating_sub(peer.since_secs * 1000));
    // Whole seconds, rounded to ten: the same state must not look new each time.
    let since = Moment::from_unix_millis(since.unix_millis() / 10_000 * 10_000);
    PeerReport {
        name: peer.name.clone(),
        address: peer.address.clone(),
        as_number: peer.asn,
        state: peer.state.clone(),
        since: since.to_rfc3339(),
        bfd: peer.bfd.clone(),
        last_error: peer.last_error.clone(),
    }
}

/// The way to the API server and what was written there.
struct Writer {
    name: String,
    reports: Api<NodeReport>,
    events: Recorder,
    written: Option<NodeReportStatus>,
    told: BTreeSet<Problem>,
}

impl Writer {
    fn new(node_name: &str, client: Client) -> Self {
        let reporter =
            Reporter { controller: "tortie-node".to_owned(), instance: Some(node_name.to_owned()) };
        Self {
            name: node_name.to_owned(),
            reports: Api::all(client.clone()),
            events: Recorder::new(client, reporter),
            written: None,
            told: BTreeSet::new(),
        }
    }

    async fn write(&mut self, status: NodeReportStatus) {
        if self.written.as_ref() == Some(&status) {
            return;
        }
        let new = || NodeReport::new(&self.name, NodeReportSpec::default());
        match write_status(&self.reports, &self.name, &status, new).await {
            Ok(()) => self.written = Some(status),
            Err(error) => debug!(%error, "the report is not written; the next one will be"),
        }
    }

    /// An Event for each problem that is new, on the object that has it.
    async fn tell_problems(&mut self, context: &ControlContext) {
        let mut problems: BTreeSet<Problem> =
            context.shared.routing.borrow().problems.iter().cloned().collect();
        problems.extend(context.shared.policy.borrow().problems.iter().cloned());
        let of_host = context.shared.host.borrow().clone().into_iter();
        problems.extend(of_host.map(|finding| Problem::new("Node", &self.name, finding.message)));
        for problem in problems.difference(&self.told.clone()) {
            let event = Event {
                type_: EventType::Warning,
                reason: "NotObeyed".to_owned(),
                note: Some(format!("node {}: {}", self.name, problem.message)),
                action: "Configure".to_owned(),
                secondary: None,
            };
            if self.events.publish(&event, &reference(problem)).await.is_ok() {
                self.told.insert(problem.clone());
            }
        }
        self.told.retain(|problem| problems.contains(problem));
    }
}

/// The object of a problem, which is named by its kind and its name.
fn reference(problem: &Problem) -> ObjectReference {
    let (kind, name) = problem.object.split_once(' ').unwrap_or(("Node", &problem.object));
    let (namespace, name) =
        name.split_once('/').map_or((None, name), |(namespace, name)| (Some(namespace), name));
    let api_version = match kind {
        "Node" => "v1".to_owned(),
        "NetworkPolicy" => "networking.k8s.io/v1".to_owned(),
        _ => format!("{}/{}", api::GROUP, api::VERSION),
    };
    ObjectReference {
        api_version: Some(api_version),
        kind: Some(kind.to_owned()),
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_name_their_object() {
        // (object of the problem, API version, kind, namespace, name)
        let cases = [
            ("BGPPeer tor-a", "tortie.dev/v1alpha1", "BGPPeer", None, "tor-a"),
            ("NetworkPolicy default/web", "networking.k8s.io/v1", "NetworkPolicy", Some("default"), "web"),
            ("Node n1", "v1", "Node", None, "n1"),
        ];
        for (object, api_version, kind, namespace, name) in cases {
            let problem = Problem { object: object.to_owned(), message: String::new() };
            let reference = reference(&problem);
            assert_eq!(reference.api_version.as_deref(), Some(api_version), "{object}");
            assert_eq!(reference.kind.as_deref(), Some(kind), "{object}");
            assert_eq!(reference.namespace.as_deref(), namespace, "{object}");
            assert_eq!(reference.name.as_deref(), Some(name), "{object}");
        }
    }
}
