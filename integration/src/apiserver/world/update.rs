//! PUT, and what every change of an existing object goes through.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Reply, Request, World, body, convert, create, read};
use crate::apiserver::{
    apply::{self, Author},
    object,
    registry::Origin,
    status::{Failure, FieldError},
    strategy,
};

const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

impl World {
    pub(super) fn replace(&mut self, request: Request<'_>) -> Result<Reply, Failure> {
        let (resource, target) = (&request.target.resource, request.target);
        let mut object = body::parse(request.call)?;
        body::check_kind(resource, &mut object)?;
        let warnings = body::prune(resource, &mut object, request.call)?;
        let upserts =
            matches!(resource.plural.as_str(), "leases" | "events") && resource.origin == Origin::BuiltIn;
        let exists = self.storage.get(&resource.table, &target.key()).is_some();
        if !exists && upserts {
            object::set_meta(&mut object, "resourceVersion", None);
            let created = self.insert(request, object, true)?;
            return Ok(Reply { warnings, ..Reply::json(201, read::formed(request, &created)) });
        }
        let old = self.current(request)?;
        settle_identity(request, &mut object)?;
        let is_unversioned = object::meta(&object, "resourceVersion").is_empty();
        if is_unversioned && resource.origin == Origin::Custom {
            let error =
                FieldError::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
            return Err(Failure::invalid(&resource.group, &resource.plural, &target.name, &[error]));
        }
        let written = self.change(request, &old, object, true)?;
        Ok(Reply { warnings, ..Reply::json(200, read::formed(request, &written)) })
    }

    /// Checks and stores `new` in place of `old`, both of the target's version. An object that
    /// waited for its last finalizer goes.
    pub(super) fn change(
        &mut self,
        request: Request<'_>,
        old: &Arc<Value>,
        mut new: Value,
        tracks: bool,
    ) -> Result<Arc<Value>, Failure> {
        let (resource, subresource) = (&request.target.resource, request.target.subresource.as_str());
        check_preconditions(request, old, &new)?;
        strategy::set_defaults(resource, &mut new);
        strategy::prepare_update(resource, subresource, old, &mut new);
        object::set_meta(&mut new, "resourceVersion", Some(old["metadata"]["resourceVersion"].clone()));
        if tracks {
            let author =
                Author { manager: create::manager(request.call), ..create::author(request, resource) };
            apply::track(&resource.schema, old, &mut new, author);
        }
        strategy::check(resource, &new, Some(old))?;
        if is_same(old, &new) {
            return Ok(Arc::clone(old));
        }
        if create::is_dry_run(request.call)? {
            return Ok(Arc::new(new));
        }
        let key = request.target.key();
        let stored = self.store(&resource.table, convert::stored(resource, &new));
        if is_finished(&stored) {
            self.erase(&resource.table, &key);
            self.settle(request.now);
            return Ok(convert::shown(resource, &stored));
        }
        self.after_write(&resource.table, &stored, request.now);
        let current = self.storage.get(&resource.table, &key).cloned();
        Ok(convert::shown(resource, &current.unwrap_or(stored)))
    }
}

/// Whether a write changes nothing worth a new version: who owns what counts, since when does not.
fn is_same(old: &Value, new: &Value) -> bool {
    if apply::without_managers(old) != apply::without_managers(new) {
        return false;
    }
    let untimed = |object: &Value| {
        let mut entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        for entry in &mut entries {
            entry["time"] = Value::Null;
        }
        entries
    };
    untimed(old) == untimed(new)
}

/// Whether deletion was asked for and nothing holds it up any more.
pub(super) fn is_finished(object: &Value) -> bool {
    let grace = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    object::is_deleting(object) && object::finalizers(object).is_empty() && grace == 0
}

/// The name and namespace of the request in an object that does not say, or says the same.
pub(super) fn settle_identity(request: Request<'_>, object: &mut Value) -> Result<(), Failure> {
    let target = request.target;
    for (field, asked, what) in
        [("name", &target.name, "name"), ("namespace", &target.namespace, "namespace")]
    {
        let given = object::meta(object, field);
        if !given.is_empty() && given != asked {
            return Err(Failure::bad_request(format!(
                "the {what} of the object ({given}) does not match the {what} on the URL ({asked})"
            )));
        }
        object::set_meta(object, field, Some(json!(asked)).filter(|_| !asked.is_empty()));
    }
    Ok(())
}

fn check_preconditions(request: Request<'_>, old: &Value, new: &Value) -> Result<(), Failure> {
    let subject = request.target.resource.subject(&request.target.name);
    let (asked, current) = (object::uid(new), object::uid(old));
    if !asked.is_empty() && asked != current {
        let why = format!("Precondition failed: UID in precondition: {asked}, UID in object meta: {current}");
        return Err(Failure::conflict(subject, &why));
    }
    let (asked, current) = (object::meta(new, "resourceVersion"), object::meta(old, "resourceVersion"));
    if !asked.is_empty() && asked != "0" && asked != current {
        return Err(Failure::conflict(subject, MODIFIED));
    }
    Ok(())
}
