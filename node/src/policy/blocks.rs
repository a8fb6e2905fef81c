//! Which pod has which address, by the blocks: what a block says of a pod of its own node overrides `Pod.status`.

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
use k8s_openapi::api::core::v1;
use kube::ResourceExt;

use crate::watch::Update;

/// Pods as their own objects say, and blocks as their nodes say.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pods: BTreeMap<ObjectKey, Known>,
    by_uid: BTreeMap<String, ObjectKey>,
    by_name: BTreeMap<String, Block>,
}

#[derive(Debug)]
struct Known {
    pod: Pod,
    node: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Block {
    node: String,
    /// Addresses by the UID of the pod that they serve.
    addresses: BTreeMap<String, Vec<IpAddr>>,
}

impl Blocks {
    /// Forgets all pods: their list comes anew.
    pub(super) fn pods_reset(&mut self) {
        self.pods.clear();
        self.by_uid.clear();
    }

    /// The pod for the compiler, with the addresses that blocks give it; `None` if it has no network of its own.
    pub(super) fn pod(&mut self, object: &v1::Pod) -> Option<Pod> {
        let key = ingest::pod::key(object);
        self.pod_gone(&key);
        let pod = ingest::pod::pod(object)?;
        let node = object.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
        for uid in &pod.uids {
            self.by_uid.insert(uid.clone(), key.clone());
        }
        self.pods.insert(key.clone(), Known { pod, node });
        self.with_addresses(&key)
    }

    /// Forgets the pod.
    pub(super) fn pod_gone(&mut self, key: &ObjectKey) {
        if let Some(known) = self.pods.remove(key) {
            for uid in &known.pod.uids {
                self.by_uid.remove(uid);
            }
        }
    }

    /// Takes what the watch told of blocks; the pods whose addresses changed by it.
    pub(super) fn update(&mut self, update: Update<IPBlock>) -> Vec<Pod> {
        let mut touched = BTreeSet::new();
        match update {
            Update::Reset(all) => {
                let former = std::mem::take(&mut self.by_name);
                touched.extend(former.values().flat_map(|block| block.addresses.keys().cloned()));
                for object in &all {
                    self.set(object.name_any(), read(object), &mut touched);
                }
            }
            Update::Apply(object) => self.set(object.name_any(), read(&object), &mut touched),
            Update::Delete(key) => self.set(key.name, None, &mut touched),
        }
        let keys: BTreeSet<ObjectKey> =
            touched.iter().filter_map(|uid| self.by_uid.get(uid)).cloned().collect();
        keys.iter().filter_map(|key| self.with_addresses(key)).collect()
    }

    /// Notes the UIDs whose addresses differ.
    fn set(&mut self, name: String, block: Option<Block>, touched: &mut BTreeSet<String>) {
        let former = match block {
            Some(block) => {
                let new = block.addresses.clone();
                let former = self.by_name.insert(name, block);
                touched.extend(differing(former.as_ref().map(|block| &block.addresses), &new));
                return;
            }
            None => self.by_name.remove(&name),
        };
        touched.extend(former.into_iter().flat_map(|block| block.addresses.into_keys()));
    }

