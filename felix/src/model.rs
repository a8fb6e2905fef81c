//! What the node should have, as plain values that no kernel, client or clock has touched.

mod endpoint;
mod policy;
mod pool;
pub mod route;
mod workload;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub use endpoint::Endpoint;
pub use policy::{Direction, NamespaceMatch, Peer, PodTerm, Policy, PolicyRule, PortMatch, Ports};
pub use pool::Pool;
pub use workload::{NamedPort, Namespace, ObjectKey, Pod, Protocol};

use crate::program::InterfaceName;

/// Every object that policy and NAT depend on, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Namespaces by name.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Pods that have network of their own, of all nodes.
    pub pods: BTreeMap<ObjectKey, Arc<Pod>>,
    /// Pods of this node that are attached, by host-side interface.
    pub endpoints: BTreeMap<InterfaceName, Endpoint>,
    /// Network policies.
    pub policies: BTreeMap<ObjectKey, Policy>,
    /// Pools that pods' addresses come from, by name.
    pub pools: BTreeMap<String, Pool>,
}

impl Model {
    /// The pod behind an endpoint; `None` while it is not known or is another pod of that name.
    pub fn pod_of(&self, endpoint: &Endpoint) -> Option<&Arc<Pod>> {
        self.pods.get(&endpoint.pod).filter(|pod| pod.has_uid(&endpoint.pod_uid))
    }

    /// The attachments of a pod to this node; empty if it is elsewhere.
    pub fn endpoints_of<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = &'a Endpoint> {
        self.endpoints.values().filter(|endpoint| endpoint.pod == pod.key && pod.has_uid(&endpoint.pod_uid))
    }

    /// The pod's addresses: its endpoints' where it is attached here, else those of its status.
    pub fn addresses_of(&self, pod: &Pod) -> Vec<IpAddr> {
        let here: Vec<&Endpoint> = self.endpoints_of(pod).collect();
        if here.is_empty() {
            return pod.addresses.clone();
        }
        here.iter().flat_map(|endpoint| endpoint.addresses.iter().copied()).collect()
    }
}
