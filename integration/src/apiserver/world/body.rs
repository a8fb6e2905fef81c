//! Reading a request's body.

use serde_json::Value;

use crate::apiserver::{
    object, protobuf, query::Call, registry::Resource, schema::DEPTH_MAX, status::Failure, strategy,
};

/// The body as JSON; YAML where the content type says so.
///
/// # Errors
/// 415 for other content types, 400 for what cannot be parsed.
pub(super) fn parse(call: &Call) -> Result<Value, Failure> {
    let mut value = parse_as_sent(call)?;
    shorten_numbers(&mut value, 0);
    Ok(value)
}

/// Whole numbers are kept as such however they are written: 1.0 is 1.
fn shorten_numbers(value: &mut Value, depth: usize) {
    /// Beyond this a 64-bit float has gaps between whole numbers.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Object(members) if depth <= DEPTH_MAX => {
            for member in members.values_mut() {
                shorten_numbers(member, depth + 1);
            }
        }
        Value::Array(items) if depth <= DEPTH_MAX => {
            for item in items {
                shorten_numbers(item, depth + 1);
            }
        }
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT_MAX);
            #[expect(clippy::cast_possible_truncation, reason = "whole and in the exact range")]
            if let Some(whole) = whole {
                *value = Value::from(whole as i64);
            }
        }
        _ => {}
    }
}

fn parse_as_sent(call: &Call) -> Result<Value, Failure> {
    let kind = call.content_type.split(';').next().unwrap_or_default().trim();
    match kind {
        ""
        | "application/json"
        | "application/json-patch+json"
        | "application/merge-patch+json"
        | "application/strategic-merge-patch+json" => json(&call.body),
        "application/yaml" | "application/apply-patch+yaml" => json(&call.body).or_else(|_| yaml(&call.body)),
        "application/vnd.kubernetes.protobuf" => protobuf::decode(&call.body).map_err(|why| {
            Failure::unsupported_media_type(format!("the protobuf body cannot be read: {why}"))
        }),
        other => Err(Failure::unsupported_media_type(format!(
            "the body of the request was in an unknown format ({other}) - accepted media types include: application/json, application/yaml"
        ))),
    }
}

fn json(body: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(body)
        .map_err(|error| Failure::bad_request(format!("error decoding the request body as JSON: {error}")))
}

fn yaml(body: &[u8]) -> Result<Value, Failure> {
    serde_yaml_ng::from_slice(body)
        .map_err(|error| Failure::bad_request(format!("error decoding the request body as YAML: {error}")))
}

/// `object` with the apiVersion and kind of `resource`.
///
/// # Errors
/// 400 if it says that it is something else, or is no object.
pub(super) fn check_kind(resource: &Resource, object: &mut Value) -> Result<(), Failure> {
    if !object.is_object() {
        return Err(Failure::bad_request("the request body must be an object"));
    }
    let (version, kind) = (resource.api_version(), &resource.kind);
    let given = object::text_at(object, "apiVersion");
    if !given.is_empty() && given != version {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({given}) does not match the expected API version ({version})"
        )));
    }
    let given = object::text_at(object, "kind");
    if !given.is_empty() && given != kind {
        return Err(Failure::bad_request(format!(
            "the kind in the data ({given}) does not match the expected kind ({kind})"
        )));
    }
    object["apiVersion"] = Value::String(version);
    object["kind"] = Value::String(kind.clone());
    Ok(())
}

/// Drops unknown fields; the warnings about them.
///
/// # Errors
/// 400 for unknown fields if the request asks for strictness.
pub(super) fn prune(resource: &Resource, object: &mut Value, call: &Call) -> Result<Vec<String>, Failure> {
    let unknown = strategy::prune(resource, object);
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let texts: Vec<String> = unknown.iter().map(|path| format!("unknown field {path:?}")).collect();
    match call.query.text("fieldValidation") {
        "Ignore" => Ok(Vec::new()),
        "Strict" => {
            let why = format!("strict decoding error: {}", texts.join(", "));
            let (kind, version) = (&resource.kind, &resource.version);
            Err(Failure::bad_request(match call.method.as_str() {
                "PATCH" => why,
                _ => format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"),
            }))
        }
        _ => Ok(texts),
    }
}
