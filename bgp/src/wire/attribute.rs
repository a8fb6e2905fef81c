//! Path attributes: what a route says about itself, beside prefix and next hop.

mod decode;
mod encode;
mod kind;
mod raw;
mod value;

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(super) use decode::Draft;
pub(super) use encode::{MP_FLAGS, encode, put_attribute};
pub(super) use kind::code;
pub(super) use raw::RawAttribute;
pub(super) use value::is_ipv4_host;

use super::{AsPath, Community, ExtendedCommunity, LargeCommunity, RouterId};

/// How a route came into BGP; earlier is preferred (RFC 4271 section 5.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Inside the originating AS.
    Igp,
    /// By the protocol that came before BGP.
    Egp,
    /// By other means.
    Incomplete,
}

/// Who aggregated a route (RFC 4271 section 5.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aggregator {
    /// Its AS.
    pub asn: u32,
    /// Its BGP Identifier, 0 included: some speakers send that.
    pub router_id: u32,
}

/// An attribute that we do not know but pass on as it is, as RFC 4271 section 5 asks.
///
/// Only optional transitive ones are kept; Partial is set when it is sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnknownAttribute {
    /// Its type code.
    pub code: u8,
    /// Its value, byte for byte.
    pub value: Bytes,
}

/// The path attributes of a route. Equal attributes are equal values, so that they can be interned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attributes {
    /// `ORIGIN`.
    pub origin: Origin,
    /// `AS_PATH`, with `AS4_PATH` merged in (RFC 6793 section 4.2.3).
    pub as_path: AsPath,
    /// `MULTI_EXIT_DISC`: lower is preferred among paths from one neighbouring AS.
    pub med: Option<u32>,
    /// `LOCAL_PREF`: higher is preferred; within an AS only.
    pub local_pref: Option<u32>,
    /// `ATOMIC_AGGREGATE`: the path may leave ASes out.
    pub atomic_aggregate: bool,
    /// `AGGREGATOR`, with `AS4_AGGREGATOR` merged in.
    pub aggregator: Option<Aggregator>,
    /// `COMMUNITIES`, sorted, without duplicates.
    pub communities: Vec<Community>,
    /// `EXTENDED COMMUNITIES`, sorted, without duplicates.
    pub extended_communities: Vec<ExtendedCommunity>,
    /// `LARGE_COMMUNITY`, sorted, without duplicates.
    pub large_communities: Vec<LargeCommunity>,
    /// `ORIGINATOR_ID`: who brought the route into the AS, set by a route reflector.
    pub originator_id: Option<RouterId>,
    /// `CLUSTER_LIST`: the clusters that reflected the route, the latest first.
    pub cluster_list: Vec<u32>,
    /// Transitive attributes that we do not know, by ascending code.
    pub unknown: Vec<UnknownAttribute>,
}

impl Attributes {
    /// Attributes with only the two that must be there.
    pub fn new(origin: Origin, as_path: AsPath) -> Self {
        Self {
            origin,
            as_path,
            med: None,
            local_pref: None,
            atomic_aggregate: false,
            aggregator: None,
            communities: Vec::new(),
            extended_communities: Vec::new(),
            large_communities: Vec::new(),
            originator_id: None,
            cluster_list: Vec::new(),
            unknown: Vec::new(),
        }
    }
}

/// What was done about a malformed attribute (RFC 7606 section 2), the milder first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultAction {
    /// The attribute was left out; the routes were kept.
    Discard,
    /// The routes of the message were treated as withdrawn.
    Withdraw,
}

/// One thing that was wrong in an UPDATE without ending the session, for logs and counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeFault {
    /// The attribute's type code; none if the fault is in the list of attributes itself.
    pub attribute: Option<u8>,
    /// What was done.
    pub action: FaultAction,
    /// What was wrong.
    pub reason: &'static str,
}

impl fmt::Display for AttributeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attribute {
            Some(code) => write!(f, "attribute {code}: {}", self.reason),
            None => write!(f, "path attributes: {}", self.reason),
        }
    }
}
