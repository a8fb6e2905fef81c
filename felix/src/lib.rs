//! Objects to model to program to plan to kernel: routes and nftables policy of one node.
//!
//! ```text
//! ingest -> model -> compile -> program -> reconcile -> kernel
//! ```
//!
//! Everything but `kernel` is pure: values in, values out. `kernel` needs the feature `io`.

pub mod compile;
pub mod explain;
pub mod ingest;
#[cfg(feature = "io")]
pub mod kernel;
pub mod model;
pub mod program;
pub mod reconcile;
