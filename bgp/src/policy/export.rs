//! What a best path becomes on its way to a neighbor (RFC 4271 sections 5 and 9.2, RFC 1997).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnetwork::IpNetwork;

use crate::config::ExportPolicy;
use crate::rib::{Path, Source};
use crate::wire::{Attributes, Community, Encoding, Family, NextHop};

/// All that an exported route and its bytes depend on beside the path itself.
///
/// It is the key of an update group and the only argument of [`export`] beside the path:
/// what export needs must stand here, so nothing can be missing from the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExportContext {
    /// Our AS.
    pub(crate) asn: u32,
    /// Whether the neighbors are in another AS.
    pub(crate) is_ebgp: bool,
    /// What they are told.
    pub(crate) policy: ExportPolicy,
    /// The families in use.
    pub(crate) families: Vec<Family>,
    /// Our address as next hop of IPv4 routes; without one they are not told.
    pub(crate) next_hop_ipv4: Option<Ipv4Addr>,
    /// Our address as next hop of IPv6 routes; without one they are not told.
    pub(crate) next_hop_ipv6: Option<Ipv6Addr>,
    /// How messages are written.
    pub(crate) encoding: Encoding,
}

/// A path as it is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    /// Its next hop.
    pub(crate) next_hop: NextHop,
    /// Its attributes.
    pub(crate) attributes: Arc<Attributes>,
}

impl ExportContext {
    /// Our address as next hop of this family's routes.
    pub(crate) fn own_next_hop(&self, family: Family) -> Option<NextHop> {
        match family {
            Family::Ipv4Unicast => self.next_hop_ipv4.map(|address| NextHop::new(IpAddr::V4(address))),
            Family::Ipv6Unicast => self.next_hop_ipv6.map(|address| NextHop::new(IpAddr::V6(address))),
        }
    }
}

/// The path as these neighbors are told it; none if they are not.
pub(crate) fn export(context: &ExportContext, prefix: &IpNetwork, path: &Path) -> Option<Route> {
    let family = Family::of(prefix);
    if !context.families.contains(&family) || !may_hear(context, path) {
        return None;
    }
    // A route keeps its next hop within the AS and gets ours at the border (RFC 4271 section 5.1.3).
    let next_hop = match (&path.source, path.next_hop) {
        (Source::Peer(_), Some(next_hop)) if !context.is_ebgp => next_hop,
        _ => context.own_next_hop(family)?,
    };
    let attributes = if context.is_ebgp { to_external(context, path) } else { to_internal(path) };
    Some(Route { next_hop, attributes })
}

fn may_hear(context: &ExportContext, path: &Path) -> bool {
    let is_allowed = match &path.source {
        Source::Local => true,
        Source::Peer(_) if context.policy == ExportPolicy::OriginatedOnly => false,
        // What one internal neighbor said, another has heard from it itself (RFC 4271 section 9.2).
        Source::Peer(source) => source.is_ebgp || context.is_ebgp,
    };
    let communities = &path.attributes.communities;
    let stays_inside = [Community::NO_EXPORT, Community::NO_EXPORT_SUBCONFED];
    is_allowed
        && !communities.contains(&Community::NO_ADVERTISE)
        && !(context.is_ebgp && stays_inside.iter().any(|community| communities.contains(community)))
}

fn to_external(context: &ExportContext, path: &Path) -> Arc<Attributes> {
    let mut attributes = (*path.attributes).clone();
    attributes.as_path = attributes.as_path.prepended(context.asn, 1);
    attributes.local_pref = None;
    attributes.originator_id = None;
    attributes.cluster_list = Vec::new();
    attributes.extended_communities.retain(|community| community.is_transitive());
    if path.source != Source::Local {
        // A MED is a word between two neighboring ASes (RFC 4271 section 5.1.4).
        attributes.med = None;
    }
    Arc::new(attributes)
}

fn to_internal(path: &Path) -> Arc<Attributes> {
    if path.attributes.local_pref.is_some() {
        return Arc::clone(&path.attributes);
    }
    let mut attributes = (*path.attributes).clone();
    attributes.local_pref = Some(path.local_pref());
    Arc::new(attributes)
}
