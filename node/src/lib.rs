//! The daemon: composition and nothing else.
//!
//! ```text
//! watch ──> routing      Node, BGPConfiguration, BGPPeer -> config -> bgp speaker -> felix route writer
//! watch ──> policy       Pod, Namespace, NetworkPolicy, IPPool, IPBlock -> felix compiler -> felix nft writer
//! watch ──> attachments  own Pods, own IPBlocks, IPPools -> ipam local; CNI requests -> felix endpoint
//! ```
//! Each of the three is a compartment with threads of its own; what they tell each other is in [`shared`].

pub mod addresses;
pub mod args;
pub mod attachments;
pub mod bgp_status;
pub mod client;
pub mod compartment;
pub mod config;
pub mod control;
pub mod control_socket;
pub mod daemon;
pub mod host;
pub mod http;
pub mod install;
pub mod learned;
pub mod logging;
pub mod node_ready;
mod own_object;
pub mod policy;
pub mod report;
pub mod router;
pub mod routing;
mod session_events;
pub mod shared;
pub mod snapshot;
pub mod watch;
