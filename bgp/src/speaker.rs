//! The whole machine, without a socket: inputs and the time go in, outputs come out.
//!
//! ```text
//! Input --> peer (fsm) --> rib (policy, decision) --> fib      --> Output::Fib
//!                                              \----> members  --> Output::Send
//! ```
//!
//! [`Speaker::handle`] takes one input and appends what the driver must do. Changed
//! prefixes are collected for a moment and then decided together, so that a burst of
//! UPDATEs costs one decision and is told in full messages; the driver needs nothing
//! for that but to honour [`Speaker::next_deadline`].

mod interface;

pub use interface::{ConnectionId, Dial, Input, Output, RestartMode, SessionEvent, SessionEventKind, Stop};

use std::time::Instant;

use crate::config::{ConfigErrors, SpeakerConfig};
use crate::status::{RouteStatus, SpeakerStatus};

/// The speaker.
#[derive(Debug)]
pub struct Speaker {}

impl Speaker {
    /// A speaker that is about to dial its neighbors: hand it [`Input::DeadlinePassed`] at once.
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
        let _ = (now, config, restart, seed);
        todo!()
    }

    /// Takes one input and appends, in order, what the driver must do.
    pub fn handle(&mut self, now: Instant, input: Input, outputs: &mut Vec<Output>) {
        let _ = (now, input, outputs);
        todo!()
    }

    /// When to hand in [`Input::DeadlinePassed`] even if nothing else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        todo!()
    }

    /// Whether [`Input::Stop`] was handled: nothing comes any more.
    pub fn is_stopped(&self) -> bool {
        todo!()
    }

    /// The state of all sessions.
    pub fn status(&self, now: Instant) -> SpeakerStatus {
        let _ = now;
        todo!()
    }

    /// All prefixes in order, with all paths and why each is used or not.
    pub fn routes(&self) -> Vec<RouteStatus> {
        todo!()
    }
}
