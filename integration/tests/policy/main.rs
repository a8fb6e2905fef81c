//! NetworkPolicy by real packets: whole clusters, expected results written by hand.
//!
//! Needs root, and `tortie-node`, `tortie-ipam`, `tortie-cni`, `tortie-bgp` built beside the lab.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests panic, tell what they measured, and measure real packets"
)]

mod cast;
mod changes;
mod daemon;
mod faults;
mod first_packet;
mod packets;
mod path_mtu;
mod reuse;
mod scenarios;
mod spoofing;
mod table;
