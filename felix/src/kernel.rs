//! The only part of this crate that talks to the kernel: netlink sockets and `/proc/sys`.
//!
//! Every module takes a value that a core made, and gives back facts or errors; it decides
//! nothing that a core could decide.

pub mod address;
pub mod conntrack;
pub mod endpoint;
pub mod link;
pub mod monitor;
pub mod neighbour;
pub mod nft;
pub mod route;
pub mod route_writer;
pub mod socket;
pub mod sysctl;
pub mod uplink;
mod wake;
