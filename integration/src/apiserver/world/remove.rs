//! DELETE of one object and of collections.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::jiff;
use serde_json::{Value, json};

use super::{Reply, Request, World, body, convert, create, read, update::is_finished};
use crate::apiserver::{
    object::{self, text_at},
    query::Call,
    selector::Selector,
    status::{self, Failure, Subject},
    storage::Key,
};

/// How long a pod may take to stop if it does not say.
const GRACE_DEFAULT_SECS: i64 = 30;

/// Holds an owner until the dependents that block it are gone.
pub(super) const FOREGROUND: &str = "foregroundDeletion";

/// What becomes of the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// How an object is to be deleted.
#[derive(Clone, Debug)]
pub(super) struct Deletion {
    pub(super) grace_secs: Option<i64>,
    pub(super) propagation: Propagation,
    uid: Option<String>,
    resource_version: Option<String>,
    dry_run: bool,
}

impl Default for Deletion {
    fn default() -> Self {
        let propagation = Propagation::Background;
        Self { grace_secs: None, propagation, uid: None, resource_version: None, dry_run: false }
    }
}

/// What became of an object that was to be deleted.
pub(super) enum Doomed {
    /// It is gone; its last state.
    Removed(Arc<Value>),
    /// It is marked, and waits for its grace period or finalizers.
    Waiting(Arc<Value>),
}

impl Deletion {
    /// The options of a request: from its body, else from its query.
    fn of(call: &Call) -> Result<Self, Failure> {
        let options = if call.body.is_empty() { Value::Null } else { body::parse(call)? };
        let options = if options["kind"] == "Eviction" { options["deleteOptions"].clone() } else { options };
        let text = |field: &str| {
            let given = options.get(field).and_then(Value::as_str).or_else(|| call.query.given(field));
            given.unwrap_or_default().to_owned()
        };
        let query_grace = call.query.given("gracePeriodSeconds").map(str::parse::<i64>).transpose();
        let query_grace =
            query_grace.map_err(|_| Failure::bad_request("gracePeriodSeconds: must be a number"))?;
        let propagation = match text("propagationPolicy").as_str() {
            "Foreground" => Propagation::Foreground,
            "Orphan" => Propagation::Orphan,
            "" if options["orphanDependents"] == true || call.query.flag("orphanDependents") => {
                Propagation::Orphan
            }
            "" | "Background" => Propagation::Background,
            other => {
                let why = format!(
                    "propagationPolicy: Unsupported value: {other:?}: supported values: \"Orphan\", \"Background\", \"Foreground\""
                );
                return Err(Failure::bad_request(why));
            }
        };
        let condition = |field: &str| options["preconditions"][field].as_str().map(str::to_owned);
        let body_dry_run = options["dryRun"].as_array().is_some_and(|values| values.contains(&json!("All")));
        Ok(Self {
            grace_secs: options["gracePeriodSeconds"].as_i64().or(query_grace),
            propagation,
            uid: condition("uid"),
            resource_version: condition("resourceVersion"),
            dry_run: body_dry_run || create::is_dry_run(call)?,
        })
    }

    fn check(&self, request: Request<'_>, object: &Value) -> Result<(), Failure> {
        let resource = &request.target.resource;
        // The real server names the kind here, where it names the resource elsewhere.
        let subject =
            Subject { group: &resource.group, resource: &resource.kind, name: object::name(object) };
        let conditions = [
            ("UID", &self.uid, object::uid(object), "deleted and then recreated"),
            ("ResourceVersion", &self.resource_version, object::meta(object, "resourceVersion"), "modified"),
        ];
        for (what, asked, actual, cause) in conditions {
            if let Some(asked) = asked
                && asked != actual
            {
                let why = format!(
                    "the {what} in the precondition ({asked}) does not match the {what} in record ({actual}). \
                     The object might have been {cause}"
                );
                return Err(Failure::conflict(subject, &why));
            }
        }
        Ok(())
    }
}

impl World {
    pub(super) fn delete(&mut self, request: Request<'_>) -> Result<Reply, Failure> {
        let resource = &request.target.resource;
        let deletion = Deletion::of(request.call)?;
        let object = self.current(request)?;
        deletion.check(request, &object)?;
        if resource.is_builtin("namespaces")
            && matches!(request.target.name.as_str(), "default" | "kube-system" | "kube-public")
        {
            return Err(Failure::forbidden(
                resource.subject(&request.target.name),
                "this namespace may not be deleted",
            ));
        }
        let subject = resource.subject(&request.target.name);
        if deletion.dry_run {
            return Ok(Reply::json(200, status::deleted(subject, object::uid(&object))));
        }
        let doomed = self.doom(&resource.table, &request.target.key(), &deletion, request.now);
        self.settle(request.now);
        match doomed {
            // Pods and services answer with what they were, all others with a Status.
            Some(Doomed::Removed(last))
                if !matches!(resource.table.as_str(), "pods" | "services" | "serviceaccounts") =>
            {
                Ok(Reply::json(200, status::deleted(subject, object::uid(&last))))
            }
            Some(Doomed::Removed(last) | Doomed::Waiting(last)) => {
                let shown = convert::shown(resource, &last);
                Ok(Reply::json(200, read::formed(request, &shown)))
            }
            None => Err(Failure::not_found(subject)),
        }
    }

