//! What the leader remembers beyond the objects: its epoch, which blocks it knows of, which
//! nodes went away, which ranges came back when.
//!
//! The epoch answers one question: may the objects be believed? It is raised when a leader
//! starts, when a block vanished or came back that the leader did not delete or create so, when
//! pools or nodes show a trace of another epoch, and when a Node object went away. Until every
//! Ready node has echoed it, together with what its kernel holds, no block is given to anybody.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;

use crate::moment::Moment;
use crate::view::{BlockRef, View};

#[cfg(test)]
mod tests;

/// How long a Ready node with neither a NodeNetwork nor a Pod of the daemon is waited for after a
/// raise: both may come, also where a backup that is older than they are was restored. Nodes that
/// do not run the daemon must not stop the others for longer.
pub const NEWCOMER_WAIT_MILLIS: u64 = 5_000;

/// How long a Node object must be gone, with no sign of life of its daemon and no Pod bound to
/// it, before its blocks are given to others. Longer than a partition or a reboot usually lasts.
pub const RECLAIM_AFTER_MILLIS: u64 = 600_000;

/// How many returned ranges are remembered: for their order of reuse, and for blocks that
/// reappear. A bound on memory; what is forgotten counts as never used.
const RETURNED_MAX: usize = 65_536;

/// Why the epoch was raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raised {
    /// A block vanished that this leader did not delete.
    BlockVanished(IpNetwork),
    /// This leader created a block, was not answered, and does not see it.
    CreationInDoubt(IpNetwork),
    /// A block is back that this leader deleted.
    BlockReappeared(IpNetwork),
    /// A pool's annotation went back to an older epoch.
    PoolWentBack(String),
    /// A pool, block or node bears a newer epoch than this leader's.
    NewerSeen(i64),
    /// A Node object was replaced by another of its name.
    NodeReplaced(String),
    /// A Node object that has blocks is gone: whether it still runs is asked by this.
    NodeGone(String),
}

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BlockVanished(cidr) => write!(f, "IPBlock {cidr} vanished, and not by this service"),
            Self::CreationInDoubt(cidr) => {
                write!(f, "the creation of IPBlock {cidr} was not answered, and it is not there")
            }
            Self::BlockReappeared(cidr) => write!(f, "IPBlock {cidr} is back after its deletion"),
            Self::PoolWentBack(pool) => write!(f, "IPPool {pool} went back to an older epoch"),
            Self::NewerSeen(epoch) => write!(f, "somebody knows the newer epoch {epoch}"),
            Self::NodeReplaced(node) => write!(f, "Node {node} was replaced by another of its name"),
            Self::NodeGone(node) => write!(f, "Node {node} is gone but has blocks"),
        }
    }
}

/// A node without an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Absence {
    since: Moment,
    /// An echo of this epoch or a later one is a sign of life after the object went.
    epoch: i64,
}

/// What the leader remembers.
#[derive(Clone, Debug)]
pub struct Ledger {
    epoch: i64,
    raised_at: Moment,
    known: BTreeMap<IpNetwork, String>,
    /// What was created or not since the last look: the answer did not come.
    in_doubt: BTreeSet<IpNetwork>,
    deleted: BTreeSet<String>,
    returned: BTreeMap<IpNetwork, Moment>,
    absent: BTreeMap<String, Absence>,
    published: BTreeMap<String, i64>,
    node_uids: BTreeMap<String, String>,
}

impl Ledger {
    /// The memory of a leader that starts now. Its epoch is later than any in view, and than
    /// any that was raised before this second by a leader whose traces are lost.
    #[must_use]
    pub fn new(now: Moment, view: &View) -> Self {
        let mut ledger = Self {
            epoch: view.epoch_max(),
            raised_at: now,
            known: BTreeMap::new(),
            in_doubt: BTreeSet::new(),
            deleted: BTreeSet::new(),
            returned: BTreeMap::new(),
            absent: BTreeMap::new(),
            published: BTreeMap::new(),
            node_uids: BTreeMap::new(),
        };
        ledger.replaced_nodes(view);
        ledger.pools_gone_back(view);
        ledger.raise(now);
        ledger.note_absent(now, view);
        ledger.known = known(view);
        ledger
    }

