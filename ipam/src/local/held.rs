//! One block as this node holds it: its object, whether the node has begun to use it, its addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::IPBlock;
use api::ip_block::{Allocation, Freed, IPBlockStatus};
use ipnetwork::IpNetwork;

use super::Memory;
use crate::block::{AssignError, Block, Counts, FreeSince, Ordinal, TooLarge};
use crate::moment::Moment;
use crate::owner::Owner;

/// Why a block is not used for new addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pending {
    /// It has no object (any more).
    NoObject,
    /// It was given to another Node object of this name.
    OtherNode,
    /// The service is taking it back.
    Draining,
    /// This object was returned by this node; another one has to come.
    Released,
    /// It bears an older epoch than the newest; the service has yet to confirm it.
    OldEpoch,
    /// Somebody else claims a part of it.
    Claimed(String),
}

impl std::fmt::Display for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoObject => f.write_str("has no IPBlock object"),
            Self::OtherNode => f.write_str("was given to another Node object of this name"),
            Self::Draining => f.write_str("is draining"),
            Self::Released => f.write_str("was returned"),
            Self::OldEpoch => f.write_str("waits for the IPAM service to confirm it"),
            Self::Claimed(by) => write!(f, "overlaps {by}"),
        }
    }
}

/// What the object said when it was seen last.
#[derive(Clone, Debug)]
struct Object {
    uid: String,
    pool: String,
    node_uid: String,
    is_deleting: bool,
    draining: bool,
    epoch: i64,
    status: IPBlockStatus,
}

/// One block that this node holds or is to hold.
#[derive(Clone, Debug)]
pub(super) struct Held {
    block: Block,
    object: Option<Object>,
    /// Whether an object was ever seen by this process: its status counts once.
    status_is_read: bool,
    /// Addresses that this process itself gave, found or took back: of these the status knows less.
    decided: BTreeSet<Ordinal>,
    begun: bool,
    claim: Option<String>,
}

impl Held {
    pub(super) fn new(cidr: IpNetwork, free_since: FreeSince) -> Result<Self, TooLarge> {
        Ok(Self {
            block: Block::new(cidr, free_since)?,
            object: None,
            status_is_read: false,
            decided: BTreeSet::new(),
            begun: false,
            claim: None,
        })
    }

    /// A block that only its blackhole route tells of. `None` if it is too large to be a block.
    pub(super) fn found_in_kernel(cidr: IpNetwork, now: Moment) -> Option<Self> {
        Self::new(cidr, FreeSince::JustNow(now)).ok()
    }

    pub(super) fn begin(&mut self) {
        self.begun = true;
    }

    pub(super) fn cidr(&self) -> IpNetwork {
        self.block.cidr()
    }

    pub(super) fn counts(&self) -> Counts {
        self.block.counts()
    }

    /// Whether the node uses it: it is advertised, and its range has a blackhole route.
    pub(super) fn is_begun(&self) -> bool {
        self.begun
    }

    pub(super) fn pool(&self) -> Option<&str> {
        self.object.as_ref().map(|object| object.pool.as_str())
    }

    /// Whoever else claims a part of it.
    pub(super) fn claim(&self) -> Option<&str> {
        self.claim.as_deref()
    }

    pub(super) fn set_object(&mut self, now: Moment, object: &IPBlock, node_uid: &str) {
        let status = object.status.clone().unwrap_or_default();
        // What another machine of this name did with the block is not for us to continue.
        if !node_uid.is_empty() && object.spec.node_uid == node_uid && !self.status_is_read {
            self.status_is_read = true;
            self.read_status(now, &status);
        }
        self.object = Some(Object {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            pool: object.spec.pool.clone(),
            node_uid: object.spec.node_uid.clone(),
            is_deleting: object.metadata.deletion_timestamp.is_some(),
            draining: object.spec.draining,
            epoch: object.spec.epoch,
            status,
        });
    }

    /// From now on the memory of this process is all there is: an object that is made anew for
    /// this block knows nothing.
    pub(super) fn object_is_gone(&mut self) {
        self.object = None;
        self.status_is_read = true;
    }

    /// Why no new address comes from this block; `None` if some may.
    pub(super) fn pending(&self, node_uid: &str, memory: &Memory) -> Option<Pending> {
        let Some(object) = &self.object else { return Some(Pending::NoObject) };
        if node_uid.is_empty() || object.node_uid != node_uid {
            return Some(Pending::OtherNode);
        }
        if object.draining || object.is_deleting {
            return Some(Pending::Draining);
        }
        if object.status.released || memory.has_returned(&object.uid) {
            return Some(Pending::Released);
        }
        if self.begun {
            return None;
        }
        if object.epoch < memory.epoch {
            return Some(Pending::OldEpoch);
        }
        self.claim.clone().map(Pending::Claimed)
    }

    /// Begins to use the block if nothing speaks against it; ends that once it serves nobody and
    /// the service wants it back or its object is gone.
    pub(super) fn step(&mut self, node_uid: &str, memory: &mut Memory, claim: Option<String>) {
        self.claim = claim;
        match self.pending(node_uid, memory) {
            None => self.begun = true,
            Some(Pending::Draining | Pending::Released) if self.block.is_empty() => {
                self.begun = false;
                memory.note_returned(&self.object.as_ref().expect("only an object drains").uid);
            }
            Some(Pending::NoObject) if self.block.is_empty() && self.status_is_read => self.begun = false,
            Some(_) => {}
        }
    }

