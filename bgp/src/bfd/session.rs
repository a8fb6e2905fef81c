//! One session: packets and deadlines to packets and changes (RFC 5880 section 6).
//!
//! ```text
//!             +------+  neighbour Init      neighbour Init, Up
//!             |      v                          |      ^
//!   Down <-- AdminDown                          v      |
//!    |  ^ \________________ neighbour Init ______> Up --+
//!    |  +--- expired, neighbour AdminDown --------^ |
//!    +-- neighbour Down --> Init -- Init, Up -----+ +--> Down: expired, neighbour Down or AdminDown
//! ```

#[cfg(test)]
mod tests;

use std::num::{NonZeroU8, NonZeroU32};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::packet::{Diagnostic, Packet, State};
use super::{SLOW_INTERVAL, Timers};
use crate::peer::Jitter;

/// The most of the interval that may pass if one lost packet ends the session (RFC 5880 section 6.8.7).
const SINGLE_INTERVAL_MAX: f64 = 0.9;

/// What can change the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The neighbour tells its state.
    Received(State),
    /// Nothing came for the detection time.
    Expired,
    /// Our administrator holds the session down.
    Disabled,
    /// Our administrator lets it go on.
    Enabled,
}

/// A session went into another state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where it was.
    pub from: State,
    /// Where it is.
    pub to: State,
    /// Why, as we tell the neighbour.
    pub diagnostic: Diagnostic,
    /// Whether the neighbour holds its session down on purpose, which says nothing of the way (RFC 5882 section 3.2).
    pub is_neighbor_admin_down: bool,
    /// Whether the neighbour's BFD goes on while its control plane restarts: if it did not, the loss may be a
    /// restart and no failure of forwarding (RFC 5882 section 4.3).
    pub is_neighbor_independent: bool,
}

/// What the neighbour said last.
#[derive(Clone, Copy, Debug)]
struct Neighbor {
    discriminator: NonZeroU32,
    state: State,
    min_transmit: Duration,
    min_receive: Duration,
    multiplier: NonZeroU8,
    is_demand: bool,
    is_independent: bool,
}

/// A change of our intervals is told by packets with the poll bit until one with the final bit answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    Idle,
    Open,
    /// Something changed again meanwhile: the answer may be to the former values.
    OpenTwice,
}

/// The machine of one session.
#[derive(Debug)]
pub(super) struct Session {
    local: NonZeroU32,
    state: State,
    diagnostic: Diagnostic,
    timers: Timers,
    neighbor: Option<Neighbor>,
    poll: Poll,
    /// Our least interval as it is in use; `timers` may await the end of a poll.
    transmit: Duration,
    /// What we require of the neighbour, as the detection time uses it.
    receive: Duration,
    sent_at: Instant,
    transmit_at: Option<Instant>,
    expires_at: Option<Instant>,
    jitter: Jitter,
}

impl Session {
    /// A session that is down and sends its first packet at once.
    pub(super) fn new(now: Instant, local: NonZeroU32, timers: Timers, jitter: Jitter) -> Self {
        Self {
            local,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            timers,
            neighbor: None,
            poll: Poll::Idle,
            transmit: timers.min_transmit.max(SLOW_INTERVAL),
            receive: timers.min_receive,
            sent_at: now,
            transmit_at: Some(now),
            expires_at: None,
            jitter,
        }
    }

    /// Takes a packet that is this session's.
    pub(super) fn receive(&mut self, now: Instant, packet: &Packet, out: &mut Vec<Packet>) -> Option<Change> {
        self.neighbor = Some(Neighbor {
            discriminator: packet.my_discriminator,
            state: packet.state,
            min_transmit: packet.desired_min_transmit,
            min_receive: packet.required_min_receive,
            multiplier: packet.multiplier,
            is_demand: packet.is_demand,
            is_independent: packet.is_control_plane_independent,
        });
        if packet.is_final {
            self.end_poll();
        }
        self.expires_at = Some(now + self.detection_time());
        let change = self.take(now, Event::Received(packet.state), out);
        if packet.is_poll && self.state != State::AdminDown {
            out.push(Packet { is_poll: false, is_final: true, ..self.packet() });
        }
        self.schedule();
        change
    }

    /// Does what is due.
    pub(super) fn on_deadline(&mut self, now: Instant, out: &mut Vec<Packet>) -> Option<Change> {
        let mut change = None;
        if self.expires_at.is_some_and(|at| at <= now) {
            self.expires_at = None;
            change = self.take(now, Event::Expired, out);
            // Whoever comes next may be another one, of another name.
            self.neighbor = None;
        }
        if self.transmit_at.is_some_and(|at| at <= now) {
            self.send(now, out);
        }
        change
    }

