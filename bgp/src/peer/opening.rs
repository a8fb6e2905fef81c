//! From a connection to a session and back: effects of the session machines, collisions, pauses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::collision::{self, Contest, Identity, RivalState};
use super::slot::{Role, Slot};
use super::{Peer, PeerEffect, Phase, Turn};
use crate::fsm::{Down, Effect, Event, Negotiated, Session, State};
use crate::speaker::{ConnectionId, Output, SessionEventKind};
use crate::wire::Notification;

/// A dial that takes longer will not succeed: wrong MD5 keys and filters drop SYNs in silence.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection on which nothing came for so long gives way to a newer one of the same neighbor.
const MUTE_CONNECTION_TIME: Duration = Duration::from_secs(5);

impl Peer {
    /// Whether a connection from the neighbor is welcome; the error says why not.
    pub(super) fn admit(&self, now: Instant) -> Result<(), &'static str> {
        if self.config.hold.is_some() {
            return Err("the session is held down here");
        }
        if matches!(self.phase, Phase::Idle { accepts: false, .. }) && self.slots.is_empty() {
            return Err("pausing after the end of the last session");
        }
        match self.slots.get(Role::Passive) {
            Some(former) if former.session.state() != State::OpenSent => {
                Err("another connection of this neighbor is about to come up")
            }
            Some(former) if now < former.since + MUTE_CONNECTION_TIME => {
                Err("another connection of this neighbor is waiting for its OPEN")
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn open_slot(
        &mut self,
        turn: &mut Turn<'_>,
        role: Role,
        connection: ConnectionId,
        local: IpAddr,
    ) {
        let mut effects = Vec::new();
        let session = Session::open(turn.now, Arc::clone(&self.terms), self.jitter.fork(), &mut effects);
        self.slots.put(role, Slot { connection, local, session, since: turn.now });
        self.apply(turn, role, effects);
    }

    pub(super) fn drive(&mut self, turn: &mut Turn<'_>, role: Role, event: Event) {
        let mut effects = Vec::new();
        if let Some(slot) = self.slots.get_mut(role) {
            slot.session.handle(turn.now, event, &mut effects);
        }
        self.apply(turn, role, effects);
    }

    /// Carries effects out in order; ends with the slot, whose later effects have nobody to go to.
    fn apply(&mut self, turn: &mut Turn<'_>, mut role: Role, effects: Vec<Effect>) {
        for effect in effects {
            let Some(connection) = self.slots.get(role).map(|slot| slot.connection) else { return };
            match effect {
                Effect::Send(message) => turn.send(connection, &message),
                Effect::Opened(terms) => {
                    turn.output(Output::Negotiated { connection, context: terms.context.clone() });
                    self.resolve_collision(turn, role, &terms);
                }
                Effect::Established => {
                    self.come_up(turn, role);
                    role = Role::Established;
                }
                Effect::Update(update) => turn.effects.push(PeerEffect::Update(update)),
                Effect::Refresh(refresh) => turn.effects.push(PeerEffect::Refresh(refresh)),
                Effect::Down(down) => self.go_down(turn, role, &down),
            }
        }
    }

    /// Two connections cannot both come up: the peer's OPEN on one of them decides; see [`collision`].
    fn resolve_collision(&mut self, turn: &mut Turn<'_>, role: Role, terms: &Negotiated) {
        if let Some(established) = self.slots.established() {
            let connected_at = self.slots.get(role).map_or(turn.now, |slot| slot.since);
            let former = established.session.negotiated().map(|former| (&**former, established.since));
            if former.is_some_and(|former| collision::is_restart(former, (terms, connected_at))) {
                self.replace_dead_session(turn);
            } else {
                self.drive(turn, role, Event::Stop(Notification::collision()));
            }
            return;
        }
        if let Some(rival) = self.slots.get(role.rival()) {
            let rival_state = match rival.session.state() {
                State::OpenSent if turn.now >= rival.since + MUTE_CONNECTION_TIME => RivalState::Mute,
                State::OpenSent => RivalState::OpenSent,
                _ => RivalState::OpenConfirm,
            };
            let remote = Identity { router_id: terms.router_id, asn: self.terms.remote_asn };
            let contest = Contest {
                initiator: role.initiator(),
                winner: collision::winner(self.identity(), remote),
                rival: rival_state,
            };
            if let Some(loser) = contest.loser() {
                self.drive(turn, Role::opening(loser), Event::Stop(Notification::collision()));
            }
        }
        // A dial that is under way would come too late: it must not even send its OPEN.
        if self.slots.get(role).is_some() {
            self.cancel_dial(turn);
        }
    }

    /// Silently: the process that had this connection is gone.
    fn replace_dead_session(&mut self, turn: &mut Turn<'_>) {
        let reason = "the neighbor has restarted and connected anew".to_owned();
        self.go_down(turn, Role::Established, &Down::Transport(reason));
    }

    fn come_up(&mut self, turn: &mut Turn<'_>, role: Role) {
        let Some(mut slot) = self.slots.take(role) else { return };
        slot.since = turn.now;
        let Some(terms) = slot.session.negotiated().map(Arc::clone) else { return };
        let (connection, local) = (slot.connection, slot.local);
        self.slots.put(Role::Established, slot);
        self.drive(turn, role.rival(), Event::Stop(Notification::collision()));
        self.cancel_dial(turn);
        self.phase = Phase::Active { retry_at: None };
        self.backoff.on_established();
        let gone = self.helper.on_established(turn.now, &terms, self.limits.as_ref());
        let established = SessionEventKind::Established {
            families: terms.families().to_vec(),
            hold_time_secs: terms.hold_time_secs(),
        };
        turn.event(&self.config, established);
        turn.drop_stale(&gone, "the neighbor came back without having kept its forwarding state");
        turn.effects.push(PeerEffect::Up { connection, local, terms });
    }

    fn go_down(&mut self, turn: &mut Turn<'_>, role: Role, down: &Down) {
        let Some(slot) = self.slots.take(role) else { return };
        turn.close(slot.connection);
        self.record.note_down(turn.now, down, role == Role::Established);
        let retry = self.pause(turn.now, role, &slot, down);
        let reason = down.reason();
        let kind = if role == Role::Established {
            let terms = slot.session.negotiated();
            let limits = self.limits.as_ref();
            let loss =
                terms.map(|terms| self.helper.on_loss(turn.now, (terms, down), limits)).unwrap_or_default();
            let retained = loss.retained.clone();
            turn.effects.push(PeerEffect::Lost(loss));
            SessionEventKind::Down { reason, retained }
        } else {
            let retry_millis = retry.map_or(0, |pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
            SessionEventKind::NotEstablished { reason, retry_millis }
        };
        // A lost collision is the ordinary course of two dials.
        if role == Role::Established || !down.notification().is_some_and(Notification::is_collision) {
            turn.event(&self.config, kind);
        }
    }

    /// Decides what comes after the end of a connection; the pause until we dial.
    fn pause(&mut self, now: Instant, role: Role, slot: &Slot, down: &Down) -> Option<Duration> {
        let hold_time = slot.session.negotiated().and_then(|terms| terms.hold_time);
        if role == Role::Established && now >= slot.since + hold_time.unwrap_or_default() {
            self.backoff.forgive();
        }
        // Another connection goes on: what becomes of it decides.
        if !self.slots.is_empty() || matches!(self.phase, Phase::Connect { .. }) {
            return None;
        }
        let pause = match down {
            _ if is_error(down) => {
                let pause = self.backoff.after_error(&mut self.jitter);
                self.phase = Phase::Idle { until: Some(now + pause), accepts: !is_protocol_error(down) };
                return (!self.config.passive).then_some(pause);
            }
            _ if role == Role::Established => self.backoff.after_loss(&mut self.jitter),
            _ => self.backoff.after_failed_dial(&mut self.jitter),
        };
        let pause = (!self.config.passive).then_some(pause);
        self.phase = Phase::Active { retry_at: pause.map(|pause| now + pause) };
        pause
    }

    /// When the phase ends; a session that is up has none.
    pub(super) fn phase_deadline(&self) -> Option<Instant> {
        match self.phase {
            _ if self.slots.established().is_some() => None,
            Phase::Idle { until, .. } => until,
            Phase::Connect { give_up_at, .. } => Some(give_up_at),
            Phase::Active { retry_at } => retry_at,
        }
    }

    /// The phase's time is over.
    pub(super) fn phase_over(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Connect { dial, .. } => {
                turn.close(dial);
                self.give_up_dial(turn, self.silence());
            }
            Phase::Idle { .. } if self.config.passive => self.phase = Phase::Active { retry_at: None },
            Phase::Idle { .. } | Phase::Active { .. } if self.is_coming_up() => {
                let pause = self.backoff.after_loss(&mut self.jitter);
                self.phase = Phase::Active { retry_at: Some(turn.now + pause) };
            }
            Phase::Idle { .. } | Phase::Active { .. } => {
                let dial = turn.dial(&self.config, self.transport());
                self.phase = Phase::Connect { dial, give_up_at: turn.now + DIAL_TIMEOUT };
            }
        }
    }

    /// What no answer at all may mean. A kernel drops segments with a wrong signature or a low TTL in silence.
    fn silence(&self) -> &'static str {
        match (&self.config.password, self.config.ttl_security_hops) {
            (Some(_), _) => "timed out: a wrong TCP MD5 password looks like this, here or there",
            (None, Some(_)) => {
                "timed out: a neighbor that is farther away than ttl_security_hops looks like this"
            }
            (None, None) => {
                "timed out: is the address right, and do filters let it through? Does the neighbor \
                             want a TCP MD5 password?"
            }
        }
    }

    pub(super) fn give_up_dial(&mut self, turn: &mut Turn<'_>, reason: &str) {
        let pause = self.backoff.after_failed_dial(&mut self.jitter);
        self.phase = Phase::Active { retry_at: Some(turn.now + pause) };
        // The first of a row is worth a line; the status counts the others.
        if self.backoff.dials_failed() == 1 && self.slots.is_empty() {
            let retry_millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            let reason = format!("the dial failed: {reason}");
            turn.event(&self.config, SessionEventKind::NotEstablished { reason, retry_millis });
        }
        self.record.note_dial_failed(turn.now, reason);
    }

    pub(super) fn cancel_dial(&mut self, turn: &mut Turn<'_>) {
        if let Phase::Connect { dial, .. } = self.phase {
            turn.close(dial);
            self.phase = Phase::Active { retry_at: None };
        }
    }

    pub(super) fn stop_slots(&mut self, turn: &mut Turn<'_>, notification: &Notification) {
        for role in Role::ALL {
            self.drive(turn, role, Event::Stop(notification.clone()));
        }
    }

    /// Whether the neighbor's own connection has come so far that a dial would only collide with it.
    fn is_coming_up(&self) -> bool {
        self.slots.get(Role::Passive).is_some_and(|slot| slot.session.state() == State::OpenConfirm)
    }
}

/// Whether the end counts as an error of the session. Closed connections do not: a peer may restart as often
/// as it likes; nor does what we ended on purpose, nor a lost collision.
fn is_error(down: &Down) -> bool {
    const CEASE: u8 = 6;
    match down {
        Down::Transport(_) | Down::PathFailed(..) => false,
        Down::Sent { notification, .. } => notification.code != CEASE,
        Down::Received(notification) => !notification.is_collision() && !notification.is_version_error(),
    }
}

/// Whether one side holds the other's messages for wrong. Then the neighbor's connections are refused during
/// the pause; otherwise (Cease, hold timer) the neighbor may decide when to come back.
fn is_protocol_error(down: &Down) -> bool {
    const HEADER_OPEN_UPDATE_FSM: [u8; 4] = [1, 2, 3, 5];
    down.notification().is_some_and(|notification| HEADER_OPEN_UPDATE_FSM.contains(&notification.code))
}
