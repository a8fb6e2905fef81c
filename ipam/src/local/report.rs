//! What the node says of its addresses: to the API, to its routes, to people.

use std::net::IpAddr;

use api::Condition;
use api::ip_block::IPBlockStatus;
use api::prefix;
use ipnetwork::IpNetwork;

use super::held::Held;
use super::{Local, Memory, Pending};
use crate::block::Counts;
use crate::moment::Moment;
use crate::owner::Owner;
use crate::pool::{Family, Pools};

/// A block of this node that somebody else claims too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The block.
    pub block: IpNetwork,
    /// What overlaps it and whose it is.
    pub with: String,
}

impl Local {
    /// What must be on disk before [`Local::status_writes`] go out.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The newest epoch that this node has seen; for `NodeNetwork.status.epochSeen`. To be
    /// written together with [`Local::held_blocks`], and only after [`Local::restore`].
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.memory.epoch
    }

    /// What this node holds, with or without an object; for `NodeNetwork.status.heldBlocks`.
    /// An address outside of every known block counts as a block of its own.
    #[must_use]
    pub fn held_blocks(&self) -> Vec<String> {
        let blocks = self.blocks.values().filter(|held| held.is_begun()).map(|held| held.cidr().to_string());
        let strays = self.strays.keys().map(|address| prefix::host(*address).to_string());
        blocks.chain(strays).collect()
    }

    /// The blocks that this node advertises and holds a blackhole route of. A draining block
    /// leaves once it serves nobody; its route has to go before its status is written.
    pub fn advertised(&self) -> Vec<IpNetwork> {
        self.blocks.values().filter(|held| held.is_begun()).map(Held::cidr).collect()
    }

    /// The statuses that differ from what the objects say, by the object's name.
    #[must_use]
    pub fn status_writes(&self) -> Vec<(String, IPBlockStatus)> {
        let changed = |held: &Held| {
            Some((prefix::object_name(held.cidr()), held.status_to_write(&self.node.uid, &self.memory)?))
        };
        self.blocks.values().filter_map(changed).collect()
    }

    /// UID of this node's IPBlock object of this name, as a precondition of the status write: an
    /// object of the same name may be another node's by the time the request arrives.
    pub fn object_uid(&self, name: &str) -> Option<&str> {
        self.blocks.values().find(|held| prefix::object_name(held.cidr()) == name)?.object_uid()
    }

    /// All owners and their addresses, in the order of the addresses.
    #[must_use]
    pub fn leases(&self) -> Vec<(IpAddr, Owner)> {
        let in_blocks = self.blocks.values().flat_map(super::held::Held::leases);
        let strays = self.strays.iter().map(|(address, lease)| (*address, &lease.owner));
        let mut leases: Vec<_> =
            in_blocks.chain(strays).map(|(address, owner)| (address, owner.clone())).collect();
        leases.sort_unstable();
        leases
    }

    /// Since when this address serves its owner, in the block's own record.
    pub fn since(&self, address: IpAddr) -> Option<Moment> {
        let in_blocks = self.blocks.values().find_map(|held| held.since(address));
        in_blocks.or_else(|| self.strays.get(&address).map(|lease| lease.since))
    }

    /// Every block with its pool, its counts and what keeps it from giving new addresses.
    pub fn blocks(&self) -> impl Iterator<Item = (IpNetwork, Option<&str>, Counts, Option<Pending>)> {
        self.blocks
            .values()
            .map(|held| (held.cidr(), held.pool(), held.counts(), held.pending(&self.node.uid, &self.memory)))
    }

    /// All pools as this node understands them.
    #[must_use]
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Whether three quarters of what this node can give of the family are in use: the service
    /// will send a block as soon as it sees that.
    pub fn wants_more(&self, family: Family) -> bool {
        if self.pools.serving(family, &self.node.labels).next().is_none() {
            return false;
        }
        let open = self.blocks.values().filter(|held| self.is_open(held, family));
        let (used, size) = open
            .map(Held::counts)
            .fold((0, 0), |(used, size), counts| (used + counts.used, size + counts.size));
        used * 4 >= size * 3
    }

    /// Blocks that somebody else claims too.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        let claimed = |held: &Held| Some(Conflict { block: held.cidr(), with: held.claim()?.to_owned() });
        self.blocks.values().filter_map(claimed).collect()
    }

    /// The condition `AddressConflict` of this node.
    #[must_use]
    pub fn address_conflict(&self, now: Moment) -> Condition {
        let conflicts = self.conflicts();
        let texts: Vec<_> =
            conflicts.iter().map(|Conflict { block, with }| format!("{block} overlaps {with}")).collect();
        let (reason, message) = if texts.is_empty() {
            ("NoConflict", "nobody else claims a block of this node".to_owned())
        } else {
            (
                "BlockClaimedTwice",
                format!(
                    "{}; new addresses come from other blocks until one side gave it up",
                    texts.join(", ")
                ),
            )
        };
        Condition::new("AddressConflict", !conflicts.is_empty(), reason, message, &now.to_rfc3339())
    }

    /// Whether new addresses of the family may come from this block.
    pub(super) fn is_open(&self, held: &Held, family: Family) -> bool {
        Family::of(&held.cidr()) == family
            && held.pending(&self.node.uid, &self.memory).is_none()
            && held.claim().is_none()
            && held
                .pool()
                .and_then(|pool| self.pools.valid.get(pool))
                .is_some_and(|pool| pool.serves(&self.node.labels))
    }
}
