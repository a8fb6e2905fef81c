//! The UPDATE message (RFC 4271 section 4.3, RFC 4760) and what it means after RFC 7606.

mod decode;
mod encode;
mod mp;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnetwork::IpNetwork;

pub use encode::{encode_end_of_rib, encode_withdrawn};

use super::{AttributeFault, Attributes, Family};

/// What an UPDATE means.
///
/// Apply `withdrawn` first, then `announced`: a prefix in both is announced.
/// Routes whose attributes were malformed are already in `withdrawn`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Prefixes of both families that the peer no longer reaches.
    pub withdrawn: Vec<IpNetwork>,
    /// New and changed routes: at most one entry of each kind of next hop.
    pub announced: Vec<Announcement>,
    /// The end of the peer's first dump of this family (RFC 4724 section 2).
    pub end_of_rib: Option<Family>,
    /// What was malformed, for logs and counters.
    pub faults: Vec<AttributeFault>,
}

/// Routes that share next hop and attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The family of all the prefixes.
    pub family: Family,
    /// Where to send their packets.
    pub next_hop: NextHop,
    /// What else is known about them.
    pub attributes: Arc<Attributes>,
    /// The prefixes, host bits zero.
    pub prefixes: Vec<IpNetwork>,
}

/// Where to send packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHop {
    /// The address; link-local itself if the peer sent nothing else.
    pub address: IpAddr,
    /// The link-local address beside it, valid on the link that is shared with the peer (RFC 2545 section 3).
    pub link_local: Option<Ipv6Addr>,
}

impl NextHop {
    /// A next hop of one address.
    pub fn new(address: IpAddr) -> Self {
        Self { address, link_local: None }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.link_local {
            Some(link_local) if IpAddr::V6(link_local) != self.address => {
                write!(f, "{} ({link_local})", self.address)
            }
            _ => self.address.fmt(f),
        }
    }
}

/// The attributes leave no room for a single prefix in a message of the peer's greatest length.
///
/// The routes cannot be told to this peer; withdraw them from it (RFC 8654 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the attributes need {needed} octets and the peer takes messages of at most {message_len_max}")]
pub struct AttributesTooLarge {
    /// The length that a message with one prefix would have, in octets.
    pub needed: usize,
    /// The greatest length that the peer takes, in octets.
    pub message_len_max: usize,
}
