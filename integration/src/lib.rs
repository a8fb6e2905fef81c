//! The lab: whole clusters in network namespaces, the embedded API server, tests

mod bench;
pub mod cli;
pub mod gate;
pub mod lab;
mod mutants;
pub mod probe;

pub mod apiserver;
