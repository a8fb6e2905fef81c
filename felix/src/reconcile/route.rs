//! (desired routes, observed routes) -> the few writes that make them equal.
//!
//! Only routes of our protocol and of a source's own metric are ever "observed", so nothing
//! here can name a foreign route. A route that nobody asked for is swept only once its source
//! has said that it asked for everything ([`DesiredRoutes::mark_in_sync`]).

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;
use serde::Serialize;

use crate::model::route::{NextHop, RouteSource, RouteTarget};

/// What makes one route of ours different from every other: its source (hence its metric) and
/// its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RouteKey {
    /// Who asked for it.
    pub source: RouteSource,
    /// Its destination, host bits zero.
    pub prefix: IpNetwork,
}

/// Our routes as the kernel has them. A shape that [`RouteTarget`] cannot express, such as
/// unequal weights, is `Via` of nothing: it equals no desired route.
pub type ObservedRoutes = BTreeMap<RouteKey, RouteTarget>;

/// One write to the kernel's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteOp {
    /// Create; must fail if anybody's route has this prefix and metric.
    Add(RouteKey, RouteTarget),
    /// Put in the place of the route of ours that was observed there.
    Replace(RouteKey, RouteTarget),
    /// Remove ours.
    Remove(RouteKey),
}

impl RouteOp {
    /// The route that is written.
    pub fn key(&self) -> &RouteKey {
        match self {
            Self::Add(key, _) | Self::Replace(key, _) | Self::Remove(key) => key,
        }
    }
}

/// What all sources asked for. Its value depends on the last request per route alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredRoutes {
    /// `None`: asked to be absent, while its source is not yet in sync.
    routes: BTreeMap<RouteKey, Option<RouteTarget>>,
    in_sync: BTreeSet<RouteSource>,
}

impl DesiredRoutes {
    /// Asks for a route, or for its absence (`None`, or `Via` of nothing).
    pub fn set(&mut self, key: RouteKey, target: Option<RouteTarget>) {
        let target = target.filter(|target| !is_nowhere(target));
        if target.is_none() && self.in_sync.contains(&key.source) {
            self.routes.remove(&key);
        } else {
            self.routes.insert(key, target);
        }
    }

    /// From now on a route of this source that was not asked for is left over from before.
    pub fn mark_in_sync(&mut self, source: RouteSource) {
        self.in_sync.insert(source);
        self.routes.retain(|key, target| key.source != source || target.is_some());
    }

    /// True once this source has asked for everything that it wants.
    pub fn is_in_sync(&self, source: RouteSource) -> bool {
        self.in_sync.contains(&source)
    }

    /// What this route should lead to, if it was asked for.
    pub fn target(&self, key: &RouteKey) -> Option<&RouteTarget> {
        self.routes.get(key).and_then(Option::as_ref)
    }

    /// How many routes of this source were asked for.
    pub fn count(&self, source: RouteSource) -> usize {
        self.routes.iter().filter(|(key, target)| key.source == source && target.is_some()).count()
    }

    fn may_remove(&self, key: &RouteKey) -> bool {
        match self.routes.get(key) {
            Some(target) => target.is_none(),
            None => self.in_sync.contains(&key.source),
        }
    }
}

/// Everything that turns `observed` into `desired`; removals last, so that traffic which has a
/// route before and after has one meanwhile.
pub fn plan(desired: &DesiredRoutes, observed: &ObservedRoutes) -> Vec<RouteOp> {
    let keys: BTreeSet<&RouteKey> = desired.routes.keys().chain(observed.keys()).collect();
    plan_keys(desired, observed, keys)
}

/// As [`plan`], for these routes alone: its cost is that of the change.
pub fn plan_keys<'a>(
    desired: &DesiredRoutes,
    observed: &ObservedRoutes,
    keys: impl IntoIterator<Item = &'a RouteKey>,
) -> Vec<RouteOp> {
    let mut writes = Vec::new();
    let mut removals = Vec::new();
    for key in keys {
        match (desired.target(key), observed.get(key)) {
            (Some(target), None) => writes.push(RouteOp::Add(*key, target.clone())),
            (Some(target), Some(actual)) if !is_satisfied(target, actual) => {
                writes.push(RouteOp::Replace(*key, target.clone()));
            }
            (None, Some(_)) if desired.may_remove(key) => removals.push(RouteOp::Remove(*key)),
            _ => {}
        }
    }
    writes.append(&mut removals);
    writes
}

/// True if the kernel's route is what was asked for. A next hop that names no interface is
/// satisfied by whichever the kernel chose.
pub fn is_satisfied(desired: &RouteTarget, actual: &RouteTarget) -> bool {
    match (desired, actual) {
        (RouteTarget::Via(wanted), RouteTarget::Via(there)) => are_hops_satisfied(wanted, there),
        _ => desired == actual,
    }
}

fn are_hops_satisfied(wanted: &BTreeSet<NextHop>, there: &BTreeSet<NextHop>) -> bool {
    if wanted.is_empty() || wanted.len() != there.len() {
        return false;
    }
    let mut rest: Vec<&NextHop> = there.iter().filter(|hop| !wanted.contains(*hop)).collect();
    wanted.iter().filter(|hop| !there.contains(*hop)).all(|hop| {
        let found = rest.iter().position(|other| hop.interface.is_none() && other.gateway == hop.gateway);
        found.map(|place| rest.swap_remove(place)).is_some()
    })
}

fn is_nowhere(target: &RouteTarget) -> bool {
    matches!(target, RouteTarget::Via(hops) if hops.is_empty())
}

#[cfg(test)]
mod tests;
