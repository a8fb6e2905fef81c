//! Pools and nodes to blocks to addresses.
//!
//! ```text
//! pools + nodes + block status ──▶ plan ──▶ IPBlock objects        (the service decides)
//! IPBlock objects + kernel facts ──▶ local ──▶ addresses, status   (the node uses)
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`block`] | one block's addresses: assign, release, cooldown |
//! | [`local`] | the node's side: its blocks, assign by pool, restore from the kernel's facts |
//! | [`view`] | the cluster's objects read into checked values |
//! | [`ledger`] | what the leader remembers: epoch, known blocks, nodes that are gone |
//! | [`mod@plan`] | what to do about the blocks: create, confirm, drain, delete |
//! | [`pool`] | IPPool objects read into checked values |
//! | [`defaults`] | what an empty cluster is set up with |
//! | [`election`] | who of the service's replicas leads |
//! | `service` *(io)* | the service: watches, the lease, the writes |
//! | [`owner`], [`moment`] | whom an address serves; wall-clock time as the cores are told it |

pub mod block;
pub mod defaults;
pub mod election;
pub mod ledger;
pub mod local;
pub mod moment;
pub mod owner;
pub mod plan;
pub mod pool;
#[cfg(feature = "io")]
pub mod service;
pub mod view;
