//! Bidirectional Forwarding Detection: whether packets still reach a neighbour, known in a fraction of a second
//! (RFC 5880), over one hop (RFC 5881) or several (RFC 5883).
//!
//! ```text
//! datagram --> packet (parsed) --> table (whose is it?) --> session (state machine) --> datagrams, changes
//! deadlines -----------------------^
//! ```
//!
//! Asynchronous mode alone: no echo, no demand of our own (a neighbour's demand is obeyed), no authentication.
//! All of it but `driver` is pure; the driver runs on a thread of its own, so that a busy RIB never costs a session.

#[cfg(feature = "io")]
pub mod driver;
pub mod packet;
mod session;
mod table;

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use packet::{Diagnostic, State};
pub use session::Change;
pub use table::{Input, Output, SessionStatus, Table};

/// Port of sessions over one hop (RFC 5881 section 4).
pub const SINGLE_HOP_PORT: u16 = 3784;
/// Port of sessions over several hops (RFC 5883 section 5).
pub const MULTIHOP_PORT: u16 = 4784;
/// TTL or hop limit of all that is sent; over one hop whatever comes with less was routed (RFC 5881 section 5).
pub const TTL: u8 = 255;
/// While a session is not up nobody sends more often (RFC 5880 section 6.8.3).
pub const SLOW_INTERVAL: Duration = Duration::from_secs(1);

/// With whom, and over which way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionKey {
    /// The neighbour's address.
    pub remote: IpAddr,
    /// Our address; the kernel's choice if none. Needed over several hops.
    pub local: Option<IpAddr>,
    /// Index of the interface of a link-local neighbour; 0 for others.
    pub scope: u32,
    /// Whether routers may lie between (RFC 5883).
    pub is_multihop: bool,
}

/// How often packets are sent and awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// We do not send more often, once the session is up.
    pub min_transmit: Duration,
    /// We ask the neighbour not to send more often.
    pub min_receive: Duration,
    /// So many intervals without a packet end the session.
    pub multiplier: NonZeroU8,
}
