//! NetworkPolicy: defaults and rules.

use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use super::{items_mut, port_error, port_name_errors, set_default};
use crate::apiserver::{names, object::at, status::FieldError};

pub(super) fn set_defaults(policy: &mut Value) {
    if !policy["spec"].is_object() {
        return;
    }
    for direction in ["spec.ingress", "spec.egress"] {
        for rule in items_mut(policy, direction) {
            items_mut(rule, "ports").for_each(|port| set_default(port, "protocol", "TCP"));
        }
    }
    let has_egress =
        at(policy, "spec.egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
    let types = if has_egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    set_default(&mut policy["spec"], "policyTypes", types);
    set_default(&mut policy["spec"], "podSelector", json!({}));
}

pub(super) fn errors(policy: &Value) -> Vec<FieldError> {
    let mut errors = selector_errors("spec.podSelector", at(policy, "spec.podSelector"));
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let rules = at(policy, &format!("spec.{direction}")).and_then(Value::as_array);
        for (index, rule) in rules.into_iter().flatten().enumerate() {
            let path = format!("spec.{direction}[{index}]");
            errors.extend(each(rule, "ports", &path).flat_map(|(path, port)| port_errors(&path, port)));
            errors.extend(each(rule, peers, &path).flat_map(|(path, peer)| peer_errors(&path, peer)));
        }
    }
    errors.extend(type_errors(policy));
    errors
}

fn each<'a>(rule: &'a Value, list: &'a str, path: &'a str) -> impl Iterator<Item = (String, &'a Value)> {
    let items = rule.get(list).and_then(Value::as_array).into_iter().flatten().enumerate();
    items.map(move |(index, item)| (format!("{path}.{list}[{index}]"), item))
}

fn type_errors(policy: &Value) -> Vec<FieldError> {
    let types = at(policy, "spec.policyTypes").and_then(Value::as_array).cloned().unwrap_or_default();
    if types.len() > 2 {
        let detail = "may not specify more than two policyTypes";
        return vec![FieldError::invalid("spec.policyTypes", &json!(types), detail)];
    }
    let unknown = types.iter().enumerate().filter(|(_, one)| **one != "Ingress" && **one != "Egress");
    let error = |(index, one)| {
        FieldError::not_supported(format!("spec.policyTypes[{index}]"), one, ["Ingress", "Egress"])
    };
    unknown.map(error).collect()
}

fn port_errors(path: &str, port: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(protocol) = port.get("protocol") {
        const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
        if !protocol.as_str().is_some_and(|protocol| PROTOCOLS.contains(&protocol)) {
            errors.push(FieldError::not_supported(format!("{path}.protocol"), protocol, PROTOCOLS));
        }
    }
    let (port_path, end_path) = (format!("{path}.port"), format!("{path}.endPort"));
    match (port.get("port"), port.get("endPort")) {
        (Some(number @ Value::Number(_)), end) => {
            if let Some(end) = end {
                if end.as_i64() < number.as_i64() {
                    errors.push(FieldError::invalid(
                        &end_path,
                        number,
                        "must be greater than or equal to `port`",
                    ));
                }
                errors.extend(port_error(&end_path, end));
            }
            errors.extend(port_error(&port_path, number));
        }
        (Some(name), end) => {
            if let Some(end) = end {
                errors.push(FieldError::invalid(
                    &end_path,
                    end,
                    "may not be specified when `port` is non-numeric",
                ));
            }
            errors.extend(port_name_errors(&port_path, name.as_str().unwrap_or_default()));
        }
        (None, Some(end)) => {
            errors.push(FieldError::invalid(
                &end_path,
                end,
                "may not be specified when `port` is not specified",
            ));
        }
        (None, None) => {}
    }
    errors
}

fn peer_errors(path: &str, peer: &Value) -> Vec<FieldError> {
    let given = |field: &str| peer.get(field).is_some();
    let count =
        ["podSelector", "namespaceSelector", "ipBlock"].into_iter().filter(|field| given(field)).count();
    let mut errors = Vec::new();
    if count == 0 {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if count > 1 && given("ipBlock") {
        errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
    }
    for field in ["podSelector", "namespaceSelector"] {
        errors.extend(selector_errors(&format!("{path}.{field}"), peer.get(field)));
    }
    if let Some(block) = peer.get("ipBlock") {
        errors.extend(block_errors(&format!("{path}.ipBlock"), block));
    }
    errors
}

const BAD_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

fn parsed(cidr: &Value) -> Option<IpNetwork> {
    cidr.as_str().filter(|text| text.contains('/'))?.parse().ok()
}

fn block_errors(path: &str, block: &Value) -> Vec<FieldError> {
    let cidr = block.get("cidr").unwrap_or(&Value::Null);
    if cidr.as_str().unwrap_or_default().is_empty() {
        return vec![FieldError::required(format!("{path}.cidr"), "")];
    }
    let Some(network) = parsed(cidr) else {
        return vec![FieldError::invalid(format!("{path}.cidr"), cidr, BAD_CIDR)];
    };
    let mut errors = Vec::new();
    for (path, except) in each(block, "except", path) {
        match parsed(except) {
            None => errors.push(FieldError::invalid(path, except, BAD_CIDR)),
            Some(inner) if network.contains(inner.ip()) && inner.prefix() > network.prefix() => {}
            Some(_) => errors.push(FieldError::invalid(path, except, "must be a strict subset of `cidr`")),
        }
    }
    errors
}

/// What is wrong with a `LabelSelector`.
pub(super) fn selector_errors(path: &str, selector: Option<&Value>) -> Vec<FieldError> {
    let Some(selector) = selector else { return Vec::new() };
    let mut errors = names::check_labels(&format!("{path}.matchLabels"), &selector["matchLabels"]);
    for (path, expression) in each(selector, "matchExpressions", path) {
        let count = expression.get("values").and_then(Value::as_array).map_or(0, Vec::len);
        match expression["operator"].as_str().unwrap_or_default() {
            "In" | "NotIn" if count == 0 => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(format!("{path}.values"), detail));
            }
            "Exists" | "DoesNotExist" if count > 0 => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(format!("{path}.values"), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.push(FieldError::invalid(
                format!("{path}.operator"),
                &expression["operator"],
                "not a valid selector operator",
            )),
        }
        let key = expression["key"].as_str().unwrap_or_default();
        if !names::is_qualified_name(key) {
            let detail = "name part must consist of alphanumeric characters, '-', '_' or '.'";
            errors.push(FieldError::invalid(format!("{path}.key"), &json!(key), detail));
        }
    }
    errors
}