    pub(super) fn delete_collection(&mut self, request: Request<'_>) -> Result<Reply, Failure> {
        let (resource, query) = (&request.target.resource, &request.call.query);
        if resource.namespaced && request.target.namespace.is_empty() {
            return Err(Failure::method_not_allowed());
        }
        let deletion = Deletion::of(request.call)?;
        let selector = Selector::parse(resource, query.text("labelSelector"), query.text("fieldSelector"))?;
        let all = self.storage.list(&resource.table, &request.target.namespace);
        let shown = all.map(|(key, object)| (key.clone(), convert::shown(resource, object)));
        let chosen: Vec<(Key, Arc<Value>)> = shown.filter(|(_, object)| selector.matches(object)).collect();
        let mut items = Vec::with_capacity(chosen.len());
        for (key, object) in chosen {
            match (!deletion.dry_run)
                .then(|| self.doom(&resource.table, &key, &deletion, request.now))
                .flatten()
            {
                Some(Doomed::Removed(last) | Doomed::Waiting(last)) => {
                    items.push(convert::shown(resource, &last));
                }
                None => items.push(object),
            }
        }
        self.settle(request.now);
        let metadata = json!({"resourceVersion": self.revision().to_string()});
        Ok(Reply { code: 200, body: read::list_body(request, items, &metadata), warnings: Vec::new() })
    }

    /// Evicts a pod: a deletion that asks first. There are no disruption budgets here.
    pub(super) fn evict(&mut self, request: Request<'_>) -> Result<Reply, Failure> {
        let deletion = Deletion::of(request.call)?;
        let object = self.current(request)?;
        deletion.check(request, &object)?;
        if !deletion.dry_run {
            self.doom("pods", &request.target.key(), &deletion, request.now);
            self.settle(request.now);
        }
        Ok(Reply::json(
            201,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
        ))
    }

    /// Removes the object, or marks it; `None` if it is not there.
    pub(super) fn doom(
        &mut self,
        table: &str,
        key: &Key,
        deletion: &Deletion,
        now: Timestamp,
    ) -> Option<Doomed> {
        let old = Arc::clone(self.storage.get(table, key)?);
        let grace = grace_secs(table, &old, deletion);
        let mut marked = Value::clone(&old);
        let was_deleting = object::is_deleting(&old);
        let current = old["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        if !was_deleting || grace < current {
            let at = now + SignedDuration::from_secs(grace);
            object::set_meta(&mut marked, "deletionTimestamp", Some(json!(object::time_text(at))));
            object::set_meta(&mut marked, "deletionGracePeriodSeconds", Some(json!(grace)));
            if object::generation(&old) > 0 && !was_deleting {
                object::set_meta(&mut marked, "generation", Some(json!(object::generation(&old) + 1)));
            }
        }
        self.hold_for_dependents(table, &old, &mut marked, deletion.propagation);
        let holds_content = table == "namespaces";
        if is_finished(&marked) && !holds_content {
            let mut last = Value::clone(&*self.erase(table, key)?);
            let grace = marked["metadata"].get("deletionGracePeriodSeconds").cloned();
            if table == "pods" {
                object::set_meta(&mut last, "deletionGracePeriodSeconds", grace);
                object::set_meta(
                    &mut last,
                    "deletionTimestamp",
                    marked["metadata"].get("deletionTimestamp").cloned(),
                );
            }
            return Some(Doomed::Removed(Arc::new(last)));
        }
        if marked == *old {
            return Some(Doomed::Waiting(old));
        }
        let stored = self.store(table, marked);
        self.chores.on_marked(table, key);
        Some(Doomed::Waiting(stored))
    }

    /// Lets the garbage collection have its say before the owner goes.
    fn hold_for_dependents(
        &mut self,
        table: &str,
        old: &Value,
        marked: &mut Value,
        propagation: Propagation,
    ) {
        match propagation {
            Propagation::Background => {}
            Propagation::Orphan => self.orphan_dependents(object::uid(old)),
            Propagation::Foreground => {
                let mut finalizers: Vec<Value> =
                    object::finalizers(old).iter().map(|one| json!(one)).collect();
                if !finalizers.contains(&json!(FOREGROUND)) && table != "namespaces" {
                    finalizers.push(json!(FOREGROUND));
                    object::set_meta(marked, "finalizers", Some(Value::Array(finalizers)));
                }
            }
        }
    }
}

/// How long the object has: only a pod that may still run on a node has any time at all.
fn grace_secs(table: &str, object: &Value, deletion: &Deletion) -> i64 {
    let never_ran = text_at(object, "spec.nodeName").is_empty();
    let is_over = matches!(text_at(object, "status.phase"), "Succeeded" | "Failed");
    if table != "pods" || never_ran || is_over {
        return 0;
    }
    let own = object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(GRACE_DEFAULT_SECS);
    let asked = deletion.grace_secs.or_else(|| object["metadata"]["deletionGracePeriodSeconds"].as_i64());
    // A negative period is a mistake of old clients; the shortest real one is meant.
    match asked.unwrap_or(own) {
        ..0 => 1,
        grace => grace,
    }
}
