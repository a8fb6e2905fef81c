//! From one configuration to the next.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::{Output, Speaker};
use crate::config::{ConfigureReport, NeighborConfig, SpeakerConfig, diff};
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
        let is_decision_changed = self.config.multipath_max != config.multipath_max;
        self.config = config;
        self.remove_peers(now, outputs);
        self.update_peers(now);
        self.add_peers(now);
        for reset in &report.reset {
            self.with_peer(now, reset.address, outputs, |peer, turn| {
                peer.reset(turn, &Notification::configuration_change());
            });
        }
        self.regroup();
        self.learn_own_addresses();
        if is_decision_changed {
            self.rib.decide_all_again();
        }
        self.restart.on_neighbors(now, &self.peers.keys().copied().collect());
        report
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
