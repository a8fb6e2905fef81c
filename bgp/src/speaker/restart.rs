//! Our own start: when routes may be chosen, and when the forwarding table is complete (RFC 4724 section 4.1).
//!
//! ```text
//! Selecting --all that are awaited have told their routes--> Settling --likewise--> Done
//! ```
//!
//! After a restart nothing is chosen before every neighbor that kept running has sent its
//! End-of-RIB; neighbors that restarted themselves are not waited for, since they may be
//! waiting for us. The forwarding table is complete once these have sent theirs too. A
//! neighbor that never comes must not hold up the others: see [`JOIN_TIME`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::RestartMode;
use crate::fsm::Negotiated;
use crate::wire::{Family, GracefulFamily, GracefulRestart};

#[cfg(test)]
mod tests;

/// Neighbors whose sessions come up later than this are not waited for.
const JOIN_TIME: Duration = Duration::from_secs(15);
/// Originations that are not complete by then are sent as they are: peers would drop us soon anyway.
const LOCAL_SOURCES_TIME: Duration = Duration::from_secs(30);
/// How long a neighbor that promises no End-of-RIB has to tell its routes before others are removed.
const QUIET_TIME: Duration = Duration::from_secs(3);

/// How far our own start is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Paths are collected, none is chosen.
    Selecting,
    /// Paths are chosen; the forwarding table may lack some.
    Settling,
    /// Over.
    Done,
}

/// What is awaited of a neighbor.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Awaited {
    /// Its session.
    Session,
    /// Its End-of-RIB of these families; `is_running` says that it kept running while we restarted.
    EndOfRib { families: BTreeSet<Family>, is_running: bool },
    /// It promises no End-of-RIB.
    Quiet { until: Instant },
}

/// Our own start.
#[derive(Debug)]
pub(super) struct Restart {
    phase: Phase,
    is_restarting: bool,
    preserved: Vec<Family>,
    are_local_sources_synced: bool,
    awaited: BTreeMap<IpAddr, Awaited>,
    /// Without any neighbor there may be some soon: the configuration may come in parts.
    had_neighbor: bool,
    join_until: Instant,
    local_until: Instant,
    deferral_until: Instant,
    /// Deadlines until then have had their effect.
    checked_at: Instant,
}

/// A phase has begun, for the reason in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Milestone {
    pub(super) phase: Phase,
    pub(super) reason: String,
}

