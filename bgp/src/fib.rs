//! Best paths to changes of the forwarding table: only what differs from what was last said.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::wire::Family;

#[cfg(test)]
mod tests;

/// Where packets go next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FibNextHop {
    /// The router to hand packets to.
    pub gateway: IpAddr,
    /// The interface that it is on, where its address does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// The new content of one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteChange {
    /// The destination.
    pub prefix: IpNetwork,
    /// All its next hops, to be used alike; empty: the route is gone.
    pub next_hops: BTreeSet<FibNextHop>,
}

/// What the forwarding table shall hold, and what was said of it.
///
/// For a held family only `desired` moves: after a restart the kernel still has the
/// routes of the former process, and none of them may shrink before every peer has
/// told all that it knows (RFC 4724 section 4.1).
#[derive(Debug, Default)]
pub(crate) struct Fib {
    desired: BTreeMap<IpNetwork, BTreeSet<FibNextHop>>,
    told: BTreeMap<IpNetwork, BTreeSet<FibNextHop>>,
    held: BTreeSet<Family>,
}

impl Fib {
    /// An empty table that says nothing about these families until released.
    pub(crate) fn holding(held: impl IntoIterator<Item = Family>) -> Self {
        Self { held: held.into_iter().collect(), ..Self::default() }
    }

    /// The change to pass on now that the prefix has these next hops; none if there is nothing to say.
    pub(crate) fn set(&mut self, prefix: IpNetwork, next_hops: BTreeSet<FibNextHop>) -> Option<RouteChange> {
        if next_hops.is_empty() {
            self.desired.remove(&prefix);
        } else {
            self.desired.insert(prefix, next_hops);
        }
        if self.held.contains(&Family::of(&prefix)) { None } else { self.tell(prefix) }
    }

    /// Everything that was held back; from now on nothing is.
    pub(crate) fn release(&mut self) -> Vec<RouteChange> {
        self.held.clear();
        let prefixes: BTreeSet<IpNetwork> = self.desired.keys().chain(self.told.keys()).copied().collect();
        prefixes.into_iter().filter_map(|prefix| self.tell(prefix)).collect()
    }

    fn tell(&mut self, prefix: IpNetwork) -> Option<RouteChange> {
        if self.desired.get(&prefix) == self.told.get(&prefix) {
            return None;
        }
        let next_hops = self.desired.get(&prefix).cloned().unwrap_or_default();
        if next_hops.is_empty() {
            self.told.remove(&prefix);
        } else {
            self.told.insert(prefix, next_hops.clone());
        }
        Some(RouteChange { prefix, next_hops })
    }
}