    /// The current epoch.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Compares what is seen now with what was known, and raises the epoch if the objects are
    /// not as this leader left them. The reasons come back for the log.
    pub fn observe(&mut self, now: Moment, view: &View) -> Vec<Raised> {
        let mut reasons = self.vanished(view);
        let in_doubt = std::mem::take(&mut self.in_doubt).into_iter();
        let unseen = in_doubt.filter(|cidr| !view.blocks.contains_key(cidr));
        reasons.extend(unseen.map(Raised::CreationInDoubt));
        reasons.extend(self.reappeared(view));
        reasons.extend(self.pools_gone_back(view));
        reasons.extend(self.replaced_nodes(view));
        if view.epoch_max() > self.epoch {
            reasons.push(Raised::NewerSeen(view.epoch_max()));
            self.epoch = view.epoch_max();
        }
        if !reasons.is_empty() || self.has_new_absence(view) {
            self.raise(now);
        }
        reasons.extend(self.note_absent(now, view));
        self.known = known(view);
        reasons
    }

    /// Notes that this leader created this block: a node may begin it before a view shows it, and
    /// if a backup is restored by then, no view ever does.
    pub fn created(&mut self, cidr: IpNetwork, uid: String) {
        self.known.insert(cidr, uid);
    }

    /// Notes that nobody knows whether this leader created this block, as when the API server
    /// ended before it answered.
    pub fn not_answered(&mut self, cidr: IpNetwork) {
        self.in_doubt.insert(cidr);
    }

    /// Notes that this leader is about to delete this block: its absence will be no surprise.
    pub fn deleting(&mut self, now: Moment, block: &BlockRef) {
        while self.returned.len() >= RETURNED_MAX {
            self.returned.pop_first();
        }
        while self.deleted.len() >= RETURNED_MAX {
            self.deleted.pop_first();
        }
        self.deleted.insert(block.uid.clone());
        self.returned.insert(block.cidr, now);
    }

    /// Notes that the deletion was refused.
    pub fn not_deleted(&mut self, block: &BlockRef) {
        self.deleted.remove(&block.uid);
        self.returned.remove(&block.cidr);
    }

    /// When ranges came back, of those that are not given anew.
    #[must_use]
    pub fn returned(&self) -> &BTreeMap<IpNetwork, Moment> {
        &self.returned
    }

    /// The nodes that have yet to echo the epoch before any block is given.
    #[must_use]
    pub fn waiting_for(&self, now: Moment, view: &View) -> Vec<String> {
        let newcomers_may_come = now.millis_since(self.raised_at) < NEWCOMER_WAIT_MILLIS;
        let lags = |name: &str| match (view.network_of(name), view.networks.contains_key(name)) {
            (Some(network), _) => network.epoch_seen < self.epoch,
            (None, true) => true,
            // Its object may be lost with a backup, and what its kernel holds is known to it alone.
            (None, false) => newcomers_may_come || view.daemons.contains(name),
        };
        let ready = view.nodes.iter().filter(|(_, node)| node.is_ready);
        ready.filter(|(name, _)| lags(name)).map(|(name, _)| name.clone()).collect()
    }

    /// Whether a node without an object is dead as far as anyone can tell.
    #[must_use]
    pub fn is_dead(&self, now: Moment, view: &View, name: &str) -> bool {
        let Some(absence) = self.absent.get(name) else { return false };
        let gave_sign = view.networks.get(name).is_some_and(|network| network.epoch_seen >= absence.epoch);
        let is_long_gone = now.millis_since(absence.since) >= RECLAIM_AFTER_MILLIS;
        is_long_gone && !gave_sign && !view.bound_elsewhere.contains(name)
    }