impl Restart {
    pub(super) fn new(now: Instant, mode: RestartMode, deferral: Duration) -> Self {
        let (phase, preserved) = match mode {
            RestartMode::Fresh => (Phase::Settling, Vec::new()),
            RestartMode::Restarting { preserved_families } => (Phase::Selecting, preserved_families),
        };
        Self {
            phase,
            is_restarting: phase == Phase::Selecting,
            preserved,
            are_local_sources_synced: false,
            awaited: BTreeMap::new(),
            had_neighbor: false,
            join_until: now + JOIN_TIME,
            local_until: now + LOCAL_SOURCES_TIME,
            deferral_until: now + deferral,
            checked_at: now,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// The families whose routes the kernel kept.
    pub(super) fn preserved(&self) -> &[Family] {
        &self.preserved
    }

    /// What our OPEN says now. Once the start is over, a session that comes back finds our forwarding intact.
    pub(super) fn capability(&self, restart_time_secs: u16, families: &[Family]) -> GracefulRestart {
        let kept = |family: &Family| self.phase == Phase::Done || self.preserved.contains(family);
        let promise = |family: &Family| GracefulFamily { family: *family, forwarding: kept(family) };
        GracefulRestart {
            restarting: self.is_restarting && self.phase == Phase::Selecting,
            notification: true,
            restart_time_secs,
            families: families.iter().map(promise).collect(),
        }
    }

    /// Whether End-of-RIB may be sent: all that we have to tell is told.
    pub(super) fn may_end_rib(&self, now: Instant) -> bool {
        self.phase > Phase::Selecting && self.has_local_sources(now)
    }

    pub(super) fn on_local_sources_synced(&mut self) {
        self.are_local_sources_synced = true;
    }

    /// These are the neighbors now.
    pub(super) fn on_neighbors(&mut self, now: Instant, neighbors: &BTreeSet<IpAddr>) {
        self.awaited.retain(|peer, _| neighbors.contains(peer));
        if now < self.join_until {
            for peer in neighbors {
                self.awaited.entry(*peer).or_insert(Awaited::Session);
            }
        }
        self.had_neighbor |= !neighbors.is_empty();
    }

    pub(super) fn on_established(&mut self, now: Instant, peer: IpAddr, terms: &Negotiated) {
        if self.phase == Phase::Done || !self.awaited.contains_key(&peer) {
            return;
        }
        let awaited = match &terms.graceful_restart {
            Some(restart) => Awaited::EndOfRib {
                families: terms.families().iter().copied().collect(),
                is_running: !restart.restarting,
            },
            None => Awaited::Quiet { until: now + QUIET_TIME },
        };
        self.awaited.insert(peer, awaited);
    }

    pub(super) fn on_end_of_rib(&mut self, peer: IpAddr, family: Family) {
        if let Some(Awaited::EndOfRib { families, .. }) = self.awaited.get_mut(&peer) {
            families.remove(&family);
            if families.is_empty() {
                self.awaited.remove(&peer);
            }
        }
    }

    pub(super) fn on_lost(&mut self, now: Instant, peer: IpAddr) {
        if self.awaited.remove(&peer).is_some() && now < self.join_until {
            self.awaited.insert(peer, Awaited::Session);
        }
    }

    /// The phase that begins now; call until there is none.
    pub(super) fn advance(&mut self, now: Instant) -> Option<Milestone> {
        self.checked_at = now;
        let next = match self.phase {
            Phase::Selecting => Phase::Settling,
            Phase::Settling => Phase::Done,
            Phase::Done => return None,
        };
        let is_over = now >= self.deferral_until;
        let is_all_told = self.has_local_sources(now) && self.waiting_for(now).is_empty();
        if !is_over && !is_all_told {
            return None;
        }
        let reason = if is_over {
            "the deferral time is over".to_owned()
        } else {
            "every awaited neighbor has told its routes".to_owned()
        };
        self.phase = next;
        Some(Milestone { phase: next, reason })
    }

    /// The neighbors that hold up the present phase.
    pub(super) fn waiting_for(&self, now: Instant) -> Vec<Option<IpAddr>> {
        let is_selecting = self.phase == Phase::Selecting;
        let holds_up = |awaited: &Awaited| match awaited {
            Awaited::Session => now < self.join_until,
            Awaited::EndOfRib { is_running, .. } => *is_running || !is_selecting,
            Awaited::Quiet { until } => !is_selecting && now < *until,
        };
        let neighbors =
            self.awaited.iter().filter(|(_, awaited)| holds_up(awaited)).map(|(peer, _)| Some(*peer));
        let nobody_yet = (!self.had_neighbor && now < self.join_until).then_some(None);
        neighbors.chain(nobody_yet).collect()
    }

    /// When [`Self::advance`] may change its mind without an event.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.phase == Phase::Done {
            return None;
        }
        let quiet = self.awaited.values().filter_map(|awaited| match awaited {
            Awaited::Quiet { until } => Some(*until),
            Awaited::Session | Awaited::EndOfRib { .. } => None,
        });
        let fixed = [self.join_until, self.local_until, self.deferral_until];
        quiet.chain(fixed).filter(|deadline| *deadline > self.checked_at).min()
    }

    /// When we go on in any case.
    pub(super) fn deferral_until(&self) -> Instant {
        self.deferral_until
    }

    fn has_local_sources(&self, now: Instant) -> bool {
        self.are_local_sources_synced || now >= self.local_until
    }
}
