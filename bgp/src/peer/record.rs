//! What happened to a neighbor, for people.

use std::time::Instant;

use crate::config::Hold;
use crate::fsm::Down;
use crate::status::{ErrorStatus, SessionState};

/// An error and when it was.
#[derive(Clone, Debug)]
struct Error {
    reason: String,
    at: Instant,
}

/// What happened to a neighbor since it was configured.
#[derive(Debug)]
pub(crate) struct Record {
    state: SessionState,
    since: Instant,
    flaps: u64,
    faulty_updates: u64,
    sent: Option<Error>,
    received: Option<Error>,
    down: Option<Error>,
}

impl Record {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: SessionState::Active,
            since: now,
            flaps: 0,
            faulty_updates: 0,
            sent: None,
            received: None,
            down: None,
        }
    }

    pub(super) fn note(&mut self, now: Instant, state: SessionState) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
    }

    pub(super) fn note_down(&mut self, now: Instant, down: &Down, was_established: bool) {
        let error = Error { reason: down.reason(), at: now };
        match down {
            Down::Sent { .. } | Down::PathFailed(..) => self.sent = Some(error.clone()),
            Down::Received(_) => self.received = Some(error.clone()),
            Down::Transport(_) => {}
        }
        self.down = Some(error);
        if was_established {
            self.flaps += 1;
            self.faulty_updates = 0;
        }
    }

    /// Why there is to be no session; nothing any more.
    pub(super) fn note_hold(&mut self, now: Instant, hold: Option<&Hold>) {
        self.down = hold.map(|hold| Error { reason: hold.to_string(), at: now });
    }

    /// Why the session ended, in better words than the NOTIFICATION's.
    pub(super) fn note_reason(&mut self, now: Instant, reason: String) {
        self.down = Some(Error { reason, at: now });
    }

    pub(super) fn note_dial_failed(&mut self, now: Instant, reason: &str) {
        self.down = Some(Error { reason: format!("the dial failed: {reason}"), at: now });
    }

    /// Counts an UPDATE with malformed attributes; the number of this session so far.
    pub(super) fn note_faults(&mut self) -> u64 {
        self.faulty_updates += 1;
        self.faulty_updates
    }

    /// Since when the state holds.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// How often an established session ended.
    pub(crate) fn flaps(&self) -> u64 {
        self.flaps
    }

    /// The last NOTIFICATION that we sent.
    pub(crate) fn last_error_sent(&self, now: Instant) -> Option<ErrorStatus> {
        status(self.sent.as_ref(), now)
    }

    /// The last NOTIFICATION that we received.
    pub(crate) fn last_error_received(&self, now: Instant) -> Option<ErrorStatus> {
        status(self.received.as_ref(), now)
    }

    /// Why there is no session, or why the last one ended.
    pub(crate) fn last_down(&self, now: Instant) -> Option<ErrorStatus> {
        status(self.down.as_ref(), now)
    }
}

fn status(error: Option<&Error>, now: Instant) -> Option<ErrorStatus> {
    error.map(|error| ErrorStatus {
        reason: error.reason.clone(),
        age_secs: now.saturating_duration_since(error.at).as_secs(),
    })
}
