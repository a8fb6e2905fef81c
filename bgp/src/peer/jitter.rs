//! Jitter from a seed: timers of many speakers must not fire together (RFC 4271 section 10).

use std::time::Duration;

/// A small generator (the splitmix64 step): good enough to spread timers, and reproducible.
#[derive(Clone, Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    /// The generator of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another generator, which does not repeat this one.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// The duration times a factor from 0.75 to 1.
    pub(crate) fn shorten(&mut self, duration: Duration) -> Duration {
        let parts = u32::try_from(self.next() >> 48).unwrap_or(0);
        duration.mul_f64(1.0 - f64::from(parts) / 65536.0 / 4.0)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_shortened_by_at_most_a_quarter_and_spread() {
        let mut jitter = Jitter::new(1);
        let full = Duration::from_secs(100);
        let drawn: Vec<Duration> = (0..1000).map(|_| jitter.shorten(full)).collect();
        assert!(drawn.iter().all(|duration| *duration > Duration::from_secs(75) && *duration <= full));
        assert!(drawn.iter().any(|duration| *duration < Duration::from_secs(80)));
        assert!(drawn.iter().any(|duration| *duration > Duration::from_secs(95)));
    }
}
