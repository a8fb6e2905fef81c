//! What is particular to each kind: defaults, what a door may write, and rules beyond the schema.

use serde_json::{Value, json};

use super::{
    names,
    object::{self, at},
    registry::{Origin, Resource},
    schema::{self, prune, validate},
    status::{Failure, FieldError},
};

mod definition;
mod network_policy;
mod pod;
mod service;

/// Whether objects of this resource count their generations.
fn has_generation(resource: &Resource) -> bool {
    resource.origin == Origin::Custom
        || matches!(
            resource.table.as_str(),
            "pods" | "networkpolicies.networking.k8s.io" | "customresourcedefinitions.apiextensions.k8s.io"
        )
}

/// Drops what the schema does not know from `object`; the paths of what was dropped.
pub(crate) fn prune(resource: &Resource, object: &mut Value) -> Vec<String> {
    prune::prune(&resource.schema, object)
}

/// Fills in what the author may leave out, and leaves out what is empty.
pub(crate) fn set_defaults(resource: &Resource, object: &mut Value) {
    schema::default::apply(&resource.schema, object);
    if resource.origin == Origin::Custom {
        return;
    }
    prune::drop_empty(&resource.schema, object);
    match resource.table.as_str() {
        "pods" => pod::set_defaults(object),
        "services" => service::set_defaults(object),
        "networkpolicies.networking.k8s.io" => network_policy::set_defaults(object),
        "customresourcedefinitions.apiextensions.k8s.io" => definition::set_defaults(object),
        "secrets" => secret_defaults(object),
        "nodes" => node_defaults(object),
        "events" => event_defaults(resource, object),
        _ => {}
    }
}

/// Texts that every Node has, be they empty.
fn node_defaults(node: &mut Value) {
    set_default(node, "status", json!({}));
    set_default(&mut node["status"], "daemonEndpoints", json!({"kubeletEndpoint": {"Port": 0}}));
    set_default(&mut node["status"], "nodeInfo", json!({}));
    for field in [
        "architecture",
        "bootID",
        "containerRuntimeVersion",
        "kernelVersion",
        "kubeProxyVersion",
        "kubeletVersion",
        "machineID",
        "operatingSystem",
        "osImage",
        "systemUUID",
    ] {
        set_default(&mut node["status"]["nodeInfo"], field, "");
    }
}

fn event_defaults(resource: &Resource, event: &mut Value) {
    if resource.group.is_empty() {
        set_default(event, "source", json!({}));
        set_default(event, "reportingComponent", "");
        set_default(event, "reportingInstance", "");
    } else {
        set_default(event, "deprecatedSource", json!({}));
    }
}

fn secret_defaults(secret: &mut Value) {
    if secret.get("type").is_none() {
        secret["type"] = json!("Opaque");
    }
    let plain = secret.as_object_mut().and_then(|members| members.remove("stringData"));
    for (key, text) in plain.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let bytes = k8s_openapi::ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
        secret["data"][key] = json!(bytes);
    }
}

/// Sets what the server decides about a new object of that kind.
pub(crate) fn prepare_create(resource: &Resource, object: &mut Value) {
    if has_generation(resource) {
        object::set_meta(object, "generation", Some(json!(1)));
    } else {
        object::set_meta(object, "generation", None);
    }
    let keeps_status = resource.is_builtin("nodes") || !resource.has("status");
    if !keeps_status && let Some(members) = object.as_object_mut() {
        members.remove("status");
    }
    if resource.origin == Origin::Custom {
        return;
    }
    match resource.table.as_str() {
        "pods" => pod::first_status(object),
        "services" => object["status"] = json!({"loadBalancer": {}}),
        "namespaces" => {
            let name = object::name(object).to_owned();
            let labels = object::meta_mut(object).entry("labels").or_insert_with(|| json!({}));
            labels["kubernetes.io/metadata.name"] = json!(name);
            object["status"] = json!({"phase": "Active"});
        }
        "customresourcedefinitions.apiextensions.k8s.io" => definition::first_status(object),
        _ => {}
    }
}

/// Adds what admission adds to a new object; nobody owns that.
pub(crate) fn admit(resource: &Resource, object: &mut Value) {
    if resource.origin == Origin::Custom {
        return;
    }
    match resource.table.as_str() {
        "pods" => pod::admit(object),
        "nodes" => admit_node(object),
        "namespaces" => object["spec"] = json!({"finalizers": ["kubernetes"]}),
        _ => {}
    }
}

