//! POST: new objects.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Reply, Request, World, body, convert, read};
use crate::apiserver::{
    apply::{self, Author},
    object,
    query::Call,
    registry::Resource,
    status::Failure,
    storage::Key,
    strategy,
};

/// Longest start of a generated name: what is cut off makes room for the suffix.
const GENERATE_NAME_LENGTH_MAX: usize = 58;

/// A new object's schema-level starting point for field tracking: parts that built-in types
/// always have are nobody's.
pub(super) fn blank(resource: &Resource) -> Value {
    let mut blank = json!({"metadata": {}});
    let is_builtin = resource.origin == crate::apiserver::registry::Origin::BuiltIn;
    for field in ["spec", "status"] {
        if is_builtin && resource.schema.is_field(field) {
            blank[field] = json!({});
        }
    }
    if is_builtin {
        strategy::fill_blank(resource, &mut blank);
    }
    blank
}

/// Who writes: the field manager that is named, else the start of the user agent.
pub(super) fn manager(call: &Call) -> &str {
    let agent = call.user_agent.split('/').next().filter(|agent| !agent.is_empty()).unwrap_or("unknown");
    call.query.given("fieldManager").unwrap_or(agent)
}

/// Whether nothing is to be stored.
///
/// # Errors
/// 400 for any value but `All`.
pub(super) fn is_dry_run(call: &Call) -> Result<bool, Failure> {
    match call.query.given("dryRun") {
        None => Ok(false),
        Some("All") => Ok(true),
        Some(other) => Err(Failure::bad_request(format!(
            "dryRun: Unsupported value: {other:?}: supported values: \"All\""
        ))),
    }
}

impl World {
    pub(super) fn create(&mut self, request: Request<'_>) -> Result<Reply, Failure> {
        let resource = &request.target.resource;
        let mut object = body::parse(request.call)?;
        body::check_kind(resource, &mut object)?;
        let warnings = body::prune(resource, &mut object, request.call)?;
        if !object::meta(&object, "resourceVersion").is_empty() {
            return Err(Failure::internal("resourceVersion should not be set on objects to be created"));
        }
        let created = self.insert(request, object, true)?;
        Ok(Reply { warnings, ..Reply::json(201, read::formed(request, &created)) })
    }

    /// Checks and stores a new object of the target's version; `tracks` says whether its fields
    /// still need an owner.
    pub(super) fn insert(
        &mut self,
        request: Request<'_>,
        mut object: Value,
        tracks: bool,
    ) -> Result<Arc<Value>, Failure> {
        let resource = &request.target.resource;
        settle_namespace(request, &mut object)?;
        self.settle_name(&mut object);
        self.admit_to_namespace(resource, &object)?;
        self.stamp(request, &mut object);
        strategy::set_defaults(resource, &mut object);
        strategy::prepare_create(resource, &mut object);
        if tracks {
            let author = Author { manager: manager(request.call), ..author(request, resource) };
            apply::track(&resource.schema, &blank(resource), &mut object, author);
        }
        // What admission adds belongs to nobody.
        strategy::admit(resource, &mut object);
        if resource.is_builtin("services") {
            self.give_address(&mut object);
        }
        strategy::check(resource, &object, None)?;
        let key = Key::of(&object);
        if self.storage.get(&resource.table, &key).is_some() {
            return Err(Failure::already_exists(resource.subject(&key.name)));
        }
        if is_dry_run(request.call)? {
            return Ok(Arc::new(object));
        }
        let stored = self.store(&resource.table, convert::stored(resource, &object));
        self.after_write(&resource.table, &stored, request.now);
        Ok(convert::shown(resource, &stored))
    }

    fn settle_name(&mut self, object: &mut Value) {
        let prefix = object::meta(object, "generateName").to_owned();
        if object::name(object).is_empty() && !prefix.is_empty() {
            let start: String = prefix.chars().take(GENERATE_NAME_LENGTH_MAX).collect();
            let name = start + &self.random.suffix();
            object::set_meta(object, "name", Some(json!(name)));
        }
    }

    /// Refuses content for a namespace that is not there, or is going.
    fn admit_to_namespace(&self, resource: &Resource, object: &Value) -> Result<(), Failure> {
        if !resource.namespaced {
            return Ok(());
        }
        let name = object::namespace(object);
        let namespaces = self.registry.find("", "v1", "namespaces").ok_or_else(Failure::no_such_path)?;
        let key = Key { namespace: String::new(), name: name.to_owned() };
        let Some(namespace) = self.storage.get("namespaces", &key) else {
            return Err(Failure::not_found(namespaces.subject(name)));
        };
        if object::is_deleting(namespace) {
            let why =
                format!("unable to create new content in namespace {name} because it is being terminated");
            let cause = json!({"reason": "NamespaceTerminating", "message": format!("namespace {name} is being terminated"), "field": "metadata.namespace"});
            return Err(Failure::forbidden(resource.subject(object::name(object)), &why).with_cause(&cause));
        }
        Ok(())
    }

    /// Writes what is the server's alone into a new object's metadata.
    fn stamp(&mut self, request: Request<'_>, object: &mut Value) {
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
            object::set_meta(object, field, None);
        }
        object::set_meta(object, "uid", Some(json!(self.random.uid())));
        object::set_meta(object, "creationTimestamp", Some(json!(object::time_text(request.now))));
        if !request.target.resource.namespaced {
            object::set_meta(object, "namespace", None);
        }
    }
}

/// The author of a write on this target; the manager is still to be named.
pub(super) fn author<'a>(request: Request<'a>, resource: &'a Resource) -> Author<'a> {
    let subresource = request.target.subresource.as_str();
    Author {
        manager: "",
        subresource,
        api_version: api_version(resource),
        now: request.now,
        reset: strategy::reset_fields(resource, subresource),
    }
}

fn api_version(resource: &Resource) -> &str {
    // Objects are tracked in the version they are stored in: it is the one that stays.
    &resource.storage_version
}

/// The namespace of the request in an object that does not say, or says the same.
fn settle_namespace(request: Request<'_>, object: &mut Value) -> Result<(), Failure> {
    if !request.target.resource.namespaced {
        return Ok(());
    }
    let asked = &request.target.namespace;
    let given = object::namespace(object);
    if asked.is_empty() {
        return Err(Failure::method_not_allowed());
    }
    if !given.is_empty() && given != asked {
        return Err(Failure::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    object::set_meta(object, "namespace", Some(json!(asked)));
    Ok(())
}
