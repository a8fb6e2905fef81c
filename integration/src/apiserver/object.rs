//! Reading and writing the metadata that all objects share, on plain JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::jiff;
use serde_json::{Map, Value, json};

/// A JSON object's members.
pub(crate) type Members = Map<String, Value>;

/// The string at `metadata.<field>`, empty if there is none.
pub(crate) fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get("metadata").and_then(|meta| meta.get(field)).and_then(Value::as_str).unwrap_or_default()
}

/// `metadata.name`.
pub(crate) fn name(object: &Value) -> &str {
    meta(object, "name")
}

/// `metadata.namespace`.
pub(crate) fn namespace(object: &Value) -> &str {
    meta(object, "namespace")
}

/// `metadata.uid`.
pub(crate) fn uid(object: &Value) -> &str {
    meta(object, "uid")
}

/// The members of `metadata`, made if absent; a `metadata` of another type is replaced.
pub(crate) fn meta_mut(object: &mut Value) -> &mut Members {
    if !object.is_object() {
        *object = json!({});
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"].as_object_mut().expect("it was made an object just above")
}

/// Sets `metadata.<field>`, or removes it for `None` and null.
pub(crate) fn set_meta(object: &mut Value, field: &str, value: Option<Value>) {
    match value {
        None | Some(Value::Null) => meta_mut(object).remove(field),
        Some(value) => meta_mut(object).insert(field.to_owned(), value),
    };
}

/// Whether deletion was asked for.
pub(crate) fn is_deleting(object: &Value) -> bool {
    !meta(object, "deletionTimestamp").is_empty()
}

/// `metadata.finalizers`.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    let list = object.get("metadata").and_then(|meta| meta.get("finalizers")).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// `metadata.labels`.
pub(crate) fn labels(object: &Value) -> BTreeMap<&str, &str> {
    let map = object.get("metadata").and_then(|meta| meta.get("labels")).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect()
}

/// `metadata.generation`, 0 if there is none.
pub(crate) fn generation(object: &Value) -> i64 {
    object.get("metadata").and_then(|meta| meta.get("generation")).and_then(Value::as_i64).unwrap_or(0)
}

/// `metadata.ownerReferences`.
pub(crate) fn owner_references(object: &Value) -> &[Value] {
    let list = object.get("metadata").and_then(|meta| meta.get("ownerReferences"));
    list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A moment as Kubernetes writes it: RFC 3339 in UTC, whole seconds.
pub(crate) fn time_text(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The value at a dotted path such as `spec.nodeName`.
pub(crate) fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |value, field| value.get(field))
}

/// The string at a dotted path, empty if there is none.
pub(crate) fn text_at<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}
