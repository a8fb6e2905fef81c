//! Holds a value against the schema; the errors read like the real server's.

use serde_json::Value;

use super::{Bounds, DEPTH_MAX, ListKind, ListShape, ObjectShape, Scalar, Schema, Shape, format, join};
use crate::apiserver::status::FieldError;

/// Everything in `value` that breaks `schema`.
pub(crate) fn validate(schema: &Schema, value: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(schema, value, "", &mut errors, 0);
    errors
}

fn walk(schema: &Schema, value: &Value, path: &str, errors: &mut Vec<FieldError>, depth: usize) {
    if depth > DEPTH_MAX {
        let detail = format!("is nested more than {DEPTH_MAX} levels deep");
        errors.push(FieldError::invalid(path, &Value::Null, detail));
        return;
    }
    if value.is_null() && schema.nullable {
        return;
    }
    if let Some(error) = wrong_type(schema, value, path) {
        errors.push(error);
        return;
    }
    check_bounds(&schema.bounds, value, path, errors);
    match (&schema.shape, value) {
        (Shape::Object(shape), Value::Object(_)) => members(shape, value, path, errors, depth),
        (Shape::List(shape), Value::Array(list)) => items(shape, list, path, errors, depth),
        _ => {}
    }
    junctors(schema, value, path, errors, depth);
}

/// The error if `value` has another JSON type than the schema asks for.
fn wrong_type(schema: &Schema, value: &Value, path: &str) -> Option<FieldError> {
    let (matches, expected) = match &schema.shape {
        Shape::Any => (true, ""),
        Shape::Object(shape) => (value.is_object() || !shape.typed, "object"),
        Shape::List(_) => (value.is_array(), "array"),
        Shape::IntOrString => (value.is_string() || is_integer(value), "integer,string"),
        Shape::Scalar(Scalar::Number) => (value.is_number(), "number"),
        Shape::Scalar(Scalar::Integer) => (is_integer(value), "integer"),
        Shape::Scalar(Scalar::String) => (value.is_string(), "string"),
        Shape::Scalar(Scalar::Boolean) => (value.is_boolean(), "boolean"),
    };
    if matches {
        return None;
    }
    let actual = type_name(value);
    let detail = format!("{path} in body must be of type {expected}: {actual:?}");
    Some(FieldError::type_invalid(path, &Value::String(actual.to_owned()), detail))
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// JSON's name of the value's type.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn members(shape: &ObjectShape, object: &Value, path: &str, errors: &mut Vec<FieldError>, depth: usize) {
    for name in &shape.required {
        if object.get(name).is_none() {
            errors.push(FieldError::required(join(path, name), ""));
        }
    }
    for (key, member) in object.as_object().into_iter().flatten() {
        if let Some(field) = shape.properties.get(key).or(shape.additional.as_ref()) {
            walk(field, member, &join(path, key), errors, depth + 1);
        }
    }
}

fn items(shape: &ListShape, list: &[Value], path: &str, errors: &mut Vec<FieldError>, depth: usize) {
    for (index, item) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        walk(&shape.items, item, &path, errors, depth + 1);
        let identity = |item: &Value| match &shape.kind {
            ListKind::Atomic => None,
            ListKind::Set => Some(item.clone()),
            ListKind::Map(keys) => Some(keys_of(&shape.items, item, keys)),
        };
        let mine = identity(item);
        if mine.is_some() && list[..index].iter().any(|other| identity(other) == mine) {
            errors.push(FieldError::duplicate(path, &mine.unwrap_or_default()));
        }
    }
}

/// The fields that tell an item of a list-map from the others; an absent one has its default.
pub(crate) fn keys_of(items: &Schema, item: &Value, keys: &[String]) -> Value {
    let default = |key: &str| items.member(key).and_then(|field| field.default.clone());
    let field = |key: &String| {
        let value = item.get(key).cloned().or_else(|| default(key))?;
        Some((key.clone(), value))
    };
    Value::Object(keys.iter().filter_map(field).collect())
}

