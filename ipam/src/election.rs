//! Who of the replicas leads, by a `Lease`: the machine without its requests.
//!
//! ```text
//!            no lease, or nobody holds it, or the holder was silent for the lease's duration
//! Follower ─────────────────────────────────────────────────────────────────────────────▶ Leader
//!    ▲                                                                                      │
//!    └───────────── somebody else holds it, or no renewal succeeded for 10 s ───────────────┘
//! ```
//!
//! Silence is measured by this replica's own clock from the moment it saw the last change, so
//! that clocks need not agree.

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::moment::Moment;

#[cfg(test)]
mod tests;

/// How long a leader may be silent before another replica takes over.
pub const LEASE_MILLIS: u64 = 15_000;

/// How long a leader acts on its last renewal: shorter than [`LEASE_MILLIS`], so that it has
/// stopped when another one begins.
pub const RENEWAL_VALID_MILLIS: u64 = 10_000;

/// How often the lease is read, and renewed by its leader.
pub const RETRY_MILLIS: u64 = 2_000;

/// What to do about the lease now.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write this with the version that was read; success means to lead.
    Write(LeaseSpec),
    /// Somebody else leads.
    Follow,
}

/// One replica in the election.
#[derive(Clone, Debug)]
pub struct Candidate {
    identity: String,
    /// The record of another holder and when this replica saw it first.
    seen: Option<(LeaseSpec, u64)>,
}

impl Candidate {
    /// A replica of this name, which no other one may have.
    pub fn new(identity: impl Into<String>) -> Self {
        Self { identity: identity.into(), seen: None }
    }

    /// What to do about the lease that was read. `ticks` are milliseconds of a clock that never
    /// goes back; `now` is only written for people to read.
    pub fn step(&mut self, ticks: u64, now: Moment, lease: Option<&LeaseSpec>) -> Step {
        let Some(lease) = lease else { return Step::Write(self.record(now, None)) };
        let holder = lease.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == self.identity || self.is_silent(ticks, lease) {
            self.seen = None;
            return Step::Write(self.record(now, Some(lease)));
        }
        Step::Follow
    }

    /// The record of a leader that stops: nobody has to wait for its silence.
    #[must_use]
    pub fn resign(&self, now: Moment, lease: &LeaseSpec) -> Option<LeaseSpec> {
        let is_ours = lease.holder_identity.as_deref() == Some(&self.identity);
        let vacant = || LeaseSpec {
            holder_identity: Some(String::new()),
            renew_time: Some(MicroTime(now.timestamp())),
            ..lease.clone()
        };
        is_ours.then(vacant)
    }

    fn is_silent(&mut self, ticks: u64, lease: &LeaseSpec) -> bool {
        match &self.seen {
            Some((seen, at)) if seen == lease => {
                let seconds = lease.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
                let duration = seconds.map_or(LEASE_MILLIS, |seconds| seconds.saturating_mul(1000));
                ticks.saturating_sub(*at) >= duration
            }
            _ => {
                self.seen = Some((lease.clone(), ticks));
                false
            }
        }
    }

    fn record(&self, now: Moment, previous: Option<&LeaseSpec>) -> LeaseSpec {
        let time = MicroTime(now.timestamp());
        let is_renewal =
            previous.is_some_and(|lease| lease.holder_identity.as_deref() == Some(&self.identity));
        let transitions = previous.and_then(|lease| lease.lease_transitions).unwrap_or(0);
        let acquired = previous.filter(|_| is_renewal).and_then(|lease| lease.acquire_time.clone());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE_MILLIS / 1000).ok(),
            acquire_time: Some(acquired.unwrap_or_else(|| time.clone())),
            renew_time: Some(time),
            lease_transitions: Some(match (previous, is_renewal) {
                (None, _) | (_, true) => transitions,
                (Some(_), false) => transitions.saturating_add(1),
            }),
            ..LeaseSpec::default()
        }
    }
}
