//! The whole machine, without a socket: inputs and the time go in, outputs come out.
//!
//! ```text
//! Input --> peer (fsm) --> rib (policy, decision) --> fib           --> Output::Fib
//!                                              \----> update_group  --> Output::Send
//! ```
//!
//! [`Speaker::handle`] takes one input and appends what the driver must do. Changed
//! prefixes are collected for a moment and then decided together, so that a burst of
//! UPDATEs costs one decision and is told in full messages; the driver needs nothing
//! for that but to honour [`Speaker::next_deadline`].

mod configure;
mod connection;
mod interface;
mod max_prefixes;
mod report;
mod restart;
mod routes;

#[cfg(test)]
mod tests;

pub use interface::{ConnectionId, Dial, Input, Output, RestartMode, SessionEvent, SessionEventKind, Stop};

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use restart::Restart;

use crate::bfd::{SessionKey, Timers};
use crate::config::{ConfigErrors, GracefulRestartConfig, SpeakerConfig};
use crate::fib::Fib;
use crate::peer::{Jitter, Peer};
use crate::rib::{PeerSource, Rib, UpdateGroups};
use crate::wire::Notification;

/// The speaker.
#[derive(Debug)]
pub struct Speaker {
    config: SpeakerConfig,
    peers: BTreeMap<IpAddr, Peer>,
    /// Whose a connection is.
    connections: BTreeMap<ConnectionId, IpAddr>,
    /// How many dials there were.
    dials: u64,
    jitter: Jitter,
    /// As whom the neighbors with a session tell routes.
    sources: BTreeMap<IpAddr, Arc<PeerSource>>,
    /// Our ends of sessions.
    session_addresses: BTreeSet<IpAddr>,
    /// Every address that is known to be ours: no next hop may be among them.
    own_addresses: Arc<BTreeSet<IpAddr>>,
    rib: Rib,
    fib: Fib,
    groups: UpdateGroups,
    restart: Restart,
    /// When changed prefixes are decided.
    decide_at: Option<Instant>,
    is_stopped: bool,
}

impl Speaker {
    /// A speaker that is about to dial its neighbors: [`Self::next_deadline`] is `now`.
    ///
    /// `seed` is the only source of jitter; equal seeds and inputs give equal outputs.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(
        now: Instant,
        config: SpeakerConfig,
        restart: RestartMode,
        seed: u64,
    ) -> Result<Self, ConfigErrors> {
        config.check()?;
        let times = config.graceful_restart.unwrap_or_default();
        let restart = Restart::new(now, restart, Duration::from_secs(u64::from(times.deferral_time_secs)));
        let empty = SpeakerConfig { neighbors: Vec::new(), ..config.clone() };
        let mut speaker = Self {
            config: empty,
            peers: BTreeMap::new(),
            connections: BTreeMap::new(),
            dials: 0,
            jitter: Jitter::new(seed),
            sources: BTreeMap::new(),
            session_addresses: BTreeSet::new(),
            own_addresses: Arc::default(),
            rib: Rib::default(),
            fib: Fib::holding(restart.preserved().iter().copied()),
            groups: UpdateGroups::default(),
            restart,
            decide_at: None,
            is_stopped: false,
        };
        speaker.configure(now, config, &mut Vec::new());
        Ok(speaker)
    }

    /// Takes one input and appends, in order, what the driver must do.
    pub fn handle(&mut self, now: Instant, input: Input, outputs: &mut Vec<Output>) {
        if self.is_stopped {
            return;
        }
        match input {
            Input::Configure(config) => self.try_configure(now, config, outputs),
            Input::Originate(wanted) => self.originate(wanted),
            Input::LocalSourcesSynced => self.restart.on_local_sources_synced(),
            Input::Stop(stop) => return self.stop(now, &stop, outputs),
            Input::Connected { connection, local } => self.connected(now, connection, local, outputs),
            Input::DialFailed { connection, reason } | Input::Closed { connection, reason } => {
                self.with_connection(now, connection, outputs, |peer, turn| {
                    peer.closed(turn, connection, &reason);
                });
                self.connections.remove(&connection);
            }
            Input::Accepted { connection, remote, local } => {
                self.accepted(now, connection, (remote, local), outputs);
            }
            Input::Received { connection, read_at, message } => {
                self.with_connection(now, connection, outputs, |peer, turn| {
                    peer.received(turn, connection, message, read_at);
                });
            }
            Input::Congested { connection, is_congested } => self.set_congested(connection, is_congested),
            Input::BfdChanged { neighbor, change } => {
                self.with_peer(now, neighbor, outputs, |peer, turn| peer.bfd_changed(turn, change));
            }
            Input::DeadlinePassed => self.deadline_passed(now, outputs),
        }
        self.finish_turn(now, outputs);
    }

    /// When to hand in [`Input::DeadlinePassed`] even if nothing else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.is_stopped {
            return None;
        }
        let peers = self.peers.values().filter_map(Peer::next_deadline);
        peers.chain(self.restart.next_deadline()).chain(self.decide_at).min()
    }

    /// The BFD sessions that the neighbors want; their changes come back as [`Input::BfdChanged`].
    pub fn bfd_sessions(&self) -> BTreeMap<SessionKey, Timers> {
        self.config.bfd_sessions()
    }

    /// Whether [`Input::Stop`] was handled: nothing comes any more.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    fn deadline_passed(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        let is_due = |peer: &Peer| peer.next_deadline().is_some_and(|deadline| deadline <= now);
        let due: Vec<IpAddr> =
            self.peers.iter().filter(|(_, peer)| is_due(peer)).map(|(address, _)| *address).collect();
        for address in due {
            self.with_peer(now, address, outputs, Peer::deadline_passed);
        }
    }

    fn stop(&mut self, now: Instant, stop: &Stop, outputs: &mut Vec<Output>) {
        // What was decided but not yet said would otherwise be missing at our helpers.
        self.finish_turn(self.decide_at.unwrap_or(now).max(now), outputs);
        let addresses: Vec<IpAddr> = self.peers.keys().copied().collect();
        for address in addresses {
            self.with_peer(now, address, outputs, |peer, turn| match stop {
                Stop::Silent => peer.stop_silently(turn),
                Stop::Cease { text } => peer.stop(turn, &Notification::admin_shutdown(text)),
            });
        }
        self.is_stopped = true;
    }

    fn limits(&self) -> Option<GracefulRestartConfig> {
        self.config.graceful_restart
    }

    /// Learns which addresses are ours, and judges received paths by that.
    fn learn_own_addresses(&mut self) {
        let configured = self.config.neighbors.iter().flat_map(|neighbor| {
            let next_hops = [neighbor.next_hop_ipv4.map(IpAddr::V4), neighbor.next_hop_ipv6.map(IpAddr::V6)];
            next_hops.into_iter().chain([neighbor.local_address]).flatten()
        });
        self.own_addresses = Arc::new(configured.chain(self.session_addresses.iter().copied()).collect());
        self.import_all_again();
    }
}
