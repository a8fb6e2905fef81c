//! Objects as sets of fields: what is in one, what differs between two, what merging them gives.

use serde_json::{Map, Value};

use super::field_set::{FieldSet, Step};
use crate::apiserver::schema::{DEPTH_MAX, ListKind, ListShape, Schema, Shape, validate};

/// How a value takes part in server-side apply.
enum Form<'a> {
    Leaf,
    Object(&'a Map<String, Value>),
    List(&'a ListShape, &'a [Value]),
}

fn form<'a>(schema: Option<&'a Schema>, value: &'a Value) -> Form<'a> {
    let is_atomic = schema.is_some_and(Schema::is_atomic_object);
    let is_scalar =
        schema.is_some_and(|schema| matches!(schema.shape, Shape::Scalar(_) | Shape::IntOrString));
    match value {
        Value::Object(members) if !(is_atomic || is_scalar) => Form::Object(members),
        Value::Array(items) => match schema.and_then(Schema::list) {
            Some(list) if list.kind != ListKind::Atomic => Form::List(list, items),
            _ => Form::Leaf,
        },
        _ => Form::Leaf,
    }
}

/// The step to an item of a list that merges.
fn step_of(list: &ListShape, item: &Value) -> Step {
    match &list.kind {
        ListKind::Map(keys) => Step::key(&validate::keys_of(&list.items, item, keys)),
        ListKind::Set | ListKind::Atomic => Step::value(item),
    }
}

/// Every field that `object` sets.
pub(super) fn fields(schema: &Schema, object: &Value) -> FieldSet {
    let mut set = FieldSet::default();
    collect(Some(schema), object, &mut Vec::new(), &mut set);
    set
}

fn collect(schema: Option<&Schema>, value: &Value, path: &mut Vec<Step>, set: &mut FieldSet) {
    if path.len() > DEPTH_MAX {
        return set.insert(path);
    }
    match form(schema, value) {
        Form::Leaf => set.insert(path),
        Form::Object(members) => {
            for (key, member) in members {
                path.push(Step::Field(key.clone()));
                let is_map_key = !schema.is_some_and(|schema| schema.is_field(key));
                if is_map_key || member.as_object().is_some_and(Map::is_empty) {
                    set.insert(path);
                }
                collect(schema.and_then(|schema| schema.member(key)), member, path, set);
                path.pop();
            }
        }
        Form::List(list, items) => {
            for item in items {
                path.push(step_of(list, item));
                set.insert(path);
                if item.is_object() {
                    collect(Some(&list.items), item, path, set);
                }
                path.pop();
            }
        }
    }
}

/// What changed from one object to another.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// Fields that are new or have another value.
    pub(super) changed: FieldSet,
    /// Fields that are no more.
    pub(super) removed: FieldSet,
}

/// What changed from `before` to `after`.
pub(super) fn compare(schema: &Schema, before: &Value, after: &Value) -> Difference {
    let mut difference = Difference::default();
    differ(Some(schema), Some(before), Some(after), &mut Vec::new(), &mut difference);
    difference
}

fn differ(
    schema: Option<&Schema>,
    before: Option<&Value>,
    after: Option<&Value>,
    path: &mut Vec<Step>,
    difference: &mut Difference,
) {
    if before == after {
        return;
    }
    match (before, after) {
        (None, Some(_)) => difference.changed.insert(path),
        (Some(_), None) => difference.removed.insert(path),
        _ => {}
    }
    // A part that is always there starts from null: what is put into it is new, itself is not.
    let before = before.filter(|value| {
        !value.is_null() || after.is_none_or(|after| !after.is_object() && !after.is_array())
    });
    let (old, new) = (before.map(|value| form(schema, value)), after.map(|value| form(schema, value)));
    match (old, new) {
        (None | Some(Form::Object(_)), Some(Form::Object(new))) if path.len() < DEPTH_MAX => {
            let old = before.and_then(Value::as_object);
            differ_members(schema, old, Some(new), path, difference);
        }
        (Some(Form::Object(old)), None) => differ_members(schema, Some(old), None, path, difference),
        (None | Some(Form::List(..)), Some(Form::List(list, new))) if path.len() < DEPTH_MAX => {
            let old = before.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            differ_items(list, old, new, path, difference);
        }
        (Some(Form::List(list, old)), None) => differ_items(list, old, &[], path, difference),
        (_, Some(_)) => difference.changed.insert(path),
        _ => {}
    }
}

