//! The snapshot for people and metrics: sessions and routes, each with the reason it is as it is.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::bfd;
use crate::fib::FibNextHop;
use crate::wire::{Community, ExtendedCommunity, Family, LargeCommunity, Origin, RouterId};

/// The whole speaker at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpeakerStatus {
    /// Our AS.
    pub asn: u32,
    /// Our BGP Identifier.
    pub router_id: RouterId,
    /// How far we are after our own start.
    pub restart: RestartStatus,
    /// Prefixes that we originate.
    pub originated: usize,
    /// One for each configured neighbor, by address.
    pub neighbors: Vec<NeighborStatus>,
}

/// How far the speaker is after its own start (RFC 4724 section 4.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "phase")]
pub enum RestartStatus {
    /// The routes of these neighbors are awaited before any are chosen.
    Selecting {
        /// Their names.
        waiting_for: Vec<String>,
        /// When we go on without them, in seconds from now.
        deadline_secs: u64,
    },
    /// Routes are chosen; these neighbors may still tell some before the forwarding table is complete.
    Settling {
        /// Their names.
        waiting_for: Vec<String>,
        /// When we go on without them, in seconds from now.
        deadline_secs: u64,
    },
    /// The forwarding table is complete.
    Done,
}

/// The state of a session, by its names in RFC 4271 section 8.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// Pausing after an error, or stopped.
    Idle,
    /// Dialing.
    Connect,
    /// Waiting for the neighbor to connect, or for the next attempt.
    Active,
    /// Connected; its OPEN is awaited.
    OpenSent,
    /// The OPENs fit; its first KEEPALIVE is awaited.
    OpenConfirm,
    /// Routes are exchanged.
    Established,
}

/// One neighbor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighborStatus {
    /// What people call it.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
    /// Its AS.
    pub remote_asn: u32,
    /// The state of the session.
    pub state: SessionState,
    /// How long it has been in this state, in seconds.
    pub state_secs: u64,
    /// The session's terms, while it is established.
    pub session: Option<SessionStatus>,
    /// Prefix counts; the families in use, or those offered while there is no session.
    pub families: Vec<FamilyStatus>,
    /// What BFD says of the way, if it watches it.
    pub bfd: Option<bfd::State>,
    /// How often an established session ended.
    pub flaps: u64,
    /// How often we dialed in vain since the last session.
    pub dials_failed: u32,
    /// The last NOTIFICATION that we sent.
    pub last_error_sent: Option<ErrorStatus>,
    /// The last NOTIFICATION that we received.
    pub last_error_received: Option<ErrorStatus>,
    /// Why there is no session, or why the last one ended.
    pub last_down: Option<ErrorStatus>,
    /// When we dial next, in seconds from now; none if we do not.
    pub next_dial_secs: Option<u64>,
    /// When its stale routes go, in seconds from now, if it is restarting gracefully.
    pub stale_routes_go_secs: Option<u64>,
}

/// What the two OPENs settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// The neighbor's BGP Identifier.
    pub remote_router_id: RouterId,
    /// Our end of the connection.
    pub local_address: IpAddr,
    /// The hold time in use, in seconds; 0: none.
    pub hold_time_secs: u16,
    /// The interval of our KEEPALIVEs, in seconds; 0: none.
    pub keepalive_secs: u16,
    /// What the neighbor said it can do, in words.
    pub capabilities: Vec<String>,
    /// Whether its routes stay when it restarts (RFC 4724).
    pub graceful_restart: bool,
}

/// Counts of one family of a session, in prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyStatus {
    /// The family.
    pub family: Family,
    /// Received and not withdrawn since, stale ones included.
    pub received: usize,
    /// Of these, fit for the decision.
    pub accepted: usize,
    /// Of those received, left from before the neighbor's restart.
    pub stale: usize,
    /// Told to the neighbor.
    pub advertised: usize,
}

/// An error and its age.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorStatus {
    /// What it was, in words.
    pub reason: String,
    /// How long ago, in seconds.
    pub age_secs: u64,
}

/// One prefix with all its paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// The destination.
    pub prefix: IpNetwork,
    /// What the forwarding table shall hold; empty if the prefix is our own or has no usable path.
    pub next_hops: BTreeSet<FibNextHop>,
    /// All paths; the best comes first, the others by neighbor.
    pub paths: Vec<PathStatus>,
}

/// One path of a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStatus {
    /// From whom it is.
    pub from: PathFrom,
    /// What the decision said.
    pub verdict: PathVerdict,
    /// Its next hop; none if it is our own.
    pub next_hop: Option<IpAddr>,
    /// `ORIGIN`.
    pub origin: Origin,
    /// `AS_PATH` in text; empty within our AS.
    pub as_path: String,
    /// `LOCAL_PREF`.
    pub local_pref: Option<u32>,
    /// `MULTI_EXIT_DISC`.
    pub med: Option<u32>,
    /// Communities.
    pub communities: Vec<Community>,
    /// Extended communities.
    pub extended_communities: Vec<ExtendedCommunity>,
    /// Large communities.
    pub large_communities: Vec<LargeCommunity>,
    /// Whether it is left from before the neighbor's restart.
    pub is_stale: bool,
}

/// From whom a path is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathFrom {
    /// We originate it.
    Local,
    /// A neighbor told it.
    Neighbor {
        /// The neighbor's name.
        name: String,
        /// The neighbor's address.
        address: IpAddr,
    },
}

/// What the decision said about a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "reason")]
pub enum PathVerdict {
    /// Chosen; told to others.
    Best,
    /// As good as the best: its next hop is used too.
    Multipath,
    /// Lost at this step of the decision, such as `as-path-length`.
    Lost(String),
    /// Not fit for the decision, in words.
    Rejected(String),
    /// Not yet decided: we have just started and are still collecting paths.
    Pending,
}
