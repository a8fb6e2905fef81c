//! One neighbor: up to two connections that open and one that is up, collisions, pauses, stale routes.
//!
//! ```text
//!            dial                OPEN, KEEPALIVE
//! Idle --> Connect --> slot `active`  --\
//!   \----> Active  --> slot `passive` --+--> slot `established`
//! ```
//!
//! A connection's own states are the [`Session`]'s; what stands here is what RFC 4271 calls
//! Idle, Connect and Active, and the rules between connections.

mod backoff;
mod collision;
mod effect;
mod helper;
mod jitter;
mod opening;
mod record;
mod slot;

#[cfg(test)]
mod tests;

pub(crate) use effect::{PeerEffect, Turn};
pub(crate) use helper::Loss;
pub(crate) use jitter::Jitter;
pub(crate) use record::Record;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backoff::Backoff;
use collision::Identity;
use helper::Helper;
use slot::{Role, Slots};

use crate::bfd;
use crate::config::{GracefulRestartConfig, Hold, NeighborConfig, Transport};
use crate::fsm::{Event, Negotiated, PathFailure, State, Terms};
use crate::speaker::{ConnectionId, Output, SessionEventKind};
use crate::status::SessionState;
use crate::wire::{DecodeError, Family, Message, Notification};

/// What we do about having no session.
#[derive(Debug)]
enum Phase {
    /// Nothing before this time; without a time, nothing ever again.
    Idle { until: Option<Instant>, accepts: bool },
    /// A dial is under way.
    Connect { dial: ConnectionId, give_up_at: Instant },
    /// The neighbor may connect; we dial at this time.
    Active { retry_at: Option<Instant> },
}

impl Phase {
    /// Held down by configuration.
    const HELD: Self = Self::Idle { until: None, accepts: false };
}

/// One neighbor.
#[derive(Debug)]
pub(crate) struct Peer {
    config: Arc<NeighborConfig>,
    terms: Arc<Terms>,
    limits: Option<GracefulRestartConfig>,
    phase: Phase,
    slots: Slots,
    backoff: Backoff,
    helper: Helper,
    record: Record,
    /// What BFD told last, if it watches the way.
    bfd: Option<bfd::State>,
    jitter: Jitter,
}

