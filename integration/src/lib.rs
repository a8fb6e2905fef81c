//! The lab: whole clusters in network namespaces, the embedded API server, tests

pub mod apiserver;
mod bench;
mod checkout;
pub mod cli;
pub mod gate;
pub mod image;
pub mod kube;
pub mod kubeadm;
pub mod lab;
mod mutants;
pub mod probe;
mod serving;
mod soak;
