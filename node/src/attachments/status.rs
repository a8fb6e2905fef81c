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
}

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
                allocations: inside
                    .map(|(address, owner)| allocation(local, *address, owner, endpoints))
                    .collect(),
            }
        });
        let blocks = blocks.collect();
        shown.blocks = blocks;
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address in use, with `since_secs` in seconds of the Unix epoch.
fn allocation(
    local: &Local,
    address: IpAddr,
    owner: &Owner,
    endpoints: &BTreeMap<String, Arc<Endpoint>>,
) -> AllocationStatus {
    let endpoint = endpoints.values().find(|endpoint| endpoint.addresses.contains(&address));
    AllocationStatus {
        address: address.to_string(),
        pod: if owner.pod.is_empty() { owner.pod_uid.clone() } else { owner.pod.clone() },
        interface: endpoint.map(|endpoint| endpoint.interface.clone()).unwrap_or_default(),
        since_secs: local.since(address).map_or(0, |since| since.unix_millis() / 1000),
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