fn differ_members(
    schema: Option<&Schema>,
    old: Option<&Map<String, Value>>,
    new: Option<&Map<String, Value>>,
    path: &mut Vec<Step>,
    difference: &mut Difference,
) {
    let keys =
        |map: Option<&Map<String, Value>>| map.into_iter().flat_map(Map::keys).cloned().collect::<Vec<_>>();
    let all: std::collections::BTreeSet<String> = keys(old).into_iter().chain(keys(new)).collect();
    for key in all {
        let (before, after) = (old.and_then(|map| map.get(&key)), new.and_then(|map| map.get(&key)));
        let member = schema.and_then(|schema| schema.member(&key));
        path.push(Step::Field(key));
        differ(member, before, after, path, difference);
        path.pop();
    }
}

fn differ_items(
    list: &ListShape,
    old: &[Value],
    new: &[Value],
    path: &mut Vec<Step>,
    difference: &mut Difference,
) {
    let find = |items: &[Value], step: &Step| items.iter().find(|item| step_of(list, item) == *step).cloned();
    let steps: std::collections::BTreeSet<Step> =
        old.iter().chain(new).map(|item| step_of(list, item)).collect();
    for step in steps {
        let (before, after) = (find(old, &step), find(new, &step));
        path.push(step);
        differ(Some(&list.items), before.as_ref(), after.as_ref(), path, difference);
        path.pop();
    }
}

/// `live` with everything that `config` sets.
pub(super) fn merge(schema: Option<&Schema>, live: &Value, config: &Value) -> Value {
    match (form(schema, live), form(schema, config)) {
        (Form::Object(live), Form::Object(config)) => {
            let mut merged = live.clone();
            for (key, member) in config {
                let schema = schema.and_then(|schema| schema.member(key));
                let before = live.get(key).unwrap_or(&Value::Null);
                merged.insert(key.clone(), merge(schema, before, member));
            }
            Value::Object(merged)
        }
        (Form::List(list, live), Form::List(_, config)) => Value::Array(merge_items(list, live, config)),
        _ => config.clone(),
    }
}

/// Items of `config` in its order; items of `live` alone stay before the ones they preceded.
fn merge_items(list: &ListShape, live: &[Value], config: &[Value]) -> Vec<Value> {
    let wanted: Vec<Step> = config.iter().map(|item| step_of(list, item)).collect();
    let mut merged: Vec<Value> = Vec::with_capacity(live.len() + config.len());
    let mut taken = 0;
    for item in live {
        let step = step_of(list, item);
        match wanted.iter().position(|one| *one == step) {
            None => merged.push(item.clone()),
            Some(place) => {
                for place in taken..=place {
                    merged.push(merged_item(list, live, &wanted[place], &config[place]));
                }
                taken = taken.max(place + 1);
            }
        }
    }
    for place in taken..config.len() {
        merged.push(merged_item(list, live, &wanted[place], &config[place]));
    }
    merged
}

fn merged_item(list: &ListShape, live: &[Value], step: &Step, config: &Value) -> Value {
    let before = live.iter().find(|item| step_of(list, item) == *step).unwrap_or(&Value::Null);
    merge(Some(&list.items), before, config)
}

/// `object` without the fields in `doomed`, and without what is empty because of that.
pub(super) fn remove(schema: Option<&Schema>, object: &mut Value, doomed: &FieldSet) {
    let list = schema.and_then(Schema::list).filter(|list| list.kind != ListKind::Atomic);
    match (object, list) {
        (Value::Object(members), _) => {
            members.retain(|key, member| {
                let step = Step::Field(key.clone());
                if doomed.contains(std::slice::from_ref(&step)) {
                    return false;
                }
                let Some(below) = doomed.child(&step) else { return true };
                let was_empty = is_hollow(member);
                remove(schema.and_then(|schema| schema.member(key)), member, below);
                was_empty || !is_hollow(member)
            });
        }
        (Value::Array(items), Some(list)) => {
            items.retain_mut(|item| {
                let step = step_of(list, item);
                if doomed.contains(std::slice::from_ref(&step)) {
                    return false;
                }
                if let Some(below) = doomed.child(&step) {
                    remove(Some(&list.items), item, below);
                }
                true
            });
        }
        _ => {}
    }
}

fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
