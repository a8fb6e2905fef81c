//! Watches: the state now, then every change.
//!
//! A watch is a cursor into the history. The shell asks it for the next events whenever the
//! revision moves; it waits for nothing itself.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::jiff;
use serde_json::{Value, json};

use super::{Body, Reply, Request, World, convert};
use crate::apiserver::{
    query::{Form, Target},
    registry::Registry,
    selector::Selector,
    status::Failure,
    storage::{Change, Storage},
    table,
};

/// Marks the bookmark that ends the initial state of a streamed list.
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// A watch under way.
#[derive(Debug)]
pub(crate) struct Watch {
    target: Target,
    selector: Selector,
    form: Form,
    /// Changes up to this revision were sent.
    cursor: u64,
    /// The state at the start, still to be sent.
    initial: Option<Initial>,
    bookmarks: bool,
    timeout_secs: u64,
    /// Column definitions go with the first table alone.
    columns_sent: bool,
}

#[derive(Debug)]
struct Initial {
    objects: Vec<Arc<Value>>,
    end_bookmark: bool,
}

/// What a watch has to say.
#[derive(Debug, PartialEq)]
pub(crate) enum WatchStep {
    /// These events, perhaps none.
    Events(Vec<Value>),
    /// This last event; then the stream ends.
    End(Value),
}

impl Watch {
    /// How long the client wants to watch, at most.
    pub(crate) fn timeout_secs(&self) -> u64 {
        self.timeout_secs
    }

    /// A bookmark at the cursor, if the client takes them.
    pub(crate) fn bookmark(&self) -> Option<Value> {
        self.bookmarks.then(|| self.bookmark_event(false))
    }

    pub(super) fn step(&mut self, storage: &Storage, registry: &Registry, now: Timestamp) -> WatchStep {
        let resource = &self.target.resource;
        if registry.find(&resource.group, &resource.version, &resource.plural).is_none() {
            return WatchStep::End(error_event(&Failure::gone("the resource is no longer served")));
        }
        let mut events = Vec::new();
        if let Some(initial) = self.initial.take() {
            for object in &initial.objects {
                events.push(self.event("ADDED", object, now));
            }
            if initial.end_bookmark {
                events.push(self.bookmark_event(true));
            }
        }
        let table = self.target.resource.table.clone();
        let Ok(changes) = storage.since(&table, self.cursor) else {
            let why = format!("too old resource version: {} ({})", self.cursor, storage.revision());
            return WatchStep::End(error_event(&Failure::gone(why)));
        };
        for change in changes {
            if let Some((kind, object)) = self.seen(change) {
                events.push(self.event(kind, &object, now));
            }
        }
        // A cursor ahead of the server (an older copy of it) waits until the server gets there.
        self.cursor = self.cursor.max(storage.revision());
        WatchStep::Events(events)
    }

    /// What this watch sees of a change: objects enter and leave its selection.
    fn seen(&self, change: &Change) -> Option<(&'static str, Arc<Value>)> {
        let shown = |object: &Option<Arc<Value>>| {
            object.as_ref().map(|object| convert::shown(&self.target.resource, object))
        };
        let (before, after) = (shown(&change.before), shown(&change.after));
        let is_mine =
            |object: &Option<Arc<Value>>| object.as_ref().is_some_and(|object| self.selects(object));
        match (is_mine(&before), is_mine(&after)) {
            (false, true) => Some(("ADDED", after?)),
            (true, true) => Some(("MODIFIED", after?)),
            (true, false) => {
                // If it still exists, outside of the selection, the client gets what it knew, with
                // the version at which it left.
                let left = || {
                    let mut last = Value::clone(before.as_ref()?);
                    last["metadata"]["resourceVersion"] = json!(change.revision.to_string());
                    Some(Arc::new(last))
                };
                Some(("DELETED", shown(&change.tombstone).or_else(left)?))
            }
            (false, false) => None,
        }
    }

    fn selects(&self, object: &Value) -> bool {
        let namespace = &self.target.namespace;
        let in_namespace = namespace.is_empty() || crate::apiserver::object::namespace(object) == namespace;
        in_namespace && self.selector.matches(object)
    }

    fn event(&mut self, kind: &str, object: &Arc<Value>, now: Timestamp) -> Value {
        let object = match self.form {
            Form::Plain => Value::clone(object),
            Form::Partial => table::partial(object),
            Form::Table(include) => {
                let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                let mut table = table::table(&self.target.resource, [&**object], &metadata, include, now);
                if self.columns_sent {
                    table["columnDefinitions"] = Value::Null;
                }
                self.columns_sent = true;
                table
            }
        };
        json!({"type": kind, "object": object})
    }

    fn bookmark_event(&self, ends_initial: bool) -> Value {
        let resource = &self.target.resource;
        let mut metadata = json!({"resourceVersion": self.cursor.to_string(), "creationTimestamp": null});
        if ends_initial {
            metadata["annotations"] = json!({INITIAL_END: "true"});
        }
        let object = match self.form {
            Form::Plain => {
                json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata})
            }
            Form::Partial => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
            }
            Form::Table(_) => json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": null,
                "metadata": {"resourceVersion": self.cursor.to_string()},
                "rows": [{"cells": [], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}}],
            }),
        };
        json!({"type": "BOOKMARK", "object": object})
    }
}

fn error_event(failure: &Failure) -> Value {
    json!({"type": "ERROR", "object": failure.body()})
}

/// How long a watch lasts whose client does not say: what the real server gives at least.
const TIMEOUT_DEFAULT_SECS: u64 = 1_800;

impl World {
    pub(super) fn watch(&self, request: Request<'_>) -> Result<Reply, Failure> {
        let (resource, query) = (&request.target.resource, &request.call.query);
        let selector = Selector::parse(resource, query.text("labelSelector"), query.text("fieldSelector"))?;
        let streams_list = query.given("sendInitialEvents").is_some();
        let sends_initial = query.flag("sendInitialEvents");
        if streams_list && query.text("resourceVersionMatch") != "NotOlderThan" {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            return Err(Failure::bad_request(format!("resourceVersionMatch: Forbidden: {why}")));
        }
        if !streams_list && query.given("resourceVersionMatch").is_some() {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            return Err(Failure::bad_request(why));
        }
        let asked = query.number("resourceVersion")?.unwrap_or(0);
        let current = self.storage.revision();
        let mut watch = Watch {
            target: request.target.clone(),
            selector,
            form: request.form,
            cursor: asked,
            initial: None,
            bookmarks: query.flag("allowWatchBookmarks"),
            timeout_secs: query.number("timeoutSeconds")?.unwrap_or(TIMEOUT_DEFAULT_SECS),
            columns_sent: false,
        };
        if sends_initial || (asked == 0 && !streams_list) {
            if asked > current {
                return Err(Failure::version_too_large(asked, current));
            }
            watch.cursor = current;
            let all =
                self.storage.list(&resource.table, "").map(|(_, object)| convert::shown(resource, object));
            let objects = all.filter(|object| watch.selects(object)).collect();
            watch.initial = Some(Initial { objects, end_bookmark: sends_initial && watch.bookmarks });
        } else if asked == 0 {
            watch.cursor = current;
        }
        Ok(Reply { code: 200, body: Body::Watch(Box::new(watch)), warnings: Vec::new() })
    }
}
