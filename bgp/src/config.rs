//! What the speaker shall be: the desired configuration, checked, and its difference to the former one.
//!
//! The whole configuration is given each time. `diff` says which sessions must reset
//! to obey the new one, and why; all else changes while the sessions stay up.

mod check;
mod diff;
mod max_prefixes;
mod transport;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;
use std::time::Duration;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

pub(crate) use check::is_host_address;
pub use check::{ConfigError, ConfigErrors};
pub(crate) use diff::diff;
pub use diff::{ConfigureReport, SessionReset};
pub use max_prefixes::{MaxPrefixes, MaxPrefixesAction};
pub use transport::{Hold, PASSWORD_BYTES_MAX, Password, Transport};

use crate::bfd::{SessionKey, Timers};
use crate::wire::{Community, Family, LargeCommunity, RouterId};

/// The port that BGP listens on (RFC 4271 section 4.2).
pub const BGP_PORT: u16 = 179;
/// Default of [`SpeakerConfig::hold_time_secs`] (RFC 4271 section 10).
pub const HOLD_TIME_SECS_DEFAULT: u16 = 90;
/// Default of [`SpeakerConfig::multipath_max`]: as many as a node can have ways out (RFC 7938 section 6).
pub const MULTIPATH_MAX_DEFAULT: usize = 64;
/// Default of [`NeighborConfig::connect_retry_secs`].
pub const CONNECT_RETRY_SECS_DEFAULT: u16 = 5;

/// The desired configuration of the whole speaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeakerConfig {
    /// Our AS; not 0 (RFC 7607).
    pub asn: u32,
    /// Our BGP Identifier.
    pub router_id: RouterId,
    /// The hold time that we propose, in seconds: 0 (no keepalives) or at least 3.
    #[serde(default = "hold_time_secs_default")]
    pub hold_time_secs: u16,
    /// Graceful restart in both roles; none switches both off.
    #[serde(default = "graceful_restart_default")]
    pub graceful_restart: Option<GracefulRestartConfig>,
    /// How many next hops a route may have; at least 1.
    #[serde(default = "multipath_max_default")]
    pub multipath_max: usize,
    /// Whether `0.0.0.0/0` and `::/0` are taken from neighbors that do not say it themselves.
    #[serde(default)]
    pub import_default_routes: bool,
    /// Whom to have a session with; addresses and names are unique.
    #[serde(default)]
    pub neighbors: Vec<NeighborConfig>,
}

/// The times of graceful restart (RFC 4724), in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GracefulRestartConfig {
    /// How long we ask peers to keep our routes while we are away, and the most that we grant them; at most 4095.
    pub restart_time_secs: u16,
    /// How long a peer's stale routes stay after its session is back without End-of-RIB.
    pub stale_time_secs: u16,
    /// How long we wait for End-of-RIB of all peers after our own restart.
    pub deferral_time_secs: u16,
}

impl Default for GracefulRestartConfig {
    fn default() -> Self {
        Self { restart_time_secs: 60, stale_time_secs: 180, deferral_time_secs: 60 }
    }
}

/// One session that we want.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighborConfig {
    /// What people call it; in status, events and errors.
    pub name: String,
    /// Where it is; identifies the session.
    pub address: IpAddr,
    /// The port to dial.
    #[serde(default = "port_default")]
    pub port: u16,
    /// Our end of the session; any address of ours if none.
    #[serde(default)]
    pub local_address: Option<IpAddr>,
    /// Its AS; equal to ours makes the session internal.
    pub remote_asn: u32,
    /// Our proposal for this session alone, in seconds; the speaker's if none.
    #[serde(default)]
    pub hold_time_secs: Option<u16>,
    /// The longest pause between two attempts to connect, in seconds; the first pauses are shorter.
    #[serde(default = "connect_retry_secs_default")]
    pub connect_retry_secs: u16,
    /// Whether we only wait for the neighbor to connect.
    #[serde(default)]
    pub passive: bool,
    /// The families that we offer; not empty.
    #[serde(default = "families_default")]
    pub families: Vec<Family>,
    /// Our own IPv4 address, as next hop of IPv4 routes on a session over IPv6.
    #[serde(default)]
    pub next_hop_ipv4: Option<Ipv4Addr>,
    /// Our own IPv6 address, as next hop of IPv6 routes on a session over IPv4.
    #[serde(default)]
    pub next_hop_ipv6: Option<Ipv6Addr>,
    /// What this neighbor is told.
    #[serde(default)]
    pub export: ExportPolicy,
    /// Whether default routes are taken from this neighbor; as the speaker says if none.
    #[serde(default)]
    pub import_default_routes: Option<bool>,
    /// How many hops an external neighbor may be away; 1 if none.
    #[serde(default)]
    pub ebgp_multihop: Option<u8>,
    /// How often our own AS may stand in the path of a route from this neighbor; 0 to 10. One lets sites of one AS learn
    /// each other's routes through another AS.
    #[serde(default)]
    pub allow_as_in: u8,
    /// Whether BFD watches the way to the neighbor, and how often; not if none. Several hops (RFC 5883) for internal
    /// neighbors and by `ebgp_multihop` or `ttl_security_hops`.
    #[serde(default)]
    pub bfd: Option<BfdConfig>,
    /// Within how many hops the neighbor must be, 1 for the same link: what comes from farther away is dropped
    /// (RFC 5082). The neighbor must send with TTL 255, as we then do.
    #[serde(default)]
    pub ttl_security_hops: Option<u8>,
    /// The key that TCP segments are signed with (RFC 2385). Changing it resets nothing: it is given to the
    /// kernel for the running connection too, and the neighbor has the hold time to do likewise.
    #[serde(default, skip_serializing)]
    pub password: Option<Password>,
    /// How many prefixes it may tell; any number if none.
    #[serde(default)]
    pub max_prefixes: Option<MaxPrefixes>,
    /// Keeps the session down, for this reason.
    #[serde(default)]
    pub hold: Option<Hold>,
}

