//! What status shows of addresses and endpoints, readable without the compartment.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::control::{AllocationStatus, BlockStatus};
use felix::kernel::{
    socket::{Protocol, Socket},
    uplink,
};
use ipam::{
    local::{Local, Pending},
    owner::Owner,
};
use ipnetwork::NetworkSize;

use super::{Attachments, now};
use crate::shared::Endpoint;

/// The blocks as `tortiectl ipam show` prints them; the compartment writes, the control socket reads.
#[derive(Clone, Debug, Default)]
pub struct AttachmentsView {
    shown: Arc<Mutex<Shown>>,
}

#[derive(Debug, Default)]
struct Shown {
    /// With `since_secs` in seconds of the Unix epoch.
    blocks: Vec<BlockStatus>,
    since: Since,
}

/// Since when an address serves a pod, in seconds of the Unix epoch; for what was there at the daemon's start, since
/// then.
type Since = BTreeMap<(IpAddr, String), u64>;

impl AttachmentsView {
    /// All blocks of this node.
    pub fn blocks(&self) -> Vec<BlockStatus> {
        let mut blocks = self.shown().blocks.clone();
        let now_secs = now().unix_millis() / 1000;
        for allocation in blocks.iter_mut().flat_map(|block| &mut block.allocations) {
            allocation.since_secs = now_secs.saturating_sub(allocation.since_secs);
        }
        blocks
    }

    /// Takes the present state.
    pub(super) fn update(&self, local: &Local, endpoints: &BTreeMap<String, Arc<Endpoint>>) {
        let leases = local.leases();
        let mut shown = self.shown();
        shown.since = since(&leases, &shown.since, now().unix_millis() / 1000);
        let blocks = local.blocks().map(|(cidr, pool, _, pending)| {
            let inside = leases.iter().filter(|(address, _)| cidr.contains(*address));
            BlockStatus {
                cidr: cidr.to_string(),
                pool: pool.unwrap_or_default().to_owned(),
                addresses: match cidr.size() {
                    NetworkSize::V4(size) => u64::from(size),
                    NetworkSize::V6(size) => u64::try_from(size).unwrap_or(u64::MAX),
                },
                draining: pending == Some(Pending::Draining),
                problem: pending.map(|pending| pending.to_string()).unwrap_or_default(),
                allocations: inside.map(|lease| allocation(lease, endpoints, &shown.since)).collect(),
            }
        });
        let blocks = blocks.collect();
        shown.blocks = blocks;
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn since(leases: &[(IpAddr, Owner)], former: &Since, now_secs: u64) -> Since {
    let keys = leases.iter().map(|(address, owner)| (*address, owner.pod_uid.clone()));
    keys.map(|key| (key.clone(), former.get(&key).copied().unwrap_or(now_secs))).collect()
}

fn allocation(
    (address, owner): &(IpAddr, Owner),
    endpoints: &BTreeMap<String, Arc<Endpoint>>,
    since: &Since,
) -> AllocationStatus {
    let endpoint = endpoints.values().find(|endpoint| endpoint.addresses.contains(address));
    AllocationStatus {
        address: address.to_string(),
        pod: if owner.pod.is_empty() { owner.pod_uid.clone() } else { owner.pod.clone() },
        interface: endpoint.map(|endpoint| endpoint.interface.clone()).unwrap_or_default(),
        since_secs: since.get(&(*address, owner.pod_uid.clone())).copied().unwrap_or_default(),
    }
}

impl Attachments {
    /// MTU in bytes of the interface that bears the node's address; Ethernet's where that cannot be read.
    pub(super) fn uplink_mtu(&self) -> u32 {
        const ETHERNET_MTU: u32 = 1500;
        let address = self.context.shared.routing.borrow().addresses.primary();
        address.and_then(mtu_of).unwrap_or(ETHERNET_MTU)
    }
}

fn mtu_of(address: IpAddr) -> Option<u32> {
    let mut socket = Socket::open(Protocol::Route).ok()?;
    uplink::find(&mut socket, address).ok().map(|uplink| uplink.mtu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_serves_a_pod_since_it_was_first_seen_to() {
        let lease = |uid: &str| ("10.0.0.1".parse().unwrap(), Owner::pod(uid, ""));
        // (why, leases, seconds now, since); each follows the one before
        let cases: [(&str, Vec<(IpAddr, Owner)>, u64, Option<u64>); 4] = [
            ("first", vec![lease("u1")], 100, Some(100)),
            ("still", vec![lease("u1")], 160, Some(100)),
            ("the next pod", vec![lease("u2")], 170, Some(170)),
            ("nobody", vec![], 180, None),
        ];
        let mut known = Since::new();
        for (why, leases, now_secs, expected) in cases {
            known = since(&leases, &known, now_secs);
            assert_eq!(known.values().next().copied(), expected, "{why}");
        }
    }
}