impl Peer {
    /// A neighbor that is about to be dialed, at the first deadline.
    pub(crate) fn new(now: Instant, config: Arc<NeighborConfig>, terms: Arc<Terms>, jitter: Jitter) -> Self {
        let retry_at = (!config.passive).then_some(now);
        let phase = if config.hold.is_some() { Phase::HELD } else { Phase::Active { retry_at } };
        let mut record = Record::new(now);
        record.note_hold(now, config.hold.as_ref());
        Self {
            backoff: Backoff::new(dial_pause_max(&config)),
            bfd: config.bfd.map(|_| bfd::State::Down),
            config,
            terms,
            limits: None,
            phase,
            slots: Slots::default(),
            helper: Helper::None,
            record,
            jitter,
        }
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> &Arc<NeighborConfig> {
        &self.config
    }

    /// What happened to it.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Counts an UPDATE with malformed attributes; the number of this session so far.
    pub(crate) fn note_faults(&mut self) -> u64 {
        self.record.note_faults()
    }

    /// Changes what holds without a reset, and what the next OPEN says.
    pub(crate) fn update(
        &mut self,
        now: Instant,
        config: Arc<NeighborConfig>,
        terms: Arc<Terms>,
        limits: Option<GracefulRestartConfig>,
    ) {
        self.backoff.set_dial_pause_max(dial_pause_max(&config));
        let is_given_up = matches!(self.phase, Phase::Idle { until: None, .. }) && self.config.hold.is_none();
        if is_given_up && self.config.max_prefixes != config.max_prefixes {
            self.phase = Phase::Active { retry_at: (!config.passive).then_some(now) };
        }
        let is_waiting = matches!(self.phase, Phase::Active { .. }) && self.slots.is_empty();
        if is_waiting && self.config.passive != config.passive {
            self.phase = Phase::Active { retry_at: (!config.passive).then_some(now) };
        }
        self.bfd = config.bfd.map(|_| self.bfd.unwrap_or(bfd::State::Down));
        if self.config.hold != config.hold {
            self.record.note_hold(now, config.hold.as_ref());
        }
        self.config = config;
        self.terms = terms;
        self.limits = limits;
    }

    /// BFD tells of the way to the neighbor. That one side holds it down on purpose says nothing of the way, nor does
    /// one that never came up (RFC 5882 sections 3.2 and 4.1).
    pub(crate) fn bfd_changed(&mut self, turn: &mut Turn<'_>, change: bfd::Change) {
        self.bfd = self.config.bfd.map(|_| change.to);
        let is_failure = (change.from, change.to) == (bfd::State::Up, bfd::State::Down);
        if !is_failure || change.is_neighbor_admin_down || self.config.bfd.is_none() {
            return;
        }
        let failure = PathFailure {
            reason: change.diagnostic.to_string(),
            is_peer_independent: change.is_neighbor_independent,
        };
        for role in Role::ALL {
            self.drive(turn, role, Event::PathFailed(failure.clone()));
        }
        self.note(turn.now);
    }

    /// What BFD told last, if it watches the way.
    pub(crate) fn bfd(&self) -> Option<bfd::State> {
        self.bfd
    }

    /// Gives its connections the configured key; without one there is nothing to give.
    pub(crate) fn rekey(&self, turn: &mut Turn<'_>) {
        let Some(password) = &self.config.password else { return };
        for role in Role::ALL {
            if let Some(slot) = self.slots.get(role) {
                let (connection, remote) = (slot.connection, self.config.address);
                turn.output(Output::Rekey { connection, remote, password: password.clone() });
            }
        }
    }

    /// Our dial succeeded.
    pub(crate) fn connected(&mut self, turn: &mut Turn<'_>, connection: ConnectionId, local: IpAddr) {
        if !matches!(self.phase, Phase::Connect { dial, .. } if dial == connection) {
            turn.close(connection);
            return;
        }
        self.phase = Phase::Active { retry_at: None };
        self.open_slot(turn, Role::Active, connection, local);
        self.note(turn.now);
    }

    /// Our dial failed.
    pub(crate) fn dial_failed(&mut self, turn: &mut Turn<'_>, connection: ConnectionId, reason: &str) {
        if matches!(self.phase, Phase::Connect { dial, .. } if dial == connection) {
            self.give_up_dial(turn, reason);
            self.note(turn.now);
        }
    }

    /// The neighbor connected.
    pub(crate) fn accepted(&mut self, turn: &mut Turn<'_>, connection: ConnectionId, local: IpAddr) {
        if let Err(reason) = self.admit(turn.now) {
            turn.close(connection);
            turn.event(&self.config, SessionEventKind::ConnectionRefused { reason: reason.to_owned() });
            return;
        }
        if let Some(former) = self.slots.take(Role::Passive) {
            turn.close(former.connection);
        }
        turn.admit(connection, self.transport());
        self.open_slot(turn, Role::Passive, connection, local);
        self.note(turn.now);
    }

    /// A message came.
    pub(crate) fn received(
        &mut self,
        turn: &mut Turn<'_>,
        connection: ConnectionId,
        message: Result<Message, DecodeError>,
        read_at: Instant,
    ) {
        let Some(role) = self.slots.role_of(connection) else { return };
        let event = match message {
            Ok(message) => Event::Message(message, read_at),
            Err(error) => Event::Malformed(error),
        };
        self.drive(turn, role, event);
        self.note(turn.now);
    }

    /// A connection is gone.
    pub(crate) fn closed(&mut self, turn: &mut Turn<'_>, connection: ConnectionId, reason: &str) {
        let Some(role) = self.slots.role_of(connection) else {
            self.dial_failed(turn, connection, reason);
            return;
        };
        self.drive(turn, role, Event::TransportClosed(reason.to_owned()));
        self.note(turn.now);
    }

    /// Time has passed.
    pub(crate) fn deadline_passed(&mut self, turn: &mut Turn<'_>) {
        for role in Role::ALL {
            if self
                .slots
                .get(role)
                .and_then(|slot| slot.session.next_deadline())
                .is_some_and(|at| at <= turn.now)
            {
                self.drive(turn, role, Event::DeadlinePassed);
            }
        }
        let expired = self.helper.on_deadline(turn.now);
        turn.drop_stale(&expired, "its time to come back is over");
        if self.phase_deadline().is_some_and(|at| at <= turn.now) {
            self.phase_over(turn);
        }
        self.note(turn.now);
    }

    /// The session is to stay down, with the peer told as much as it may know.
    pub(crate) fn hold(&mut self, turn: &mut Turn<'_>, hold: &Hold) {
        self.stop(turn, &Notification::admin_shutdown(hold.text()));
        // What ended the session is the hold itself.
        self.record.note_hold(turn.now, Some(hold));
    }

    /// The neighbor told more than it may: its session ends, and is tried again after the pause.
    pub(crate) fn exceeded(&mut self, turn: &mut Turn<'_>, reason: &str, pause: Option<Duration>) {
        self.stop(turn, &Notification::max_prefixes_reached());
        let until = pause.map(|pause| turn.now + pause);
        self.phase = Phase::Idle { until, accepts: false };
        let then = match pause {
            Some(pause) => format!("tried again after {} s", pause.as_secs()),
            None => "down until the neighbor's configuration changes".to_owned(),
        };
        self.record.note_reason(turn.now, format!("{reason}: {then}"));
    }

    /// The session is to start anew, with the peer told why.
    pub(crate) fn reset(&mut self, turn: &mut Turn<'_>, notification: &Notification) {
        self.stop_slots(turn, notification);
        self.cancel_dial(turn);
        self.phase = Phase::Active { retry_at: (!self.config.passive).then_some(turn.now) };
        self.note(turn.now);
    }

    /// The end for good, with the peer told why.
    pub(crate) fn stop(&mut self, turn: &mut Turn<'_>, notification: &Notification) {
        let is_hard = self
            .slots
            .established()
            .is_some_and(|slot| slot.session.negotiated().is_some_and(|terms| terms.notification_restart));
        // Where a NOTIFICATION counts as a restart only a Hard Reset makes the peer forget us (RFC 8538).
        let hard_reset = Notification::hard_reset(notification);
        self.stop_slots(turn, if is_hard { &hard_reset } else { notification });
        self.stop_silently(turn);
    }

    /// The end for good without a word.
    pub(crate) fn stop_silently(&mut self, turn: &mut Turn<'_>) {
        for role in Role::ALL {
            if let Some(slot) = self.slots.take(role) {
                turn.close(slot.connection);
            }
        }
        self.cancel_dial(turn);
        self.phase = Phase::HELD;
        self.note(turn.now);
    }

    /// Whether this End-of-RIB ends the wait for a restarted neighbor.
    pub(crate) fn end_of_rib(&mut self, family: Family) -> bool {
        self.helper.on_end_of_rib(family)
    }

    /// When to call [`Self::deadline_passed`].
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let slots = Role::ALL.into_iter().filter_map(|role| self.slots.get(role)?.session.next_deadline());
        slots.chain(self.helper.deadline()).chain(self.phase_deadline()).min()
    }

