//! The BGP speaker: bytes to messages to session to RIB to route changes

pub mod wire;