/// Parts that are there in every object of the kind, whatever its author says.
pub(crate) fn fill_blank(resource: &Resource, blank: &mut Value) {
    match resource.table.as_str() {
        "pods" => blank["spec"]["containers"] = Value::Null,
        "nodes" => node_defaults(blank),
        "events" => event_defaults(resource, blank),
        "networkpolicies.networking.k8s.io" => blank["spec"]["podSelector"] = json!({}),
        "customresourcedefinitions.apiextensions.k8s.io" => {
            blank["spec"] = json!({"names": {}, "versions": null});
        }
        _ => {}
    }
}

/// The admission of the real server taints every new node until it is known to be ready.
fn admit_node(node: &mut Value) {
    let taint = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"});
    if !node["spec"].is_object() {
        node["spec"] = json!({});
    }
    let taints = at(node, "spec.taints").and_then(Value::as_array).cloned().unwrap_or_default();
    let has_it = taints.iter().any(|one| one["key"] == taint["key"] && one["effect"] == taint["effect"]);
    if !has_it {
        node["spec"]["taints"] = taints.into_iter().chain([taint]).collect();
    }
}

/// What a write through this door cannot change, as dotted paths for server-side apply.
pub(crate) fn reset_fields(resource: &Resource, subresource: &str) -> &'static [&'static str] {
    match (subresource, resource.origin) {
        ("status", Origin::Custom) => &["spec", "metadata"],
        ("status", Origin::BuiltIn) => &["spec"],
        _ if resource.has("status") && !resource.is_builtin("nodes") => &["status"],
        _ => &[],
    }
}

/// Gives `new` what a write through this door must not change, and counts the generation.
pub(crate) fn prepare_update(resource: &Resource, subresource: &str, old: &Value, new: &mut Value) {
    if subresource == "status" {
        let status = new.get("status").cloned();
        let keeps_metadata = resource.origin == Origin::Custom;
        let metadata = new["metadata"].clone();
        *new = old.clone();
        set_or_remove(new, "status", status);
        if keeps_metadata {
            let managed = metadata.get("managedFields").cloned();
            object::set_meta(new, "managedFields", managed);
        } else {
            new["metadata"] = metadata;
        }
    } else if resource.has("status") {
        set_or_remove(new, "status", old.get("status").cloned());
    }
    if resource.is_builtin("namespaces") && subresource != "finalize" {
        set_or_remove(new, "spec", old.get("spec").cloned());
    }
    if resource.is_builtin("services") {
        service::keep_addresses(old, new);
    }
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
    ] {
        object::set_meta(new, field, old["metadata"].get(field).cloned());
    }
    if has_generation(resource) && desired(old, resource) != desired(new, resource) {
        object::set_meta(new, "generation", Some(json!(object::generation(old) + 1)));
    }
}

/// What the generation counts changes of: all but metadata and (where it has its own door) status.
fn desired(object: &Value, resource: &Resource) -> Value {
    let mut desired = object.clone();
    if let Some(members) = desired.as_object_mut() {
        members.remove("metadata");
        if resource.has("status") {
            members.remove("status");
        }
    }
    desired
}

fn set_or_remove(object: &mut Value, field: &str, value: Option<Value>) {
    match value {
        Some(value) => object[field] = value,
        None => drop(object.as_object_mut().and_then(|members| members.remove(field))),
    }
}

/// Holds `new` against the rules of its kind; `old` is what it replaces.
///
/// # Errors
/// 400 for values of a wrong type in a built-in kind, 422 for everything else.
pub(crate) fn check(resource: &Resource, new: &Value, old: Option<&Value>) -> Result<(), Failure> {
    let mut errors = validate::validate(&resource.schema, new);
    if resource.origin == Origin::BuiltIn {
        // List keys of built-in kinds guide merges alone: a Node may well have two InternalIPs.
        errors.retain(|error| !error.is_duplicate());
    }
    if let Some(error) = errors.iter().find(|error| error.is_wrong_type())
        && resource.origin == Origin::BuiltIn
    {
        let (kind, version) = (&resource.kind, resource.api_version());
        let why = format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: json: cannot unmarshal: {error}"
        );
        return Err(Failure::bad_request(why));
    }
    let mut all = metadata_errors(resource, new);
    let is_well_formed = !errors.iter().any(FieldError::is_blocking);
    all.extend(errors);
    if let Some(rules) = &resource.rules {
        if is_well_formed {
            all.extend(rules.check(new, old));
        } else if rules.any() {
            let detail = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
            all.push(FieldError::invalid("<nil>", &Value::Null, detail));
        }
    }
    if resource.origin == Origin::BuiltIn {
        all.extend(kind_errors(resource, new, old));
    }
    if all.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid(&resource.group, &resource.kind, object::name(new), &all))
}

