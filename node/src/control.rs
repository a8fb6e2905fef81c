//! The control socket: `tortiectl`'s questions, answered from memory.

use std::{sync::Arc, time::Instant};

use api::control::{
    AddressStatus, ConditionStatus, NodeStatus, PeerStatus, PodPolicyStatus, Reply, Request, RouteStatus,
};
use bgp::driver::Handle;
use serde::Serialize;
use tokio::sync::watch;
use tracing::info;

use crate::{
    attachments::AttachmentsView, bgp_status, control_socket::Answers, logging::LogLevel, policy::PolicyView,
    shared::Shared,
};

/// What may disturb pods' network one day; it works now, so that the node is ready all the same.
pub const HOST_SETTINGS: &str = "HostSettings";

/// What answers are made of.
#[derive(Clone, Debug)]
pub struct ControlContext {
    /// Name of this machine's Node object.
    pub node_name: String,
    /// When the daemon started.
    pub started: Instant,
    /// What the compartments tell each other.
    pub shared: Shared,
    /// The speaker, once it runs.
    pub speaker: Arc<watch::Sender<Option<Handle>>>,
    /// Blocks and addresses.
    pub attachments: AttachmentsView,
    /// Policy in force.
    pub policy: PolicyView,
    /// What is logged.
    pub log_level: LogLevel,
}

impl Answers for ControlContext {
    async fn answer(&self, question: &[u8]) -> serde_json::Result<Vec<u8>> {
        match serde_json::from_slice(question) {
            Ok(request) => self.reply(request).await,
            Err(error) => encode(&Reply::<()>::Error(format!("the question is not understood: {error}"))),
        }
    }
}

fn encode<T: Serialize>(reply: &Reply<T>) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(reply)
}

impl ControlContext {
    async fn reply(&self, request: Request) -> serde_json::Result<Vec<u8>> {
        match request {
            Request::Node => encode(&Reply::Value(self.node().await)),
            Request::Peers => encode(&self.peers().await),
            Request::Routes => encode(&self.routes().await),
            Request::Ipam => encode(&Reply::Value(self.attachments.blocks())),
            Request::Policy { namespace, pod } => encode(&self.pod_policy(&namespace, &pod)),
            Request::LogLevel { level } => encode(&self.set_log_level(level)),
        }
    }

    fn speaker(&self) -> Option<Handle> {
        self.speaker.borrow().clone()
    }

    /// The sessions; an error while there is no speaker.
    async fn peers(&self) -> Reply<Vec<PeerStatus>> {
        let Some(speaker) = self.speaker() else { return Reply::Error(self.why_no_speaker()) };
        match speaker.status().await {
            Ok(status) => Reply::Value(bgp_status::peers(&status)),
            Err(error) => Reply::Error(error.to_string()),
        }
    }

    async fn routes(&self) -> Reply<Vec<RouteStatus>> {
        let Some(speaker) = self.speaker() else { return Reply::Error(self.why_no_speaker()) };
        match speaker.routes().await {
            Ok(routes) => Reply::Value(bgp_status::routes(&routes)),
            Err(error) => Reply::Error(error.to_string()),
        }
    }

    fn why_no_speaker(&self) -> String {
        let routing = self.shared.routing.borrow();
        let problem = routing.problems.first().map(ToString::to_string);
        format!(
            "BGP is not running: {}",
            problem.unwrap_or_else(|| "the API server has not told the node's objects yet".to_owned())
        )
    }

    fn pod_policy(&self, namespace: &str, pod: &str) -> Reply<PodPolicyStatus> {
        let status = self.policy.pod(namespace, pod);
        status.map_or_else(
            || Reply::Error(format!("pod {namespace}/{pod} has no network on this node; ask its own node")),
            Reply::Value,
        )
    }

    fn set_log_level(&self, level: String) -> Reply<String> {
        match self.log_level.set(&level) {
            Ok(()) => {
                info!(level, "log level changed");
                Reply::Value(level)
            }
            Err(error) => Reply::Error(format!("{error:#}")),
        }
    }

    /// The sessions; none while there is no speaker.
    pub async fn peer_list(&self) -> Vec<PeerStatus> {
        match self.peers().await {
            Reply::Value(peers) => peers,
            Reply::Error(_) => Vec::new(),
        }
    }

    /// The node as a whole.
    pub async fn node(&self) -> NodeStatus {
        let routing = self.shared.routing.borrow().clone();
        let policy = self.shared.policy.borrow().clone();
        let own = self.shared.blocks.borrow().clone();
        let peers = self.peer_list().await;
        let ipv4 = routing.addresses.ipv4.map(|chosen| (chosen.address.to_string(), chosen.reason));
        let ipv6 = routing.addresses.ipv6.map(|chosen| (chosen.address.to_string(), chosen.reason));
        let addresses = ipv4.into_iter().chain(ipv6);
        NodeStatus {
            node: self.node_name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_secs: self.started.elapsed().as_secs(),
            asn: routing.asn,
            router_id: routing.router_id,
            addresses: addresses.map(|(address, reason)| AddressStatus { address, reason }).collect(),
            originated: own.blocks.iter().map(ToString::to_string).collect(),
            peers_established: peers.iter().filter(|peer| peer.state == bgp_status::ESTABLISHED).count(),
            peers_configured: peers.len(),
            endpoints: self.shared.endpoints.borrow().by_interface.len(),
            policies: policy.policies,
            conditions: self.conditions(),
        }
    }

    /// What works and what does not, and why.
    pub fn conditions(&self) -> Vec<ConditionStatus> {
        let routing = self.shared.routing.borrow().clone();
        let policy = self.shared.policy.borrow().clone();
        let addresses_in_sync = self.shared.blocks.borrow().in_sync;
        let condition = |name: &str, problem: Option<String>, fine: &str| ConditionStatus {
            name: name.to_owned(),
            holds: problem.is_none(),
            message: problem.unwrap_or_else(|| fine.to_owned()),
        };
        let listed = |problems: &[crate::config::Problem]| {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        };
        let routing_problem =
            listed(&routing.problems).or((!routing.in_sync).then(|| "waiting for the API server".to_owned()));
        let addresses_problem =
            (!addresses_in_sync).then(|| "waiting for the blocks and pods of this node".to_owned());
        let policy_problem = policy
            .kernel_error
            .or(listed(&policy.problems))
            .or((!policy.in_sync).then(|| "waiting for the API server".to_owned()));
        let host = self.shared.host.borrow().clone();
        let said = |breaks: bool| {
            let of_kind = host.iter().filter(|finding| finding.breaks == breaks);
            let messages: Vec<&str> = of_kind.map(|finding| finding.message.as_str()).collect();
            (!messages.is_empty()).then(|| messages.join("; "))
        };
        vec![
            condition("Routing", routing_problem, "all BGP objects are obeyed"),
            condition("Addresses", addresses_problem, "pods get addresses"),
            condition("Policy", policy_problem, "all policies are in the kernel"),
            condition("Forwarding", said(true), "nobody else drops what pods send or get"),
            condition(
                HOST_SETTINGS,
                said(false),
                "nothing on this machine is known to disturb pods' network",
            ),
        ]
    }
}
