//! The node's side: which address serves which pod of this node, out of the blocks it owns.
//!
//! ```text
//! kernel facts (endpoints, blackhole routes) ─┐
//! IPBlock objects, from the API or a snapshot ┼▶ Local ─▶ addresses for pods
//! IPPools, Node labels, others' claims ───────┘        ├▶ IPBlock.status, heldBlocks, AddressConflict
//!                                                      └▶ blocks to advertise and to blackhole
//! ```
//!
//! Order at start: [`Local::set_node`], [`Local::restore`] with what the kernel holds, then the
//! objects. Asked before that, it knows fewer addresses in use than there are.
//!
//! **When a block may be used.** The node *begins* to use a block when the object bears its own
//! name and UID, the newest epoch it has seen, is neither draining nor released, and nobody else
//! claims a part of it, and the node did not return this very object before. A block that it has begun stays begun, whatever the objects say later,
//! until it serves nobody and is draining or without an object. New addresses come only from begun blocks
//! whose object still says that they are this node's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use api::prefix;
use api::{IPBlock, IPPool};
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::block::{FreeSince, Lease};
use crate::moment::Moment;
use crate::owner::Owner;
use crate::pool::{Pools, name_of};

mod assign;
mod held;
mod report;

#[cfg(test)]
mod tests;

pub use assign::OutOfAddresses;
pub use held::Pending;
pub use report::Conflict;

use held::Held;

/// How long a released address rests before it is given again. Long enough for watches to tell
/// every node and proxy that its pod is gone, short enough for a node with few addresses.
pub const COOLDOWN_MILLIS: u64 = 10_000;

/// How many returned objects are remembered. A backup is seldom older than so many changes of
/// one node's blocks.
const RETURNED_MAX: usize = 1_000;

/// The Node that this daemon runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeIdentity {
    /// Its name.
    pub name: String,
    /// UID of its object; empty until it is known, and then no block is begun.
    pub uid: String,
    /// Its labels, which pools select by.
    pub labels: BTreeMap<String, String>,
}

/// A workload found in the kernel: the alias of its interface and the routes to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whom the alias names.
    pub owner: Owner,
    /// The addresses that routes lead to it.
    pub addresses: Vec<IpAddr>,
}

/// The addresses of one node.
#[derive(Clone, Debug)]
pub struct Local {
    node: NodeIdentity,
    pools: Pools,
    blocks: BTreeMap<IpNetwork, Held>,
    /// Addresses that the kernel holds outside of every block that is known.
    strays: BTreeMap<IpAddr, Lease>,
    /// What other nodes advertise or own, and who.
    claims: BTreeMap<IpNetwork, String>,
    memory: Memory,
    cooldown_millis: u64,
}

/// What must outlive the daemon, because an API server that is restored from a backup does not
/// know it. It belongs into the last-good snapshot, which has to be on disk before the statuses
/// of [`Local::status_writes`] go out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The newest epoch that this node has seen.
    pub epoch: i64,
    /// UIDs of the IPBlock objects that this node returned, oldest first. They are not begun again,
    /// also if a backup brings them back: their ranges may serve others by then.
    pub returned: VecDeque<String>,
}

impl Memory {
    fn note_returned(&mut self, uid: &str) {
        if !self.has_returned(uid) {
            while self.returned.len() >= RETURNED_MAX {
                self.returned.pop_front();
            }
            self.returned.push_back(uid.to_owned());
        }
    }

    fn has_returned(&self, uid: &str) -> bool {
        self.returned.iter().any(|returned| returned == uid)
    }
}

impl Local {
    /// A node that owns nothing yet, with the memory of its last-good snapshot.
    #[must_use]
    pub fn new(memory: Memory, cooldown_millis: u64) -> Self {
        Self {
            node: NodeIdentity::default(),
            pools: Pools::default(),
            blocks: BTreeMap::new(),
            strays: BTreeMap::new(),
            claims: BTreeMap::new(),
            memory,
            cooldown_millis,
        }
    }

    /// Says which Node this is. Blocks of another name or UID are never begun.
    pub fn set_node(&mut self, node: NodeIdentity) {
        self.node = node;
        self.begin_blocks();
    }

    /// Takes all IPPools: whole state, whatever their order.
    pub fn set_pools(&mut self, pools: &[IPPool]) {
        self.pools = Pools::read(pools);
        self.memory.epoch = self.memory.epoch.max(self.pools.epoch);
        self.begin_blocks();
    }

    /// Takes what other nodes claim, as prefix and who: their IPBlock objects, and paths of other
    /// nodes in the RIB. Whole state; it keeps this node from beginning a block that is in use elsewhere.
    pub fn set_claims(&mut self, claims: BTreeMap<IpNetwork, String>) {
        self.claims = claims;
        self.begin_blocks();
    }

    /// Takes what the kernel holds: workloads, and blocks by their blackhole routes. To be called
    /// before [`Local::set_blocks`]. The answer names addresses that two workloads have, which
    /// only a foreign hand can bring about.
    pub fn restore(
        &mut self,
        now: Moment,
        endpoints: &[Endpoint],
        blackholes: &[IpNetwork],
    ) -> Vec<(IpAddr, Owner)> {
        for cidr in blackholes {
            if let Some(held) = Held::found_in_kernel(*cidr, now) {
                self.blocks.entry(*cidr).or_insert(held).begin();
            }
        }
        let mut refused = Vec::new();
        for endpoint in endpoints {
            for address in &endpoint.addresses {
                if !self.restore_address(now, *address, &endpoint.owner) {
                    refused.push((*address, endpoint.owner.clone()));
                }
            }
        }
        refused
    }

