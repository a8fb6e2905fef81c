//! Strategic merge patch: a merge patch that knows which lists merge by which key.
//!
//! Directives: `$patch: delete | replace`, `$deleteFromPrimitiveList/<list>`,
//! `$setElementOrder/<list>` and `$retainKeys`.

use serde_json::{Map, Value};

use crate::apiserver::schema::{DEPTH_MAX, ListShape, Schema};

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
                let list = merge_list(member, before.clone(), items, depth)?;
                let order = changes.get(&format!("{ORDER}{key}")).and_then(Value::as_array).unwrap_or(items);
                let list = match member.and_then(patch_key) {
                    Some(patch_key) => arrange(list, &before, order, patch_key),
                    None => list,
                };
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

/// The key by which a list merges; empty for scalars.
fn patch_key(schema: &Schema) -> Option<&str> {
    schema.list()?.patch_key.as_deref()
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
        } else if let Some(list) = directive.strip_prefix(ORDER).filter(|list| !changes.contains_key(*list)) {
            let key = schema.and_then(|schema| schema.member(list)).and_then(patch_key);
            if let (Some(key), Some(items)) = (key, merged.get_mut(list).and_then(Value::as_array_mut)) {
                *items = arrange(items.clone(), &items.clone(), values, key);
            }
        }
    }
}

/// The merged list in its order: items that `order` names follow it, the others follow `before`;
/// where both meet, `before` decides between items that it knows, and named ones come first.
fn arrange(merged: Vec<Value>, before: &[Value], order: &[Value], key: &str) -> Vec<Value> {
    let identity = |item: &Value| if key.is_empty() { Some(item.clone()) } else { item.get(key).cloned() };
    let rank = |list: &[Value], item: &Value| list.iter().position(|one| identity(one) == identity(item));
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| rank(order, item).is_some());
    named.sort_by_key(|item| rank(order, item));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    let mut arranged = Vec::new();
    loop {
        let other_first = match (named.peek(), others.peek()) {
            (None, None) => return arranged,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (Some(named), Some(other)) => match (rank(before, named), rank(before, other)) {
                (Some(named), Some(other)) => other < named,
                _ => false,
            },
        };
        arranged.extend(if other_first { others.next() } else { named.next() });
    }
}
