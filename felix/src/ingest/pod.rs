//! Pods.

use std::net::IpAddr;

use k8s_openapi::api::core::v1;

use crate::model::{NamedPort, ObjectKey, Pod, Protocol};

/// Annotation under which a static pod's mirror object tells the UID that the kubelet uses.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// Namespace and name of the pod, also when [`pod`] has nothing to say of it.
pub fn key(object: &v1::Pod) -> ObjectKey {
    ObjectKey {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

/// The pod as policy sees it; `None` if policy must not see it (any more): it uses its node's network,
/// or has ended, so that its address may already serve another.
///
/// A pod without an address yet is there: an endpoint may know the address before the status does.
pub fn pod(object: &v1::Pod) -> Option<Pod> {
    let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
    let spec = object.spec.as_ref();
    let on_host = spec.and_then(|spec| spec.host_network).unwrap_or(false);
    if on_host || matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    Some(Pod {
        key: key(object),
        uids: uids(object),
        labels: object.metadata.labels.clone().unwrap_or_default(),
        addresses: addresses(object),
        ports: spec.map(ports).unwrap_or_default(),
    })
}

fn uids(object: &v1::Pod) -> Vec<String> {
    let hash = object.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CONFIG_HASH));
    object.metadata.uid.iter().chain(hash).filter(|uid| !uid.is_empty()).cloned().collect()
}

/// Addresses of the status that are addresses; `podIP` repeats the first of `podIPs`.
fn addresses(object: &v1::Pod) -> Vec<IpAddr> {
    let Some(status) = &object.status else { return Vec::new() };
    let all = status.pod_ips.iter().flatten().map(|ip| &ip.ip).chain(&status.pod_ip);
    let mut addresses: Vec<IpAddr> = all.filter_map(|text| text.parse().ok()).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// Named ports of all containers that run beside each other; of the init containers those that stay.
fn ports(spec: &v1::PodSpec) -> Vec<NamedPort> {
    let stays = |it: &&v1::Container| it.restart_policy.as_deref() == Some("Always");
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten().filter(stays));
    let all = containers.flat_map(|container| container.ports.iter().flatten());
    let mut ports: Vec<NamedPort> = all.filter_map(named_port).collect();
    ports.sort();
    ports.dedup();
    ports
}

fn named_port(port: &v1::ContainerPort) -> Option<NamedPort> {
    let name = port.name.clone().filter(|name| !name.is_empty())?;
    let protocol = Protocol::from_name(port.protocol.as_deref().unwrap_or("TCP"))?;
    let number = u16::try_from(port.container_port).ok().filter(|number| *number != 0)?;
    Some(NamedPort { name, protocol, number })
}