fn check_bounds(bounds: &Bounds, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if !bounds.allowed.is_empty() && !bounds.allowed.contains(value) {
        let allowed =
            bounds.allowed.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned));
        let allowed: Vec<String> = allowed.collect();
        errors.push(FieldError::not_supported(path, value, allowed.iter().map(String::as_str)));
    }
    match value {
        Value::Number(number) => check_number(bounds, number.as_f64().unwrap_or(0.0), value, path, errors),
        Value::String(text) => check_string(bounds, text, value, path, errors),
        Value::Array(items) => {
            check_count(items.len(), bounds.items_min, bounds.items_max, "items", value, path, errors);
        }
        Value::Object(members) => {
            let (min, max) = (bounds.properties_min, bounds.properties_max);
            check_count(members.len(), min, max, "properties", value, path, errors);
        }
        Value::Null | Value::Bool(_) => {}
    }
    if let Some(name) = &bounds.format
        && !format::matches(name, value)
    {
        let detail = format!("{path} in body must be of type {name}: {value}");
        errors.push(FieldError::invalid(path, value, detail));
    }
}

fn check_number(bounds: &Bounds, number: f64, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let mut fault = |text: String| {
        errors.push(FieldError::invalid(path, value, format!("{path} in body {text}")));
    };
    match bounds.minimum {
        Some(least) if number < least => fault(format!("should be greater than or equal to {least}")),
        Some(least) if bounds.exclusive_minimum && number <= least => {
            fault(format!("should be greater than {least}"));
        }
        _ => {}
    }
    match bounds.maximum {
        Some(most) if number > most => fault(format!("should be less than or equal to {most}")),
        Some(most) if bounds.exclusive_maximum && number >= most => {
            fault(format!("should be less than {most}"));
        }
        _ => {}
    }
    if let Some(step) = bounds.multiple_of
        && (number / step).fract() != 0.0
    {
        fault(format!("should be a multiple of {step}"));
    }
}

fn check_string(bounds: &Bounds, text: &str, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let length = text.chars().count() as u64;
    if let Some(least) = bounds.length_min
        && length < least
    {
        let detail = format!("{path} in body should be at least {least} chars long");
        errors.push(FieldError::invalid(path, value, detail));
    }
    if let Some(most) = bounds.length_max
        && length > most
    {
        errors.push(FieldError::too_long(path, most));
    }
    if let Some(pattern) = &bounds.pattern
        && !pattern.is_match(text)
    {
        let detail = format!("{path} in body should match '{pattern}'");
        errors.push(FieldError::invalid(path, value, detail));
    }
}

fn check_count(
    count: usize,
    least: Option<u64>,
    most: Option<u64>,
    what: &str,
    value: &Value,
    path: &str,
    errors: &mut Vec<FieldError>,
) {
    if let Some(least) = least
        && (count as u64) < least
    {
        let detail = format!("{path} in body should have at least {least} {what}");
        errors.push(FieldError::invalid(path, value, detail));
    }
    if let Some(most) = most
        && (count as u64) > most
    {
        errors.push(FieldError::too_many(path, count, most));
    }
}

fn junctors(schema: &Schema, value: &Value, path: &str, errors: &mut Vec<FieldError>, depth: usize) {
    let faults = |schema: &Schema| {
        let mut errors = Vec::new();
        walk(schema, value, path, &mut errors, depth + 1);
        errors
    };
    for one in &schema.junctors.all_of {
        errors.extend(faults(one));
    }
    let matching = |schemas: &[Schema]| schemas.iter().filter(|one| faults(one).is_empty()).count();
    let mut fault = |text: &str| {
        errors.push(FieldError::invalid(path, value, format!("{path:?} must validate {text}")));
    };
    if !schema.junctors.any_of.is_empty() && matching(&schema.junctors.any_of) == 0 {
        fault("at least one schema (anyOf)");
    }
    if !schema.junctors.one_of.is_empty() && matching(&schema.junctors.one_of) != 1 {
        fault("one and only one schema (oneOf)");
    }
    if schema.junctors.not.as_ref().is_some_and(|not| faults(not).is_empty()) {
        fault("must not validate the schema (not)");
    }
}
