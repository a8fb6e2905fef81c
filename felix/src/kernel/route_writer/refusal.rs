//! What follows when the kernel refuses a route: wait, try again, or write what is possible.

use std::collections::BTreeSet;

use crate::kernel::socket::Refusal;
use crate::model::route::{NextHop, RouteTarget};
use crate::reconcile::route::{RouteKey, RouteOp, is_satisfied};

/// Why one write did not happen, by what follows from it.
pub(super) enum Fault {
    /// What the route needs is not there, such as a gateway on link or an interface that is up:
    /// an event will tell when it is.
    Unresolvable(String),
    /// Somebody's route has this prefix and metric.
    Occupied(String),
    /// It passes by itself, without an event, such as a lack of memory: worth trying again soon.
    Passing(String),
}

impl Fault {
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Unresolvable(reason) | Self::Occupied(reason) | Self::Passing(reason) => reason,
        }
    }
}

/// What a refusal means for this write; success if what it wanted is so already.
pub(super) fn judge(op: &RouteOp, outcome: Result<(), Refusal>) -> Result<(), Fault> {
    let Err(refusal) = outcome else { return Ok(()) };
    let reason = refusal.to_string();
    match (op, refusal.errno) {
        // Gone already, with its interface or by another hand.
        (RouteOp::Remove(_), libc::ESRCH | libc::ENOENT | libc::ENODEV) => Ok(()),
        (RouteOp::Add(..), libc::EEXIST) => {
            Err(Fault::Occupied("another route has this prefix and metric; it is not ours to replace".into()))
        }
        (_, libc::ENOMEM | libc::ENOBUFS | libc::EAGAIN | libc::EBUSY | libc::EINTR) => {
            Err(Fault::Passing(reason))
        }
        // ENETUNREACH, ENETDOWN, ENODEV, EINVAL; EACCES where IPv6 is switched off, and the like.
        _ => Err(Fault::Unresolvable(reason)),
    }
}

/// The usable part of the next hops; if there is none, absence: traffic must not go on to a
/// next hop that was withdrawn.
pub(super) fn second_choice(
    key: RouteKey,
    refused: &RouteTarget,
    usable: BTreeSet<NextHop>,
    observed: Option<&RouteTarget>,
) -> Option<RouteOp> {
    let usable = RouteTarget::Via(usable);
    let is_some = usable != RouteTarget::Via(BTreeSet::new()) && usable != *refused;
    match observed {
        Some(actual) if is_some => (!is_satisfied(&usable, actual)).then_some(RouteOp::Replace(key, usable)),
        Some(actual) if is_part(actual, refused) => None,
        Some(_) => Some(RouteOp::Remove(key)),
        None => is_some.then_some(RouteOp::Add(key, usable)),
    }
}

/// True if all next hops that are there are among those that are wanted.
fn is_part(actual: &RouteTarget, wanted: &RouteTarget) -> bool {
    let (RouteTarget::Via(actual), RouteTarget::Via(wanted)) = (actual, wanted) else { return false };
    let is_wanted = |hop: &NextHop| {
        let is_same = |other: &&NextHop| {
            other.gateway == hop.gateway && (other.interface.is_none() || other.interface == hop.interface)
        };
        wanted.iter().any(|other| is_same(&other))
    };
    !actual.is_empty() && actual.iter().all(is_wanted)
}

#[cfg(test)]
mod tests;
