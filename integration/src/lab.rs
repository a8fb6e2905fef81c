//! Whole clusters on one machine, in network namespaces that end with their supervisor.
//!
//! ```text
//! topology (values) -> fabric (spaces, cables) -> routers, nodes -> kubelet -> pods -> probe
//!                                     all processes <- process (one parent thread)
//! ```

pub mod directory;
mod fabric;
pub mod hold;
mod link;
pub mod netns;
mod prober;
mod process;
pub mod programs;
pub mod router_config;
mod space;
pub mod topology;
pub mod underlay;
pub mod user;