    /// The state in the words of RFC 4271.
    pub(crate) fn state(&self) -> SessionState {
        if self.slots.established().is_some() {
            return SessionState::Established;
        }
        let opening = [Role::Active, Role::Passive].into_iter().filter_map(|role| self.slots.get(role));
        match (opening.map(|slot| slot.session.state()).max(), &self.phase) {
            (Some(State::OpenConfirm), _) => SessionState::OpenConfirm,
            (Some(_), _) => SessionState::OpenSent,
            (None, Phase::Idle { .. }) => SessionState::Idle,
            (None, Phase::Connect { .. }) => SessionState::Connect,
            (None, Phase::Active { .. }) => SessionState::Active,
        }
    }

    /// The terms of the session that is up, and our end of it.
    pub(crate) fn session(&self) -> Option<(&Arc<Negotiated>, IpAddr)> {
        let slot = self.slots.established()?;
        Some((slot.session.negotiated()?, slot.local))
    }

    /// When we dial next, if that is what we wait for.
    pub(crate) fn next_dial(&self) -> Option<Instant> {
        match self.phase {
            _ if self.slots.established().is_some() => None,
            Phase::Idle { until, .. } if !self.config.passive => until,
            Phase::Active { retry_at } => retry_at,
            Phase::Idle { .. } | Phase::Connect { .. } => None,
        }
    }

    /// How often we dialed in vain since the last session.
    pub(crate) fn dials_failed(&self) -> u32 {
        self.backoff.dials_failed()
    }

    /// When its stale routes go.
    pub(crate) fn stale_deadline(&self) -> Option<Instant> {
        self.helper.deadline()
    }

    /// What its sockets are set to.
    pub(crate) fn transport(&self) -> Transport {
        self.config.transport(self.terms.is_ebgp())
    }

    fn identity(&self) -> Identity {
        Identity { router_id: self.terms.open.router_id, asn: self.terms.open.asn }
    }

    /// Keeps the record of since when the state holds.
    fn note(&mut self, now: Instant) {
        let state = self.state();
        self.record.note(now, state);
    }
}

fn dial_pause_max(config: &NeighborConfig) -> Duration {
    Duration::from_secs(u64::from(config.connect_retry_secs))
}