/// How BFD watches the way to a neighbor (RFC 5880).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BfdConfig {
    /// We send no more often, in milliseconds; 10 to 60,000.
    pub transmit_interval_millis: u32,
    /// We ask the neighbor to send no more often, in milliseconds; 10 to 60,000.
    pub receive_interval_millis: u32,
    /// So many intervals of silence end the session; at least 1.
    pub detect_multiplier: u8,
}

impl Default for BfdConfig {
    /// 300 ms, three times: what most routers begin with.
    fn default() -> Self {
        Self { transmit_interval_millis: 300, receive_interval_millis: 300, detect_multiplier: 3 }
    }
}

/// Which of our best routes a neighbor is told, within the rules for internal and external sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportPolicy {
    /// All of them: a router that traffic may pass through.
    #[default]
    All,
    /// Only what we originate: traffic of others never passes through us.
    OriginatedOnly,
}

/// How a route of our own goes out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Origination {
    /// Communities (RFC 1997).
    pub communities: Vec<Community>,
    /// Large communities (RFC 8092).
    pub large_communities: Vec<LargeCommunity>,
    /// `LOCAL_PREF` within our AS; 100 if none.
    pub local_pref: Option<u32>,
    /// `MULTI_EXIT_DISC` for external neighbors.
    pub med: Option<u32>,
}

/// The whole set of routes of our own.
pub type Originations = BTreeMap<IpNetwork, Origination>;

impl SpeakerConfig {
    /// A speaker with the defaults and no neighbor.
    pub fn new(asn: u32, router_id: RouterId) -> Self {
        Self {
            asn,
            router_id,
            hold_time_secs: HOLD_TIME_SECS_DEFAULT,
            graceful_restart: graceful_restart_default(),
            multipath_max: MULTIPATH_MAX_DEFAULT,
            import_default_routes: false,
            neighbors: Vec::new(),
        }
    }
}

impl SpeakerConfig {
    /// The BFD sessions that its neighbors want.
    pub(crate) fn bfd_sessions(&self) -> BTreeMap<SessionKey, Timers> {
        self.neighbors.iter().filter_map(|neighbor| neighbor.bfd_session(self.asn)).collect()
    }
}

impl NeighborConfig {
    fn bfd_session(&self, local_asn: u32) -> Option<(SessionKey, Timers)> {
        let bfd = self.bfd?;
        let millis = |millis: u32| Duration::from_millis(u64::from(millis));
        let timers = Timers {
            min_transmit: millis(bfd.transmit_interval_millis),
            min_receive: millis(bfd.receive_interval_millis),
            multiplier: NonZeroU8::new(bfd.detect_multiplier)?,
        };
        let is_multihop = match self.ttl_security_hops.or(self.ebgp_multihop) {
            Some(hops) => hops > 1,
            None => self.remote_asn == local_asn,
        };
        let key = SessionKey { remote: self.address, local: self.local_address, scope: 0, is_multihop };
        Some((key, timers))
    }

    /// A neighbor with the defaults: both families, everything exported.
    pub fn new(name: impl Into<String>, address: IpAddr, remote_asn: u32) -> Self {
        Self {
            name: name.into(),
            address,
            port: BGP_PORT,
            local_address: None,
            remote_asn,
            hold_time_secs: None,
            connect_retry_secs: CONNECT_RETRY_SECS_DEFAULT,
            passive: false,
            families: families_default(),
            next_hop_ipv4: None,
            next_hop_ipv6: None,
            export: ExportPolicy::All,
            import_default_routes: None,
            ebgp_multihop: None,
            bfd: None,
            ttl_security_hops: None,
            password: None,
            allow_as_in: 0,
            max_prefixes: None,
            hold: None,
        }
    }
}

fn hold_time_secs_default() -> u16 {
    HOLD_TIME_SECS_DEFAULT
}

#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn graceful_restart_default() -> Option<GracefulRestartConfig> {
    Some(GracefulRestartConfig::default())
}

fn multipath_max_default() -> usize {
    MULTIPATH_MAX_DEFAULT
}

fn port_default() -> u16 {
    BGP_PORT
}

fn connect_retry_secs_default() -> u16 {
    CONNECT_RETRY_SECS_DEFAULT
}

fn families_default() -> Vec<Family> {
    Family::ALL.to_vec()
}
