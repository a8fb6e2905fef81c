//! Connections of neighbors, and what neighbors want done.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::{ConnectionId, Output, SessionEvent, SessionEventKind, Speaker};
use crate::fsm::Negotiated;
use crate::peer::{Peer, PeerEffect, Turn};
use crate::rib::PeerSource;
use crate::wire::{Family, RouteRefreshKind, Update};

impl Speaker {
    pub(super) fn connected(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        local: IpAddr,
        outputs: &mut Vec<Output>,
    ) {
        self.with_connection(now, connection, outputs, |peer, turn| peer.connected(turn, connection, local));
    }

    pub(super) fn accepted(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        (remote, local): (IpAddr, IpAddr),
        outputs: &mut Vec<Output>,
    ) {
        let refusal = match self.peers.get(&remote).map(Peer::config) {
            None => Some(format!("{remote} is no configured neighbor")),
            Some(config) => config
                .local_address
                .filter(|wanted| *wanted != local)
                .map(|wanted| format!("it came to {local} and local_address is {wanted}")),
        };
        if let Some(reason) = refusal {
            let name = self.peers.get(&remote).map(|peer| peer.config().name.clone());
            outputs.push(Output::Close { connection });
            outputs.push(Output::Event(SessionEvent {
                neighbor: name.unwrap_or_else(|| remote.to_string()),
                address: Some(remote),
                kind: SessionEventKind::ConnectionRefused { reason },
            }));
            return;
        }
        self.connections.insert(connection, remote);
        self.with_peer(now, remote, outputs, |peer, turn| peer.accepted(turn, connection, local));
    }

    pub(super) fn set_congested(&mut self, connection: ConnectionId, is_congested: bool) {
        if let Some(peer) = self.connections.get(&connection) {
            self.groups.set_congested(*peer, connection, is_congested);
        }
    }

    /// A connection that is closed already belongs to nobody: what comes late of it is dropped here.
    pub(super) fn with_connection(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        outputs: &mut Vec<Output>,
        act: impl FnOnce(&mut Peer, &mut Turn<'_>),
    ) {
        if let Some(address) = self.connections.get(&connection).copied() {
            self.with_peer(now, address, outputs, act);
        }
    }

    pub(super) fn with_peer(
        &mut self,
        now: Instant,
        address: IpAddr,
        outputs: &mut Vec<Output>,
        act: impl FnOnce(&mut Peer, &mut Turn<'_>),
    ) {
        let Some(peer) = self.peers.get_mut(&address) else { return };
        let mut turn = Turn::new(now, &mut self.dials);
        act(peer, &mut turn);
        for effect in turn.effects {
            self.carry_out(now, address, effect, outputs);
        }
    }

    fn carry_out(&mut self, now: Instant, address: IpAddr, effect: PeerEffect, outputs: &mut Vec<Output>) {
        match effect {
            PeerEffect::Output(output) => {
                match &output {
                    Output::Dial(dial) => drop(self.connections.insert(dial.connection, address)),
                    Output::Close { connection } => drop(self.connections.remove(connection)),
                    _ => {}
                }
                outputs.push(output);
            }
            PeerEffect::Up { connection, local, terms } => {
                self.session_up(now, address, (connection, local, &terms), outputs);
            }
            PeerEffect::Update(update) => self.update(now, address, *update, outputs),
            PeerEffect::Refresh(refresh) => {
                // The marks of RFC 7313 mean nothing without that capability, which we do not send.
                if let (RouteRefreshKind::Request, Some(family)) = (refresh.kind, refresh.family()) {
                    self.groups.refresh(address, family);
                }
            }
            PeerEffect::Lost(loss) => {
                self.sources.remove(&address);
                self.groups.leave(address);
                self.restart.on_lost(now, address);
                self.rib.lose(address, &loss);
            }
            PeerEffect::DropStale { families, reason } => {
                self.drop_stale(address, &families, reason, outputs);
            }
        }
    }

    fn session_up(
        &mut self,
        now: Instant,
        address: IpAddr,
        (connection, local, terms): (ConnectionId, IpAddr, &Arc<Negotiated>),
        outputs: &mut Vec<Output>,
    ) {
        let is_ebgp = terms.context.is_ebgp;
        let source = PeerSource { address, router_id: terms.router_id, is_ebgp };
        self.sources.insert(address, Arc::new(source));
        if self.session_addresses.insert(local) {
            self.learn_own_addresses();
        }
        self.restart.on_established(now, address, terms);
        let Some(context) = self.export_context(address) else { return };
        for family in terms.families() {
            if context.own_next_hop(*family).is_none() {
                self.event(address, SessionEventKind::NextHopMissing { family: *family }, outputs);
            }
        }
        self.groups.join(address, connection, context);
    }

    fn update(&mut self, now: Instant, address: IpAddr, update: Update, outputs: &mut Vec<Output>) {
        if !update.faults.is_empty() {
            self.report_faults(address, &update, outputs);
        }
        let Some(source) = self.sources.get(&address).map(Arc::clone) else { return };
        self.rib.withdraw(address, &update.withdrawn);
        if !update.announced.is_empty() {
            let own_addresses = Arc::clone(&self.own_addresses);
            let context = self.import_context(address, &own_addresses);
            let before = self.prefixes(address);
            for announcement in update.announced {
                self.rib.announce(&source, &context, announcement);
            }
            self.check_max_prefixes(now, address, before, outputs);
        }
        if let Some(family) = update.end_of_rib {
            self.end_of_rib(address, family, outputs);
        }
    }

    fn end_of_rib(&mut self, address: IpAddr, family: Family, outputs: &mut Vec<Output>) {
        self.restart.on_end_of_rib(address, family);
        if self.peers.get_mut(&address).is_some_and(|peer| peer.end_of_rib(family)) {
            self.drop_stale(address, &[family], "the neighbor did not announce them again", outputs);
        }
    }

    fn drop_stale(&mut self, address: IpAddr, families: &[Family], reason: &str, outputs: &mut Vec<Output>) {
        let count = self.rib.drop_stale(address, families);
        if count > 0 {
            let kind = SessionEventKind::StaleRoutesRemoved { count, reason: reason.to_owned() };
            self.event(address, kind, outputs);
        }
    }

    fn report_faults(&mut self, address: IpAddr, update: &Update, outputs: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&address) else { return };
        let updates_total = peer.note_faults();
        let faults = super::interface::describe_faults(&update.faults);
        self.event(address, SessionEventKind::MalformedAttributes { faults, updates_total }, outputs);
    }

    pub(super) fn event(&self, address: IpAddr, kind: SessionEventKind, outputs: &mut Vec<Output>) {
        let name = self.peers.get(&address).map(|peer| peer.config().name.clone());
        let neighbor = name.unwrap_or_else(|| address.to_string());
        outputs.push(Output::Event(SessionEvent { neighbor, address: Some(address), kind }));
    }
}
