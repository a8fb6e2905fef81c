//! An API server's objects in memory, with the preconditions that a real one checks.

use std::collections::BTreeMap;

use api::ip_pool::IPPoolSpec;
use api::node_network::NodeNetworkStatus;
use api::{IPBlock, IPBlockSpec, IPBlockStatus, IPPool, NodeNetwork, NodeNetworkSpec, prefix};
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::*;
use crate::pool::EPOCH_ANNOTATION;
use crate::view::Objects;

pub(super) fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(1_800_000_000_000 + millis)
}

#[derive(Clone, Debug, Default)]
pub(super) struct Api {
    pub(super) pools: BTreeMap<String, IPPool>,
    pub(super) nodes: BTreeMap<String, Node>,
    pub(super) blocks: BTreeMap<String, IPBlock>,
    pub(super) networks: BTreeMap<String, NodeNetwork>,
    /// Source of UIDs and versions; never goes back, also when a backup is restored.
    pub(super) counter: u64,
}

impl Api {
    fn metadata(&mut self, name: &str) -> ObjectMeta {
        self.counter += 1;
        ObjectMeta {
            name: Some(name.to_owned()),
            uid: Some(format!("uid-{}", self.counter)),
            resource_version: Some(self.counter.to_string()),
            creation_timestamp: Some(Time(at(self.counter * 1000).timestamp())),
            ..ObjectMeta::default()
        }
    }

    pub(super) fn add_pool(&mut self, name: &str, cidr: &str, block_size: u8) -> &mut IPPool {
        let metadata = self.metadata(name);
        let spec = IPPoolSpec {
            cidr: cidr.into(),
            block_size: Some(block_size),
            nat_outgoing: true,
            disabled: false,
            node_selector: "all()".into(),
        };
        self.pools.insert(name.to_owned(), IPPool { metadata, spec, status: None });
        self.pools.get_mut(name).unwrap()
    }

    /// A Ready node that takes so many pods.
    pub(super) fn add_node(&mut self, name: &str, rack: &str, pods: u32) -> String {
        let mut metadata = self.metadata(name);
        metadata.labels = Some([(api::names::RACK_LABEL.to_owned(), rack.to_owned())].into());
        let uid = metadata.uid.clone().unwrap();
        let status = NodeStatus {
            allocatable: Some([("pods".to_owned(), Quantity(pods.to_string()))].into()),
            ..NodeStatus::default()
        };
        self.nodes.insert(name.to_owned(), Node { metadata, spec: None, status: Some(status) });
        self.set_ready(name, true);
        uid
    }

    pub(super) fn set_ready(&mut self, name: &str, is_ready: bool) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let condition = NodeCondition {
            type_: "Ready".into(),
            status: if is_ready { "True" } else { "Unknown" }.into(),
            ..NodeCondition::default()
        };
        node.status.as_mut().unwrap().conditions = Some(vec![condition]);
    }

    /// What the daemon of this node writes.
    pub(super) fn echo(&mut self, name: &str, node_uid: &str, epoch_seen: i64, held: &[&str]) {
        let status = NodeNetworkStatus {
            node_uid: node_uid.into(),
            epoch_seen,
            held_blocks: held.iter().map(|cidr| (*cidr).to_owned()).collect(),
            ..NodeNetworkStatus::default()
        };
        let metadata = self.metadata(name);
        let object = NodeNetwork { metadata, spec: NodeNetworkSpec {}, status: Some(status) };
        self.networks.insert(name.to_owned(), object);
    }

    pub(super) fn node_uid(&self, name: &str) -> String {
        self.nodes.get(name).and_then(|node| node.metadata.uid.clone()).unwrap_or_default()
    }

    /// Every node echoes this epoch and holds what its objects say.
    pub(super) fn all_echo(&mut self, epoch: i64) {
        for name in self.nodes.keys().cloned().collect::<Vec<_>>() {
            let own = self.blocks.values().filter(|block| block.spec.node == name);
            let held: Vec<String> = own.map(|block| block.spec.cidr.clone()).collect();
            let uid = self.node_uid(&name);
            self.echo(&name, &uid, epoch, &held.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }

    pub(super) fn edit_block(&mut self, cidr: &str, edit: impl FnOnce(&mut IPBlock)) {
        let name = prefix::object_name(cidr.parse().unwrap());
        self.counter += 1;
        let block = self.blocks.get_mut(&name).unwrap();
        block.metadata.resource_version = Some(self.counter.to_string());
        edit(block);
    }

    pub(super) fn set_in_use(&mut self, cidr: &str, in_use: i64) {
        self.edit_block(cidr, |block| block.status = Some(IPBlockStatus { in_use, ..Default::default() }));
    }

    pub(super) fn publish(&mut self, pool: &str, epoch: i64) {
        if let Some(pool) = self.pools.get_mut(pool) {
            let annotations = pool.metadata.annotations.get_or_insert_default();
            annotations.insert(EPOCH_ANNOTATION.to_owned(), epoch.to_string());
        }
    }

    /// Whether the preconditions held and it was done.
    pub(super) fn apply(&mut self, action: &Action) -> bool {
        match action {
            Action::Create { cidr, pool, node, node_uid, epoch, .. } => {
                let name = prefix::object_name(*cidr);
                let spec = IPBlockSpec {
                    cidr: cidr.to_string(),
                    pool: pool.clone(),
                    node: node.clone(),
                    node_uid: node_uid.clone(),
                    draining: false,
                    epoch: *epoch,
                };
                let metadata = self.metadata(&name);
                let is_free = !self.blocks.contains_key(&name);
                self.blocks.entry(name).or_insert(IPBlock { metadata, spec, status: None });
                is_free
            }
            Action::SetDraining { block, draining, .. } => {
                self.change(block, |object| object.spec.draining = *draining)
            }
            Action::Confirm { block, node_uid, epoch } => self.change(block, |object| {
                object.spec.node_uid.clone_from(node_uid);
                object.spec.epoch = *epoch;
            }),
            Action::Delete { block, .. } => {
                self.is_version(block) && self.blocks.remove(&block.name).is_some()
            }
        }
    }

    fn change(&mut self, block: &BlockRef, change: impl FnOnce(&mut IPBlock)) -> bool {
        let is_version = self.is_version(block);
        if is_version {
            self.counter += 1;
            let object = self.blocks.get_mut(&block.name).unwrap();
            object.metadata.resource_version = Some(self.counter.to_string());
            change(object);
        }
        is_version
    }

    fn is_version(&self, block: &BlockRef) -> bool {
        self.blocks.get(&block.name).is_some_and(|object| {
            object.metadata.uid.as_deref() == Some(&block.uid)
                && object.metadata.resource_version.as_deref() == Some(&block.resource_version)
        })
    }

    pub(super) fn objects(&self) -> Objects {
        Objects {
            pools: self.pools.values().cloned().collect(),
            nodes: self.nodes.values().cloned().collect(),
            blocks: self.blocks.values().cloned().collect(),
            networks: self.networks.values().cloned().collect(),
            ..Objects::default()
        }
    }

    pub(super) fn view(&self, now: Moment) -> View {
        View::read(now, &self.objects())
    }
}

/// The plan's actions as people read them, with the names of the blocks' nodes left out.
pub(super) fn texts(plan: &Plan) -> Vec<String> {
    plan.actions.iter().map(ToString::to_string).collect()
}
