//! All sessions: whose a datagram is, what is due next, what is to be configured.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::packet::{Diagnostic, Packet, State};
use super::session::{Change, Session};
use super::{SessionKey, TTL, Timers};
use crate::peer::Jitter;

/// What the table is told.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// All sessions that shall be; others end after a last `AdminDown`.
    Configure(&'a BTreeMap<SessionKey, Timers>),
    /// All sessions are held down, before a planned stop.
    Disable,
    /// A datagram came.
    Datagram {
        /// From this address.
        source: IpAddr,
        /// Of this interface, if the address is link-local; else 0.
        scope: u32,
        /// With what was left of its TTL or hop limit.
        ttl: u8,
        /// At the port of sessions over several hops.
        is_multihop: bool,
        /// Its payload.
        bytes: &'a [u8],
    },
    /// A deadline passed.
    DeadlinePassed,
}

/// What the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to the neighbour of the session.
    Send(SessionKey, Packet),
    /// Tell of a change.
    Changed(SessionKey, Change),
}

/// One session for people and metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// With whom.
    pub key: SessionKey,
    /// Ours.
    pub state: State,
    /// The neighbour's, if it has said something.
    pub neighbor_state: Option<State>,
    /// Why it went down last.
    pub diagnostic: Diagnostic,
    /// Pause between two packets of ours; none if the neighbour wants none.
    pub transmit_interval: Option<Duration>,
    /// Silence that ends the session; zero while nothing has come.
    pub detection_time: Duration,
}

/// The sessions of one speaker.
#[derive(Debug)]
pub struct Table {
    sessions: BTreeMap<NonZeroU32, (SessionKey, Session)>,
    names: BTreeMap<SessionKey, NonZeroU32>,
    deadlines: BTreeSet<(Instant, NonZeroU32)>,
    jitter: Jitter,
    last_name: u32,
    discarded: u64,
}

impl Table {
    /// An empty table; the seed spreads the sessions' packets and chooses their discriminators.
    pub fn new(seed: u64) -> Self {
        Self {
            sessions: BTreeMap::new(),
            names: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            jitter: Jitter::new(seed),
            last_name: u32::try_from(seed >> 32).unwrap_or_default(),
            discarded: 0,
        }
    }

    /// Takes one input and appends, in order, what the driver must do.
    pub fn handle(&mut self, now: Instant, input: &Input<'_>, outputs: &mut Vec<Output>) {
        match input {
            Input::Configure(desired) => self.configure(now, desired, outputs),
            Input::Disable => {
                for name in self.sessions.keys().copied().collect::<Vec<_>>() {
                    self.with(name, outputs, |session, out| session.set_enabled(now, false, out));
                }
            }
            Input::Datagram { source, scope, ttl, is_multihop, bytes } => {
                let place =
                    SessionKey { remote: *source, local: None, scope: *scope, is_multihop: *is_multihop };
                match self.find(&place, *ttl, bytes) {
                    Some((name, packet)) => {
                        self.with(name, outputs, |session, out| session.receive(now, &packet, out));
                    }
                    None => self.discarded += 1,
                }
            }
            Input::DeadlinePassed => self.on_deadlines(now, outputs),
        }
    }

    /// When the table wants to be told that a deadline passed.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Datagrams that were nobody's or no packets.
    pub fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Every session as it is now.
    pub fn status(&self) -> Vec<SessionStatus> {
        let status = |(key, session): &(SessionKey, Session)| SessionStatus {
            key: key.clone(),
            state: session.state(),
            neighbor_state: session.neighbor_state(),
            diagnostic: session.diagnostic(),
            transmit_interval: session.interval(),
            detection_time: session.detection_time(),
        };
        self.names.values().filter_map(|name| self.sessions.get(name)).map(status).collect()
    }

    fn configure(&mut self, now: Instant, desired: &BTreeMap<SessionKey, Timers>, outputs: &mut Vec<Output>) {
        let gone: Vec<(SessionKey, NonZeroU32)> = self
            .names
            .iter()
            .filter(|(key, _)| !desired.contains_key(key))
            .map(|(key, name)| (key.clone(), *name))
            .collect();
        for (key, name) in gone {
            self.with(name, outputs, |session, out| session.set_enabled(now, false, out));
            self.names.remove(&key);
            if let Some((_, session)) = self.sessions.remove(&name) {
                session.next_deadline().map(|at| self.deadlines.remove(&(at, name)));
            }
        }
        for (key, timers) in desired {
            let name = self.names.get(key).copied().unwrap_or_else(|| self.add(now, key, *timers));
            self.with(name, outputs, |session, out| {
                session.set_timers(now, *timers, out);
                session.set_enabled(now, true, out)
            });
        }
    }

    fn add(&mut self, now: Instant, key: &SessionKey, timers: Timers) -> NonZeroU32 {
        let name = loop {
            self.last_name = self.last_name.wrapping_add(1);
            match NonZeroU32::new(self.last_name) {
                Some(name) if !self.sessions.contains_key(&name) => break name,
                _ => {}
            }
        };
        let session = Session::new(now, name, timers, self.jitter.fork());
        self.deadlines.extend(session.next_deadline().map(|at| (at, name)));
        self.sessions.insert(name, (key.clone(), session));
        self.names.insert(key.clone(), name);
        name
    }

    /// Whose packet it is (RFC 5880 section 6.8.6; RFC 5881 section 5 for the TTL).
    fn find(&self, place: &SessionKey, ttl: u8, bytes: &[u8]) -> Option<(NonZeroU32, Packet)> {
        if !place.is_multihop && ttl != TTL {
            return None;
        }
        let packet = Packet::decode(bytes).ok()?;
        let is_from = |key: &SessionKey| {
            (key.remote, key.scope, key.is_multihop) == (place.remote, place.scope, place.is_multihop)
        };
        let name = if let Some(name) = packet.your_discriminator {
            self.sessions.get(&name).filter(|(key, _)| is_from(key)).map(|_| name)?
        } else {
            let first = SessionKey { local: None, scope: 0, is_multihop: false, ..place.clone() };
            let mut of_neighbor = self.names.range(first..).take_while(|(key, _)| key.remote == place.remote);
            *of_neighbor.find(|(key, _)| is_from(key))?.1
        };
        Some((name, packet))
    }

    fn on_deadlines(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        while let Some((_, name)) = self.deadlines.first().filter(|(at, _)| *at <= now).copied() {
            self.with(name, outputs, |session, out| session.on_deadline(now, out));
        }
    }

    /// Lets a session do something, passes on what comes of it, and keeps its deadline.
    fn with(
        &mut self,
        name: NonZeroU32,
        outputs: &mut Vec<Output>,
        act: impl FnOnce(&mut Session, &mut Vec<Packet>) -> Option<Change>,
    ) {
        let Some((key, session)) = self.sessions.get_mut(&name) else { return };
        let before = session.next_deadline();
        let mut packets = Vec::new();
        let change = act(session, &mut packets);
        let after = session.next_deadline();
        if before != after {
            before.map(|at| self.deadlines.remove(&(at, name)));
            self.deadlines.extend(after.map(|at| (at, name)));
        }
        outputs.extend(packets.into_iter().map(|packet| Output::Send(key.clone(), packet)));
        outputs.extend(change.map(|change| Output::Changed(key.clone(), change)));
    }
}
