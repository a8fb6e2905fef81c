//! The BGP speaker: bytes to messages to session to RIB to route changes

pub mod config;
pub mod fib;
pub mod speaker;
pub mod status;
pub mod wire;
