//! Schemas of the built-in kinds, from the types that the clients use, with what those types do
//! not say (how lists merge) added from a table.

use std::sync::LazyLock;

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1 as core, events::v1::Event, networking::v1::NetworkPolicy},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{Schema, parse};
use crate::apiserver::object::Members;

/// Where references point to in the documents that are served.
pub(crate) const DEFINITIONS_PATH: &str = "/components/schemas";

/// Definition of the metadata that every object has.
pub(crate) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// A schema that refers to itself; what is in it is kept as it is.
const RECURSIVE: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// `(definition, property, list kind, keys, key of strategic merge patches)`: every list of the
/// built-in kinds that is not simply replaced.
#[rustfmt::skip]
const LISTS: &[(&str, &str, &str, &[&str], Option<&str>)] = &[
    ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers", "set", &[], Some("")),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "ownerReferences", "map", &["uid"], Some("uid")),
    ("io.k8s.api.core.v1.PodSpec", "containers", "map", &["name"], Some("name")),
    ("io.k8s.api.core.v1.PodSpec", "initContainers", "map", &["name"], Some("name")),
    ("io.k8s.api.core.v1.PodSpec", "ephemeralContainers", "map", &["name"], Some("name")),
    ("io.k8s.api.core.v1.PodSpec", "volumes", "map", &["name"], Some("name")),
    ("io.k8s.api.core.v1.PodSpec", "imagePullSecrets", "map", &["name"], Some("name")),
    ("io.k8s.api.core.v1.PodSpec", "hostAliases", "map", &["ip"], Some("ip")),
    ("io.k8s.api.core.v1.PodSpec", "schedulingGates", "map", &["name"], Some("name")),
    ("io.k8s.api.core.v1.PodSpec", "resourceClaims", "map", &["name"], Some("name")),
    ("io.k8s.api.core.v1.PodSpec", "topologySpreadConstraints", "map", &["topologyKey", "whenUnsatisfiable"], Some("topologyKey")),
    ("io.k8s.api.core.v1.Container", "env", "map", &["name"], Some("name")),
    ("io.k8s.api.core.v1.Container", "ports", "map", &["containerPort", "protocol"], Some("containerPort")),
    ("io.k8s.api.core.v1.Container", "volumeMounts", "map", &["mountPath"], Some("mountPath")),
    ("io.k8s.api.core.v1.Container", "volumeDevices", "map", &["devicePath"], Some("devicePath")),
    ("io.k8s.api.core.v1.EphemeralContainer", "env", "map", &["name"], Some("name")),
    ("io.k8s.api.core.v1.EphemeralContainer", "ports", "map", &["containerPort", "protocol"], Some("containerPort")),
    ("io.k8s.api.core.v1.EphemeralContainer", "volumeMounts", "map", &["mountPath"], Some("mountPath")),
    ("io.k8s.api.core.v1.ResourceRequirements", "claims", "map", &["name"], None),
    ("io.k8s.api.core.v1.PodStatus", "conditions", "map", &["type"], Some("type")),
    ("io.k8s.api.core.v1.PodStatus", "podIPs", "map", &["ip"], Some("ip")),
    ("io.k8s.api.core.v1.PodStatus", "hostIPs", "atomic", &[], Some("ip")),
    ("io.k8s.api.core.v1.PodStatus", "resourceClaimStatuses", "map", &["name"], Some("name")),
    ("io.k8s.api.core.v1.NodeSpec", "podCIDRs", "set", &[], Some("")),
    ("io.k8s.api.core.v1.NodeStatus", "conditions", "map", &["type"], Some("type")),
    ("io.k8s.api.core.v1.NodeStatus", "addresses", "map", &["type"], Some("type")),
    ("io.k8s.api.core.v1.NamespaceStatus", "conditions", "map", &["type"], Some("type")),
    ("io.k8s.api.core.v1.ServiceSpec", "ports", "map", &["port", "protocol"], Some("port")),
    ("io.k8s.api.core.v1.ServiceStatus", "conditions", "map", &["type"], Some("type")),
    ("io.k8s.api.core.v1.ServiceAccount", "secrets", "map", &["name"], Some("name")),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus", "conditions", "map", &["type"], None),
];

/// Objects and maps that server-side apply takes as one value: definitions, then maps in them.
#[rustfmt::skip]
const ATOMIC_OBJECTS: &[&str] = &[
    "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector",
    "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference",
    "io.k8s.api.core.v1.ObjectReference",
    "io.k8s.api.core.v1.LocalObjectReference",
    "io.k8s.api.core.v1.TypedLocalObjectReference",
    "io.k8s.api.core.v1.SecretReference",
    "io.k8s.api.core.v1.SecretKeySelector",
    "io.k8s.api.core.v1.ConfigMapKeySelector",
    "io.k8s.api.core.v1.ObjectFieldSelector",
    "io.k8s.api.core.v1.ResourceFieldSelector",
    "io.k8s.api.core.v1.NodeSelector",
    "io.k8s.api.core.v1.NodeSelectorTerm",
];
const ATOMIC_MAPS: &[(&str, &str)] =
    &[("io.k8s.api.core.v1.PodSpec", "nodeSelector"), ("io.k8s.api.core.v1.ServiceSpec", "selector")];