    /// Nodes that own or hold something but have no object.
    pub fn absent(&self) -> impl Iterator<Item = &str> {
        self.absent.keys().map(String::as_str)
    }

    /// One more than the last, and never one that an earlier leader may have had: the seconds
    /// of the clock are later than all that was raised before an API server's backup was restored.
    fn raise(&mut self, now: Moment) {
        let seconds = i64::try_from(now.unix_millis() / 1000).unwrap_or(0);
        self.epoch = seconds.max(self.epoch.saturating_add(1));
        self.raised_at = now;
    }

    fn vanished(&self, view: &View) -> Vec<Raised> {
        let is_there = |cidr: &IpNetwork, uid: &str| {
            view.blocks.get(cidr).is_some_and(|block| block.reference.uid == uid)
        };
        let gone =
            self.known.iter().filter(|(cidr, uid)| !is_there(cidr, uid) && !self.deleted.contains(*uid));
        gone.map(|(cidr, _)| Raised::BlockVanished(*cidr)).collect()
    }

    fn reappeared(&mut self, view: &View) -> Vec<Raised> {
        let mut reasons = Vec::new();
        for (cidr, block) in &view.blocks {
            let uid = &block.reference.uid;
            // Known and deleted is a deletion under way; only what was gone can come back.
            if self.deleted.contains(uid) && self.known.get(cidr) != Some(uid) {
                self.deleted.remove(uid);
                reasons.push(Raised::BlockReappeared(*cidr));
            }
            if !self.deleted.contains(uid) {
                self.returned.remove(cidr);
            }
        }
        reasons
    }

    fn pools_gone_back(&mut self, view: &View) -> Vec<Raised> {
        let mut reasons = Vec::new();
        for (name, epoch) in &view.pool_epochs {
            let known = self.published.insert(name.clone(), *epoch).unwrap_or(0);
            if *epoch < known {
                reasons.push(Raised::PoolWentBack(name.clone()));
            }
        }
        self.published.retain(|name, _| view.pool_epochs.contains_key(name));
        reasons
    }

    fn replaced_nodes(&mut self, view: &View) -> Vec<Raised> {
        let mut reasons = Vec::new();
        for (name, node) in &view.nodes {
            let known = self.node_uids.insert(name.clone(), node.uid.clone());
            if known.is_some_and(|known| known != node.uid) {
                reasons.push(Raised::NodeReplaced(name.clone()));
            }
        }
        // A node that owns nothing may be forgotten when it goes.
        let owners: BTreeSet<&str> = view.blocks.values().map(|block| block.node.as_str()).collect();
        self.node_uids.retain(|name, _| view.nodes.contains_key(name) || owners.contains(name.as_str()));
        reasons
    }

    fn has_new_absence(&self, view: &View) -> bool {
        absent_names(view).any(|name| !self.absent.contains_key(name))
    }

    fn note_absent(&mut self, now: Moment, view: &View) -> Vec<Raised> {
        let names: BTreeSet<String> = absent_names(view).map(str::to_owned).collect();
        self.absent.retain(|name, _| names.contains(name));
        let mut reasons = Vec::new();
        for name in names {
            if !self.absent.contains_key(&name) {
                reasons.push(Raised::NodeGone(name.clone()));
                self.absent.insert(name, Absence { since: now, epoch: self.epoch });
            }
        }
        reasons
    }
}

fn known(view: &View) -> BTreeMap<IpNetwork, String> {
    view.blocks.iter().map(|(cidr, block)| (*cidr, block.reference.uid.clone())).collect()
}

fn absent_names(view: &View) -> impl Iterator<Item = &str> {
    let owners = view.blocks.values().map(|block| block.node.as_str());
    let holders = view.networks.iter().filter(|(_, network)| !network.held.is_empty());
    owners.chain(holders.map(|(name, _)| name.as_str())).filter(|name| !view.nodes.contains_key(*name))
}