    /// The pod with the addresses of its blocks where they give any, else with those of its status.
    fn with_addresses(&self, key: &ObjectKey) -> Option<Pod> {
        let known = self.pods.get(key)?;
        let of_node = self.by_name.values().filter(|block| block.node == known.node);
        let mut addresses: Vec<IpAddr> = of_node
            .flat_map(|block| known.pod.uids.iter().filter_map(|uid| block.addresses.get(uid)))
            .flatten()
            .copied()
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        let mut pod = known.pod.clone();
        if !addresses.is_empty() {
            pod.addresses = addresses;
        }
        Some(pod)
    }
}

/// UIDs that the two say different things of.
fn differing(
    former: Option<&BTreeMap<String, Vec<IpAddr>>>,
    new: &BTreeMap<String, Vec<IpAddr>>,
) -> Vec<String> {
    let empty = BTreeMap::new();
    let former = former.unwrap_or(&empty);
    let uids: BTreeSet<&String> = former.keys().chain(new.keys()).collect();
    uids.into_iter().filter(|uid| former.get(*uid) != new.get(*uid)).cloned().collect()
}

fn read(object: &IPBlock) -> Option<Block> {
    let cidr = prefix::parse(&object.spec.cidr).ok()?;
    let mut addresses: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for allocation in object.status.iter().flat_map(|status| &status.allocations) {
        if let Some(address) = address(cidr, allocation.ordinal) {
            addresses.entry(allocation.pod_uid.clone()).or_default().push(address);
        }
    }
    Some(Block { node: object.spec.node.clone(), addresses })
}

/// The address at this place of the block; none outside of it.
fn address(cidr: IpNetwork, ordinal: u16) -> Option<IpAddr> {
    let address = match cidr.network() {
        IpAddr::V4(first) => IpAddr::V4(u32::from(first).checked_add(u32::from(ordinal))?.into()),
        IpAddr::V6(first) => IpAddr::V6(u128::from(first).checked_add(u128::from(ordinal))?.into()),
    };
    cidr.contains(address).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, node: &str, address: &str) -> v1::Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": "default", "name": "web", "uid": uid},
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
        }))
        .unwrap()
    }

    fn block(node: &str, allocations: &[(u16, &str)]) -> IPBlock {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "tortie.dev/v1alpha1", "kind": "IPBlock",
            "metadata": {"name": "10-244-0-0-26"},
            "spec": {"cidr": "10.244.0.0/26", "pool": "p", "node": node, "nodeUID": "n"},
            "status": {"allocations": allocations.iter().map(|(ordinal, uid)| serde_json::json!({
                "ordinal": ordinal, "podUID": uid, "since": "2026-01-01T00:00:00Z"})).collect::<Vec<_>>()},
        }))
        .unwrap()
    }

    #[test]
    fn blocks_override_the_status_of_their_own_nodes_pods() {
        // (why, block, address of pod u1 on node a)
        let cases = [
            ("no block speaks of it", block("a", &[(5, "u2")]), "10.0.0.1"),
            ("its node's block", block("a", &[(5, "u1")]), "10.244.0.5"),
            ("another node's block", block("b", &[(5, "u1")]), "10.0.0.1"),
            ("an ordinal outside of the block", block("a", &[(64, "u1")]), "10.0.0.1"),
        ];
        for (why, block, address) in cases {
            let expected: IpAddr = address.parse().unwrap();
            let mut pod_first = Blocks::default();
            pod_first.pod(&pod("u1", "a", "10.0.0.1"));
            pod_first.update(Update::Apply(block.clone()));
            let mut block_first = Blocks::default();
            block_first.update(Update::Reset(vec![block]));
            let pod = block_first.pod(&pod("u1", "a", "10.0.0.1")).unwrap();
            assert_eq!(pod.addresses, [expected], "{why}");
            let key = ObjectKey::new("default", "web");
            assert_eq!(pod_first.with_addresses(&key), Some(pod), "{why}: the order must not matter");
        }
    }

    #[test]
    fn only_what_changed_is_touched() {
        let mut blocks = Blocks::default();
        blocks.pod(&pod("u1", "a", "10.0.0.1"));
        assert_eq!(blocks.update(Update::Apply(block("a", &[(5, "u1")]))).len(), 1);
        assert_eq!(blocks.update(Update::Apply(block("a", &[(5, "u1"), (6, "u2")]))).len(), 0);
        assert_eq!(
            blocks
                .update(Update::Delete(crate::watch::ObjectKey {
                    namespace: String::new(),
                    name: "10-244-0-0-26".to_owned(),
                }))
                .len(),
            1
        );
    }
}
