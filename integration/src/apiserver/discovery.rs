//! `/version`, `/api`, `/apis` and below: which resources there are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::registry::{Registry, Resource, api_version};

/// Version that the server says it has: the one whose behaviour it follows.
const GIT_VERSION: &str = "v1.34.0";

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The document at `path`, `None` if that is not a path of discovery.
pub(crate) fn document(registry: &Registry, path: &str) -> Option<Value> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        [] => Some(
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]}),
        ),
        ["version"] => Some(version()),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
        ["apis"] => Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups(registry)})),
        ["apis", group] => groups(registry).into_iter().find(|one| one["name"] == *group).map(|mut one| {
            one["kind"] = json!("APIGroup");
            one["apiVersion"] = json!("v1");
            one
        }),
        ["api", version] => resource_list(registry, "", version),
        ["apis", group, version] => resource_list(registry, group, version),
        _ => None,
    }
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "34", "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc", "platform": "linux/amd64",
    })
}

fn groups(registry: &Registry) -> Vec<Value> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for resource in registry.iter().filter(|resource| !resource.group.is_empty()) {
        versions.entry(&resource.group).or_default().insert(&resource.version);
    }
    let group = |(group, versions): (&str, BTreeSet<&str>)| {
        let mut versions: Vec<&str> = versions.into_iter().collect();
        versions.sort_by_key(|version| std::cmp::Reverse(maturity(version)));
        let described: Vec<Value> = versions
            .iter()
            .map(|version| json!({"groupVersion": api_version(group, version), "version": version}))
            .collect();
        json!({"name": group, "versions": described, "preferredVersion": described[0]})
    };
    versions.into_iter().map(group).collect()
}

/// Order of versions as Kubernetes prefers them: stable before beta before alpha, then by number.
fn maturity(version: &str) -> (u8, u64, u64) {
    let rest = version.strip_prefix('v').unwrap_or(version);
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    if let Some((major, minor)) = rest.split_once("beta") {
        return (1, number(major), number(minor));
    }
    match rest.split_once("alpha") {
        Some((major, minor)) => (0, number(major), number(minor)),
        None => (2, number(rest), 0),
    }
}

fn resource_list(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let served = registry.iter().filter(|one| one.group == group && one.version == version);
    let resources: Vec<Value> = served.flat_map(|resource| described(resource)).collect();
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": api_version(group, version), "resources": resources,
    });
    (!resources.is_empty()).then_some(list)
}

/// A resource and its subresources.
fn described(resource: &Resource) -> Vec<Value> {
    let mut main = json!({
        "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": VERBS,
    });
    for (field, list) in [("shortNames", &resource.short_names), ("categories", &resource.categories)] {
        if !list.is_empty() {
            main[field] = json!(list);
        }
    }
    let subresource = |name: &String| {
        let (kind, verbs): (&str, &[&str]) = match name.as_str() {
            "binding" => ("Binding", &["create"]),
            "eviction" => ("Eviction", &["create"]),
            "finalize" => (&resource.kind, &["update"]),
            _ => (&resource.kind, &["get", "patch", "update"]),
        };
        let mut described = json!({
            "name": format!("{}/{name}", resource.plural), "singularName": "",
            "namespaced": resource.namespaced, "kind": kind, "verbs": verbs,
        });
        if name == "eviction" {
            described["group"] = json!("policy");
            described["version"] = json!("v1");
        }
        described
    };
    std::iter::once(main).chain(resource.subresources.iter().map(subresource)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_come_first() {
        let mut versions = vec!["v1alpha1", "v2", "v1beta2", "v1", "v10", "v1beta1"];
        versions.sort_by_key(|version| std::cmp::Reverse(maturity(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1"]);
    }

    #[test]
    fn every_resource_is_found_where_discovery_says() {
        let registry = Registry::new();
        let cases = [
            ("/api/v1", "v1", 12 + 6),
            ("/apis/networking.k8s.io/v1", "networking.k8s.io/v1", 1),
            ("/apis/apiextensions.k8s.io/v1", "apiextensions.k8s.io/v1", 2),
        ];
        for (path, group_version, _) in cases {
            let list = document(&registry, path).unwrap();
            assert_eq!(list["groupVersion"], group_version, "{path}");
            assert!(!list["resources"].as_array().unwrap().is_empty(), "{path}");
        }
        assert_eq!(document(&registry, "/apis/apps/v1"), None);
        assert_eq!(
            document(&registry, "/apis/networking.k8s.io").unwrap()["preferredVersion"]["version"],
            "v1"
        );
    }
}
