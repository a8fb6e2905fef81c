//! Routes as the rest of Tortie speaks of them: a prefix, where it leads, and who asked for it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// One gateway of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NextHop {
    /// The neighbour's address; may be of the other family (RFC 8950: IPv4 by an IPv6 gateway).
    pub gateway: IpAddr,
    /// The interface that leads to it. A link-local gateway needs it; for others the kernel
    /// finds it.
    pub interface: Option<String>,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteTarget {
    /// To these gateways, flows shared evenly between them. Never empty in a desired route.
    Via(BTreeSet<NextHop>),
    /// To whoever is on this interface: the host's end of a pod's pair.
    Link {
        /// Name of the interface.
        interface: String,
    },
    /// Nowhere: addresses of a local block that no pod has.
    Blackhole,
}

/// Who asked for a route. Each source has a metric of its own in the kernel and may replace
/// only its own routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteSource {
    /// Pods and blocks of this node; first, because a pod waits for its route.
    Local,
    /// Learnt from a BGP neighbour.
    Bgp,
}

impl RouteSource {
    /// Both sources.
    pub const ALL: [Self; 2] = [Self::Local, Self::Bgp];
}

/// How the kernel's routes are known to be ours: one protocol number, one metric per source.
///
/// The kernel's key is prefix and metric, not protocol; metrics that nobody else uses keep a
/// replacement from hitting somebody's static route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// `rtm_protocol` of all our routes: 84, or 85 for `tortie-bgp`.
    pub protocol: u8,
    /// `RTA_PRIORITY` of routes learnt by BGP; not 0.
    pub bgp_metric: u32,
    /// `RTA_PRIORITY` of local endpoints and blackholes; not 0 and not that of BGP.
    pub local_metric: u32,
}

impl Ownership {
    /// Tortie's node daemon: protocol 84, metrics 8484 and 84.
    pub const NODE: Self = Self { protocol: 84, bgp_metric: 8484, local_metric: 84 };

    /// The stand-alone speaker `tortie-bgp`: protocol 85, metrics 8484 and 84.
    pub const ROUTER: Self = Self { protocol: 85, ..Self::NODE };

    /// The metric under which a source's routes lie in the kernel.
    pub fn metric(&self, source: RouteSource) -> u32 {
        match source {
            RouteSource::Bgp => self.bgp_metric,
            RouteSource::Local => self.local_metric,
        }
    }

    /// Whose route this is, judged by its metric; `None` if no source uses that.
    pub fn source(&self, metric: u32) -> Option<RouteSource> {
        RouteSource::ALL.into_iter().find(|source| self.metric(*source) == metric)
    }
}
