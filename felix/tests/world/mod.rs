//! What the policy tests share: objects from YAML, and an interpreter of programs.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod interpreter;
pub(crate) mod kernel;

use std::net::IpAddr;
use std::path::PathBuf;

use felix::compile::Change;
use felix::ingest::{ip_pool, namespace, network_policy, pod};
use felix::model::{Endpoint, ObjectKey};
use felix::program::InterfaceName;
use serde::Deserialize;
use serde_json::Value;

/// Where the YAML and golden files lie.
pub(crate) fn cases() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// The changes that the YAML documents stand for, in their order.
///
/// Beside Kubernetes' kinds there is `Endpoint`: `{kind: Endpoint, interface, namespace, pod, addresses}`.
pub(crate) fn changes(text: &str) -> Vec<Change> {
    let documents = serde_yaml_ng::Deserializer::from_str(text);
    let values =
        documents.map(|it| Value::deserialize(it).unwrap_or_else(|error| panic!("{error} in\n{text}")));
    values.filter(|it| !it.is_null()).map(|it| change(&it)).collect()
}

/// The change that one object stands for.
pub(crate) fn change(object: &Value) -> Change {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "Namespace" => Change::Namespace(namespace::namespace(&parse(object))),
        "Pod" => {
            let object = parse(object);
            pod::pod(&object).map_or_else(|| Change::PodGone(pod::key(&object)), Change::Pod)
        }
        "NetworkPolicy" => Change::Policy(network_policy::network_policy(&parse(object)).0),
        "IPPool" => Change::Pool(ip_pool::ip_pool(&parse(object)).expect("a pool that can be read")),
        "Endpoint" => Change::Endpoint(endpoint(object)),
        other => panic!("no kind {other:?}"),
    }
}

fn parse<T: serde::de::DeserializeOwned>(object: &Value) -> T {
    T::deserialize(object).unwrap_or_else(|error| panic!("{error} in {object:#}"))
}

fn endpoint(object: &Value) -> Endpoint {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let addresses = object["addresses"].as_array().into_iter().flatten();
    Endpoint {
        interface: InterfaceName::new(&text("interface")).unwrap(),
        pod: ObjectKey::new(&text("namespace"), &text("pod")),
        pod_uid: object["uid"].as_str().map_or_else(|| format!("uid-{}", text("pod")), str::to_owned),
        addresses: addresses.map(|it| it.as_str().unwrap().parse::<IpAddr>().unwrap()).collect(),
    }
}
