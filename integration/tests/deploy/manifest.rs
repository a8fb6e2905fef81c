//! `deploy/tortie.yaml` is its parts, and what it asks for is as small as it can be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The parts after the definitions and before them, which come second: what people edit comes first.
const BEFORE: [&str; 1] = ["config"];
const AFTER: [&str; 3] = ["rbac", "node", "ipam"];

const HEAD: &str = "\
# Tortie: pod networking without an overlay. Edit tortie-config, then: kubectl apply -f tortie.yaml
#
# Made from deploy/parts and deploy/crds by `UPDATE=1 cargo test -p integration --test deploy`; edit those.
";

pub(super) fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// Every object of a YAML text.
pub(super) fn objects(text: &str) -> Vec<Value> {
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .filter(|object: &Value| !object.is_null())
        .collect()
}

pub(super) fn manifest() -> Vec<Value> {
    objects(&fs::read_to_string(deploy().join("tortie.yaml")).unwrap())
}

fn assembled() -> String {
    let part = |name: &str| fs::read_to_string(deploy().join(format!("parts/{name}.yaml"))).unwrap();
    let crds = api::crds::files().unwrap().into_iter().map(|(_, text)| text);
    let documents = BEFORE.map(part).into_iter().chain(crds).chain(AFTER.map(part));
    format!("{HEAD}{}", documents.collect::<Vec<_>>().join("---\n"))
}

#[test]
fn the_one_file_is_its_parts() {
    let place = deploy().join("tortie.yaml");
    let expected = assembled();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&place, &expected).unwrap();
    }
    let found = fs::read_to_string(&place).unwrap_or_default();
    assert!(found == expected, "deploy/tortie.yaml: run `UPDATE=1 cargo test -p integration --test deploy`");
}

fn pod_specs() -> Vec<(String, Value)> {
    let workloads = manifest().into_iter().filter(|object| !object["spec"]["template"].is_null());
    workloads
        .map(|object| {
            (
                object["metadata"]["name"].as_str().unwrap().to_owned(),
                object["spec"]["template"]["spec"].clone(),
            )
        })
        .collect()
}

#[test]
fn no_container_has_more_than_it_needs() {
    let specs = pod_specs();
    assert_eq!(specs.len(), 2);
    for (name, spec) in specs {
        assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        for forbidden in ["hostPID", "hostIPC"] {
            assert!(spec[forbidden].is_null(), "{name}: {forbidden}");
        }
        for container in spec["containers"].as_array().unwrap() {
            let security = &container["securityContext"];
            assert_eq!(security["privileged"], false, "{name}");
            assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]), "{name}");
            let added: BTreeSet<&str> = security["capabilities"]["add"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|it| it.as_str().unwrap())
                .collect();
            let wanted: &[&str] =
                if name == "tortie-node" { &["NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE"] } else { &[] };
            assert_eq!(added, wanted.iter().copied().collect(), "{name}");
            let resources = &container["resources"];
            assert!(resources["limits"].is_null(), "{name}: a limit is an outage at the worst time");
            assert!(
                resources["requests"]["cpu"].is_string() && resources["requests"]["memory"].is_string(),
                "{name}"
            );
            assert_eq!(container["image"], integration::image::REFERENCE, "{name}");
        }
    }
}

#[test]
fn rights_name_every_verb_and_resource() {
    let of_rights = manifest()
        .into_iter()
        .filter(|object| ["Role", "ClusterRole"].contains(&object["kind"].as_str().unwrap()));
    let rules: Vec<Value> = of_rights.flat_map(|role| role["rules"].as_array().unwrap().clone()).collect();
    assert!(!rules.is_empty());
    for rule in rules {
        let text = rule.to_string();
        assert!(!text.contains('*'), "{text}");
        // One Secret by its name, and no other.
        let is_named = rule["resourceNames"].as_array().is_some_and(|names| names.len() == 1);
        assert!(!text.contains("secrets") || is_named, "{text}");
    }
}
