//! The built-in resources, as one table.

use super::{Column, Origin, Resource, api_version, table_name};
use crate::apiserver::{
    schema::{builtin, parse},
    table::columns,
};

/// One row: what discovery says about a built-in resource.
struct Row {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
    short_names: &'static [&'static str],
    categories: &'static [&'static str],
    namespaced: bool,
    subresources: &'static [&'static str],
    definition: &'static str,
}

const NONE: &[&str] = &[];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { group: "", version: "v1", plural: "namespaces", kind: "Namespace", short_names: &["ns"], categories: NONE,
        namespaced: false, subresources: &["status", "finalize"], definition: "io.k8s.api.core.v1.Namespace" },
    Row { group: "", version: "v1", plural: "nodes", kind: "Node", short_names: &["no"], categories: NONE,
        namespaced: false, subresources: &["status"], definition: "io.k8s.api.core.v1.Node" },
    Row { group: "", version: "v1", plural: "pods", kind: "Pod", short_names: &["po"], categories: &["all"],
        namespaced: true, subresources: &["status", "binding", "eviction"], definition: "io.k8s.api.core.v1.Pod" },
    Row { group: "", version: "v1", plural: "configmaps", kind: "ConfigMap", short_names: &["cm"], categories: NONE,
        namespaced: true, subresources: NONE, definition: "io.k8s.api.core.v1.ConfigMap" },
    Row { group: "", version: "v1", plural: "secrets", kind: "Secret", short_names: NONE, categories: NONE,
        namespaced: true, subresources: NONE, definition: "io.k8s.api.core.v1.Secret" },
    Row { group: "", version: "v1", plural: "services", kind: "Service", short_names: &["svc"], categories: &["all"],
        namespaced: true, subresources: &["status"], definition: "io.k8s.api.core.v1.Service" },
    Row { group: "", version: "v1", plural: "serviceaccounts", kind: "ServiceAccount", short_names: &["sa"], categories: NONE,
        namespaced: true, subresources: NONE, definition: "io.k8s.api.core.v1.ServiceAccount" },
    Row { group: "", version: "v1", plural: "events", kind: "Event", short_names: &["ev"], categories: NONE,
        namespaced: true, subresources: NONE, definition: "io.k8s.api.core.v1.Event" },
    Row { group: "events.k8s.io", version: "v1", plural: "events", kind: "Event", short_names: &["ev"], categories: NONE,
        namespaced: true, subresources: NONE, definition: "io.k8s.api.events.v1.Event" },
    Row { group: "networking.k8s.io", version: "v1", plural: "networkpolicies", kind: "NetworkPolicy", short_names: &["netpol"], categories: NONE,
        namespaced: true, subresources: NONE, definition: "io.k8s.api.networking.v1.NetworkPolicy" },
    Row { group: "coordination.k8s.io", version: "v1", plural: "leases", kind: "Lease", short_names: NONE, categories: NONE,
        namespaced: true, subresources: NONE, definition: "io.k8s.api.coordination.v1.Lease" },
    Row { group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions", kind: "CustomResourceDefinition",
        short_names: &["crd", "crds"], categories: &["api-extensions"], namespaced: false, subresources: &["status"],
        definition: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition" },
];

/// Every built-in resource.
pub(crate) fn resources() -> Vec<Resource> {
    ROWS.iter().map(resource).collect()
}

fn resource(row: &Row) -> Resource {
    let owned = |list: &[&str]| list.iter().map(|&one| one.to_owned()).collect();
    let schema =
        parse(&builtin::inlined(row.definition)).expect("definitions of built-in kinds are well-formed");
    // Both groups' events are the same objects, stored in the older form.
    let storage_group = if row.plural == "events" { "" } else { row.group };
    Resource {
        group: row.group.to_owned(),
        version: row.version.to_owned(),
        plural: row.plural.to_owned(),
        singular: row.kind.to_lowercase(),
        kind: row.kind.to_owned(),
        list_kind: format!("{}List", row.kind),
        short_names: owned(row.short_names),
        categories: owned(row.categories),
        namespaced: row.namespaced,
        subresources: owned(row.subresources),
        schema,
        published: (row.definition.to_owned(), builtin::definitions()[row.definition].clone()),
        rules: None,
        columns: columns(row.plural).iter().map(column).collect(),
        origin: Origin::BuiltIn,
        table: table_name(storage_group, row.plural),
        storage_version: api_version(storage_group, row.version),
    }
}

fn column(&(name, kind, priority, description): &(&str, &str, i64, &str)) -> Column {
    Column {
        name: name.to_owned(),
        kind: kind.to_owned(),
        format: if name == "Name" { "name".to_owned() } else { String::new() },
        description: description.to_owned(),
        priority,
        json_path: String::new(),
    }
}
