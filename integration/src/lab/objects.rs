//! The topology as Kubernetes objects: what a fresh lab's API server is given.

use kube::api::ApiResource;
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use super::topology::{ApiKind, Node, Topology, rack_name};

/// The Node label that holds the node's AS number.
pub const ASN_LABEL: &str = "tortie.dev/asn";
/// What the cluster's pods are given addresses from.
pub const POD_CIDRS: &str = "10.244.0.0/16,fd00:10:244::/56";

/// The rights of the manifest, which a real API server enforces.
const RIGHTS: &str = include_str!("../../../deploy/parts/rbac.yaml");

/// An object and how it is addressed.
#[derive(Clone, Debug)]
pub(super) struct Seed {
    pub(super) resource: ApiResource,
    pub(super) namespace: Option<String>,
    pub(super) body: Value,
}

/// All objects in the order in which they are made.
pub(super) fn seeds(topology: &Topology) -> serde_json::Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for crd in api::crds::all() {
        seeds.push(seed(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            None,
            serde_json::to_value(crd)?,
        ));
    }
    for name in ["default", "kube-system"] {
        seeds.push(seed(
            "v1",
            "Namespace",
            "namespaces",
            None,
            json!({
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            }),
        ));
    }
    if topology.shape.api == ApiKind::Etcd {
        seeds.extend(rights()?);
    }
    seeds.push(seed("v1", "ConfigMap", "configmaps", Some(api::names::NAMESPACE), json!({
        "metadata": {"name": api::names::CONFIG_MAP, "namespace": api::names::NAMESPACE},
        "data": {"podCIDRs": POD_CIDRS, "asn": api::names::DEFAULT_ASN.to_string(), "asnNodeLabel": ASN_LABEL},
    })));
    seeds.push(configuration(topology));
    seeds.extend(peers(topology));
    seeds.extend(topology.nodes.iter().map(node));
    Ok(seeds)
}

/// What the daemons may do, as the manifest has it.
fn rights() -> serde_json::Result<Vec<Seed>> {
    let documents = serde_yaml_ng::Deserializer::from_str(RIGHTS);
    let objects = documents.map(serde::Deserialize::deserialize);
    let objects = objects.collect::<Result<Vec<Value>, _>>().map_err(serde::de::Error::custom)?;
    Ok(objects.into_iter().map(right).collect())
}

fn right(object: Value) -> Seed {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind, namespace) = (text("/apiVersion"), text("/kind"), text("/metadata/namespace"));
    // True of all kinds of rights.
    let plural = format!("{}s", kind.to_lowercase());
    let namespace = Some(namespace.as_str()).filter(|namespace| !namespace.is_empty());
    seed(&version, &kind, &plural, namespace, object)
}

/// How the nodes speak BGP.
fn configuration(topology: &Topology) -> Seed {
    let mut spec = json!({
        "nodeToNodeMeshEnabled": topology.shape.mesh,
        "holdTimeSeconds": topology.shape.hold_time_secs,
        "importDefaultRoutes": true,
    });
    if !topology.shape.mesh {
        spec["asNumberLabel"] = ASN_LABEL.into();
    }
    let body = json!({"metadata": {"name": "default"}, "spec": spec});
    custom::<api::BGPConfiguration>(body)
}

/// One object for each ToR, for the nodes of its rack.
fn peers(topology: &Topology) -> impl Iterator<Item = Seed> {
    let tors = topology.routers.iter().filter(|_| !topology.shape.mesh);
    tors.filter_map(|tor| tor.rack.map(|rack| (tor, rack_name(rack)))).map(|(tor, rack)| {
        let selector = format!("{} == '{rack}'", api::names::RACK_LABEL);
        let mut spec = json!({"nodeSelector": selector, "peerIP": tor.address, "asNumber": tor.asn});
        if let Some(millis) = tor.bfd_interval_millis {
            spec["bfd"] = json!({"transmitIntervalMillis": millis, "receiveIntervalMillis": millis});
        }
        custom::<api::BGPPeer>(json!({"metadata": {"name": tor.name}, "spec": spec}))
    })
}

