//! The routing table: what every neighbor said, which paths are best, and what every neighbor was told.
//!
//! ```text
//! adj_rib_in --> destination (decision) --> best path --> update_group (adj-RIB-out, bytes)
//! ```

mod adj_rib_in;
mod decision;
mod destination;
mod interner;
mod path;
mod update_group;

#[cfg(test)]
mod tests;

pub(crate) use decision::Verdict;
pub(crate) use destination::{Candidate, Destination};
pub(crate) use path::{Path, PeerSource, Source};
pub(crate) use update_group::{Told, UpdateGroups};

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use adj_rib_in::AdjRibIn;
use interner::Interner;

use crate::config::{Origination, Originations};
use crate::fib::FibNextHop;
use crate::peer::Loss;
use crate::policy::ImportContext;
use crate::wire::{Announcement, Family};

/// Prefix counts of one neighbor and family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Received and not withdrawn.
    pub(crate) received: usize,
    /// Of these, fit for the decision.
    pub(crate) accepted: usize,
    /// Of those received, stale.
    pub(crate) stale: usize,
}

/// The routing table of the speaker.
#[derive(Debug, Default)]
pub(crate) struct Rib {
    interner: Interner,
    adj_ribs_in: BTreeMap<IpAddr, AdjRibIn>,
    local: Originations,
    destinations: BTreeMap<IpNetwork, Destination>,
    dirty: BTreeSet<IpNetwork>,
}

/// What a decision changed.
#[derive(Debug)]
pub(crate) struct Decided {
    /// Whether another path is best than before, or none.
    pub(crate) is_best_changed: bool,
    /// The next hops that the forwarding table shall have.
    pub(crate) next_hops: BTreeSet<FibNextHop>,
}

impl Rib {
    /// The neighbor said this; equal paths only stop being stale.
    pub(crate) fn announce(
        &mut self,
        source: &Arc<PeerSource>,
        context: &ImportContext<'_>,
        announcement: Announcement,
    ) {
        let attributes = self.interner.intern(announcement.attributes);
        let adj_rib_in = self.adj_ribs_in.entry(source.address).or_default();
        for prefix in announcement.prefixes {
            if adj_rib_in.discard(&prefix, context.prefixes_max) {
                continue;
            }
            let path = Path::received(source, context, &prefix, (announcement.next_hop, &attributes));
            if let Some(path) = adj_rib_in.insert(prefix, path) {
                set_path(&mut self.destinations, prefix, path);
                self.dirty.insert(prefix);
            }
        }
    }

    /// The neighbor no longer reaches these.
    pub(crate) fn withdraw(&mut self, peer: IpAddr, prefixes: &[IpNetwork]) {
        let Some(adj_rib_in) = self.adj_ribs_in.get_mut(&peer) else { return };
        let gone: Vec<IpNetwork> =
            prefixes.iter().copied().filter(|prefix| adj_rib_in.remove(prefix)).collect();
        self.forget(peer, &gone);
    }

    /// The whole set of routes of our own.
    pub(crate) fn originate(&mut self, wanted: Originations) {
        let former = std::mem::replace(&mut self.local, wanted);
        for prefix in former.keys().filter(|prefix| !self.local.contains_key(prefix)) {
            if let Some(destination) = self.destinations.get_mut(prefix) {
                destination.remove(None);
            }
            self.dirty.insert(*prefix);
        }
        let changed = self.local.iter().filter(|(prefix, wanted)| former.get(prefix) != Some(wanted));
        for (prefix, origination) in changed {
            set_path(&mut self.destinations, *prefix, local_path(&mut self.interner, origination));
            self.dirty.insert(*prefix);
        }
    }

    /// The neighbor's session is gone: routes of these families stay as stale, all others go.
    pub(crate) fn lose(&mut self, peer: IpAddr, loss: &Loss) {
        let Some(adj_rib_in) = self.adj_ribs_in.get_mut(&peer) else { return };
        let gone = adj_rib_in.remove_where(|prefix, is_stale| {
            !loss.retained.contains(&Family::of(prefix)) || (is_stale && loss.drop_stale)
        });
        for (prefix, path) in adj_rib_in.mark_stale(loss.is_silent) {
            set_path(&mut self.destinations, prefix, path);
            self.dirty.insert(prefix);
        }
        self.forget(peer, &gone);
    }

    /// Stale routes of these families go; how many there were.
    pub(crate) fn drop_stale(&mut self, peer: IpAddr, families: &[Family]) -> usize {
        let Some(adj_rib_in) = self.adj_ribs_in.get_mut(&peer) else { return 0 };
        let gone =
            adj_rib_in.remove_where(|prefix, is_stale| is_stale && families.contains(&Family::of(prefix)));
        self.forget(peer, &gone);
        gone.len()
    }

