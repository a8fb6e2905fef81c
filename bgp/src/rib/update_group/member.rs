//! One neighbor whose session is up, as a receiver of routes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use ipnetwork::IpNetwork;

use super::Exported;
use super::adj_rib_out::AdjRibOut;
use super::delta::Delta;
use crate::policy::ExportContext;
use crate::speaker::ConnectionId;
use crate::wire::{Family, encode_end_of_rib};

/// One neighbor whose session is up.
#[derive(Debug)]
pub(crate) struct Member {
    pub(super) connection: ConnectionId,
    pub(super) context: Arc<ExportContext>,
    pub(crate) adj_rib_out: AdjRibOut,
    /// Whether the driver's queue is full.
    pub(super) is_congested: bool,
    /// Whether it lacks something that changed before now.
    pub(super) is_behind: bool,
    /// Families to tell anew from the beginning.
    pub(super) refreshes: BTreeSet<Family>,
    /// Families whose End-of-RIB was not sent yet.
    ends_of_rib: BTreeSet<Family>,
}

impl Member {
    pub(super) fn new(connection: ConnectionId, context: ExportContext) -> Self {
        Self {
            connection,
            ends_of_rib: context.families.iter().copied().collect(),
            context: Arc::new(context),
            adj_rib_out: AdjRibOut::default(),
            is_congested: false,
            is_behind: true,
            refreshes: BTreeSet::new(),
        }
    }

    pub(super) fn has_work(&self, is_complete: bool) -> bool {
        self.is_behind || !self.refreshes.is_empty() || (is_complete && !self.ends_of_rib.is_empty())
    }

    /// What it must be told of these prefixes.
    pub(super) fn diff(&mut self, peer: IpAddr, exported: &[Exported<'_>]) -> Delta {
        let mut delta = Delta::default();
        for change in exported {
            self.adj_rib_out.set(change.prefix, change.for_member(peer), &mut delta);
        }
        delta
    }

    /// What it must be told so that it knows exactly these, the whole table.
    pub(super) fn diff_all(&mut self, peer: IpAddr, exported: &[Exported<'_>]) -> Delta {
        let refreshes = std::mem::take(&mut self.refreshes);
        self.is_behind = false;
        let mut delta = self.forgotten(exported);
        for change in exported {
            let route = change.for_member(peer);
            let is_known = self.adj_rib_out.get(&change.prefix) == route;
            self.adj_rib_out.set(change.prefix, route, &mut delta);
            if let Some(route) = route.filter(|_| is_known && refreshes.contains(&Family::of(&change.prefix)))
            {
                delta.announce(change.prefix, route);
            }
        }
        delta
    }

    /// What it was told and is not in the table any more. Both are in the order of prefixes.
    fn forgotten(&mut self, exported: &[Exported<'_>]) -> Delta {
        let is_there =
            |prefix: &IpNetwork| exported.binary_search_by_key(prefix, |change| change.prefix).is_ok();
        let gone: Vec<IpNetwork> =
            self.adj_rib_out.prefixes().filter(|prefix| !is_there(prefix)).copied().collect();
        let mut delta = Delta::default();
        for prefix in gone {
            self.adj_rib_out.set(prefix, None, &mut delta);
        }
        delta
    }

    /// The End-of-RIB markers that are due now, if it has been told everything.
    pub(super) fn take_ends_of_rib(&mut self) -> Vec<Bytes> {
        if self.is_behind {
            return Vec::new();
        }
        std::mem::take(&mut self.ends_of_rib).into_iter().map(encode_end_of_rib).collect()
    }
}
