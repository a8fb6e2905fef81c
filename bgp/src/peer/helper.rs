//! The helper's role in graceful restart (RFC 4724 section 4.2, RFC 8538): whose routes stay, and how long.
//!
//! ```text
//! None --loss--> Away --session--> Back --End-of-RIB or stale time--> None
//!                  \--restart time--> None
//! ```

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::config::GracefulRestartConfig;
use crate::fsm::{Down, Negotiated};
use crate::wire::{Family, Notification};

/// The helper of one peer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Helper {
    /// No stale routes.
    #[default]
    None,
    /// The session is away; routes of these families are stale and stay until then.
    Away { families: BTreeSet<Family>, until: Instant },
    /// The session is back; what these families' End-of-RIB has not confirmed goes.
    Back { families: BTreeSet<Family>, until: Instant },
}

/// What becomes of a peer's routes when its session ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Families whose routes stay as stale; the routes of all others go.
    pub(crate) retained: Vec<Family>,
    /// Whether routes that were stale already go too.
    pub(crate) drop_stale: bool,
    /// Whether the neighbor was merely silent: it may be dead, so its routes are used only where no other is left.
    pub(crate) is_silent: bool,
}

impl Helper {
    /// The session ended.
    pub(crate) fn on_loss(
        &mut self,
        now: Instant,
        (terms, down): (&Negotiated, &Down),
        limits: Option<&GracefulRestartConfig>,
    ) -> Loss {
        let former = std::mem::take(self);
        let (Some(limits), true) = (limits, is_restart(terms, down)) else { return Loss::default() };
        let families = retained_families(terms);
        let granted = terms.graceful_restart.as_ref().map_or(0, |restart| restart.restart_time_secs);
        let granted = granted.min(limits.restart_time_secs);
        if families.is_empty() || granted == 0 {
            return Loss::default();
        }
        // A second restart before the first was over: RFC 8538 section 4.2 keeps what is stale,
        // but not longer than before.
        let keeps_stale = terms.notification_restart;
        let until = now + Duration::from_secs(u64::from(granted));
        let until = match former {
            Self::Back { until: former, .. } if keeps_stale => until.min(former),
            _ => until,
        };
        *self = Self::Away { families: families.clone(), until };
        Loss {
            retained: families.into_iter().collect(),
            drop_stale: !keeps_stale,
            is_silent: matches!(down, Down::PathFailed(..))
                || down.notification().is_some_and(is_hold_timer_expired),
        }
    }

    /// The session is up: the families whose stale routes go at once, because the peer did not keep forwarding.
    pub(crate) fn on_established(
        &mut self,
        now: Instant,
        terms: &Negotiated,
        limits: Option<&GracefulRestartConfig>,
    ) -> Vec<Family> {
        let Self::Away { families, .. } = std::mem::take(self) else { return Vec::new() };
        let (kept, gone): (BTreeSet<Family>, BTreeSet<Family>) =
            families.into_iter().partition(|family| limits.is_some() && kept_forwarding(terms, *family));
        if !kept.is_empty() {
            let secs = limits.map_or(0, |limits| limits.stale_time_secs);
            *self = Self::Back { families: kept, until: now + Duration::from_secs(u64::from(secs)) };
        }
        gone.into_iter().collect()
    }

    /// Whether this End-of-RIB ends the wait for the family: what is stale in it goes.
    pub(crate) fn on_end_of_rib(&mut self, family: Family) -> bool {
        let Self::Back { families, .. } = self else { return false };
        let is_awaited = families.remove(&family);
        if families.is_empty() {
            *self = Self::None;
        }
        is_awaited
    }

    /// The families whose stale routes go because the time is over.
    pub(crate) fn on_deadline(&mut self, now: Instant) -> Vec<Family> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        match std::mem::take(self) {
            Self::None => Vec::new(),
            Self::Away { families, .. } | Self::Back { families, .. } => families.into_iter().collect(),
        }
    }

    /// When stale routes go.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::None => None,
            Self::Away { until, .. } | Self::Back { until, .. } => Some(*until),
        }
    }
}

/// Either side heard nothing of the other (RFC 4271 section 6.5).
fn is_hold_timer_expired(notification: &Notification) -> bool {
    const HOLD_TIMER_EXPIRED: u8 = 4;
    notification.code == HOLD_TIMER_EXPIRED
}

/// A closed connection is a restart; a NOTIFICATION only if both sides agreed on it, and never a Hard Reset or one
/// that says that the way failed (RFC 9384). A way that fails together with the peer's control plane may be a restart.
fn is_restart(terms: &Negotiated, down: &Down) -> bool {
    match down {
        Down::Transport(_) => true,
        Down::PathFailed(failure, _) => !failure.is_peer_independent,
        Down::Sent { notification, .. } | Down::Received(notification) => {
            terms.notification_restart && !notification.is_hard_reset() && !notification.is_bfd_down()
        }
    }
}

fn retained_families(terms: &Negotiated) -> BTreeSet<Family> {
    let promised = terms.graceful_restart.iter().flat_map(|restart| &restart.families);
    promised.map(|promise| promise.family).filter(|family| terms.families().contains(family)).collect()
}

fn kept_forwarding(terms: &Negotiated, family: Family) -> bool {
    let mut promised = terms.graceful_restart.iter().flat_map(|restart| &restart.families);
    terms.families().contains(&family)
        && promised.any(|promise| promise.family == family && promise.forwarding)
}

#[cfg(test)]
mod tests;