fn metadata_errors(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let metadata = &object["metadata"];
    let mut errors = Vec::new();
    if object::name(object).is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        errors.extend(names::NameRule::of(&resource.table).check("metadata.name", object::name(object)));
    }
    errors.extend(names::check_labels("metadata.labels", &metadata["labels"]));
    errors.extend(names::check_keys("metadata.annotations", &metadata["annotations"]));
    for (index, finalizer) in object::finalizers(object).iter().enumerate() {
        let is_known = matches!(*finalizer, "kubernetes" | "orphan" | "foregroundDeletion");
        if !names::is_qualified_name(finalizer) || !(is_known || finalizer.contains('/')) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(
                format!("metadata.finalizers[{index}]"),
                &json!(finalizer),
                detail,
            ));
        }
    }
    errors
}

fn kind_errors(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    match resource.table.as_str() {
        "pods" => pod::errors(new),
        "services" => service::errors(new),
        "networkpolicies.networking.k8s.io" => network_policy::errors(new),
        "customresourcedefinitions.apiextensions.k8s.io" => definition::errors(new, old),
        "configmaps" | "secrets" => immutable_errors(new, old),
        _ => Vec::new(),
    }
}

fn immutable_errors(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let Some(old) = old.filter(|old| old["immutable"] == true) else { return Vec::new() };
    let changed =
        ["immutable", "data", "binaryData"].into_iter().filter(|field| old.get(*field) != new.get(*field));
    changed.map(|field| FieldError::forbidden(field, "field is immutable when `immutable` is set")).collect()
}

/// What is wrong with a port's number.
fn port_error(path: &str, port: &Value) -> Option<FieldError> {
    let in_range = port.as_i64().is_some_and(|port| (1..=65_535).contains(&port));
    (!in_range).then(|| FieldError::invalid(path, port, "must be between 1 and 65535, inclusive"))
}

/// What is wrong with a port's name.
fn port_name_errors(path: &str, name: &str) -> Vec<FieldError> {
    /// Longest name in the registry of services (RFC 6335).
    const NAME_LENGTH_MAX: usize = 15;
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let rules = [
        (name.len() <= NAME_LENGTH_MAX, "must be no more than 15 characters"),
        (
            !name.is_empty() && name.bytes().all(is_inner),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (name.bytes().any(|byte| byte.is_ascii_lowercase()), "must contain at least one letter (a-z)"),
        (!name.contains("--"), "must not contain consecutive hyphens"),
        (!name.starts_with('-') && !name.ends_with('-'), "must not begin or end with a hyphen"),
    ];
    let broken = rules.into_iter().filter(|(holds, _)| !holds);
    broken.map(|(_, why)| FieldError::invalid(path, &json!(name), why)).collect()
}

/// What is wrong with a transport protocol.
fn protocol_error(path: &str, protocol: &Value) -> Option<FieldError> {
    const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
    let is_known = protocol.as_str().is_some_and(|protocol| PROTOCOLS.contains(&protocol));
    (!is_known).then(|| FieldError::not_supported(path, protocol, PROTOCOLS))
}

/// The items of the list at a dotted path, to be changed.
fn items_mut<'a>(object: &'a mut Value, path: &str) -> impl Iterator<Item = &'a mut Value> {
    let list = path.split('.').try_fold(object, |value, field| value.get_mut(field));
    list.and_then(Value::as_array_mut).into_iter().flatten()
}

/// Sets `field` if it is absent.
fn set_default(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(members) = object.as_object_mut() {
        members.entry(field).or_insert_with(|| value.into());
    }
}
