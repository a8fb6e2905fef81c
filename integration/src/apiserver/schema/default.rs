//! Fills in what the schema gives a default for.

use serde_json::Value;

use super::{DEPTH_MAX, Schema, Shape};

/// Sets every absent field that has a default, also inside of what was just set.
pub(crate) fn apply(schema: &Schema, value: &mut Value) {
    walk(schema, value, 0);
}

fn walk(schema: &Schema, value: &mut Value, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match (&schema.shape, value) {
        (Shape::Object(shape), Value::Object(members)) => {
            for (name, field) in &shape.properties {
                if let Some(default) = &field.default
                    && !members.contains_key(name)
                {
                    members.insert(name.clone(), default.clone());
                }
            }
            for (key, member) in members {
                if let Some(field) = schema.member(key) {
                    walk(field, member, depth + 1);
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for item in items {
                walk(&list.items, item, depth + 1);
            }
        }
        _ => {}
    }
}
