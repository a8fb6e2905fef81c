//! What `kubectl get` prints: rows of cells made by the server.

use jiff::Timestamp;
use k8s_openapi::jiff;
use serde_json::{Value, json};

use super::{
    object::{self, text_at},
    registry::{Column, Origin, Resource},
};

mod cells;
mod json_path;

pub(crate) use cells::columns;

/// What a row carries beside its cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    /// The object's metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
    /// Nothing.
    None,
}

/// A `Table` of these objects, with `metadata` as that of their list.
pub(crate) fn table<'a>(
    resource: &Resource,
    objects: impl IntoIterator<Item = &'a Value>,
    metadata: &Value,
    include: IncludeObject,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects.into_iter().map(|object| row(resource, object, include, now)).collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": resource.columns.iter().map(definition).collect::<Vec<_>>(),
        "rows": rows,
    })
}

fn definition(column: &Column) -> Value {
    json!({
        "name": column.name, "type": column.kind, "format": column.format,
        "description": column.description, "priority": column.priority,
    })
}

fn row(resource: &Resource, object: &Value, include: IncludeObject, now: Timestamp) -> Value {
    let cells = match resource.origin {
        Origin::BuiltIn => cells::cells(&resource.plural, object, now),
        Origin::Custom => resource.columns.iter().map(|column| custom_cell(column, object, now)).collect(),
    };
    let mut row = json!({"cells": cells});
    match include {
        IncludeObject::Metadata => row["object"] = partial(object),
        IncludeObject::Object => row["object"] = object.clone(),
        IncludeObject::None => {}
    }
    row
}

/// The object's metadata alone, as `PartialObjectMetadata`.
pub(crate) fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

fn custom_cell(column: &Column, object: &Value, now: Timestamp) -> Value {
    let found = json_path::find(object, &column.json_path);
    let Some(value) = found.first() else { return Value::Null };
    match (column.kind.as_str(), value) {
        ("date", Value::String(text)) => json!(age(text, now)),
        ("integer", Value::Number(number)) => number.as_i64().map_or(Value::Null, |number| json!(number)),
        ("integer" | "number" | "boolean", Value::Number(_) | Value::Bool(_)) => (*value).clone(),
        ("integer" | "number" | "boolean", _) => Value::Null,
        (_, Value::String(text)) => json!(text),
        (_, other) => json!(other.to_string()),
    }
}

/// Age of a timestamp as kubectl shows it, `<unknown>` for none.
fn age(text: &str, now: Timestamp) -> String {
    match text.parse::<Timestamp>() {
        Ok(then) => duration_text(now.as_second() - then.as_second()),
        Err(_) if text.is_empty() => "<unknown>".to_owned(),
        Err(_) => "<invalid>".to_owned(),
    }
}

/// A duration in its one or two largest units, as kubectl rounds it.
fn duration_text(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |large: (i64, &str), small: (i64, &str)| {
        let (whole, rest) = (seconds / large.0, seconds % large.0 / small.0);
        if rest == 0 { format!("{whole}{}", large.1) } else { format!("{whole}{}{rest}{}", large.1, small.1) }
    };
    match seconds {
        ..0 if seconds < -1 => "<invalid>".to_owned(),
        ..0 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => two((MINUTE, "m"), (1, "s")),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => two((HOUR, "h"), (MINUTE, "m")),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => two((DAY, "d"), (HOUR, "h")),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two((YEAR, "y"), (DAY, "d")),
        _ => format!("{}y", seconds / YEAR),
    }
}

/// Age of the object since its creation.
fn object_age(object: &Value, now: Timestamp) -> String {
    age(object::meta(object, "creationTimestamp"), now)
}

/// The text at a dotted path, or `otherwise`.
fn text_or(object: &Value, path: &str, otherwise: &str) -> String {
    match text_at(object, path) {
        "" => otherwise.to_owned(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
