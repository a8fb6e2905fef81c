//! `networking.k8s.io/v1` `NetworkPolicy`.

use api::selector::Selector;
use ipnetwork::IpNetwork;
use k8s_openapi::api::networking::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;
use serde_json::Value;

use super::selector::selector;
use super::{FieldError, IngestError};
use crate::model::{
    NamespaceMatch, ObjectKey, Peer, PodTerm, Policy, PolicyRule, PortMatch, Ports, Protocol,
};

/// Namespace and name of the policy.
pub fn key(object: &v1::NetworkPolicy) -> ObjectKey {
    ObjectKey {
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

/// The policy and, if it was not understood, why.
///
/// Fails closed: whatever is not understood, the pods that the policy selects are isolated and nothing is allowed;
/// if it cannot be told which pods or directions, then all of its namespace or both.
pub fn network_policy(object: &v1::NetworkPolicy) -> (Policy, Option<IngestError>) {
    let key = key(object);
    let spec = object.spec.clone().unwrap_or_default();
    match understand(&key, &spec) {
        Ok(policy) => (policy, None),
        Err(error) => {
            let error = error.of(format!("NetworkPolicy {key}"));
            (closed(key, &spec, error.to_string()), Some(error))
        }
    }
}

/// What stands for a policy object that could not even be parsed, made from the JSON of its `spec`.
///
/// The pods that it selects are isolated, in the directions of which it speaks; all of its namespace if its
/// selector cannot be read either, both directions if those cannot.
pub fn unparsable(key: ObjectKey, spec: &Value, reason: &str) -> (Policy, IngestError) {
    let error = FieldError::new("object", reason).of(format!("NetworkPolicy {key}"));
    let field = |name: &str| spec.get(name).filter(|value| !value.is_null());
    // An absent selector selects all, too, but a spec that is no object says nothing by what it lacks.
    let selector = field("podSelector").map(LabelSelector::deserialize);
    let types = field("policyTypes").map(Vec::<String>::deserialize);
    let readable = v1::NetworkPolicySpec {
        pod_selector: selector.and_then(Result::ok),
        policy_types: match types {
            Some(Ok(types)) => Some(types),
            None if field("egress").is_none() && spec.is_object() => None,
            Some(Err(_)) | None => Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        },
        ..v1::NetworkPolicySpec::default()
    };
    (closed(key, &readable, error.to_string()), error)
}

fn closed(key: ObjectKey, spec: &v1::NetworkPolicySpec, error: String) -> Policy {
    let pod_selector = pod_selector(spec).unwrap_or(Selector::All);
    let (ingress, egress) = policy_types(spec).unwrap_or((true, true));
    Policy {
        key,
        pod_selector,
        ingress: ingress.then(Vec::new),
        egress: egress.then(Vec::new),
        error: Some(error),
    }
}

fn understand(key: &ObjectKey, spec: &v1::NetworkPolicySpec) -> Result<Policy, FieldError> {
    let (is_ingress, is_egress) = policy_types(spec)?;
    let mut ingress = Vec::new();
    for (index, rule) in spec.ingress.iter().flatten().enumerate() {
        let field = format!("spec.ingress[{index}]");
        let peers = peers(&key.namespace, &format!("{field}.from"), rule.from.as_deref())?;
        ingress.push(PolicyRule { peers, ports: ports(&field, rule.ports.as_deref())? });
    }
    let mut egress = Vec::new();
    for (index, rule) in spec.egress.iter().flatten().enumerate() {
        let field = format!("spec.egress[{index}]");
        let peers = peers(&key.namespace, &format!("{field}.to"), rule.to.as_deref())?;
        egress.push(PolicyRule { peers, ports: ports(&field, rule.ports.as_deref())? });
    }
    Ok(Policy {
        key: key.clone(),
        pod_selector: pod_selector(spec)?,
        ingress: is_ingress.then_some(ingress),
        egress: is_egress.then_some(egress),
        error: None,
    })
}

fn pod_selector(spec: &v1::NetworkPolicySpec) -> Result<Selector, FieldError> {
    spec.pod_selector.as_ref().map_or(Ok(Selector::All), |it| selector("spec.podSelector", it))
}

/// Whether the policy speaks of ingress and of egress; where it does not say so, always of ingress, and
/// of egress if it has egress rules.
fn policy_types(spec: &v1::NetworkPolicySpec) -> Result<(bool, bool), FieldError> {
    let types = spec.policy_types.as_deref().unwrap_or_default();
    if let Some(other) = types.iter().find(|it| !matches!(it.as_str(), "Ingress" | "Egress")) {
        return Err(FieldError::new("spec.policyTypes", format!("{other:?} is neither Ingress nor Egress")));
    }
    if types.is_empty() {
        return Ok((true, spec.egress.as_ref().is_some_and(|rules| !rules.is_empty())));
    }
    let has = |name: &str| types.iter().any(|it| it == name);
    Ok((has("Ingress"), has("Egress")))
}

fn peers(
    namespace: &str,
    field: &str,
    peers: Option<&[v1::NetworkPolicyPeer]>,
) -> Result<Vec<Peer>, FieldError> {
    let numbered = peers.unwrap_or_default().iter().enumerate();
    numbered.map(|(index, it)| peer(namespace, &format!("{field}[{index}]"), it)).collect()
}

fn peer(namespace: &str, field: &str, peer: &v1::NetworkPolicyPeer) -> Result<Peer, FieldError> {
    let pods = |it: &LabelSelector| selector(&format!("{field}.podSelector"), it);
    let namespaces = |it: &LabelSelector| selector(&format!("{field}.namespaceSelector"), it);
    let term = match (&peer.ip_block, &peer.namespace_selector, &peer.pod_selector) {
        (Some(it), None, None) => return block(&format!("{field}.ipBlock"), it),
        (None, None, Some(labels)) => {
            PodTerm { namespaces: NamespaceMatch::Named(namespace.to_owned()), pods: pods(labels)? }
        }
        (None, Some(names), labels) => PodTerm {
            namespaces: NamespaceMatch::Selected(namespaces(names)?),
            pods: labels.as_ref().map_or(Ok(Selector::All), pods)?,
        },
        (None, None, None) => {
            return Err(FieldError::new(field, "needs ipBlock, podSelector or namespaceSelector"));
        }
        (Some(_), _, _) => {
            return Err(FieldError::new(
                field,
                "ipBlock cannot be combined with a selector: make it a peer of its own",
            ));
        }
    };
    Ok(Peer::Pods(term))
}

fn block(field: &str, block: &v1::IPBlock) -> Result<Peer, FieldError> {
    let cidr = prefix(&format!("{field}.cidr"), &block.cidr)?;
    let mut except = Vec::new();
    for (index, text) in block.except.iter().flatten().enumerate() {
        let field = format!("{field}.except[{index}]");
        let inner = prefix(&field, text)?;
        if !api::prefix::covers(cidr, inner) {
            return Err(FieldError::new(field, format!("{inner} does not lie inside {cidr}")));
        }
        except.push(inner);
    }
    Ok(Peer::Block { cidr, except })
}

/// Host bits may be set, as API servers let them pass; they mean the prefix around them.
fn prefix(field: &str, text: &str) -> Result<IpNetwork, FieldError> {
    let parsed = text.contains('/').then(|| text.parse::<IpNetwork>().ok()).flatten();
    parsed
        .map(api::prefix::canonical)
        .ok_or_else(|| FieldError::new(field, format!("{text:?} is no prefix like 10.0.0.0/8 or fd00::/8")))
}

fn ports(field: &str, ports: Option<&[v1::NetworkPolicyPort]>) -> Result<Vec<PortMatch>, FieldError> {
    let numbered = ports.unwrap_or_default().iter().enumerate();
    numbered.map(|(index, it)| port(&format!("{field}.ports[{index}]"), it)).collect()
}

fn port(field: &str, port: &v1::NetworkPolicyPort) -> Result<PortMatch, FieldError> {
    let name = port.protocol.as_deref().unwrap_or("TCP");
    let protocol = Protocol::from_name(name).ok_or_else(|| {
        FieldError::new(format!("{field}.protocol"), format!("{name:?} is none of TCP, UDP, SCTP"))
    })?;
    let number = |field: &str, number: i32| {
        let number = u16::try_from(number).ok().filter(|it| *it != 0);
        number.ok_or_else(|| FieldError::new(field, "a port is a number from 1 to 65535"))
    };
    let end_field = format!("{field}.endPort");
    let ports = match (&port.port, port.end_port) {
        (None, None) => Ports::Any,
        (Some(IntOrString::Int(first)), None) => {
            let first = number(&format!("{field}.port"), *first)?;
            Ports::Range(first, first)
        }
        (Some(IntOrString::Int(first)), Some(last)) => {
            let range = (number(&format!("{field}.port"), *first)?, number(&end_field, last)?);
            if range.1 < range.0 {
                return Err(FieldError::new(end_field, "must not be less than port"));
            }
            Ports::Range(range.0, range.1)
        }
        (Some(IntOrString::String(name)), None) => Ports::Named(port_name(&format!("{field}.port"), name)?),
        (_, Some(_)) => return Err(FieldError::new(end_field, "needs a port that is a number beside it")),
    };
    Ok(PortMatch { protocol, ports })
}

/// A name that a container port can have (IANA service name).
fn port_name(field: &str, name: &str) -> Result<String, FieldError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=15).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(name.to_owned());
    }
    Err(FieldError::new(field, format!("{name:?} is no port name: 1 to 15 lower case letters, digits, -")))
}
