//! Pools, as far as NAT asks.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

/// A range that pods' addresses come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// The range.
    pub cidr: IpNetwork,
    /// Whether what its pods send outside all pools bears the node's address.
    pub nat_outgoing: bool,
}
