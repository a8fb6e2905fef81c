//! Which received paths are fit for the decision (RFC 4271 sections 5.1.3, 9.1.2; RFC 4456 section 8).

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::config::is_host_address;
use crate::wire::{Attributes, Family, NextHop, RouterId};

/// All that the import of a path depends on beside the path.
#[derive(Debug)]
pub(crate) struct ImportContext<'a> {
    /// Our AS.
    pub(crate) asn: u32,
    /// Our BGP Identifier; our cluster has the same.
    pub(crate) router_id: RouterId,
    /// Whether `0.0.0.0/0` and `::/0` are taken from this neighbor.
    pub(crate) import_default_routes: bool,
    /// Every address that is known to be ours.
    pub(crate) own_addresses: &'a BTreeSet<IpAddr>,
    /// How often our AS may stand in the path: sites of one AS that are joined by another one.
    pub(crate) own_asns_max: usize,
    /// More prefixes of a family than that are not taken from this neighbor.
    pub(crate) prefixes_max: Option<usize>,
}

/// Why a path is not fit for the decision. It is kept, so that people can see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Rejection {
    AsLoop,
    OriginatorLoop,
    ClusterLoop,
    DefaultRoute,
    NextHopIsOurs,
    NextHopUnusable,
    NextHopOfOtherFamily,
    NextHopLinkLocal,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsLoop => "our own AS is in the AS path (allow_as_in)",
            Self::OriginatorLoop => "we are its originator",
            Self::ClusterLoop => "our own cluster reflected it",
            Self::DefaultRoute => "default routes are not imported (import_default_routes)",
            Self::NextHopIsOurs => "the next hop is our own address",
            Self::NextHopUnusable => "the next hop is no host's address",
            Self::NextHopOfOtherFamily => "the next hop is of the other address family",
            Self::NextHopLinkLocal => "the next hop is link-local and its interface unknown",
        })
    }
}

/// Why the path is not fit; none if it is.
pub(crate) fn import(
    context: &ImportContext<'_>,
    prefix: &IpNetwork,
    (next_hop, attributes): (&NextHop, &Attributes),
) -> Option<Rejection> {
    let loops = [
        (attributes.as_path.occurrences(context.asn) > context.own_asns_max, Rejection::AsLoop),
        (attributes.originator_id == Some(context.router_id), Rejection::OriginatorLoop),
        (attributes.cluster_list.contains(&context.router_id.get()), Rejection::ClusterLoop),
        (prefix.prefix() == 0 && !context.import_default_routes, Rejection::DefaultRoute),
    ];
    let found = loops.into_iter().find(|(is_so, _)| *is_so).map(|(_, rejection)| rejection);
    found.or_else(|| check_next_hop(context, prefix, next_hop.address))
}

fn check_next_hop(context: &ImportContext<'_>, prefix: &IpNetwork, next_hop: IpAddr) -> Option<Rejection> {
    let is_link_local = matches!(next_hop, IpAddr::V6(address) if address.is_unicast_link_local());
    if next_hop.is_ipv4() != (Family::of(prefix) == Family::Ipv4Unicast) {
        Some(Rejection::NextHopOfOtherFamily)
    } else if !is_host_address(next_hop) {
        Some(Rejection::NextHopUnusable)
    } else if is_link_local {
        Some(Rejection::NextHopLinkLocal)
    } else if context.own_addresses.contains(&next_hop) {
        Some(Rejection::NextHopIsOurs)
    } else {
        None
    }
}
