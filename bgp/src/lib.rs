//! The BGP speaker: bytes to messages to session to RIB to route changes

pub mod bfd;
pub mod config;
#[cfg(feature = "io")]
pub mod driver;
pub mod fib;
mod fsm;
mod peer;
mod policy;
mod rib;
pub mod speaker;
pub mod status;
pub mod wire;
