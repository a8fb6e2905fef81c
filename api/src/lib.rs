//! The words that all crates share; this crate decides nothing.
//!
//! - one module per custom resource of group [`GROUP`], version [`VERSION`];
//! - [`selector`]: the selector language of `nodeSelector` fields;
//! - [`names`]: constants fixed for good (table, protocol number, sockets, labels);
//! - [`server`]: where the API server is, as the configuration says it;
//! - [`control`]: what `tortiectl` and the daemon say to each other.

#![allow(unreachable_pub, reason = "the schema derive copies each struct into a private scope")]

pub mod bgp_configuration;
pub mod bgp_peer;
pub mod condition;
pub mod control;
pub mod crds;
pub mod ip_block;
pub mod ip_pool;
pub mod names;
pub mod node_network;
pub mod node_report;
pub mod prefix;
pub mod selector;
pub mod server;

pub use bgp_configuration::{BGPConfiguration, BGPConfigurationSpec};
pub use bgp_peer::{BGPPeer, BGPPeerSpec};
pub use condition::Condition;
pub use ip_block::{IPBlock, IPBlockSpec, IPBlockStatus};
pub use ip_pool::{IPPool, IPPoolSpec, IPPoolStatus};
pub use node_network::{NodeNetwork, NodeNetworkSpec, NodeNetworkStatus};
pub use node_report::{NodeReport, NodeReportSpec, NodeReportStatus};

/// The API group of every custom resource.
pub const GROUP: &str = "tortie.dev";

/// The one version that is served and stored.
pub const VERSION: &str = "v1alpha1";
