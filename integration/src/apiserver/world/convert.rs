//! Objects between the version that is stored and the one that is asked for.

use std::{borrow::Cow, sync::Arc};

use serde_json::{Value, json};

use crate::apiserver::registry::Resource;

/// Fields of an Event: their names in the core group, and in `events.k8s.io`.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// The stored object in the resource's version.
pub(super) fn shown(resource: &Resource, stored: &Arc<Value>) -> Arc<Value> {
    match converted(resource, stored, &resource.api_version()) {
        Cow::Borrowed(_) => Arc::clone(stored),
        Cow::Owned(object) => Arc::new(object),
    }
}

/// An object of the resource's version as it is stored.
pub(super) fn stored(resource: &Resource, object: &Value) -> Value {
    converted(resource, object, &resource.storage_version).into_owned()
}

fn converted<'a>(resource: &Resource, object: &'a Value, version: &str) -> Cow<'a, Value> {
    if object["apiVersion"] == version {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    object["apiVersion"] = json!(version);
    if resource.is_builtin("events")
        && let Some(members) = object.as_object_mut()
    {
        for (core, events) in EVENT_FIELDS {
            let (from, to) = if version == "v1" { (events, core) } else { (core, events) };
            if let Some(value) = members.remove(from) {
                members.insert(to.to_owned(), value);
            }
        }
        if version != "v1" {
            members.retain(|name, value| !(name.starts_with("reporting") && value == ""));
        }
    }
    Cow::Owned(object)
}
