//! What status shows of addresses and endpoints, readable without the compartment.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use api::control::{AllocationStatus, BlockStatus};
use felix::kernel::{
    socket::{Protocol, Socket},
    uplink,
};
use ipam::local::Local;
use ipnetwork::NetworkSize;

use super::{Attachments, now};
use crate::shared::Endpoint;

/// The blocks as `tortiectl ipam show` prints them; the compartment writes, the control socket reads.
#[derive(Clone, Debug, Default)]
pub struct AttachmentsView {
    blocks: Arc<Mutex<Vec<Block>>>,
}

/// A block and, with each allocation, since when it is so in milliseconds of the Unix epoch.
#[derive(Clone, Debug)]
struct Block {
    status: BlockStatus,
}

impl AttachmentsView {
    /// All blocks of this node.
    pub fn blocks(&self) -> Vec<BlockStatus> {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let now_secs = now().unix_millis() / 1000;
        let mut statuses: Vec<BlockStatus> = blocks.iter().map(|block| block.status.clone()).collect();
        for allocation in statuses.iter_mut().flat_map(|status| &mut status.allocations) {
            allocation.since_secs = now_secs.saturating_sub(allocation.since_secs);
        }
        statuses
    }

    /// Takes the present state.
    pub(super) fn update(&self, local: &Local, endpoints: &BTreeMap<String, Arc<Endpoint>>) {
        let leases = local.leases();
        let since: BTreeMap<String, u64> = BTreeMap::new();
        let blocks = local.blocks().map(|(cidr, pool, counts, pending)| {
            let inside = leases.iter().filter(|(address, _)| cidr.contains(*address));
            let allocations = inside.map(|(address, owner)| {
                let interface = endpoints
                    .values()
                    .find(|endpoint| endpoint.addresses.contains(address))
                    .map(|endpoint| endpoint.interface.clone());
                AllocationStatus {
                    address: address.to_string(),
                    pod: if owner.pod.is_empty() { owner.pod_uid.clone() } else { owner.pod.clone() },
                    interface: interface.unwrap_or_default(),
                    since_secs: since.get(&owner.pod_uid).copied().unwrap_or_default(),
                }
            });
            let status = BlockStatus {
                cidr: cidr.to_string(),
                pool: pool.unwrap_or_default().to_owned(),
                addresses: match cidr.size() {
                    NetworkSize::V4(size) => u64::from(size),
                    NetworkSize::V6(size) => u64::try_from(size).unwrap_or(u64::MAX),
                },
                draining: false,
                problem: pending.map(|pending| pending.to_string()).unwrap_or_default(),
                allocations: allocations.collect(),
            };
            let _ = counts;
            Block { status }
        });
        let blocks: Vec<Block> = blocks.collect();
        *self.blocks.lock().unwrap_or_else(PoisonError::into_inner) = blocks;
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