    /// When `on_deadline` is to be called.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        [self.transmit_at, self.expires_at].into_iter().flatten().min()
    }

    /// Holds the session down, or lets it go on; the neighbour is told at once.
    pub(super) fn set_enabled(
        &mut self,
        now: Instant,
        is_enabled: bool,
        out: &mut Vec<Packet>,
    ) -> Option<Change> {
        self.take(now, if is_enabled { Event::Enabled } else { Event::Disabled }, out)
    }

    /// Changes the intervals; a session that is up stays so (RFC 5880 section 6.8.3).
    pub(super) fn set_timers(&mut self, now: Instant, timers: Timers, out: &mut Vec<Packet>) {
        if self.timers == timers {
            return;
        }
        self.timers = timers;
        if self.state == State::Up {
            // Until the neighbour knows, we send no less often than it expects, and wait no shorter than it sends.
            self.transmit = self.transmit.min(timers.min_transmit);
            self.receive = self.receive.max(timers.min_receive);
            self.begin_poll();
        } else {
            self.transmit = self.desired();
            self.receive = timers.min_receive;
        }
        self.send(now, out);
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    /// The state that the neighbour told last.
    pub(super) fn neighbor_state(&self) -> Option<State> {
        self.neighbor.map(|neighbor| neighbor.state)
    }

    /// How long nothing may come (RFC 5880 section 6.8.4).
    pub(super) fn detection_time(&self) -> Duration {
        let Some(neighbor) = self.neighbor else { return Duration::ZERO };
        self.receive.max(neighbor.min_transmit) * u32::from(neighbor.multiplier.get())
    }

    /// The pause between two packets before jitter; none while the neighbour wants no packets.
    pub(super) fn interval(&self) -> Option<Duration> {
        let Some(neighbor) = self.neighbor else { return Some(self.transmit) };
        let is_quiet = neighbor.is_demand
            && (self.state, neighbor.state, self.poll) == (State::Up, State::Up, Poll::Idle);
        let is_wanted = !is_quiet && !neighbor.min_receive.is_zero();
        is_wanted.then(|| self.transmit.max(neighbor.min_receive))
    }

    fn take(&mut self, now: Instant, event: Event, out: &mut Vec<Packet>) -> Option<Change> {
        let (to, diagnostic) = next(self.state, event);
        let from = std::mem::replace(&mut self.state, to);
        if from == to {
            return None;
        }
        self.diagnostic = diagnostic.unwrap_or(self.diagnostic);
        self.transmit = self.desired();
        self.receive = self.timers.min_receive;
        self.poll = Poll::Idle;
        if to == State::Up && self.timers.min_transmit < SLOW_INTERVAL {
            self.begin_poll();
        }
        let change = Change {
            from,
            to,
            diagnostic: self.diagnostic,
            is_neighbor_admin_down: event == Event::Received(State::AdminDown),
            is_neighbor_independent: self.neighbor.is_some_and(|neighbor| neighbor.is_independent),
        };
        // What differs from the packet before is not kept for the next interval (RFC 5880 section 6.8.7).
        self.send(now, out);
        Some(change)
    }

    /// What we ask to be allowed to send (RFC 5880 section 6.8.3).
    fn desired(&self) -> Duration {
        let configured = self.timers.min_transmit;
        if self.state == State::Up { configured } else { configured.max(SLOW_INTERVAL) }
    }

    fn begin_poll(&mut self) {
        self.poll = if self.poll == Poll::Idle { Poll::Open } else { Poll::OpenTwice };
    }

    fn end_poll(&mut self) {
        self.poll = match self.poll {
            Poll::Idle | Poll::Open => {
                self.transmit = self.desired();
                self.receive = self.timers.min_receive;
                Poll::Idle
            }
            Poll::OpenTwice => Poll::Open,
        };
    }

    fn send(&mut self, now: Instant, out: &mut Vec<Packet>) {
        self.sent_at = now;
        if self.interval().is_some() {
            out.push(self.packet());
        }
        self.transmit_at = None;
        self.schedule();
    }

    /// Sets when the next packet is due, unless that stands and is soon enough.
    fn schedule(&mut self) {
        let Some(interval) = self.interval() else {
            self.transmit_at = None;
            return;
        };
        let mut pause = self.jitter.shorten(interval);
        if self.timers.multiplier.get() == 1 {
            pause = pause.min(interval.mul_f64(SINGLE_INTERVAL_MAX));
        }
        let latest = self.sent_at + interval;
        if self.transmit_at.is_none_or(|at| at > latest) {
            self.transmit_at = Some(self.sent_at + pause);
        }
    }

    fn packet(&self) -> Packet {
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            is_poll: self.poll != Poll::Idle,
            is_final: false,
            // We end with the process that speaks BGP.
            is_control_plane_independent: false,
            is_demand: false,
            multiplier: self.timers.multiplier,
            my_discriminator: self.local,
            your_discriminator: self.neighbor.map(|neighbor| neighbor.discriminator),
            desired_min_transmit: self.desired(),
            required_min_receive: self.timers.min_receive,
        }
    }
}

/// The state after an event, and why it is left, if that is news (RFC 5880 sections 6.2, 6.8.6 and 6.8.16).
fn next(state: State, event: Event) -> (State, Option<Diagnostic>) {
    use State::{AdminDown, Down, Init, Up};
    match (state, event) {
        (_, Event::Disabled) => (AdminDown, Some(Diagnostic::ADMINISTRATIVELY_DOWN)),
        (AdminDown, Event::Enabled) => (Down, Some(Diagnostic::NONE)),
        (state, Event::Enabled) | (state @ AdminDown, _) => (state, None),
        (Down | Init, Event::Received(Down)) => (Init, None),
        (Down | Init | Up, Event::Received(Init)) | (Init | Up, Event::Received(Up)) => (Up, None),
        (Down, _) => (Down, None),
        (Init | Up, Event::Received(AdminDown)) | (Up, Event::Received(Down)) => {
            (Down, Some(Diagnostic::NEIGHBOR_SIGNALED))
        }
        (Init | Up, Event::Expired) => (Down, Some(Diagnostic::TIME_EXPIRED)),
    }
}
