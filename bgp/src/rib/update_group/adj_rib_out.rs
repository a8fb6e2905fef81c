//! What one neighbor was told.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::delta::Delta;
use crate::policy::Route;
use crate::wire::Family;

/// What one neighbor was told and not told to forget.
#[derive(Debug, Default)]
pub(crate) struct AdjRibOut {
    routes: BTreeMap<IpNetwork, Arc<Route>>,
}

impl AdjRibOut {
    /// The neighbor shall know this of the prefix: adds to `delta` what it must be told for that.
    pub(super) fn set(&mut self, prefix: IpNetwork, route: Option<&Arc<Route>>, delta: &mut Delta) {
        match (self.routes.get(&prefix), route) {
            (None, None) => {}
            (Some(former), Some(route)) if former == route => {}
            (_, Some(route)) => {
                self.routes.insert(prefix, Arc::clone(route));
                delta.announce(prefix, route);
            }
            (Some(_), None) => {
                self.routes.remove(&prefix);
                delta.withdraw(prefix);
            }
        }
    }

    pub(super) fn remove(&mut self, prefix: &IpNetwork) {
        self.routes.remove(prefix);
    }

    pub(super) fn prefixes(&self) -> impl Iterator<Item = &IpNetwork> {
        self.routes.keys()
    }

    pub(crate) fn count(&self, family: Family) -> usize {
        self.routes.keys().filter(|prefix| Family::of(prefix) == family).count()
    }

    /// What the neighbor was told of the prefix.
    pub(crate) fn get(&self, prefix: &IpNetwork) -> Option<&Arc<Route>> {
        self.routes.get(prefix)
    }
}
