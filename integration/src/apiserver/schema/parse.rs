//! `OpenAPI` v3 as JSON -> the tree.

use regex::Regex;
use serde_json::Value;

use super::{
    Bounds, DEPTH_MAX, Junctors, ListKind, ListShape, ObjectShape, Scalar, Schema, Shape, builtin, join,
};

/// The tree of an `OpenAPI` v3 schema without references.
///
/// # Errors
/// What cannot be understood, with the path to it.
pub(crate) fn parse(raw: &Value) -> Result<Schema, String> {
    node(raw, "", 0)
}

fn node(raw: &Value, path: &str, depth: usize) -> Result<Schema, String> {
    if depth > DEPTH_MAX {
        return Err(format!("{path}: schema is nested more than {DEPTH_MAX} levels deep"));
    }
    let shape =
        if flag(raw, "x-kubernetes-int-or-string") { Shape::IntOrString } else { shape(raw, path, depth)? };
    Ok(Schema {
        shape,
        nullable: flag(raw, "nullable"),
        default: raw.get("default").cloned(),
        bounds: bounds(raw, path)?,
        junctors: junctors(raw, path, depth)?,
    })
}

fn shape(raw: &Value, path: &str, depth: usize) -> Result<Shape, String> {
    let scalar = |kind| Ok(Shape::Scalar(kind));
    match raw.get("type").and_then(Value::as_str) {
        Some("object") => object(raw, path, depth),
        Some("array") => list(raw, path, depth),
        Some("string") => scalar(Scalar::String),
        Some("integer") => scalar(Scalar::Integer),
        Some("number") => scalar(Scalar::Number),
        Some("boolean") => scalar(Scalar::Boolean),
        Some(other) => Err(format!("{path}.type: Unsupported value: {other:?}")),
        None if raw.get("properties").is_some() || raw.get("required").is_some() => object(raw, path, depth),
        None => Ok(Shape::Any),
    }
}

fn object(raw: &Value, path: &str, depth: usize) -> Result<Shape, String> {
    let mut object = ObjectShape {
        preserve_unknown: flag(raw, "x-kubernetes-preserve-unknown-fields"),
        required: strings(raw, "required"),
        atomic: raw.get("x-kubernetes-map-type").is_some_and(|kind| kind == "atomic"),
        typed: raw.get("type").is_some(),
        ..ObjectShape::default()
    };
    for (name, property) in raw.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = join(&join(path, "properties"), name);
        object.properties.insert(name.clone(), node(property, &path, depth + 1)?);
    }
    match raw.get("additionalProperties") {
        Some(Value::Bool(true)) => object.additional = Some(Schema::default()),
        Some(schema @ Value::Object(_)) => {
            object.additional = Some(node(schema, &join(path, "additionalProperties"), depth + 1)?);
        }
        _ => {}
    }
    if flag(raw, "x-kubernetes-embedded-resource") {
        object.preserve_unknown |= object.properties.is_empty();
        for (name, schema) in builtin::envelope() {
            object.properties.entry(name).or_insert(schema);
        }
    }
    Ok(Shape::Object(Box::new(object)))
}

fn list(raw: &Value, path: &str, depth: usize) -> Result<Shape, String> {
    let items = match raw.get("items") {
        Some(items) => node(items, &join(path, "items"), depth + 1)?,
        None => Schema::default(),
    };
    let kind = match raw.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListKind::Set,
        Some("map") => ListKind::Map(strings(raw, "x-kubernetes-list-map-keys")),
        _ => ListKind::Atomic,
    };
    let merges = raw
        .get("x-kubernetes-patch-strategy")
        .and_then(Value::as_str)
        .is_some_and(|strategy| strategy.contains("merge"));
    let key = raw.get("x-kubernetes-patch-merge-key").and_then(Value::as_str).unwrap_or_default();
    let patch_key = merges.then(|| key.to_owned());
    Ok(Shape::List(Box::new(ListShape { items, kind, patch_key })))
}

fn bounds(raw: &Value, path: &str) -> Result<Bounds, String> {
    let pattern = match raw.get("pattern").and_then(Value::as_str) {
        Some(pattern) => Some(
            Regex::new(pattern)
                .map_err(|error| format!("{path}.pattern: Invalid value: {pattern:?}: {error}"))?,
        ),
        None => None,
    };
    let number = |field: &str| raw.get(field).and_then(Value::as_f64);
    let count = |field: &str| raw.get(field).and_then(Value::as_u64);
    Ok(Bounds {
        allowed: raw.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
        pattern,
        format: raw.get("format").and_then(Value::as_str).map(str::to_owned),
        minimum: number("minimum"),
        maximum: number("maximum"),
        exclusive_minimum: flag(raw, "exclusiveMinimum"),
        exclusive_maximum: flag(raw, "exclusiveMaximum"),
        multiple_of: number("multipleOf"),
        length_min: count("minLength"),
        length_max: count("maxLength"),
        items_min: count("minItems"),
        items_max: count("maxItems"),
        properties_min: count("minProperties"),
        properties_max: count("maxProperties"),
    })
}

fn junctors(raw: &Value, path: &str, depth: usize) -> Result<Junctors, String> {
    let each = |field: &str| -> Result<Vec<Schema>, String> {
        let schemas = raw.get(field).and_then(Value::as_array);
        schemas.into_iter().flatten().map(|schema| node(schema, &join(path, field), depth + 1)).collect()
    };
    let not = match raw.get("not") {
        Some(schema) => Some(Box::new(node(schema, &join(path, "not"), depth + 1)?)),
        None => None,
    };
    Ok(Junctors { all_of: each("allOf")?, any_of: each("anyOf")?, one_of: each("oneOf")?, not })
}

fn flag(raw: &Value, field: &str) -> bool {
    raw.get(field).and_then(Value::as_bool).unwrap_or(false)
}

fn strings(raw: &Value, field: &str) -> Vec<String> {
    let list = raw.get(field).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
