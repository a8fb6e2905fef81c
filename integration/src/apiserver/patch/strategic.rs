//! Strategic merge patch: a merge patch that knows which lists merge by which key.
//!
//! Directives: `$patch: delete | replace`, `$deleteFromPrimitiveList/<list>`,
//! `$setElementOrder/<list>` and `$retainKeys`.

use serde_json::{Map, Value};

use crate::apiserver::schema::{DEPTH_MAX, ListShape, Schema, Shape};

const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";
const RETAIN: &str = "$retainKeys";
const DIRECTIVE: &str = "$patch";

/// `object` after the patch.
///
/// # Errors
/// A text that names the place that cannot be patched.
pub(crate) fn apply(schema: &Schema, object: &Value, patch: &Value) -> Result<Value, String> {
    merge(Some(schema), object, patch, 0)
}

fn merge(schema: Option<&Schema>, object: &Value, patch: &Value, depth: usize) -> Result<Value, String> {
    if depth > DEPTH_MAX {
        return Err(format!("patch is nested more than {DEPTH_MAX} levels deep"));
    }
    let Value::Object(changes) = patch else { return Ok(patch.clone()) };
    match changes.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => return Ok(without_directives(changes)),
        Some("delete") => return Ok(Value::Object(Map::new())),
        Some("merge") | None => {}
        Some(other) => return Err(format!("unknown patch directive {other:?}")),
    }
    let mut merged = object.as_object().cloned().unwrap_or_default();
    if let Some(retained) = changes.get(RETAIN).and_then(Value::as_array) {
        merged.retain(|key, _| retained.iter().any(|one| one == key));
    }
    for (key, change) in changes.iter().filter(|(key, _)| !key.starts_with('$')) {
        let member = schema.and_then(|schema| schema.member(key));
        match (change, merged.get(key)) {
            (Value::Null, _) => {
                merged.remove(key);
            }
            (Value::Array(items), before) => {
                let before = before.and_then(Value::as_array).cloned().unwrap_or_default();
                let list = merge_list(member, before, items, depth)?;
                merged.insert(key.clone(), Value::Array(list));
            }
            (change, before) => {
                let before = before.cloned().unwrap_or(Value::Null);
                merged.insert(key.clone(), merge(member, &before, change, depth + 1)?);
            }
        }
    }
    list_directives(schema, &mut merged, changes);
    Ok(Value::Object(merged))
}

/// The object that a `$patch: replace` puts in place of another.
fn without_directives(changes: &Map<String, Value>) -> Value {
    Value::Object(
        changes
            .iter()
            .filter(|(key, _)| !key.starts_with('$'))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
    )
}

fn merge_list(
    schema: Option<&Schema>,
    mut before: Vec<Value>,
    changes: &[Value],
    depth: usize,
) -> Result<Vec<Value>, String> {
    let shape = schema.and_then(Schema::list);
    match shape.and_then(|shape| shape.patch_key.as_deref().map(|key| (shape, key))) {
        None => Ok(changes.to_vec()),
        Some((_, "")) => {
            let added = changes.iter().filter(|change| !before.contains(change)).cloned().collect::<Vec<_>>();
            before.extend(added);
            Ok(before)
        }
        Some((shape, key)) => merge_keyed_list(shape, key, before, changes, depth),
    }
}

fn merge_keyed_list(
    shape: &ListShape,
    key: &str,
    mut before: Vec<Value>,
    changes: &[Value],
    depth: usize,
) -> Result<Vec<Value>, String> {
    if changes.iter().any(|change| change[DIRECTIVE] == "replace" && change.get(key).is_none()) {
        return Ok(changes.iter().filter(|change| change.get(DIRECTIVE).is_none()).cloned().collect());
    }
    for change in changes {
        let identity =
            change.get(key).ok_or_else(|| format!("map: does not contain declared merge key: {key}"))?;
        let place = before.iter().position(|item| item.get(key) == Some(identity));
        match (change[DIRECTIVE].as_str(), place) {
            (Some("delete"), _) => before.retain(|item| item.get(key) != Some(identity)),
            (_, Some(place)) => before[place] = merge(Some(&shape.items), &before[place], change, depth + 1)?,
            (_, None) => before.push(merge(Some(&shape.items), &Value::Null, change, depth + 1)?),
        }
    }
    Ok(before)
}

/// Deletions from lists of scalars, and the order that the patch's author saw.
fn list_directives(schema: Option<&Schema>, merged: &mut Map<String, Value>, changes: &Map<String, Value>) {
    for (directive, value) in changes {
        let Some(values) = value.as_array() else { continue };
        if let Some(list) = directive.strip_prefix(DELETE_FROM) {
            if let Some(items) = merged.get_mut(list).and_then(Value::as_array_mut) {
                items.retain(|item| !values.contains(item));
            }
        } else if let Some(list) = directive.strip_prefix(ORDER) {
            let shape = schema.and_then(|schema| schema.member(list)).map(|member| &member.shape);
            let key = match shape {
                Some(Shape::List(shape)) => shape.patch_key.clone().unwrap_or_default(),
                _ => String::new(),
            };
            if let Some(items) = merged.get_mut(list).and_then(Value::as_array_mut) {
                reorder(items, values, &key);
            }
        }
    }
}

/// Items named in `order` come in that order at the places they take together; others stay.
fn reorder(items: &mut [Value], order: &[Value], key: &str) {
    let rank = |item: &Value| {
        let wanted = if key.is_empty() { Some(item) } else { item.get(key) };
        order.iter().position(|one| if key.is_empty() { Some(one) == wanted } else { one.get(key) == wanted })
    };
    let places: Vec<usize> = (0..items.len()).filter(|&place| rank(&items[place]).is_some()).collect();
    let mut named: Vec<Value> = places.iter().map(|&place| items[place].clone()).collect();
    named.sort_by_key(|item| rank(item));
    for (place, item) in places.into_iter().zip(named) {
        items[place] = item;
    }
}
