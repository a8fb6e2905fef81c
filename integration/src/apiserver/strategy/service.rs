//! Service: defaults and rules.

use serde_json::{Value, json};

use super::{items_mut, port_error, protocol_error, set_default};
use crate::apiserver::{
    object::{at, text_at},
    status::FieldError,
};

pub(super) fn set_defaults(service: &mut Value) {
    if !service["spec"].is_object() {
        return;
    }
    let spec = &mut service["spec"];
    set_default(spec, "type", "ClusterIP");
    set_default(spec, "sessionAffinity", "None");
    if spec["type"] != "ExternalName" {
        set_default(spec, "internalTrafficPolicy", "Cluster");
    }
    for port in items_mut(spec, "ports") {
        set_default(port, "protocol", "TCP");
        let number = port["port"].clone();
        set_default(port, "targetPort", number);
    }
}

/// Addresses that the server gave stay when an update leaves them out.
pub(super) fn keep_addresses(old: &Value, new: &mut Value) {
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if let Some(value) = at(old, &format!("spec.{field}")).cloned() {
            set_default(&mut new["spec"], field, value);
        }
    }
}

pub(super) fn errors(service: &Value) -> Vec<FieldError> {
    const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    let mut errors = Vec::new();
    let kind = text_at(service, "spec.type");
    if !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported("spec.type", &json!(kind), TYPES));
    }
    let ports = at(service, "spec.ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_headless = text_at(service, "spec.clusterIP") == "None";
    if ports.is_empty() && kind != "ExternalName" && !is_headless {
        errors.push(FieldError::required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        errors.extend(port_error(&format!("{path}.port"), &port["port"]));
        errors.extend(protocol_error(&format!("{path}.protocol"), &port["protocol"]));
        if ports.len() > 1 && text_at(port, "name").is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        }
    }
    errors
}
