//! Pod: defaults, first status and rules.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{items_mut, port_error, port_name_errors, protocol_error, set_default};
use crate::apiserver::{
    names::NameRule,
    object::{at, text_at},
    status::FieldError,
};

const POLICIES: [&str; 3] = ["Always", "OnFailure", "Never"];

const CONTAINER_LISTS: [&str; 2] = ["containers", "initContainers"];

/// How long the real server's admission lets a pod stay on a node that is gone.
const TOLERATION_SECS: u32 = 300;

pub(super) fn set_defaults(pod: &mut Value) {
    if !pod["spec"].is_object() {
        return;
    }
    let is_host = pod["spec"]["hostNetwork"] == true;
    let spec = &mut pod["spec"];
    set_default(spec, "restartPolicy", "Always");
    set_default(spec, "dnsPolicy", "ClusterFirst");
    set_default(spec, "schedulerName", "default-scheduler");
    set_default(spec, "terminationGracePeriodSeconds", 30);
    set_default(spec, "enableServiceLinks", true);
    set_default(spec, "securityContext", json!({}));
    for list in CONTAINER_LISTS {
        items_mut(spec, list).for_each(|container| container_defaults(container, is_host));
    }
}

fn container_defaults(container: &mut Value, is_host: bool) {
    set_default(container, "terminationMessagePath", "/dev/termination-log");
    set_default(container, "terminationMessagePolicy", "File");
    set_default(container, "resources", json!({}));
    let image = text_at(container, "image");
    let tag = image.rsplit('/').next().unwrap_or_default().split_once(':').map_or("latest", |(_, tag)| tag);
    let pull = if tag == "latest" && !image.contains('@') { "Always" } else { "IfNotPresent" };
    set_default(container, "imagePullPolicy", pull);
    for port in items_mut(container, "ports") {
        set_default(port, "protocol", "TCP");
        if is_host {
            let number = port["containerPort"].clone();
            set_default(port, "hostPort", number);
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.get_mut(probe) {
            probe_defaults(probe);
        }
    }
}

fn probe_defaults(probe: &mut Value) {
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        set_default(probe, field, value);
    }
    if let Some(request) = probe.get_mut("httpGet") {
        set_default(request, "path", "/");
        set_default(request, "scheme", "HTTP");
    }
}

/// The status of a new pod.
pub(super) fn first_status(pod: &mut Value) {
    let class = qos_class(pod);
    pod["status"] = json!({"phase": "Pending", "qosClass": class});
}

/// What admission adds to a new pod.
pub(super) fn admit(pod: &mut Value) {
    if !pod["spec"].is_object() {
        return;
    }
    let spec = &mut pod["spec"];
    set_default(spec, "priority", 0);
    set_default(spec, "preemptionPolicy", "PreemptLowerPriority");
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerates = |one: &Value| {
            (one["key"] == key || one.get("key").is_none())
                && (one["effect"] == "NoExecute" || one.get("effect").is_none())
        };
        if !tolerations.iter().any(tolerates) {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECS
            }));
        }
    }
    spec["tolerations"] = Value::Array(tolerations);
}

/// Quality of service: whether requests and limits are set nowhere, everywhere and equal, or else.
fn qos_class(pod: &Value) -> &'static str {
    let lists = CONTAINER_LISTS.map(|list| at(pod, &format!("spec.{list}")).and_then(Value::as_array));
    let containers: Vec<&Value> = lists.into_iter().flatten().flatten().collect();
    let part = |container: &Value, part: &str, resource: &str| {
        container["resources"][part]
            .get(resource)
            .or_else(|| container["resources"]["limits"].get(resource))
            .cloned()
    };
    let mentions = |container: &&&Value| {
        ["requests", "limits"].iter().any(|part| {
            container["resources"][part]
                .as_object()
                .is_some_and(|map| map.contains_key("cpu") || map.contains_key("memory"))
        })
    };
    if !containers.iter().any(|container| mentions(&container)) {
        return "BestEffort";
    }
    let is_fixed = |container: &&Value| {
        ["cpu", "memory"].iter().all(|resource| {
            let limit = container["resources"]["limits"].get(resource);
            limit.is_some() && part(container, "requests", resource).as_ref() == limit
        })
    };
    if containers.iter().all(is_fixed) { "Guaranteed" } else { "Burstable" }
}

pub(super) fn errors(pod: &Value) -> Vec<FieldError> {
    // That a spec has containers is said by the schema.
    if pod.get("spec").is_none() {
        return vec![FieldError::required("spec.containers", "")];
    }
    let mut errors = Vec::new();
    for list in CONTAINER_LISTS {
        let containers = at(pod, &format!("spec.{list}")).and_then(Value::as_array);
        for (index, container) in containers.into_iter().flatten().enumerate() {
            errors.extend(container_errors(&format!("spec.{list}[{index}]"), container));
        }
    }
    errors.extend(duplicate_names(pod));
    let restart = at(pod, "spec.restartPolicy").unwrap_or(&Value::Null);
    if !restart.as_str().is_some_and(|policy| POLICIES.contains(&policy)) {
        errors.push(FieldError::not_supported("spec.restartPolicy", restart, POLICIES));
    }
    errors
}

fn container_errors(path: &str, container: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text_at(container, "name");
    if !name.is_empty() {
        errors.extend(NameRule::Label.check(&format!("{path}.name"), name));
    }
    if text_at(container, "image").is_empty() {
        errors.push(FieldError::required(format!("{path}.image"), ""));
    }
    let ports = container.get("ports").and_then(Value::as_array);
    for (index, port) in ports.into_iter().flatten().enumerate() {
        let path = format!("{path}.ports[{index}]");
        errors.extend(port_error(&format!("{path}.containerPort"), &port["containerPort"]));
        errors.extend(protocol_error(&format!("{path}.protocol"), &port["protocol"]));
        if let Some(name) = port.get("name").and_then(Value::as_str) {
            errors.extend(port_name_errors(&format!("{path}.name"), name));
        }
    }
    errors
}

/// Names are unique over all kinds of containers.
fn duplicate_names(pod: &Value) -> Vec<FieldError> {
    let mut seen = BTreeSet::new();
    let mut errors = Vec::new();
    for list in CONTAINER_LISTS {
        let containers = at(pod, &format!("spec.{list}")).and_then(Value::as_array);
        for (index, container) in containers.into_iter().flatten().enumerate() {
            if !seen.insert(text_at(container, "name")) {
                errors.push(FieldError::duplicate(format!("spec.{list}[{index}].name"), &container["name"]));
            }
        }
    }
    errors
}