    /// Judges everything of the neighbor anew, after what import depends on has changed.
    pub(crate) fn import_again(&mut self, peer: IpAddr, context: &ImportContext<'_>) {
        let Some(adj_rib_in) = self.adj_ribs_in.get_mut(&peer) else { return };
        for (prefix, path) in adj_rib_in.import_again(context) {
            set_path(&mut self.destinations, prefix, path);
            self.dirty.insert(prefix);
        }
    }

    /// Marks everything for a new decision, after what the decision depends on has changed.
    pub(crate) fn decide_all_again(&mut self) {
        self.dirty.extend(self.destinations.keys());
    }

    /// Whether anything waits for a decision.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether anything waits for a decision that we originate or originated.
    pub(crate) fn is_local_dirty(&self) -> bool {
        self.dirty.iter().any(|prefix| self.concerns_local(prefix))
    }

    /// The prefixes to decide, in order; with `only_local`, those alone that we originate or originated.
    pub(crate) fn take_dirty(&mut self, only_local: bool) -> BTreeSet<IpNetwork> {
        if !only_local {
            return std::mem::take(&mut self.dirty);
        }
        let dirty = std::mem::take(&mut self.dirty);
        let (ours, others) = dirty.into_iter().partition(|prefix| self.concerns_local(prefix));
        self.dirty = others;
        ours
    }

    /// Decides one prefix.
    pub(crate) fn decide(&mut self, prefix: IpNetwork, multipath_max: usize) -> Decided {
        let Some(destination) = self.destinations.get_mut(&prefix) else {
            return Decided { is_best_changed: false, next_hops: BTreeSet::new() };
        };
        let is_best_changed = destination.decide(multipath_max);
        let next_hops = destination.next_hops();
        if destination.is_empty() {
            self.destinations.remove(&prefix);
        }
        Decided { is_best_changed, next_hops }
    }

    /// The best path; none if there is none or nothing was decided yet.
    pub(crate) fn best(&self, prefix: &IpNetwork) -> Option<&Arc<Path>> {
        self.destinations.get(prefix)?.best()
    }

    /// All prefixes that have a best path.
    pub(crate) fn best_paths(&self) -> impl Iterator<Item = (&IpNetwork, &Arc<Path>)> {
        self.destinations.iter().filter_map(|(prefix, destination)| Some((prefix, destination.best()?)))
    }

    /// All prefixes with all their paths.
    pub(crate) fn destinations(&self) -> &BTreeMap<IpNetwork, Destination> {
        &self.destinations
    }

    /// Whether the neighbor's path of this prefix is stale.
    pub(crate) fn is_stale(&self, peer: IpAddr, prefix: &IpNetwork) -> bool {
        self.adj_ribs_in.get(&peer).is_some_and(|adj_rib_in| adj_rib_in.is_stale(prefix))
    }

    /// How many prefixes of the family the neighbor told.
    pub(crate) fn received(&self, peer: IpAddr, family: Family) -> usize {
        self.adj_ribs_in.get(&peer).map_or(0, |adj_rib_in| adj_rib_in.len(family))
    }

    /// How many prefixes of the neighbor were not taken because there were too many.
    pub(crate) fn discarded(&self, peer: IpAddr) -> usize {
        self.adj_ribs_in.get(&peer).map_or(0, AdjRibIn::discarded)
    }

    /// Prefix counts of a neighbor.
    pub(crate) fn counts(&self, peer: IpAddr, family: Family) -> Counts {
        self.adj_ribs_in.get(&peer).map_or_else(Counts::default, |adj_rib_in| adj_rib_in.counts(family))
    }

    /// How many prefixes we originate.
    pub(crate) fn originated(&self) -> usize {
        self.local.len()
    }

    fn concerns_local(&self, prefix: &IpNetwork) -> bool {
        self.destinations.get(prefix).is_none_or(Destination::concerns_local)
    }

    fn forget(&mut self, peer: IpAddr, prefixes: &[IpNetwork]) {
        for prefix in prefixes {
            if let Some(destination) = self.destinations.get_mut(prefix) {
                destination.remove(Some(peer));
            }
            self.dirty.insert(*prefix);
        }
        if self.adj_ribs_in.get(&peer).is_some_and(AdjRibIn::is_empty) {
            self.adj_ribs_in.remove(&peer);
        }
    }
}

fn set_path(destinations: &mut BTreeMap<IpNetwork, Destination>, prefix: IpNetwork, path: Arc<Path>) {
    destinations.entry(prefix).or_default().insert(path);
}

fn local_path(interner: &mut Interner, origination: &Origination) -> Arc<Path> {
    Arc::new(Path::local(interner.intern(Arc::new(path::originated_attributes(origination)))))
}
