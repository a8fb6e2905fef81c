//! What failures cost: killed daemons, an API server that is down, verbs that come twice or never, bad input.
//!
//! Every test has a cluster of its own and asks real packets and foreign tools. Needs root, BIRD 2, iproute2, nft and
//! nsenter. `cargo lab soak kill` is the long form.

#![allow(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]
#![allow(clippy::print_stderr, reason = "what was measured is printed beside the verdict")]

#[path = "failures/bad_input.rs"]
mod bad_input;
#[path = "failures/host.rs"]
mod host;
#[path = "failures/kill.rs"]
mod kill;
#[path = "failures/outage.rs"]
mod outage;
#[path = "failures/plugin.rs"]
mod plugin;
#[path = "failures/port.rs"]
mod port;
#[path = "failures/repair.rs"]
mod repair;
#[path = "failures/scene.rs"]
mod scene;
#[path = "failures/supply.rs"]
mod supply;
#[path = "failures/verbs.rs"]
mod verbs;
