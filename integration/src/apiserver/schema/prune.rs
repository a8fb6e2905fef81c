//! Removes what a kind's schema does not know.

use serde_json::Value;

use super::{DEPTH_MAX, Schema, Shape, join};

/// Drops unknown fields of `value`, and nulls that mean "absent"; the paths of the unknown fields.
pub(crate) fn prune(schema: &Schema, value: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(schema, value, "", &mut unknown, 0);
    unknown
}

/// Drops maps and lists without members, which built-in kinds take for absent.
pub(crate) fn drop_empty(schema: &Schema, value: &mut Value) {
    sweep(schema, value, 0);
}

fn sweep(schema: &Schema, value: &mut Value, depth: usize) {
    match (&schema.shape, value) {
        (Shape::Object(shape), Value::Object(members)) if depth <= DEPTH_MAX => {
            members.retain(|key, member| {
                let Some(field) = shape.properties.get(key) else { return true };
                sweep(field, member, depth + 1);
                match (&field.shape, &*member) {
                    (Shape::List(_), Value::Array(items)) => !items.is_empty(),
                    (Shape::Object(shape), Value::Object(entries)) => {
                        !entries.is_empty() || shape.additional.is_none() || !shape.properties.is_empty()
                    }
                    _ => true,
                }
            });
        }
        (Shape::List(list), Value::Array(items)) if depth <= DEPTH_MAX => {
            for item in items {
                sweep(&list.items, item, depth + 1);
            }
        }
        _ => {}
    }
}

fn walk(schema: &Schema, value: &mut Value, path: &str, unknown: &mut Vec<String>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match (&schema.shape, value) {
        (Shape::Object(_), Value::Object(_)) if is_opaque(schema) => {}
        (Shape::Object(shape), Value::Object(members)) => {
            members.retain(|key, member| {
                let known = shape.properties.get(key).or(shape.additional.as_ref());
                match known {
                    Some(field) => !member.is_null() || field.nullable || matches!(field.shape, Shape::Any),
                    None if shape.preserve_unknown => true,
                    None => {
                        unknown.push(join(path, key));
                        false
                    }
                }
            });
            for (key, member) in members {
                if let Some(field) = schema.member(key) {
                    walk(field, member, &join(path, key), unknown, depth + 1);
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                walk(&list.items, item, &format!("{path}[{index}]"), unknown, depth + 1);
            }
        }
        _ => {}
    }
}

/// An object of which the schema says nothing but that it is one (built-in kinds have such
/// places for free-form content).
fn is_opaque(schema: &Schema) -> bool {
    matches!(&schema.shape, Shape::Object(object)
        if object.properties.is_empty() && object.additional.is_none() && object.preserve_unknown)
}
