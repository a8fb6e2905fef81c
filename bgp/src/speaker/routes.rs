//! From changed paths to what the forwarding table and the neighbors are told.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnetwork::IpNetwork;

use super::restart::{Milestone, Phase};
use super::{Output, SessionEvent, SessionEventKind, Speaker};
use crate::config::{MaxPrefixesAction, NeighborConfig, Originations};
use crate::policy::{ExportContext, ImportContext};
use crate::rib::Told;

/// How long changed prefixes are collected: long enough for the UPDATEs of one read, too short to notice.
const COLLECT_TIME: Duration = Duration::from_millis(5);

impl Speaker {
    pub(super) fn originate(&mut self, wanted: Originations) {
        let canonical = |(prefix, origination): (IpNetwork, _)| {
            let network = IpNetwork::new(prefix.network(), prefix.prefix()).unwrap_or(prefix);
            (network, origination)
        };
        self.rib.originate(wanted.into_iter().map(canonical).collect());
    }

    /// What every input ends with: decide and tell what is due.
    pub(super) fn finish_turn(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        let milestone = self.restart.advance(now);
        // A phase ends with everything decided that came before its end.
        if milestone.is_some() || self.decide_at.is_some_and(|decide_at| decide_at <= now) {
            self.decide(outputs);
        }
        self.schedule_decision(now);
        if let Some(milestone) = milestone {
            self.reach(now, milestone, outputs);
        }
        self.catch_up(now, outputs);
    }

    /// Decides all changed prefixes, and says what came of it.
    fn decide(&mut self, outputs: &mut Vec<Output>) {
        self.decide_at = None;
        let only_local = self.restart.phase() == Phase::Selecting;
        let mut changed = Vec::new();
        for prefix in self.rib.take_dirty(only_local) {
            let decided = self.rib.decide(prefix, self.config.multipath_max);
            outputs.extend(self.fib.set(prefix, decided.next_hops).map(Output::Fib));
            if decided.is_best_changed {
                changed.push(prefix);
            }
        }
        let mut told = Told::default();
        self.groups.advertise(&self.rib, &changed, &mut told);
        self.tell(told, outputs);
    }

    /// While routes are only collected, what is left waits for the end of that and not for a time.
    fn schedule_decision(&mut self, now: Instant) {
        let is_due = if self.restart.phase() == Phase::Selecting {
            self.rib.is_local_dirty()
        } else {
            self.rib.is_dirty()
        };
        if is_due && self.decide_at.is_none() {
            self.decide_at = Some(now + COLLECT_TIME);
        }
    }

    fn reach(&mut self, now: Instant, milestone: Milestone, outputs: &mut Vec<Output>) {
        let reason = milestone.reason;
        let kind = if milestone.phase == Phase::Done {
            outputs.extend(self.fib.release().into_iter().map(Output::Fib));
            outputs.push(Output::FibSynced);
            SessionEventKind::FibSynced { reason }
        } else {
            SessionEventKind::RoutesSelected { reason }
        };
        outputs.push(Output::Event(SessionEvent { neighbor: String::new(), address: None, kind }));
        // The R and F bits of later OPENs are others now.
        self.update_peers(now);
        // The next phase may have nothing to wait for.
        self.finish_turn(now, outputs);
    }

    fn catch_up(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        let is_complete = self.restart.may_end_rib(now) && self.decide_at.is_none();
        if self.groups.is_anyone_behind(is_complete) {
            let mut told = Told::default();
            self.groups.catch_up(&self.rib, is_complete, &mut told);
            self.tell(told, outputs);
        }
    }

    fn tell(&self, told: Told, outputs: &mut Vec<Output>) {
        outputs
            .extend(told.messages.into_iter().map(|(connection, bytes)| Output::Send { connection, bytes }));
        for (address, prefix) in told.too_large {
            self.event(address, SessionEventKind::AttributesTooLarge { prefix }, outputs);
        }
    }

    pub(super) fn import_context<'a>(
        &self,
        address: IpAddr,
        own_addresses: &'a BTreeSet<IpAddr>,
    ) -> ImportContext<'a> {
        let own_word = self.neighbor(address).and_then(|neighbor| neighbor.import_default_routes);
        let max_prefixes = self.neighbor(address).and_then(|neighbor| neighbor.max_prefixes);
        ImportContext {
            asn: self.config.asn,
            router_id: self.config.router_id,
            import_default_routes: own_word.unwrap_or(self.config.import_default_routes),
            own_addresses,
            own_asns_max: self.neighbor(address).map_or(0, |neighbor| usize::from(neighbor.allow_as_in)),
            prefixes_max: max_prefixes
                .filter(|max| max.action == MaxPrefixesAction::Discard)
                .map(|max| max.limit),
        }
    }

    /// Judges all received paths anew.
    pub(super) fn import_all_again(&mut self) {
        let own_addresses = Arc::clone(&self.own_addresses);
        let addresses: Vec<IpAddr> = self.peers.keys().copied().collect();
        for address in addresses {
            let context = self.import_context(address, &own_addresses);
            self.rib.import_again(address, &context);
        }
    }

    /// How routes go to this neighbor; none without a session.
    pub(super) fn export_context(&self, address: IpAddr) -> Option<ExportContext> {
        let neighbor = self.neighbor(address)?;
        let (terms, local) = self.peers.get(&address)?.session()?;
        let (mut next_hop_ipv4, mut next_hop_ipv6) = (neighbor.next_hop_ipv4, neighbor.next_hop_ipv6);
        // On a session of the family its own end is the address that the neighbor surely reaches.
        match local {
            IpAddr::V4(local) => next_hop_ipv4 = next_hop_ipv4.or(Some(local)),
            IpAddr::V6(local) => next_hop_ipv6 = next_hop_ipv6.or(Some(local)),
        }
        Some(ExportContext {
            asn: self.config.asn,
            is_ebgp: terms.context.is_ebgp,
            policy: neighbor.export,
            families: terms.families().to_vec(),
            next_hop_ipv4,
            next_hop_ipv6,
            encoding: terms.context.encoding(),
        })
    }

    fn neighbor(&self, address: IpAddr) -> Option<&NeighborConfig> {
        self.peers.get(&address).map(|peer| &**peer.config())
    }
}
