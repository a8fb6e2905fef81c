//! Attachments of pods to this node.

use std::net::IpAddr;

use super::ObjectKey;
use crate::program::InterfaceName;

/// The host side of one pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The host-side interface.
    pub interface: InterfaceName,
    /// The pod that it serves.
    pub pod: ObjectKey,
    /// The pod's UID as the runtime gave it.
    pub pod_uid: String,
    /// The addresses that the pod may use on this interface.
    pub addresses: Vec<IpAddr>,
}