    /// Takes all IPBlock objects whose `spec.node` is this node: whole state. From objects of
    /// other nodes nothing is taken. What an object's status says counts once, when this process
    /// sees the object first; afterwards this process is the one who knows.
    pub fn set_blocks(&mut self, now: Moment, objects: &[IPBlock]) {
        let mut present = BTreeSet::new();
        for object in objects.iter().filter(|object| object.spec.node == self.node.name) {
            let Ok(cidr) = prefix::parse(&object.spec.cidr) else { continue };
            if prefix::object_name(cidr) != name_of(&object.metadata) {
                continue; // Its name is the lock; under another name it locks nothing.
            }
            let held = match self.blocks.get_mut(&cidr) {
                Some(held) => held,
                None => match Held::new(cidr, FreeSince::Ever) {
                    Ok(held) => self.blocks.entry(cidr).or_insert(held),
                    Err(_) => continue,
                },
            };
            held.set_object(now, object, &self.node.uid);
            present.insert(cidr);
            self.memory.epoch = self.memory.epoch.max(object.spec.epoch);
        }
        for (cidr, held) in &mut self.blocks {
            if !present.contains(cidr) {
                held.object_is_gone();
            }
        }
        self.move_strays_home();
        self.release_left_behind(now);
        self.begin_blocks();
    }

    /// Takes back what only a block's status says of a pod of which the kernel has another interface: the interface
    /// that had it was deleted while nobody looked. Of a pod that has none at all it stays for its next sandbox.
    fn release_left_behind(&mut self, now: Moment) {
        let attached: BTreeSet<String> = self
            .leases()
            .into_iter()
            .filter(|(_, owner)| owner.attachment.is_some())
            .map(|(_, owner)| owner.pod_uid)
            .collect();
        let mut released = Vec::new();
        for held in self.blocks.values_mut() {
            let is_left = |owner: &Owner| owner.attachment.is_none() && attached.contains(&owner.pod_uid);
            held.release_where(now, &is_left, &mut released);
        }
    }

    /// Takes back the addresses of one attachment and tells which they were: their conntrack
    /// entries must go now, see [`Local::cleaned`].
    pub fn release(&mut self, now: Moment, owner: &Owner) -> Vec<IpAddr> {
        let released = self.release_where(now, |held| held.is_same_attachment(owner));
        released.into_iter().map(|(address, _)| address).collect()
    }

    /// Takes back all addresses whose owner the predicate names: for GC, and for pods that are gone.
    pub fn release_where(&mut self, now: Moment, gone: impl Fn(&Owner) -> bool) -> Vec<(IpAddr, Owner)> {
        let mut released = Vec::new();
        for held in self.blocks.values_mut() {
            held.release_where(now, &gone, &mut released);
        }
        self.strays.retain(|address, lease| {
            let is_gone = gone(&lease.owner);
            if is_gone {
                released.push((*address, lease.owner.clone()));
            }
            !is_gone
        });
        self.begin_blocks();
        released
    }

    /// Free addresses that wait for the deletion of their conntrack entries on this host.
    pub fn to_clean(&self) -> Vec<IpAddr> {
        self.blocks.values().flat_map(Held::to_clean).collect()
    }

    /// Notes that this host's conntrack table has no entry of these addresses any more; only
    /// then may they be given again.
    pub fn cleaned(&mut self, addresses: &[IpAddr]) {
        for address in addresses {
            if let Some(held) = block_of(&mut self.blocks, *address) {
                held.cleaned(*address);
            }
        }
    }

    fn restore_address(&mut self, now: Moment, address: IpAddr, owner: &Owner) -> bool {
        if let Some(held) = block_of(&mut self.blocks, address) {
            held.restore(now, address, owner.clone())
        } else {
            let stray = self.strays.entry(address).or_insert(Lease { owner: owner.clone(), since: now });
            stray.owner.is_same_attachment(owner)
        }
    }

    /// Addresses found in the kernel before the object of their block was seen.
    fn move_strays_home(&mut self) {
        let blocks = &mut self.blocks;
        self.strays.retain(|address, lease| match block_of(blocks, *address) {
            Some(held) => !held.restore(lease.since, *address, lease.owner.clone()),
            None => true,
        });
    }

    /// Lets every block take the step that the facts allow now: begin, or end.
    fn begin_blocks(&mut self) {
        let Self { blocks, claims, node, memory, .. } = self;
        let prefixes: Vec<IpNetwork> = blocks.keys().copied().collect();
        for (cidr, held) in blocks.iter_mut() {
            let twin = prefixes.iter().find(|other| *other != cidr && prefix::overlap(**other, *cidr));
            let claim = claims.iter().find(|(claimed, _)| prefix::overlap(**claimed, *cidr));
            let claim = claim
                .map(|(claimed, by)| format!("{claimed} by {by}"))
                .or_else(|| twin.map(|twin| format!("{twin} by this node itself")));
            held.step(&node.uid, memory, claim);
        }
        blocks.retain(|_, held| !held.is_over());
    }
}

/// The smallest block that contains the address.
fn block_of(blocks: &mut BTreeMap<IpNetwork, Held>, address: IpAddr) -> Option<&mut Held> {
    let containing = blocks.iter_mut().filter(|(cidr, _)| cidr.contains(address));
    containing.max_by_key(|(cidr, _)| cidr.prefix()).map(|(_, held)| held)
}
