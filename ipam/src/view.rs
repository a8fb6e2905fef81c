//! What the service sees of the cluster, read into checked values that are sorted by name, so
//! that no decision depends on the order in which objects came.

use std::collections::{BTreeMap, BTreeSet};

use api::names::RACK_LABEL;
use api::prefix;
use api::{IPBlock, IPPool, NodeNetwork};
use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1::Node;

use crate::local::COOLDOWN_MILLIS;
use crate::moment::Moment;
use crate::pool::{Pools, name_of};

/// Where nodes tell their rack, the first that a node bears.
const RACK_LABELS: [&str; 2] = [RACK_LABEL, "topology.kubernetes.io/zone"];

/// Pods that a node is supplied for when its Node object does not say: the kubelet's default.
const ALLOCATABLE_PODS_DEFAULT: u32 = 110;

/// The objects that the service watches, as they came.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// All IPPools.
    pub pools: Vec<IPPool>,
    /// All Nodes.
    pub nodes: Vec<Node>,
    /// All IPBlocks.
    pub blocks: Vec<IPBlock>,
    /// All `NodeNetworks`.
    pub networks: Vec<NodeNetwork>,
    /// `spec.cidr` of IPBlocks that cannot be read otherwise: they still claim their range.
    pub unreadable_blocks: BTreeSet<String>,
    /// Names without a Node object to which Pods are still bound.
    pub bound_elsewhere: BTreeSet<String>,
    /// Names of the nodes to which a Pod of the daemon is bound.
    pub daemons: BTreeSet<String>,
}

/// A Node as the plan needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// UID of the object.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its condition Ready.
    pub is_ready: bool,
    /// How many pods it takes.
    pub allocatable_pods: u32,
}

impl NodeFacts {
    /// Rack, else zone; empty if the node bears neither label.
    pub(crate) fn rack(&self) -> String {
        let labels = RACK_LABELS.iter().filter_map(|label| self.labels.get(*label));
        labels.map(String::clone).next().unwrap_or_default()
    }
}

/// An IPBlock as the plan needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockFacts {
    /// What identifies this very version of the object.
    pub reference: BlockRef,
    /// Name of its pool.
    pub pool: String,
    /// Name of its node.
    pub node: String,
    /// UID of its node.
    pub node_uid: String,
    /// Whether it is being taken back.
    pub draining: bool,
    /// Its epoch.
    pub epoch: i64,
    /// Whether the node returned it.
    pub released: bool,
    /// Addresses that serve pods.
    pub in_use: u32,
    /// Addresses that were released so recently that they cannot be given yet.
    pub cooling: u32,
}

/// One version of one IPBlock object: the preconditions of every write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockRef {
    /// The block.
    pub cidr: IpNetwork,
    /// Name of the object.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The version that was looked at.
    pub resource_version: String,
}

/// A NodeNetwork as the plan needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkFacts {
    /// UID of the Node that the daemon runs as.
    pub node_uid: String,
    /// The newest epoch that it has echoed.
    pub epoch_seen: i64,
    /// What its kernel holds.
    pub held: BTreeSet<IpNetwork>,
}

/// All that the service sees at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The pools.
    pub pools: Pools,
    /// Nodes by name.
    pub nodes: BTreeMap<String, NodeFacts>,
    /// Blocks by range.
    pub blocks: BTreeMap<IpNetwork, BlockFacts>,
    /// Ranges of objects that cannot be read or are not named after them: never given.
    pub foreign: BTreeSet<IpNetwork>,
    /// `NodeNetworks` by the node's name.
    pub networks: BTreeMap<String, NetworkFacts>,
    /// Names without a Node object to which Pods are still bound.
    pub bound_elsewhere: BTreeSet<String>,
    /// Names of the nodes to which a Pod of the daemon is bound.
    pub daemons: BTreeSet<String>,
    /// Epoch annotation of every pool by name; 0 if it has none.
    pub pool_epochs: BTreeMap<String, i64>,
}

impl View {
    /// Reads the objects. What cannot be read is left out and takes nothing else with it.
    pub fn read(now: Moment, objects: &Objects) -> Self {
        let mut view = Self {
            pools: Pools::read(&objects.pools),
            nodes: objects.nodes.iter().map(node).collect(),
            networks: objects.networks.iter().map(network).collect(),
            foreign: objects.unreadable_blocks.iter().filter_map(|text| prefix::parse(text).ok()).collect(),
            bound_elsewhere: objects.bound_elsewhere.clone(),
            daemons: objects.daemons.clone(),
            ..Self::default()
        };
        for pool in &objects.pools {
            view.pool_epochs.insert(name_of(&pool.metadata).to_owned(), crate::pool::epoch_of(pool));
        }
        for object in &objects.blocks {
            let Ok(cidr) = prefix::parse(&object.spec.cidr) else { continue };
            if prefix::object_name(cidr) == name_of(&object.metadata) {
                view.blocks.insert(cidr, block(now, cidr, object));
            } else {
                view.foreign.insert(cidr);
            }
        }
        view
    }

    /// The highest epoch that anything in view bears.
    #[must_use]
    pub fn epoch_max(&self) -> i64 {
        let blocks = self.blocks.values().map(|block| block.epoch);
        let networks = self.networks.values().map(|network| network.epoch_seen);
        blocks.chain(networks).chain([self.pools.epoch]).max().unwrap_or(0)
    }

    /// What this node's daemon says, if it runs as the Node object of today.
    pub(crate) fn network_of(&self, name: &str) -> Option<&NetworkFacts> {
        let node = self.nodes.get(name)?;
        self.networks.get(name).filter(|network| network.node_uid == node.uid)
    }
}

fn node(object: &Node) -> (String, NodeFacts) {
    let status = object.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let is_ready = conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"));
    let pods = status.and_then(|status| status.allocatable.as_ref()?.get("pods")?.0.parse().ok());
    let facts = NodeFacts {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        labels: object.metadata.labels.clone().unwrap_or_default(),
        is_ready,
        allocatable_pods: pods.unwrap_or(ALLOCATABLE_PODS_DEFAULT),
    };
    (name_of(&object.metadata).to_owned(), facts)
}

fn network(object: &NodeNetwork) -> (String, NetworkFacts) {
    let status = object.status.clone().unwrap_or_default();
    let held = status.held_blocks.iter().filter_map(|text| prefix::parse(text).ok()).collect();
    let facts = NetworkFacts { node_uid: status.node_uid, epoch_seen: status.epoch_seen, held };
    (name_of(&object.metadata).to_owned(), facts)
}

fn block(now: Moment, cidr: IpNetwork, object: &IPBlock) -> BlockFacts {
    let status = object.status.clone().unwrap_or_default();
    let cooling = status.freed.iter().filter(|freed| {
        Moment::from_rfc3339(&freed.at).is_some_and(|at| now.millis_since(at) < COOLDOWN_MILLIS)
    });
    BlockFacts {
        reference: BlockRef {
            cidr,
            name: name_of(&object.metadata).to_owned(),
            uid: object.metadata.uid.clone().unwrap_or_default(),
            resource_version: object.metadata.resource_version.clone().unwrap_or_default(),
        },
        pool: object.spec.pool.clone(),
        node: object.spec.node.clone(),
        node_uid: object.spec.node_uid.clone(),
        draining: object.spec.draining,
        epoch: object.spec.epoch,
        released: status.released,
        in_use: u32::try_from(status.in_use).unwrap_or(0),
        cooling: u32::try_from(cooling.count()).unwrap_or(u32::MAX),
    }
}