fn node(node: &Node) -> Seed {
    let mut labels = json!({
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        ASN_LABEL: node.asn.to_string(),
    });
    labels[api::names::RACK_LABEL] = rack_name(node.rack).into();
    seed(
        "v1",
        "Node",
        "nodes",
        None,
        json!({
            "metadata": {"name": node.name, "labels": labels},
        }),
    )
}

/// What the kubelet of a node reports: addresses, room, and whether pods can get a network.
pub(super) fn node_status(node: &Node, is_ready: bool) -> Value {
    let (status, reason) =
        if is_ready { ("True", "KubeletReady") } else { ("False", "NetworkPluginNotReady") };
    json!({"status": {
        // As a kubelet does: merged by type, two addresses of one type would be one.
        "addresses": [
            {"$patch": "replace"},
            {"type": "InternalIP", "address": node.ipv4},
            {"type": "InternalIP", "address": node.ipv6},
            {"type": "Hostname", "address": node.name},
        ],
        "capacity": {"pods": "110"},
        "allocatable": {"pods": "110"},
        "conditions": [{"type": "Ready", "status": status, "reason": reason, "message": ""}],
    }})
}

fn custom<K>(mut body: Value) -> Seed
where
    K: kube::Resource<DynamicType = ()>,
{
    let resource = ApiResource::erase::<K>(&());
    body["apiVersion"] = K::api_version(&()).into_owned().into();
    body["kind"] = K::kind(&()).into_owned().into();
    Seed { resource, namespace: None, body }
}

fn seed(version: &str, kind: &str, plural: &str, namespace: Option<&str>, mut body: Value) -> Seed {
    let (group, version_only) = version.split_once('/').unwrap_or(("", version));
    let kind_of = GroupVersionKind::gvk(group, version_only, kind);
    body["apiVersion"] = version.into();
    body["kind"] = kind.into();
    let resource = ApiResource::from_gvk_with_plural(&kind_of, plural);
    Seed { resource, namespace: namespace.map(Into::into), body }
}

#[cfg(test)]
mod tests {
    use super::super::topology::Shape;
    use super::*;

    #[test]
    fn every_tor_is_a_peer_of_its_rack_and_a_mesh_has_none() {
        let seeds_of = |shape| seeds(&Topology::new(shape).unwrap()).unwrap();
        let peers: Vec<_> = seeds_of(Shape::default())
            .into_iter()
            .filter(|seed| seed.resource.kind == "BGPPeer")
            .map(|seed| {
                format!(
                    "{} {} {}",
                    seed.resource.kind, seed.body["spec"]["peerIP"], seed.body["spec"]["nodeSelector"]
                )
            })
            .collect();
        assert_eq!(
            peers,
            [
                r#"BGPPeer "10.10.1.251" "topology.kubernetes.io/rack == 'rack-1'""#,
                r#"BGPPeer "10.10.1.252" "topology.kubernetes.io/rack == 'rack-1'""#,
                r#"BGPPeer "10.10.2.251" "topology.kubernetes.io/rack == 'rack-2'""#,
                r#"BGPPeer "10.10.2.252" "topology.kubernetes.io/rack == 'rack-2'""#,
            ]
        );
        let mesh = seeds_of(Shape { racks: 1, nodes: 2, mesh: true, ..Shape::default() });
        assert!(mesh.iter().all(|seed| seed.resource.kind != "BGPPeer"));
        let configuration = mesh.iter().find(|seed| seed.resource.kind == "BGPConfiguration").unwrap();
        assert_eq!(configuration.body["spec"]["nodeToNodeMeshEnabled"], true);
        assert!(configuration.body["spec"]["asNumberLabel"].is_null());
    }
}
