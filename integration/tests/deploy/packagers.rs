//! The chart and the kustomization give the objects of `deploy/tortie.yaml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use integration::kube::{self, Packagers};
use serde_json::Value;

use crate::manifest::{deploy, manifest, objects};

/// What the chart is rendered for.
const KUBE_VERSION: [&str; 2] = ["--kube-version", kube::VERSION];

fn packagers() -> Packagers {
    kube::packagers(|_| {}).unwrap()
}

fn run(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(deploy())
        // What a user has configured does not count.
        .env("HOME", home.path())
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn template(arguments: &[&str]) -> Result<Vec<Value>, String> {
    let rendering = ["template", "tortie", "chart", "--namespace", "kube-system", "--include-crds"];
    run(&packagers().helm, &[&rendering[..], &KUBE_VERSION, arguments].concat()).map(|text| objects(&text))
}

/// Objects by kind and name.
fn keyed(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let key = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]);
    objects.into_iter().map(|object| (key(&object), plain(object))).collect()
}

/// Some tools write 1.0 as 1.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::Array(values) => values.into_iter().map(plain).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, plain(value))).collect(),
        other => other,
    }
}

fn assert_same(of: &str, found: Vec<Value>) {
    let (expected, found) = (keyed(manifest()), keyed(found));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{of}");
    for (key, expected) in expected {
        assert_eq!(found[&key], expected, "{of}: {key} differs from tortie.yaml");
    }
}

#[test]
fn kustomize_gives_the_same() {
    let text = run(&packagers().kustomize, &["build", "."]).unwrap();
    assert_same("kustomize", objects(&text));
}

#[test]
fn kubectl_gives_the_same() {
    let kubectl = kube::kubectl(|_| {}).unwrap();
    assert_same("kubectl kustomize", objects(&run(&kubectl, &["kustomize", "."]).unwrap()));
}

#[test]
fn the_chart_gives_the_same() {
    assert_same("helm template", template(&[]).unwrap());
}

#[test]
fn the_chart_has_no_fault() {
    let strict = ["lint", "--strict", "chart"];
    let said = run(&packagers().helm, &[&strict[..], &KUBE_VERSION].concat()).unwrap();
    assert!(said.contains("0 chart(s) failed"), "{said}");
}

#[test]
fn the_chart_has_the_definitions_of_the_types() {
    let folder = deploy().join("chart/crds");
    for (name, text) in api::crds::files().unwrap() {
        let place = folder.join(&name);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&place, &text).unwrap();
        }
        assert!(fs::read_to_string(&place).unwrap() == text, "{name}: run with UPDATE=1");
    }
    let found = fs::read_dir(folder).unwrap().count();
    assert_eq!(found, api::crds::all().len());
}

/// Value, where it goes, and what is found there. Objects are named by one word, containers' fields from `c/` on.
const VALUES: [(&str, &str, &str, &str); 14] = [
    ("podCIDRs=10.0.0.0/8", "config", "/data/podCIDRs", "10.0.0.0/8"),
    ("asn=4200000000", "config", "/data/asn", "4200000000"),
    ("asnNodeLabel=example.com/asn", "config", "/data/asnNodeLabel", "example.com/asn"),
    ("torPeers=r: as 1\\, 10.0.0.1", "config", "/data/torPeers", "r: as 1, 10.0.0.1"),
    ("apiServer=10.0.0.1:6443", "config", "/data/apiServer", "10.0.0.1:6443"),
    ("image.repository=r.example/t", "node", "c/image", "r.example/t:0.1.0"),
    ("image.tag=1.2.3", "ipam", "c/image", "tortie.dev/tortie:1.2.3"),
    ("image.pullPolicy=Never", "node", "c/imagePullPolicy", "Never"),
    ("image.pullSecrets[0]=key", "ipam", "/spec/template/spec/imagePullSecrets/0/name", "key"),
    ("logFormat=text", "node", "c/args/LAST", "--log-format=text"),
    ("logLevel=bgp=debug", "node", "c/args/LAST", "--log-level=bgp=debug"),
    ("ipam.replicas=3", "ipam", "/spec/replicas", "3"),
    ("ipam.resources.requests.cpu=1", "ipam", "c/resources/requests/cpu", "1"),
    ("node.resources.requests.memory=1Gi", "node", "c/resources/requests/memory", "1Gi"),
];

#[test]
fn values_reach_the_objects() {
    for (value, object, place, expected) in VALUES {
        let objects = keyed(template(&["--set", value]).unwrap());
        let key = match object {
            "config" => r#""ConfigMap" "tortie-config""#,
            "node" => r#""DaemonSet" "tortie-node""#,
            _ => r#""Deployment" "tortie-ipam""#,
        };
        let pointer = match place.strip_prefix("c/") {
            Some(field) => format!("/spec/template/spec/containers/0/{field}"),
            None => place.to_owned(),
        };
        let found = match pointer.strip_suffix("/LAST") {
            Some(list) => objects[key].pointer(list).and_then(|list| list.as_array()?.last()),
            None => objects[key].pointer(&pointer),
        };
        let found = found.unwrap();
        let text = found.as_f64().map_or_else(|| found.to_string(), |number| number.to_string());
        assert_eq!(found.as_str().unwrap_or(&text), expected, "{value}");
    }
}

#[test]
fn the_plugins_folders_are_where_the_host_has_them() {
    let objects = keyed(template(&["--set", "cni.binDir=/usr/lib/cni,cni.confDir=/etc/net.d"]).unwrap());
    let volumes =
        objects[r#""DaemonSet" "tortie-node""#].pointer("/spec/template/spec/volumes").unwrap().clone();
    let paths: Vec<&str> =
        volumes.as_array().unwrap().iter().map(|it| it["hostPath"]["path"].as_str().unwrap()).collect();
    assert!(paths.contains(&"/usr/lib/cni") && paths.contains(&"/etc/net.d"), "{paths:?}");
}

#[test]
fn wrong_values_are_refused_with_their_name() {
    // (value, part of what helm says)
    let cases = [
        ("asn=0", "asn"),
        ("asn=many", "asn"),
        ("podCIDRs=", "podCIDRs"),
        ("logFormat=xml", "logFormat"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("cni.binDir=bin", "binDir"),
        ("ipam.replicas=0", "replicas"),
        ("podCidrs=10.0.0.0/8", "podCidrs"),
    ];
    for (value, part) in cases {
        let refusal = template(&["--set", value]).unwrap_err();
        assert!(refusal.contains(part), "{value}: {refusal}");
    }
}

/// Every value of the chart, as the names that lead to it.
fn paths(prefix: &str, value: &Value) -> Vec<String> {
    let below = |(key, value): (&String, &Value)| paths(&format!("{prefix}/{key}"), value);
    match value.as_object() {
        Some(fields) if !fields.is_empty() && !prefix.ends_with("/resources") => {
            fields.iter().flat_map(below).collect()
        }
        _ => vec![prefix.to_owned()],
    }
}

#[test]
fn every_value_is_in_the_schema() {
    let text = fs::read_to_string(deploy().join("chart/values.yaml")).unwrap();
    let values: Value = serde_yaml_ng::from_str(&text).unwrap();
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(deploy().join("chart/values.schema.json")).unwrap())
            .unwrap();
    for path in paths("", &values) {
        let pointer = path.replace('/', "/properties/");
        assert!(schema.pointer(&pointer).is_some(), "{path} is not in values.schema.json");
    }
}
