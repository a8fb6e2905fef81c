//! `CustomResourceDefinition` -> the resources that it adds, or what is wrong with it.

use serde_json::{Value, json};

use super::{Column, Origin, Resource, api_version, table_name};
use crate::apiserver::{
    object::{self, at, text_at},
    schema::{Schema, builtin, cel::Rules, parse},
    status::FieldError,
};

/// The resources of every served version.
///
/// # Errors
/// What the real server refuses in a definition: names that do not fit together, no or a
/// malformed schema, rules that do not compile.
pub(crate) fn resources(definition: &Value) -> Result<Vec<Resource>, Vec<FieldError>> {
    let mut errors = names(definition);
    let versions = at(definition, "spec.versions").and_then(Value::as_array).cloned().unwrap_or_default();
    let stored: Vec<&Value> = versions.iter().filter(|version| version["storage"] == true).collect();
    if stored.len() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", &json!(null), detail));
    }
    let storage_version = stored.first().map_or("", |version| text_at(version, "name"));
    let mut resources = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        match resource(definition, version, storage_version, &format!("spec.versions[{index}]")) {
            Ok(resource) if version["served"] == true => resources.push(resource),
            Ok(_) => {}
            Err(faults) => errors.extend(faults),
        }
    }
    if errors.is_empty() { Ok(resources) } else { Err(errors) }
}

fn names(definition: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (plural, group) = (text_at(definition, "spec.names.plural"), text_at(definition, "spec.group"));
    let expected = format!("{plural}.{group}");
    if object::name(definition) != expected {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", &json!(object::name(definition)), detail));
    }
    let scope = text_at(definition, "spec.scope");
    if !matches!(scope, "Cluster" | "Namespaced") {
        errors.push(FieldError::not_supported("spec.scope", &json!(scope), ["Cluster", "Namespaced"]));
    }
    errors
}

fn resource(
    definition: &Value,
    version: &Value,
    storage_version: &str,
    path: &str,
) -> Result<Resource, Vec<FieldError>> {
    let raw = at(version, "schema.openAPIV3Schema").ok_or_else(|| {
        vec![FieldError::required(format!("{path}.schema.openAPIV3Schema"), "schemas are required")]
    })?;
    let schema_path = format!("{path}.schema.openAPIV3Schema");
    let schema =
        root_schema(raw).map_err(|text| vec![FieldError::invalid(&schema_path, &json!("object"), text)])?;
    let rules = Rules::compile(raw).map_err(|texts| {
        let path = format!("{schema_path}.x-kubernetes-validations");
        texts.iter().map(|text| FieldError::invalid(&path, &json!("rule"), text)).collect::<Vec<_>>()
    })?;
    let text = |path: &str| text_at(definition, path).to_owned();
    let or = |given: String, otherwise: String| if given.is_empty() { otherwise } else { given };
    let (group, kind, plural) = (text("spec.group"), text("spec.names.kind"), text("spec.names.plural"));
    let list = |path: &str| {
        let list = at(definition, path).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let version_name = text_at(version, "name").to_owned();
    let definition_name = published_name(&group, &version_name, &kind);
    Ok(Resource {
        singular: or(text("spec.names.singular"), kind.to_lowercase()),
        list_kind: or(text("spec.names.listKind"), format!("{kind}List")),
        short_names: list("spec.names.shortNames"),
        categories: list("spec.names.categories"),
        namespaced: text("spec.scope") == "Namespaced",
        subresources: if at(version, "subresources.status").is_some() {
            vec!["status".to_owned()]
        } else {
            vec![]
        },
        published: (definition_name, published(raw)),
        schema,
        rules: Some(rules),
        columns: columns(version),
        origin: Origin::Custom,
        table: table_name(&group, &plural),
        storage_version: api_version(&group, storage_version),
        version: version_name,
        group,
        plural,
        kind,
    })
}

/// The tree of a custom resource: the definition's schema, with the metadata that all objects have.
fn root_schema(raw: &Value) -> Result<Schema, String> {
    if raw.get("type").is_none_or(|kind| kind != "object") {
        return Err("type: Invalid value: must be object at the root".to_owned());
    }
    let mut schema = parse(raw)?;
    for (name, field) in builtin::envelope() {
        schema.set_property(&name, field);
    }
    Ok(schema)
}

/// Name of the published definition: the group's labels reversed, as generators write it.
fn published_name(group: &str, version: &str, kind: &str) -> String {
    let reversed: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", reversed.join("."))
}

fn published(raw: &Value) -> Value {
    let mut schema = raw.clone();
    let envelope = &builtin::inlined("io.k8s.api.core.v1.ConfigMap")["properties"];
    for name in ["apiVersion", "kind"] {
        schema["properties"][name] = envelope[name].clone();
    }
    schema["properties"]["metadata"] = json!({
        "description": envelope["metadata"]["description"],
        "$ref": format!("#{}/{}", builtin::DEFINITIONS_PATH, builtin::OBJECT_META),
    });
    schema
}

fn columns(version: &Value) -> Vec<Column> {
    let mut columns = vec![Column {
        name: "Name".to_owned(),
        kind: "string".to_owned(),
        format: "name".to_owned(),
        description: "Name must be unique within a namespace.".to_owned(),
        priority: 0,
        json_path: ".metadata.name".to_owned(),
    }];
    let given = version.get("additionalPrinterColumns").and_then(Value::as_array).cloned();
    let age = json!([{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
        "description": "Time since the object was created."}]);
    let given = given.unwrap_or_else(|| age.as_array().cloned().unwrap_or_default());
    columns.extend(given.iter().map(|column| Column {
        name: text_at(column, "name").to_owned(),
        kind: text_at(column, "type").to_owned(),
        format: text_at(column, "format").to_owned(),
        description: text_at(column, "description").to_owned(),
        priority: column.get("priority").and_then(Value::as_i64).unwrap_or(0),
        json_path: text_at(column, "jsonPath").to_owned(),
    }));
    columns
}
