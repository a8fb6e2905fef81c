//! What the compartments tell each other, each value with one writer.
//!
//! ```text
//! attachments --endpoints--> policy, routing     routing --routing--> status
//! attachments --blocks-----> routing             policy  --policy---> attachments, status
//! routing     --learned----> attachments
//! ```

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use ipam::moment::Moment;
use ipnetwork::IpNetwork;
use tokio::sync::watch;

use crate::{addresses::NodeAddresses, config::Problem, host::Finding, learned::Learned};

/// Whom an interface serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodIdentity {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's UID.
    pub uid: String,
}

impl std::fmt::Display for PodIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One pod interface of this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The host side's name.
    pub interface: String,
    /// The host side's number in the kernel, which counts up: an interface that was made later has a greater one.
    pub index: u32,
    /// When it was attached; [`Moment::NEVER`] for one that a former daemon attached.
    pub since: Moment,
    /// Whom it serves.
    pub pod: PodIdentity,
    /// What the host side bears in the kernel, by which a later daemon knows whom it serves.
    pub alias: String,
    /// The sandbox.
    pub container_id: String,
    /// The pod side's name.
    pub ifname: String,
    /// The pod's addresses.
    pub addresses: Vec<IpAddr>,
    /// The pod as it was when its interface was made; policy needs its labels before its own watch may have them.
    pub object: Option<Arc<k8s_openapi::api::core::v1::Pod>>,
}

/// All pod interfaces of this node.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// Raised with each change; what has applied this number has applied all before it.
    pub generation: u64,
    /// By the host side's name.
    pub by_interface: BTreeMap<String, Arc<Endpoint>>,
    /// Whether the kernel's own endpoints have been read, so that what is not here is not there.
    pub in_sync: bool,
}

/// How far policy is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyProgress {
    /// Whether the kernel holds a program made from complete lists.
    pub in_sync: bool,
    /// The generation of [`Endpoints`] that the kernel's program serves.
    pub endpoints_generation: u64,
    /// How many policies are in force.
    pub policies: usize,
    /// What was set aside, and why.
    pub problems: Vec<Problem>,
    /// Why the kernel refused the last program, if it did.
    pub kernel_error: Option<String>,
}

/// How far routing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingProgress {
    /// Whether the Node object has been seen: its UID and its labels are what they say.
    pub node_is_known: bool,
    /// Whether the speaker runs by complete lists.
    pub in_sync: bool,
    /// The node's addresses.
    pub addresses: NodeAddresses,
    /// UID of the Node object.
    pub node_uid: String,
    /// Labels of the Node object.
    pub node_labels: BTreeMap<String, String>,
    /// The node's AS number.
    pub asn: u32,
    /// The node's BGP identifier.
    pub router_id: String,
    /// What was left out, and why.
    pub problems: Vec<Problem>,
}

/// The blocks that this node advertises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnBlocks {
    /// Whether these are all.
    pub in_sync: bool,
    /// The blocks.
    pub blocks: Vec<IpNetwork>,
}

/// The values, each with its one writer's end; readers subscribe.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Written by attachments.
    pub endpoints: watch::Sender<Endpoints>,
    /// Written by attachments.
    pub blocks: watch::Sender<OwnBlocks>,
    /// Written by policy.
    pub policy: watch::Sender<PolicyProgress>,
    /// Written by routing.
    pub routing: watch::Sender<RoutingProgress>,
    /// What peers advertise; written by routing.
    pub learned: Learned,
    /// What the machine itself does against pods' network.
    pub host: watch::Sender<Vec<Finding>>,
    /// Raised by routing whenever a session came up or went down.
    pub sessions: watch::Sender<u64>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            endpoints: watch::Sender::new(Endpoints::default()),
            blocks: watch::Sender::new(OwnBlocks::default()),
            policy: watch::Sender::new(PolicyProgress::default()),
            routing: watch::Sender::new(RoutingProgress::default()),
            learned: Learned::default(),
            host: watch::Sender::new(Vec::new()),
            sessions: watch::Sender::new(0),
        }
    }
}
