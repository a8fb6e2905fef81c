//! NetworkPolicy by real packets: whole clusters, expected results written by hand.
//!
//! Needs root, and `tortie-node`, `tortie-ipam`, `tortie-cni`, `tortie-bgp` built beside the lab.

mod cast;
mod scenarios;
mod table;