    /// Whether there is nothing left to remember.
    pub(super) fn is_over(&self) -> bool {
        self.object.is_none() && !self.begun && self.block.is_empty() && self.block.unclean().next().is_none()
    }

    pub(super) fn longest_unused(&self, now: Moment, cooldown_millis: u64) -> Result<Moment, AssignError> {
        self.block.longest_unused(now, cooldown_millis)
    }

    pub(super) fn assign(
        &mut self,
        now: Moment,
        cooldown_millis: u64,
        owner: Owner,
    ) -> Result<IpAddr, AssignError> {
        let ordinal = self.block.assign(now, cooldown_millis, owner)?;
        self.decided.insert(ordinal);
        Ok(self.block.address(ordinal))
    }

    /// Marks an address that the kernel holds or that its owner is back for. False if another
    /// workload has it.
    pub(super) fn restore(&mut self, since: Moment, address: IpAddr, owner: Owner) -> bool {
        let Some(ordinal) = self.block.ordinal(address) else { return false };
        let only_status_knows =
            self.block.lease(ordinal).is_some_and(|lease| lease.owner.attachment.is_none());
        if only_status_knows && self.block.lease(ordinal).is_some_and(|l| l.owner.pod_uid != owner.pod_uid) {
            // The kernel is the journal; the status may be 100 ms behind it.
            self.block.release(ordinal, since);
        }
        self.decided.insert(ordinal);
        self.begun = true;
        self.block.restore(ordinal, owner, since).is_ok()
    }

    pub(super) fn release_where(
        &mut self,
        now: Moment,
        gone: &impl Fn(&Owner) -> bool,
        released: &mut Vec<(IpAddr, Owner)>,
    ) {
        let ordinals: Vec<_> =
            self.block.leases().filter(|(_, lease)| gone(&lease.owner)).map(|(ordinal, _)| ordinal).collect();
        for ordinal in ordinals {
            self.decided.insert(ordinal);
            if let Some(lease) = self.block.release(ordinal, now) {
                released.push((self.block.address(ordinal), lease.owner));
            }
        }
    }

    pub(super) fn to_clean(&self) -> impl Iterator<Item = IpAddr> {
        self.block.unclean().map(|ordinal| self.block.address(ordinal))
    }

    pub(super) fn cleaned(&mut self, address: IpAddr) {
        if let Some(ordinal) = self.block.ordinal(address) {
            self.block.cleaned(ordinal);
        }
    }

    /// The owners and their addresses.
    pub(super) fn leases(&self) -> impl Iterator<Item = (IpAddr, &Owner)> {
        self.block.leases().map(|(ordinal, lease)| (self.block.address(ordinal), &lease.owner))
    }

    /// UID of its object.
    pub(super) fn object_uid(&self) -> Option<&str> {
        self.object.as_ref().map(|object| object.uid.as_str())
    }

    /// Since when this address serves its owner.
    pub(super) fn since(&self, address: IpAddr) -> Option<Moment> {
        Some(self.block.lease(self.block.ordinal(address)?)?.since)
    }

    /// The status that the object should have, if it has another one.
    pub(super) fn status_to_write(&self, node_uid: &str, memory: &Memory) -> Option<IPBlockStatus> {
        let object = self.object.as_ref().filter(|object| object.node_uid == node_uid)?;
        let status = self.status(memory.has_returned(&object.uid));
        (status != object.status).then_some(status)
    }

    fn status(&self, is_returned: bool) -> IPBlockStatus {
        let allocations = self.block.leases().map(|(ordinal, lease)| Allocation {
            ordinal: ordinal.get(),
            pod_uid: lease.owner.pod_uid.clone(),
            pod: lease.owner.pod.clone(),
            since: lease.since.to_rfc3339(),
        });
        let freed = self.block.released();
        let freed = freed.iter().map(|(ordinal, at)| Freed { ordinal: ordinal.get(), at: at.to_rfc3339() });
        IPBlockStatus {
            in_use: i64::from(self.block.counts().used),
            allocations: allocations.collect(),
            freed: freed.collect(),
            released: is_returned && self.block.is_empty() && !self.begun,
        }
    }

    /// Takes from the status what the kernel did not say. An address that it does not list was
    /// not used since the node was given the block.
    fn read_status(&mut self, now: Moment, status: &IPBlockStatus) {
        let mut listed = BTreeSet::new();
        for Allocation { ordinal, pod_uid, pod, since } in &status.allocations {
            let Some(ordinal) = self.block.ordinal_numbered(u32::from(*ordinal)) else { continue };
            let since = Moment::from_rfc3339(since).map_or(now, |since| since.min(now));
            if listed.insert(ordinal) && !self.decided.contains(&ordinal) {
                // Not refused: `decided` and `listed` say that nobody has it.
                let _ = self.block.restore(ordinal, Owner::pod(pod_uid, pod), since);
            }
        }
        for Freed { ordinal, at } in &status.freed {
            let Some(ordinal) = self.block.ordinal_numbered(u32::from(*ordinal)) else { continue };
            let at = Moment::from_rfc3339(at).map_or(now, |at| at.min(now));
            if listed.insert(ordinal) && !self.decided.contains(&ordinal) {
                self.block.restore_released(ordinal, at);
            }
        }
        for number in 0..self.block.counts().size {
            if let Some(ordinal) = self.block.ordinal_numbered(number)
                && !listed.contains(&ordinal)
                && !self.decided.contains(&ordinal)
            {
                self.block.restore_never_used(ordinal);
            }
        }
    }
}
