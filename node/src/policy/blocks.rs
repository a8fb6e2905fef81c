//! Which pod has which address, by the blocks: what a block says of a pod of its own node overrides `Pod.status`, and
//! an address of the status counts only where it lies in a block of the pod's node that gives it to nobody else.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use api::{IPBlock, prefix};
use felix::{
    ingest,
    model::{ObjectKey, Pod},
};
use ipnetwork::IpNetwork;
use k8s_openapi::{api::core::v1, apimachinery::pkg::apis::meta::v1::Time};
use kube::ResourceExt;

use crate::watch::{Gone, Update};

#[cfg(test)]
mod tests;

/// Pods as their own objects say, and blocks as their nodes say, with what finds the one by the other: a change costs
/// as much as it touches.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pods: BTreeMap<ObjectKey, Known>,
    keys_by_uid: BTreeMap<String, ObjectKey>,
    /// Whose status names the address, rightly or not.
    keys_by_address: BTreeMap<IpAddr, BTreeSet<ObjectKey>>,
    keys_by_node: BTreeMap<String, BTreeSet<ObjectKey>>,
    by_name: BTreeMap<String, Block>,
    /// Names of the blocks of a node.
    names_by_node: BTreeMap<String, BTreeSet<String>>,
    /// Names of the blocks that give something to this UID.
    names_by_uid: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug)]
struct Known {
    pod: Pod,
    node: String,
    created: Option<Time>,
}

#[derive(Debug, PartialEq, Eq)]
struct Block {
    cidr: IpNetwork,
    node: String,
    /// UID of the pod that each address serves.
    holders: BTreeMap<IpAddr, String>,
}

/// What a change of blocks may concern.
#[derive(Default)]
struct Touched {
    uids: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
    /// Nodes that have other ranges than before.
    nodes: BTreeSet<String>,
}

impl Blocks {
    /// Forgets all pods: their list comes anew.
    pub(super) fn pods_reset(&mut self) {
        self.pods.clear();
        self.keys_by_uid.clear();
        self.keys_by_address.clear();
        self.keys_by_node.clear();
    }

    /// Takes the pod, and tells it for the compiler with the addresses that are its own; `None` if it has no network
    /// of its own.
    pub(super) fn pod(&mut self, object: &v1::Pod) -> Option<Pod> {
        let key = ingest::pod::key(object);
        self.forget(&key);
        let pod = ingest::pod::pod(object)?;
        let node = object.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        for uid in &pod.uids {
            self.keys_by_uid.insert(uid.clone(), key.clone());
        }
        for address in &pod.addresses {
            self.keys_by_address.entry(*address).or_default().insert(key.clone());
        }
        self.keys_by_node.entry(node.clone()).or_default().insert(key.clone());
        let created = object.metadata.creation_timestamp.clone();
        self.pods.insert(key.clone(), Known { pod, node, created });
        self.with_addresses(&key)
    }

    /// Whether this is a former pod of a name that another pod has by now: ADD tells of a new pod before the watch does.
    pub(super) fn is_former(&self, object: &v1::Pod) -> bool {
        let Some(known) = self.pods.get(&ingest::pod::key(object)) else { return false };
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        !known.pod.has_uid(uid) && object.metadata.creation_timestamp < known.created
    }

    /// Forgets the pod that is gone; false if another one has its name by now.
    pub(super) fn pod_gone(&mut self, gone: &Gone) -> bool {
        let key = ObjectKey::new(&gone.key.namespace, &gone.key.name);
        let is_another = self.pods.get(&key).is_some_and(|known| !known.pod.has_uid(&gone.uid));
        if !is_another {
            self.forget(&key);
        }
        !is_another
    }

    fn forget(&mut self, key: &ObjectKey) {
        let Some(known) = self.pods.remove(key) else { return };
        for uid in &known.pod.uids {
            self.keys_by_uid.remove(uid);
        }
        for address in &known.pod.addresses {
            remove_from(&mut self.keys_by_address, address, key);
        }
        remove_from(&mut self.keys_by_node, &known.node, key);
    }

    /// Takes what the watch told of blocks; the pods whose addresses may have changed by it.
    pub(super) fn update(&mut self, update: Update<IPBlock>) -> Vec<Pod> {
        let mut touched = Touched::default();
        match update {
            Update::Reset(all) => {
                let mut former: BTreeSet<String> = self.by_name.keys().cloned().collect();
                for object in &all {
                    former.remove(&object.name_any());
                    self.set(object.name_any(), read(object), &mut touched);
                }
                for name in former {
                    self.set(name, None, &mut touched);
                }
            }
            Update::Apply(object) => self.set(object.name_any(), read(&object), &mut touched),
            Update::Delete(gone) => self.set(gone.key.name, None, &mut touched),
        }
        let mut keys: BTreeSet<ObjectKey> =
            touched.uids.iter().filter_map(|uid| self.keys_by_uid.get(uid)).cloned().collect();
        let by_address = touched.addresses.iter().filter_map(|address| self.keys_by_address.get(address));
        let by_node = touched.nodes.iter().filter_map(|node| self.keys_by_node.get(node));
        keys.extend(by_address.chain(by_node).flatten().cloned());
        keys.iter().filter_map(|key| self.with_addresses(key)).collect()
    }

