//! How long to pause before the next attempt (RFC 4271 section 8.1.1).
//!
//! A peer that is merely not there must not be treated as one that misbehaves: a refused
//! dial lengthens the pause between dials alone, an error lengthens the idle-hold time.

use std::time::Duration;

use super::Jitter;

/// The idle-hold time never grows beyond this.
const IDLE_HOLD_MAX: Duration = Duration::from_mins(1);
/// The first pause of either kind.
const FIRST: Duration = Duration::from_secs(1);
/// 2^6 seconds is more than any limit: further doubling changes nothing.
const DOUBLINGS_MAX: u32 = 6;

/// The pauses of one peer.
#[derive(Debug)]
pub(crate) struct Backoff {
    errors: u32,
    dials_failed: u32,
    dial_pause_max: Duration,
}

impl Backoff {
    /// Dials pause at most this long.
    pub(crate) fn new(dial_pause_max: Duration) -> Self {
        Self { errors: 0, dials_failed: 0, dial_pause_max }
    }

    /// Changes the longest pause between dials.
    pub(crate) fn set_dial_pause_max(&mut self, dial_pause_max: Duration) {
        self.dial_pause_max = dial_pause_max;
    }

    /// The idle-hold time after one more error: doubles each time, with jitter.
    pub(crate) fn after_error(&mut self, jitter: &mut Jitter) -> Duration {
        let pause = doubled(self.errors).min(IDLE_HOLD_MAX);
        self.errors = self.errors.saturating_add(1);
        jitter.shorten(pause)
    }

    /// The pause after one more dial in vain.
    pub(crate) fn after_failed_dial(&mut self, jitter: &mut Jitter) -> Duration {
        let pause = doubled(self.dials_failed).min(self.dial_pause_max);
        self.dials_failed = self.dials_failed.saturating_add(1);
        jitter.shorten(pause)
    }

    /// The pause before the first dial after a session was lost without an error.
    pub(crate) fn after_loss(&self, jitter: &mut Jitter) -> Duration {
        jitter.shorten(FIRST.min(self.dial_pause_max))
    }

    /// The session is up.
    pub(crate) fn on_established(&mut self) {
        self.dials_failed = 0;
    }

    /// A session ended that lived longer than its hold time: former errors are forgiven.
    pub(crate) fn forgive(&mut self) {
        self.errors = 0;
    }

    /// How often we dialed in vain since the last session.
    pub(crate) fn dials_failed(&self) -> u32 {
        self.dials_failed
    }
}

fn doubled(times: u32) -> Duration {
    FIRST * 2u32.pow(times.min(DOUBLINGS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_about(pause: Duration, secs: u64) -> bool {
        pause > Duration::from_secs(secs).mul_f64(0.75) && pause <= Duration::from_secs(secs)
    }

    #[test]
    fn errors_double_the_idle_hold_time_up_to_a_minute() {
        let (mut backoff, mut jitter) = (Backoff::new(Duration::from_secs(5)), Jitter::new(7));
        for secs in [1, 2, 4, 8, 16, 32, 60, 60] {
            let pause = backoff.after_error(&mut jitter);
            assert!(is_about(pause, secs), "{pause:?} is not about {secs} s");
        }
        backoff.forgive();
        assert!(is_about(backoff.after_error(&mut jitter), 1), "forgiven");
    }

    #[test]
    fn failed_dials_pause_up_to_the_configured_time_and_count_as_no_error() {
        let (mut backoff, mut jitter) = (Backoff::new(Duration::from_secs(5)), Jitter::new(7));
        for secs in [1, 2, 4, 5, 5] {
            let pause = backoff.after_failed_dial(&mut jitter);
            assert!(is_about(pause, secs), "{pause:?} is not about {secs} s");
        }
        assert!(is_about(backoff.after_error(&mut jitter), 1), "dials do not count");
        assert_eq!(backoff.dials_failed(), 5);
        backoff.on_established();
        assert!(is_about(backoff.after_failed_dial(&mut jitter), 1), "reset by a session");
    }
}
