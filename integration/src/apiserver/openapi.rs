//! `/openapi/v3`: the schemas, for `kubectl explain` and for validation by clients.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    registry::{Origin, Registry, Resource},
    schema::builtin::{self, DEFINITIONS_PATH},
};

/// The document at `path`, `None` if that is none of these paths.
pub(crate) fn document(registry: &Registry, path: &str) -> Option<Value> {
    let place = path.strip_prefix("/openapi/v3")?.trim_matches('/');
    if place.is_empty() {
        return Some(json!({"paths": index(registry)}));
    }
    let resources: Vec<&Resource> =
        registry.iter().map(|one| &**one).filter(|one| self::place(one) == place).collect();
    (!resources.is_empty()).then(|| group_document(place, &resources))
}

/// Where a resource's group and version live: `api/v1` or `apis/group/version`.
fn place(resource: &Resource) -> String {
    let prefix = if resource.group.is_empty() { "api" } else { "apis" };
    format!("{prefix}/{}", resource.api_version())
}

fn index(registry: &Registry) -> Map<String, Value> {
    let places: BTreeSet<String> = registry.iter().map(|resource| place(resource)).collect();
    let entry = |place: String| {
        // Clients keep documents by their hash: it changes when the resources there do.
        let kinds = registry.iter().filter(|one| self::place(one) == place);
        let hash = kinds.fold(0_u64, |hash, one| hash.wrapping_mul(31).wrapping_add(fingerprint(one)));
        let url = format!("/openapi/v3/{place}?hash={hash:016X}");
        (place, json!({"serverRelativeURL": url}))
    };
    places.into_iter().map(entry).collect()
}

/// FNV-1a over what is published of a resource.
fn fingerprint(resource: &Resource) -> u64 {
    let text = format!("{}{}", resource.plural, resource.published.1);
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn group_document(place: &str, resources: &[&Resource]) -> Value {
    let mut schemas = Map::new();
    let mut paths = Map::new();
    for resource in resources {
        let (name, raw) = &resource.published;
        let mut schema = raw.clone();
        publish(&mut schema);
        schema["x-kubernetes-group-version-kind"] = json!([gvk(resource)]);
        schemas.insert(name.clone(), schema);
        add_references(raw, &mut schemas);
        add_paths(place, resource, &mut paths);
    }
    json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.34.0"},
        "paths": paths, "components": {"schemas": schemas},
    })
}

fn gvk(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

/// Adds every definition that `raw` leads to.
fn add_references(raw: &Value, schemas: &mut Map<String, Value>) {
    if let Some(name) = builtin::reference(raw)
        && !schemas.contains_key(name)
        && let Some(definition) = builtin::definitions().get(name)
    {
        let mut schema = definition.clone();
        publish(&mut schema);
        schemas.insert(name.to_owned(), schema);
        add_references(definition, schemas);
    }
    match raw {
        Value::Object(members) => members.values().for_each(|member| add_references(member, schemas)),
        Value::Array(items) => items.iter().for_each(|item| add_references(item, schemas)),
        _ => {}
    }
}

/// Version 3.0 has no fields beside a reference, and no schema without a type for "int or string".
fn publish(schema: &mut Value) {
    // A property may itself be called "$ref"; only a text refers to something.
    if let Some(reference) = schema.get("$ref").filter(|reference| reference.is_string()).cloned()
        && let Some(members) = schema.as_object_mut()
        && members.len() > 1
    {
        members.remove("$ref");
        members.insert("allOf".to_owned(), json!([{"$ref": reference}]));
    }
    if schema["x-kubernetes-int-or-string"] == true && schema.get("anyOf").is_none() {
        schema["oneOf"] = json!([{"type": "integer"}, {"type": "string"}]);
        schema["format"] = json!("int-or-string");
    }
    match schema {
        Value::Object(members) => members.values_mut().for_each(publish),
        Value::Array(items) => items.iter_mut().for_each(publish),
        _ => {}
    }
}

fn add_paths(place: &str, resource: &Resource, paths: &mut Map<String, Value>) {
    let prefix = if resource.namespaced {
        format!("/{place}/namespaces/{{namespace}}/{}", resource.plural)
    } else {
        format!("/{place}/{}", resource.plural)
    };
    let collection = json!({
        "get": operation(resource, "list", &[]),
        "post": operation(resource, "post", &["dryRun", "fieldManager", "fieldValidation"]),
        "delete": operation(resource, "deletecollection", &["dryRun"]),
    });
    let mut patch = operation(resource, "patch", &["dryRun", "fieldManager", "fieldValidation", "force"]);
    patch["requestBody"] = patch_body(resource);
    let object = json!({
        "get": operation(resource, "get", &[]),
        "put": operation(resource, "put", &["dryRun", "fieldManager", "fieldValidation"]),
        "patch": patch,
        "delete": operation(resource, "delete", &["dryRun", "gracePeriodSeconds", "propagationPolicy"]),
    });
    if resource.namespaced {
        let all = json!({"get": operation(resource, "list", &[])});
        paths.insert(format!("/{place}/{}", resource.plural), all);
    }
    if resource.has("status") {
        let status =
            json!({"get": operation(resource, "get", &[]), "patch": object["patch"], "put": object["put"]});
        paths.insert(format!("{prefix}/{{name}}/status"), status);
    }
    paths.insert(prefix.clone(), collection);
    paths.insert(format!("{prefix}/{{name}}"), object);
}

fn operation(resource: &Resource, action: &str, parameters: &[&str]) -> Value {
    let parameter =
        |name: &&str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let schema = json!({"$ref": format!("#{DEFINITIONS_PATH}/{}", resource.published.0)});
    json!({
        "operationId": format!("{action}{}{}", resource.version, resource.plural),
        "parameters": parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk(resource),
    })
}

fn patch_body(resource: &Resource) -> Value {
    let mut kinds =
        vec!["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"];
    if resource.origin == Origin::BuiltIn {
        kinds.push("application/strategic-merge-patch+json");
    }
    let content: Map<String, Value> =
        kinds.iter().map(|kind| ((*kind).to_owned(), json!({"schema": {"type": "object"}}))).collect();
    json!({"content": content, "required": true})
}
