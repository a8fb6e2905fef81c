//! From one configuration to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::{Output, Speaker};
use crate::config::{ConfigureReport, NeighborConfig, Password, SpeakerConfig, diff};
use crate::fsm::Terms;
use crate::peer::{Loss, Peer};
use crate::wire::{Capability, Family, Notification, Open};

impl Speaker {
    pub(super) fn try_configure(&mut self, now: Instant, config: SpeakerConfig, outputs: &mut Vec<Output>) {
        let answer = match config.check() {
            Ok(()) => Ok(self.configure(now, config, outputs)),
            Err(errors) => Err(errors),
        };
        outputs.push(Output::Configured(answer));
    }

    /// Makes a checked configuration the present one.
    pub(super) fn configure(
        &mut self,
        now: Instant,
        config: SpeakerConfig,
        outputs: &mut Vec<Output>,
    ) -> ConfigureReport {
        let report = diff(&self.config, &config);
        let rekeyed = rekeyed(&self.config, &config);
        let is_decision_changed = self.config.multipath_max != config.multipath_max;
        self.config = config;
        self.remove_peers(now, outputs);
        self.update_peers(now);
        self.add_peers(now);
        for reset in &report.reset {
            self.start_anew(now, reset.address, outputs);
        }
        for address in rekeyed {
            self.with_peer(now, address, outputs, |peer, turn| peer.rekey(turn));
        }
        self.regroup();
        self.learn_own_addresses();
        if is_decision_changed {
            self.rib.decide_all_again();
        }
        self.restart.on_neighbors(now, &self.peers.keys().copied().collect());
        report
    }

    /// Ends the session; it comes up again unless it is to be held down.
    fn start_anew(&mut self, now: Instant, address: IpAddr, outputs: &mut Vec<Output>) {
        let hold = self.peers.get(&address).and_then(|peer| peer.config().hold.clone());
        self.with_peer(now, address, outputs, |peer, turn| match &hold {
            Some(hold) => peer.hold(turn, hold),
            None => peer.reset(turn, &Notification::configuration_change()),
        });
        if hold.is_some() {
            self.rib.lose(address, &Loss::default());
        }
    }

    /// The key that connections from each neighbor must be signed with.
    #[cfg_attr(not(feature = "io"), expect(dead_code, reason = "the driver keys its listeners by it"))]
    pub(crate) fn passwords(&self) -> BTreeMap<IpAddr, Password> {
        let neighbors = self.config.neighbors.iter();
        neighbors.filter_map(|neighbor| Some((neighbor.address, neighbor.password.clone()?))).collect()
    }

    /// Gives every neighbor its configuration, and the OPEN that it is to send next.
    pub(super) fn update_peers(&mut self, now: Instant) {
        let limits = self.limits();
        for neighbor in self.config.neighbors.clone() {
            let terms = Arc::new(self.terms(&neighbor));
            if let Some(peer) = self.peers.get_mut(&neighbor.address) {
                peer.update(now, Arc::new(neighbor), terms, limits);
            }
        }
    }

    fn remove_peers(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        let wanted: BTreeSet<IpAddr> =
            self.config.neighbors.iter().map(|neighbor| neighbor.address).collect();
        let gone: Vec<IpAddr> = self.peers.keys().filter(|peer| !wanted.contains(peer)).copied().collect();
        for address in gone {
            self.with_peer(now, address, outputs, |peer, turn| {
                peer.stop(turn, &Notification::peer_deconfigured());
            });
            // Also what was stale: a neighbor that is not wanted any more has no routes.
            self.rib.lose(address, &Loss::default());
            self.peers.remove(&address);
        }
    }

    fn add_peers(&mut self, now: Instant) {
        let limits = self.limits();
        for neighbor in self.config.neighbors.clone() {
            if !self.peers.contains_key(&neighbor.address) {
                let terms = Arc::new(self.terms(&neighbor));
                let (address, config) = (neighbor.address, Arc::new(neighbor));
                let mut peer = Peer::new(now, Arc::clone(&config), Arc::clone(&terms), self.jitter.fork());
                peer.update(now, config, terms, limits);
                self.peers.insert(address, peer);
            }
        }
    }

    fn regroup(&mut self) {
        let addresses: Vec<IpAddr> = self.peers.keys().copied().collect();
        for address in addresses {
            if let Some(context) = self.export_context(address) {
                self.groups.regroup(address, context);
            }
        }
    }

    fn terms(&self, neighbor: &NeighborConfig) -> Terms {
        let mut families: Vec<Family> = neighbor.families.clone();
        families.sort_unstable();
        families.dedup();
        // By ascending code, so that the same configuration always gives the same bytes.
        let mut capabilities: Vec<Capability> =
            families.iter().map(|family| Capability::MultiProtocol(*family)).collect();
        capabilities.push(Capability::RouteRefresh);
        if let Some(times) = self.config.graceful_restart {
            let restart = self.restart.capability(times.restart_time_secs, &families);
            capabilities.push(Capability::GracefulRestart(restart));
        }
        capabilities.push(Capability::FourOctetAs(self.config.asn));
        Terms {
            open: Open {
                asn: self.config.asn,
                hold_time_secs: neighbor.hold_time_secs.unwrap_or(self.config.hold_time_secs),
                router_id: self.config.router_id,
                capabilities,
            },
            remote_asn: neighbor.remote_asn,
        }
    }
}

/// The neighbors whose key is another one.
fn rekeyed(old: &SpeakerConfig, new: &SpeakerConfig) -> Vec<IpAddr> {
    let former: BTreeMap<IpAddr, &Option<Password>> =
        old.neighbors.iter().map(|neighbor| (neighbor.address, &neighbor.password)).collect();
    let is_rekeyed = |neighbor: &&NeighborConfig| {
        former.get(&neighbor.address).is_some_and(|before| before.is_some() && **before != neighbor.password)
    };
    new.neighbors.iter().filter(is_rekeyed).map(|neighbor| neighbor.address).collect()
}
