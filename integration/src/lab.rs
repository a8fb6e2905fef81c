//! Whole clusters on one machine, in network namespaces that end with their supervisor.
//!
//! ```text
//! topology (values) -> fabric (spaces, cables) -> routers, nodes -> kubelet -> pods -> probe
//!                                     all processes <- process (one parent thread)
//! ```

mod fabric;
pub mod hold;
mod link;
pub mod netns;
mod process;
pub mod router_config;
mod space;
pub mod topology;
