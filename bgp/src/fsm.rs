//! One connection's session machine: (state, event, now) to effects (RFC 4271 section 8.2.2).
//!
//! ```text
//! open() --> OpenSent --OPEN--> OpenConfirm --KEEPALIVE--> Established
//!               \__________________\__________________________\--> Closed
//! ```
//!
//! The states before a connection exists (Idle, Connect, Active) and everything that
//! needs to know of a second connection belong to [`Peer`](crate::peer::Peer).

mod event;
mod negotiate;

#[cfg(test)]
mod tests;

pub(crate) use event::{Down, Effect, Event, PathFailure};
pub(crate) use negotiate::{Negotiated, Terms};

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::peer::Jitter;
use crate::wire::{DecodeError, Message, Notification, Open};

/// The hold time until the peer's OPEN says another: "a large value" (RFC 4271 section 8.2.2).
pub(crate) const OPEN_HOLD_TIME: Duration = Duration::from_mins(4);

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum State {
    /// Our OPEN is sent, the peer's awaited.
    OpenSent,
    /// Both OPENs fit; the first KEEPALIVE is awaited.
    OpenConfirm,
    /// Routes are exchanged.
    Established,
    /// Over; everything is ignored.
    Closed,
}

/// The session machine of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    state: State,
    terms: Arc<Terms>,
    negotiated: Option<Arc<Negotiated>>,
    hold_deadline: Option<Instant>,
    keepalive_deadline: Option<Instant>,
    jitter: Jitter,
}

impl Session {
    /// The machine of a connection that has just come up: our OPEN is its first effect.
    pub(crate) fn open(now: Instant, terms: Arc<Terms>, jitter: Jitter, effects: &mut Vec<Effect>) -> Self {
        effects.push(Effect::Send(Message::Open(terms.open.clone())));
        Self {
            state: State::OpenSent,
            terms,
            negotiated: None,
            hold_deadline: Some(now + OPEN_HOLD_TIME),
            keepalive_deadline: None,
            jitter,
        }
    }

    /// Takes one event and appends, in order, what must be done.
    pub(crate) fn handle(&mut self, now: Instant, event: Event, effects: &mut Vec<Effect>) {
        self.state = match (self.state, event) {
            (State::Closed, _) => State::Closed,
            (_, Event::Stop(notification)) => close(Down::stopped(notification), effects),
            (_, Event::PathFailed(failure)) => close(Down::path_failed(failure), effects),
            (_, Event::TransportClosed(reason)) => close(Down::Transport(reason), effects),
            (_, Event::Malformed(error)) => refuse(error, effects),
            (_, Event::Message(Message::Notification(received), _)) => {
                close(Down::Received(received), effects)
            }
            (_, Event::DeadlinePassed) => self.on_deadline(now, effects),
            (State::OpenSent, Event::Message(Message::Open(open), read_at)) => {
                self.on_open(now, read_at, open, effects)
            }
            (State::OpenConfirm, Event::Message(Message::Keepalive, read_at)) => {
                self.come_up(read_at, effects)
            }
            (State::Established, Event::Message(message, read_at)) => {
                self.on_established(message, read_at, effects)
            }
            (state, Event::Message(message, _)) => refuse(unexpected(state, &message), effects),
        };
    }

    /// When `handle` wants to be told that the deadline passed.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.state == State::Closed {
            return None;
        }
        [self.hold_deadline, self.keepalive_deadline].into_iter().flatten().min()
    }

    /// How far the connection is.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// What both OPENs settled; from `OpenConfirm` on.
    pub(crate) fn negotiated(&self) -> Option<&Arc<Negotiated>> {
        self.negotiated.as_ref()
    }

    fn on_open(&mut self, now: Instant, read_at: Instant, open: Open, effects: &mut Vec<Effect>) -> State {
        let negotiated = match self.terms.negotiate(open) {
            Ok(negotiated) => Arc::new(negotiated),
            Err(error) => return refuse(error, effects),
        };
        self.negotiated = Some(Arc::clone(&negotiated));
        self.feed(read_at);
        self.schedule_keepalive(now);
        effects.push(Effect::Opened(negotiated));
        effects.push(Effect::Send(Message::Keepalive));
        State::OpenConfirm
    }

    fn come_up(&mut self, read_at: Instant, effects: &mut Vec<Effect>) -> State {
        self.feed(read_at);
        effects.push(Effect::Established);
        State::Established
    }

    fn on_established(&mut self, message: Message, read_at: Instant, effects: &mut Vec<Effect>) -> State {
        match message {
            Message::Keepalive => {}
            Message::Update(update) => effects.push(Effect::Update(update)),
            Message::RouteRefresh(refresh) => effects.push(Effect::Refresh(refresh)),
            message => return refuse(unexpected(State::Established, &message), effects),
        }
        self.feed(read_at);
        State::Established
    }

    fn on_deadline(&mut self, now: Instant, effects: &mut Vec<Effect>) -> State {
        if self.hold_deadline.is_some_and(|deadline| deadline <= now) {
            let reason = "nothing came from the peer for the hold time".to_owned();
            return refuse(DecodeError { notification: Notification::hold_timer_expired(), reason }, effects);
        }
        if self.keepalive_deadline.is_some_and(|deadline| deadline <= now) {
            effects.push(Effect::Send(Message::Keepalive));
            self.schedule_keepalive(now);
        }
        self.state
    }

    /// The hold timer starts anew from when the peer's message was read, never backwards.
    fn feed(&mut self, read_at: Instant) {
        let hold_time = self.negotiated.as_ref().and_then(|negotiated| negotiated.hold_time);
        let is_first = self.state == State::OpenSent;
        let deadline = hold_time.map(|hold_time| read_at + hold_time);
        self.hold_deadline = if is_first { deadline } else { deadline.max(self.hold_deadline) };
    }

    fn schedule_keepalive(&mut self, now: Instant) {
        let interval = self.negotiated.as_ref().and_then(|negotiated| negotiated.keepalive_interval());
        self.keepalive_deadline = interval.map(|interval| now + self.jitter.shorten(interval));
    }
}

fn close(down: Down, effects: &mut Vec<Effect>) -> State {
    if let Some(notification) = down.notification_to_send() {
        effects.push(Effect::Send(Message::Notification(notification.clone())));
    }
    effects.push(Effect::Down(down));
    State::Closed
}

fn refuse(error: DecodeError, effects: &mut Vec<Effect>) -> State {
    close(Down::Sent { notification: error.notification, reason: error.reason }, effects)
}

/// A message that has no place in this state (RFC 6608).
fn unexpected(state: State, message: &Message) -> DecodeError {
    let (kind, name) = match message {
        Message::Open(_) => (1, "OPEN"),
        Message::Update(_) => (2, "UPDATE"),
        Message::Notification(_) => (3, "NOTIFICATION"),
        Message::Keepalive => (4, "KEEPALIVE"),
        Message::RouteRefresh(_) => (5, "ROUTE-REFRESH"),
    };
    let notification = match state {
        State::OpenSent => Notification::unexpected_in_open_sent(kind),
        State::OpenConfirm => Notification::unexpected_in_open_confirm(kind),
        State::Established | State::Closed => Notification::unexpected_in_established(kind),
    };
    DecodeError { notification, reason: format!("{name} has no place in state {state:?}") }
}
