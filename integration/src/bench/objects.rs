//! The objects that benchmarks put into the API server.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::PostParams;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::NODE;
use crate::lab::testing::UNMANAGED;

/// The namespace of all of them.
pub(super) const NAMESPACE: &str = "bench";
/// Policies in the cluster.
pub(super) const POLICIES: usize = 100;
/// Policies that select the pods which are attached.
pub(super) const POLICIES_SELECTING: usize = 3;
/// Size of a Pod of the memory benchmark, in bytes of JSON.
const BULK_POD_BYTES: usize = 4096;
/// Labels of such a Pod.
const BULK_POD_LABELS: usize = 10;

/// Makes the benchmarks' namespace, unless it is there.
pub(super) async fn create_namespace(client: &Client) -> kube::Result<()> {
    create::<Namespace>(&Api::all(client.clone()), json!({"metadata": {"name": NAMESPACE}})).await
}

/// Makes the policies.
pub(super) async fn create_policies(client: &Client) -> kube::Result<()> {
    let api: Api<NetworkPolicy> = Api::namespaced(client.clone(), NAMESPACE);
    for number in 0..POLICIES {
        create(&api, policy(number)).await?;
    }
    Ok(())
}

/// Makes an object, unless it is there.
pub(super) async fn create<K>(api: &Api<K>, body: Value) -> kube::Result<()>
where
    K: kube::Resource + Clone + DeserializeOwned + serde::Serialize + std::fmt::Debug,
{
    let object: K = serde_json::from_value(body).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &object).await {
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        other => other.map(drop),
    }
}

/// The first ones select the attached pods and let them reach everything; the others look like them.
fn policy(number: usize) -> Value {
    let app = if number < POLICIES_SELECTING { "attached".to_owned() } else { format!("other-{number}") };
    json!({
        "metadata": {"name": format!("policy-{number}"), "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {"app": app}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"from": [{"podSelector": {"matchLabels": {"client-of": app}}}], "ports": [{"protocol": "TCP", "port": 8000 + number}]},
                {"from": [{"ipBlock": {"cidr": "192.168.0.0/16", "except": ["192.168.7.0/24"]}}]},
            ],
            "egress": [
                {"to": [{"podSelector": {"matchLabels": {"server-of": app}}}]},
                {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]},
            ],
        },
    })
}

/// A Pod of the measured node whose network the benchmark asks for itself.
pub(super) fn attached_pod(name: &str) -> Value {
    json!({
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"app": "attached"},
            "annotations": {UNMANAGED: "true"},
        },
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "bench"}]},
    })
}

/// A Pod that the lab runs, which answers on a port.
pub(super) fn lab_pod(name: &str, node: &str, labels: &Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "main", "image": "lab", "ports": [{"containerPort": 8080}]}],
        },
    })
}

/// The name of a Pod of the memory benchmark.
pub(super) fn bulk_pod_name(number: usize) -> String {
    format!("bulk-{number}")
}

/// A Pod on a node that does not exist: 4 KB with managedFields and ten labels, as a Deployment's Pod has.
pub(super) fn bulk_pod(number: usize) -> Value {
    let labels: Value = (0..BULK_POD_LABELS)
        .map(|label| (format!("example.com/label-{label}"), format!("value-{}", number % (label + 2))))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into_iter()
        .map(|(key, value)| (key, Value::from(value)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let mut pod = json!({
        "metadata": {
            "name": bulk_pod_name(number),
            "namespace": NAMESPACE,
            "labels": labels,
            "managedFields": [{
                "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
                "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {},
            }],
        },
        "spec": {
            "nodeName": "elsewhere",
            "containers": [{"name": "main", "image": "registry.example/app:1", "ports": [{"name": "web", "containerPort": 8080}]}],
        },
    });
    let missing = BULK_POD_BYTES.saturating_sub(pod.to_string().len());
    pod["metadata"]["managedFields"][0]["fieldsV1"] = managed_fields(missing);
    pod
}

/// Nested field names of about so many bytes.
fn managed_fields(bytes: usize) -> Value {
    const FIELD: &str = "f:terminationMessagePolicy-000";
    // Each field is its name, a colon, a comma, quotes and an empty object.
    let fields = bytes / (FIELD.len() + 6);
    let inner: serde_json::Map<String, Value> =
        (0..fields).map(|number| (format!("f:terminationMessagePolicy-{number:03}"), json!({}))).collect();
    json!({"f:spec": inner})
}

/// The addresses of a running pod's status.
pub(super) fn addresses(pod: &Pod) -> Vec<std::net::IpAddr> {
    let ips = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
    ips.filter_map(|ip| ip.ip.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bulk_pod_has_the_size_that_is_claimed() {
        for number in [0, 1999] {
            let pod = bulk_pod(number);
            let bytes = pod.to_string().len();
            assert!((3900..=4200).contains(&bytes), "{bytes}");
            assert_eq!(pod["metadata"]["labels"].as_object().unwrap().len(), BULK_POD_LABELS);
        }
    }

    #[test]
    fn so_many_policies_select_the_attached_pods() {
        let app = attached_pod("a")["metadata"]["labels"].clone();
        let selecting =
            (0..POLICIES).filter(|number| policy(*number)["spec"]["podSelector"]["matchLabels"] == app);
        assert_eq!(selecting.count(), POLICIES_SELECTING);
    }
}
