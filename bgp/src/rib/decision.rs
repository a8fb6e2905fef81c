//! Which path is best, and why each other one is not (RFC 4271 section 9.1.2.2, RFC 4456 section 9).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::{Path, Source};
use crate::policy::Rejection;

#[cfg(test)]
mod tests;

/// What the decision said about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Verdict {
    /// Not decided yet.
    Pending,
    /// Chosen.
    Best,
    /// As good as the best: its next hop is used too.
    Multipath,
    /// Dropped at this step.
    Lost(Step),
    /// Not fit for the decision.
    Rejected(Rejection),
}

/// The steps of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    NeighborSilent,
    LocalPref,
    LocallyOriginated,
    AsPathLength,
    Origin,
    Med,
    ExternalOverInternal,
    RouterId,
    ClusterListLength,
    PeerAddress,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeighborSilent => "neighbor-silent",
            Self::LocalPref => "local-pref",
            Self::LocallyOriginated => "locally-originated",
            Self::AsPathLength => "as-path-length",
            Self::Origin => "origin",
            Self::Med => "med",
            Self::ExternalOverInternal => "external-over-internal",
            Self::RouterId => "router-id",
            Self::ClusterListLength => "cluster-list-length",
            Self::PeerAddress => "peer-address",
        })
    }
}

/// Drops from the places of paths those that lose.
type Keep = fn(&[&Path], &mut Vec<usize>);

/// In order. Each step drops paths; it never ranks them, because MED compares only within
/// one neighbor AS, so "better than" is not transitive and sorting would make the winner
/// depend on the order of arrival. What is left after these is equally good.
///
/// The first step is ours: RFC 8538 keeps the routes of a neighbor whose hold timer expired, but
/// a neighbor that has merely died must not attract traffic while another one is alive.
const STEPS: [(Step, Keep); 7] = [
    (Step::NeighborSilent, |paths, left| keep_least(paths, left, |path| path.is_silent)),
    (Step::LocalPref, |paths, left| keep_least(paths, left, |path| Reverse(path.local_pref()))),
    (Step::LocallyOriginated, |paths, left| keep_least(paths, left, |path| path.source != Source::Local)),
    (Step::AsPathLength, |paths, left| keep_least(paths, left, |path| path.attributes.as_path.length())),
    (Step::Origin, |paths, left| keep_least(paths, left, |path| path.attributes.origin)),
    (Step::Med, keep_least_med_per_neighbor_as),
    (Step::ExternalOverInternal, |paths, left| keep_least(paths, left, |path| !is_external(path))),
];

/// Among equals: these leave exactly one, since no two paths are from one address.
const TIE_BREAKS: [(Step, Keep); 3] = [
    (Step::RouterId, |paths, left| keep_least(paths, left, router_id)),
    (Step::ClusterListLength, |paths, left| {
        keep_least(paths, left, |path| path.attributes.cluster_list.len());
    }),
    (Step::PeerAddress, |paths, left| keep_least(paths, left, Path::peer)),
];

/// A verdict for each path, in the order given. At most `multipath_max` next hops are used.
pub(crate) fn decide(paths: &[&Path], multipath_max: usize) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> =
        paths.iter().map(|path| path.rejection.map_or(Verdict::Pending, Verdict::Rejected)).collect();
    let mut left: Vec<usize> = (0..paths.len()).filter(|place| paths[*place].rejection.is_none()).collect();
    eliminate(&STEPS, paths, &mut left, &mut verdicts);
    let equals = left.clone();
    eliminate(&TIE_BREAKS, paths, &mut left, &mut verdicts);
    for place in left {
        verdicts[place] = Verdict::Best;
    }
    admit_multipath(paths, equals, multipath_max, &mut verdicts);
    verdicts
}

fn eliminate(steps: &[(Step, Keep)], paths: &[&Path], left: &mut Vec<usize>, verdicts: &mut [Verdict]) {
    for (step, keep) in steps {
        let before = left.clone();
        keep(paths, left);
        for place in before.into_iter().filter(|place| !left.contains(place)) {
            verdicts[place] = Verdict::Lost(*step);
        }
    }
}

/// Equals of the best are used too, in the order of the tie breaks, until there are enough next hops.
/// AS paths need only have the same length (RFC 7938 section 6.3).
fn admit_multipath(paths: &[&Path], mut equals: Vec<usize>, multipath_max: usize, verdicts: &mut [Verdict]) {
    equals.sort_by_key(|place| {
        let path = paths[*place];
        (verdicts[*place] != Verdict::Best, router_id(path), path.attributes.cluster_list.len(), path.peer())
    });
    let mut gateways: Vec<Option<IpAddr>> = Vec::new();
    for place in equals {
        let gateway = paths[place].next_hop.map(|next_hop| next_hop.address);
        let is_new = !gateways.contains(&gateway);
        if is_new && gateways.len() >= multipath_max {
            continue;
        }
        if is_new {
            gateways.push(gateway);
        }
        if verdicts[place] != Verdict::Best {
            verdicts[place] = Verdict::Multipath;
        }
    }
}

fn keep_least<K: Ord>(paths: &[&Path], left: &mut Vec<usize>, key: impl Fn(&Path) -> K) {
    if let Some(least) = left.iter().map(|place| key(paths[*place])).min() {
        left.retain(|place| key(paths[*place]) == least);
    }
}

/// A missing MED counts as 0, the best (RFC 4271 section 9.1.2.2 c).
fn keep_least_med_per_neighbor_as(paths: &[&Path], left: &mut Vec<usize>) {
    let med = |place: usize| paths[place].attributes.med.unwrap_or(0);
    let mut least: BTreeMap<Option<u32>, u32> = BTreeMap::new();
    for place in left.iter().copied() {
        let entry = least.entry(neighbor_as(paths[place])).or_insert(u32::MAX);
        *entry = (*entry).min(med(place));
    }
    left.retain(|place| least.get(&neighbor_as(paths[*place])) == Some(&med(*place)));
}

fn neighbor_as(path: &Path) -> Option<u32> {
    path.attributes.as_path.neighbor_as()
}

fn is_external(path: &Path) -> bool {
    matches!(&path.source, Source::Peer(source) if source.is_ebgp)
}

/// A reflected path counts as its originator's (RFC 4456 section 9).
fn router_id(path: &Path) -> u32 {
    match (&path.source, path.attributes.originator_id) {
        (Source::Local, _) => 0,
        (Source::Peer(_), Some(originator)) => originator.get(),
        (Source::Peer(source), None) => source.router_id.get(),
    }
}
