//! `tortiectl`: what a node's daemon knows, as aligned tables for people and as JSON for scripts.
//!
//! [`args`] says what can be asked, [`client`] asks the daemon, one module per command group makes text of the answer.

pub mod args;
pub mod bgp;
pub mod client;
pub mod duration;
pub mod ipam;
pub mod node;
pub mod policy;
pub mod run;
pub mod table;

#[cfg(test)]
mod tests;
