//! The speaker's forwarding table in the kernel, across the speakers that one process has one after the other.

use std::collections::BTreeSet;

use bgp::{driver::FibEvent, fib::RouteChange, speaker::RestartMode, wire::Family};
use felix::{
    kernel::route_writer::RouteWriter,
    model::route::{NextHop, RouteSource, RouteTarget},
};
use ipnetwork::IpNetwork;

use crate::learned::Learned;

/// What was asked of the route writer, which forgets nothing by itself.
pub(super) struct Forwarding {
    routes: RouteWriter,
    learned: Learned,
    asked: Asked,
}

/// Which routes speakers asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    /// By the speaker that runs.
    present: BTreeSet<IpNetwork>,
    /// By speakers that ended, and by the one that runs not yet.
    former: BTreeSet<IpNetwork>,
}

impl Forwarding {
    pub(super) fn new(routes: RouteWriter, learned: Learned) -> Self {
        Self { routes, learned, asked: Asked::default() }
    }

    /// Takes one event of the speaker that runs.
    pub(super) fn apply(&mut self, event: FibEvent) {
        match event {
            FibEvent::Synced => {
                for prefix in self.asked.synced() {
                    self.routes.set(RouteSource::Bgp, prefix, None);
                    self.learned.set(prefix, None);
                }
                self.routes.in_sync(RouteSource::Bgp);
            }
            FibEvent::Change(change) => {
                let prefix = change.prefix;
                self.learned.set(prefix, way(&change));
                let target = target(change);
                self.asked.note(prefix, target.is_some());
                self.routes.set(RouteSource::Bgp, prefix, target);
            }
        }
    }

    /// The next speaker asks anew; what it leaves out goes once it has told everything.
    pub(super) fn speaker_ended(&mut self) {
        self.asked.speaker_ended();
    }

    /// A kernel that has routes of ours forwarded while no speaker ran: peers may keep their paths through us.
    pub(super) fn restart_mode(&self) -> RestartMode {
        let at_start =
            RouteSource::ALL.into_iter().flat_map(|source| self.routes.observed(source).into_keys());
        let forwarded: BTreeSet<IpNetwork> = at_start.chain(self.asked.former.iter().copied()).collect();
        mode(&forwarded)
    }
}

impl Asked {
    fn note(&mut self, prefix: IpNetwork, is_wanted: bool) {
        self.former.remove(&prefix);
        if is_wanted {
            self.present.insert(prefix);
        } else {
            self.present.remove(&prefix);
        }
    }

    fn speaker_ended(&mut self) {
        self.former.append(&mut self.present);
    }

    /// What only speakers asked for that ended.
    fn synced(&mut self) -> BTreeSet<IpNetwork> {
        std::mem::take(&mut self.former)
    }
}

fn mode(forwarded: &BTreeSet<IpNetwork>) -> RestartMode {
    if forwarded.is_empty() {
        return RestartMode::Fresh;
    }
    let has = |family: &Family| forwarded.iter().any(|prefix| Family::of(prefix) == *family);
    RestartMode::Restarting { preserved_families: Family::ALL.into_iter().filter(has).collect() }
}

/// The next hops as text; nothing where the prefix is withdrawn.
fn way(change: &RouteChange) -> Option<String> {
    let gateways: Vec<String> = change.next_hops.iter().map(|hop| hop.gateway.to_string()).collect();
    (!gateways.is_empty()).then(|| gateways.join(", "))
}

fn target(change: RouteChange) -> Option<RouteTarget> {
    let hops = change.next_hops.into_iter();
    let hops: BTreeSet<NextHop> =
        hops.map(|hop| NextHop { gateway: hop.gateway, interface: hop.interface }).collect();
    (!hops.is_empty()).then_some(RouteTarget::Via(hops))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> BTreeSet<IpNetwork> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_the_next_speaker_leaves_out_goes_when_it_has_told_all() {
        let mut asked = Asked::default();
        for (prefix, is_wanted) in [("10.0.0.0/26", true), ("10.0.1.0/26", true), ("10.0.2.0/26", true)] {
            asked.note(prefix.parse().unwrap(), is_wanted);
        }
        asked.note("10.0.2.0/26".parse().unwrap(), false);
        assert_eq!(asked.synced(), prefixes(&[]), "the first speaker leaves nothing out");
        asked.speaker_ended();
        asked.note("10.0.0.0/26".parse().unwrap(), true);
        assert_eq!(asked.synced(), prefixes(&["10.0.1.0/26"]));
        assert_eq!(asked.synced(), prefixes(&[]), "once");
    }

    #[test]
    fn what_was_forwarded_decides_how_the_start_looks() {
        // (why, prefixes that were forwarded, mode)
        let restarting = |preserved_families| RestartMode::Restarting { preserved_families };
        let cases = [
            ("nothing", prefixes(&[]), RestartMode::Fresh),
            ("one family", prefixes(&["10.0.0.0/26"]), restarting(vec![Family::Ipv4Unicast])),
            ("both", prefixes(&["fd00::/122", "10.0.0.0/26"]), restarting(Family::ALL.to_vec())),
        ];
        for (why, forwarded, expected) in cases {
            assert_eq!(mode(&forwarded), expected, "{why}");
        }
    }
}