/// Fields whose default is part of what tells list items apart.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("io.k8s.api.core.v1.ContainerPort", "protocol", "TCP"),
    ("io.k8s.api.core.v1.ServicePort", "protocol", "TCP"),
];

/// All definitions that the built-in kinds consist of, by name.
pub(crate) fn definitions() -> &'static Members {
    static DEFINITIONS: LazyLock<Members> = LazyLock::new(build);
    &DEFINITIONS
}

/// The definition of that name with every reference replaced by what it refers to.
pub(crate) fn inlined(name: &str) -> Value {
    let mut raw = definitions().get(name).cloned().unwrap_or_else(|| json!({}));
    inline(&mut raw);
    raw
}

/// `apiVersion`, `kind` and `metadata`: what every object has.
pub(crate) fn envelope() -> Vec<(String, Schema)> {
    static ENVELOPE: LazyLock<Vec<(String, Schema)>> = LazyLock::new(|| {
        let parsed = |raw: &Value| parse(raw).expect("definitions of built-in kinds are well-formed");
        let text = parsed(&json!({"type": "string"}));
        vec![
            ("apiVersion".to_owned(), text.clone()),
            ("kind".to_owned(), text),
            ("metadata".to_owned(), parsed(&inlined(OBJECT_META))),
        ]
    });
    ENVELOPE.clone()
}

fn build() -> Members {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|set| set.definitions_path = DEFINITIONS_PATH.into())
        .into_generator();
    generator.subschema_for::<core::Namespace>();
    generator.subschema_for::<core::Node>();
    generator.subschema_for::<core::Pod>();
    generator.subschema_for::<core::Binding>();
    generator.subschema_for::<core::ConfigMap>();
    generator.subschema_for::<core::Secret>();
    generator.subschema_for::<core::Service>();
    generator.subschema_for::<core::ServiceAccount>();
    generator.subschema_for::<core::Event>();
    generator.subschema_for::<Event>();
    generator.subschema_for::<NetworkPolicy>();
    generator.subschema_for::<Lease>();
    generator.subschema_for::<CustomResourceDefinition>();
    let mut definitions = generator.take_definitions(false);
    for definition in definitions.values_mut() {
        tidy(definition);
    }
    for (definition, property, kind, keys, patch_key) in LISTS {
        if let Some(list) =
            definitions.get_mut(*definition).and_then(|found| found["properties"].get_mut(property))
        {
            describe_list(list, kind, keys, *patch_key);
        }
    }
    for name in ATOMIC_OBJECTS {
        if let Some(definition) = definitions.get_mut(*name) {
            definition["x-kubernetes-map-type"] = json!("atomic");
        }
    }
    for (name, property) in ATOMIC_MAPS {
        if let Some(definition) = definitions.get_mut(*name) {
            definition["properties"][property]["x-kubernetes-map-type"] = json!("atomic");
        }
    }
    for (name, property, default) in DEFAULTS {
        if let Some(definition) = definitions.get_mut(*name) {
            definition["properties"][property]["default"] = json!(default);
        }
    }
    definitions
}

/// Metadata may be left out of a request, and an object of which nothing is said is free-form.
fn tidy(definition: &mut Value) {
    if let Some(required) = definition.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name != "metadata");
    }
    let is_bare = definition.get("type").is_some_and(|kind| kind == "object")
        && definition.get("properties").is_none()
        && definition.get("additionalProperties").is_none();
    if is_bare {
        definition["x-kubernetes-preserve-unknown-fields"] = json!(true);
    }
}

fn describe_list(list: &mut Value, kind: &str, keys: &[&str], patch_key: Option<&str>) {
    list["x-kubernetes-list-type"] = json!(kind);
    if !keys.is_empty() {
        list["x-kubernetes-list-map-keys"] = json!(keys);
    }
    if let Some(key) = patch_key {
        list["x-kubernetes-patch-strategy"] = json!("merge");
        if !key.is_empty() {
            list["x-kubernetes-patch-merge-key"] = json!(key);
        }
    }
}

/// The name of the definition that `$ref` in `raw` points to.
pub(crate) fn reference(raw: &Value) -> Option<&str> {
    raw.get("$ref")?.as_str()?.rsplit('/').next()
}

fn inline(raw: &mut Value) {
    if let Some(name) = reference(raw) {
        if name == RECURSIVE {
            *raw = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
            return;
        }
        *raw = definitions().get(name).cloned().unwrap_or_else(|| json!({}));
    }
    match raw {
        Value::Object(members) => members.values_mut().for_each(inline),
        Value::Array(items) => items.iter_mut().for_each(inline),
        _ => {}
    }
}