    /// Puts the block in the place of its former state, and notes what differs.
    fn set(&mut self, name: String, block: Option<Block>, touched: &mut Touched) {
        let former = self.by_name.remove(&name);
        if former == block {
            self.by_name.extend(block.map(|block| (name, block)));
            return;
        }
        touched.note(former.as_ref(), block.as_ref());
        if let Some(former) = former {
            remove_from(&mut self.names_by_node, &former.node, &name);
            for uid in former.holders.values() {
                remove_from(&mut self.names_by_uid, uid, &name);
            }
        }
        let Some(block) = block else { return };
        self.names_by_node.entry(block.node.clone()).or_default().insert(name.clone());
        for uid in block.holders.values() {
            self.names_by_uid.entry(uid.clone()).or_default().insert(name.clone());
        }
        self.by_name.insert(name, block);
    }

    /// The pod with the addresses of its node's blocks; of a family of which they give it none, with those of its
    /// status that may be its own.
    fn with_addresses(&self, key: &ObjectKey) -> Option<Pod> {
        let known = self.pods.get(key)?;
        let given = self.given(known);
        let of_status = known.pod.addresses.iter().copied().filter(|address| {
            !given.iter().any(|given| given.is_ipv4() == address.is_ipv4()) && self.may_have(known, *address)
        });
        let addresses: BTreeSet<IpAddr> = of_status.chain(given.iter().copied()).collect();
        Some(Pod { addresses: addresses.into_iter().collect(), ..known.pod.clone() })
    }

    /// What blocks of the pod's own node give it.
    fn given(&self, known: &Known) -> BTreeSet<IpAddr> {
        let names = known.pod.uids.iter().filter_map(|uid| self.names_by_uid.get(uid)).flatten();
        let blocks = names.filter_map(|name| self.by_name.get(name)).filter(|block| block.node == known.node);
        let held = blocks.flat_map(|block| &block.holders);
        held.filter(|(_, uid)| known.pod.has_uid(uid)).map(|(address, _)| *address).collect()
    }

    /// Whether the address lies in a block of the pod's node and serves no other pod.
    fn may_have(&self, known: &Known, address: IpAddr) -> bool {
        let names = self.names_by_node.get(&known.node).into_iter().flatten();
        let mut blocks = names.filter_map(|name| self.by_name.get(name));
        blocks.any(|block| block.cidr.contains(address) && !block.holders.contains_key(&address))
    }
}

impl Touched {
    fn note(&mut self, former: Option<&Block>, new: Option<&Block>) {
        let empty = BTreeMap::new();
        let range = |block: Option<&Block>| block.map(|block| (block.cidr, block.node.clone()));
        if range(former) != range(new) {
            self.nodes.extend(former.into_iter().chain(new).map(|block| block.node.clone()));
        }
        let old = former.map_or(&empty, |block| &block.holders);
        let new = new.map_or(&empty, |block| &block.holders);
        for address in old.keys().chain(new.keys()).filter(|address| old.get(address) != new.get(address)) {
            self.addresses.insert(*address);
            self.uids.extend(old.get(address).into_iter().chain(new.get(address)).cloned());
        }
    }
}

fn remove_from<K: Ord, V: Ord>(index: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(values) = index.get_mut(key) {
        values.remove(value);
        if values.is_empty() {
            index.remove(key);
        }
    }
}

fn read(object: &IPBlock) -> Option<Block> {
    let cidr = prefix::parse(&object.spec.cidr).ok()?;
    let allocations = object.status.iter().flat_map(|status| &status.allocations);
    let holders = allocations
        .filter_map(|allocation| Some((address(cidr, allocation.ordinal)?, allocation.pod_uid.clone())));
    Some(Block { cidr, node: object.spec.node.clone(), holders: holders.collect() })
}

/// The address at this place of the block; none outside of it.
fn address(cidr: IpNetwork, ordinal: u16) -> Option<IpAddr> {
    let address = match cidr.network() {
        IpAddr::V4(first) => IpAddr::V4(u32::from(first).checked_add(u32::from(ordinal))?.into()),
        IpAddr::V6(first) => IpAddr::V6(u128::from(first).checked_add(u128::from(ordinal))?.into()),
    };
    cidr.contains(address).then_some(address)
}
