//! When the writer next compares its routes with the kernel's: soon after an event, never in
//! a storm, and at the latest when the audit is due.

use std::time::{Duration, Instant};

/// How long after an event the table is compared: a link that goes down brings several.
pub(super) const REPAIR_DELAY: Duration = Duration::from_millis(20);

/// Least time between two comparisons, so that a storm of events is not a storm of dumps.
pub(super) const REPAIR_INTERVAL: Duration = Duration::from_millis(250);

/// A comparison takes at most one part in so many of the writer's time.
pub(super) const REPAIR_SHARE: u32 = 4;

/// How long after a failure that no event will announce the end of.
pub(super) const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The floor: what no event told is found after this time.
pub(super) const AUDIT_INTERVAL: Duration = Duration::from_mins(5);

#[derive(Clone, Debug)]
pub(super) struct Schedule {
    due: Instant,
    not_before: Instant,
}

impl Schedule {
    /// Due at once: the first comparison.
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now, not_before: now }
    }

    /// Something happened that may have changed our routes.
    pub(super) fn event(&mut self, now: Instant) {
        self.due = self.due.min((now + REPAIR_DELAY).max(self.not_before));
    }

    /// The owner asked for the whole comparison.
    pub(super) fn at_once(&mut self, now: Instant) {
        self.due = self.due.min(now);
    }

    /// Something failed that may succeed later.
    pub(super) fn retry(&mut self, now: Instant) {
        self.due = self.due.min(now + RETRY_DELAY);
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.due.saturating_duration_since(now)
    }

    /// A comparison that began at `begun` has ended.
    pub(super) fn done(&mut self, begun: Instant, now: Instant) {
        let took = now.saturating_duration_since(begun);
        self.not_before = now + REPAIR_INTERVAL.max(took * REPAIR_SHARE);
        self.due = now + AUDIT_INTERVAL;
    }

    /// A comparison has failed: not again before the retry.
    pub(super) fn failed(&mut self, now: Instant) {
        self.due = now + RETRY_DELAY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_come_soon_but_not_in_storms() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin")]
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let mut schedule = Schedule::new(start);
        assert!(schedule.is_due(start), "the first at once");
        schedule.done(start, at(10));
        assert!(!schedule.is_due(at(299_000)) && schedule.is_due(at(300_010)), "the audit");

        schedule.event(at(100));
        assert_eq!(schedule.wait(at(100)), Duration::from_millis(160), "not within the interval");
        schedule.event(at(250));
        assert!(schedule.is_due(at(260)), "a later event does not put it off");
        schedule.done(at(260), at(360));
        schedule.event(at(361));
        assert_eq!(schedule.wait(at(361)), Duration::from_millis(399), "four times what it took");
        schedule.at_once(at(362));
        assert!(schedule.is_due(at(362)));
        schedule.failed(at(362));
        assert_eq!(schedule.wait(at(362)), RETRY_DELAY);
        schedule.retry(at(400));
        assert_eq!(schedule.wait(at(400)), Duration::from_millis(962), "retry does not put off either");
        schedule.done(at(1362), at(1363));
        schedule.event(at(5000));
        assert_eq!(schedule.wait(at(5000)), REPAIR_DELAY);
    }
}
