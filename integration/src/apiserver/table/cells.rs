//! Columns and cells of the built-in kinds.

use jiff::Timestamp;
use k8s_openapi::jiff;
use serde_json::{Value, json};

use super::{age, object_age, text_or};
use crate::apiserver::object::{self, at, text_at};

type ColumnRow = (&'static str, &'static str, i64, &'static str);

const NAME: ColumnRow = ("Name", "string", 0, "Name must be unique within a namespace.");
const AGE: ColumnRow = ("Age", "string", 0, "Time since the object was created.");

/// Columns of a built-in resource: name, type, priority, description.
#[rustfmt::skip]
pub(crate) fn columns(plural: &str) -> &'static [ColumnRow] {
    match plural {
        "pods" => &[
            NAME,
            ("Ready", "string", 0, "Containers that are ready, of all."),
            ("Status", "string", 0, "Phase of the pod, or the reason that it is not running."),
            ("Restarts", "string", 0, "Restarts of all containers."),
            AGE,
            ("IP", "string", 1, "Address of the pod."),
            ("Node", "string", 1, "Node that the pod is bound to."),
            ("Nominated Node", "string", 1, "Node on which room is made for the pod."),
            ("Readiness Gates", "string", 1, "Readiness gates that passed, of all."),
        ],
        "nodes" => &[
            NAME,
            ("Status", "string", 0, "Whether the node is ready and takes pods."),
            ("Roles", "string", 0, "Roles of the node."),
            AGE,
            ("Version", "string", 0, "Version of the kubelet."),
            ("Internal-IP", "string", 1, "Address inside the cluster."),
            ("External-IP", "string", 1, "Address outside the cluster."),
            ("OS-Image", "string", 1, "Operating system."),
            ("Kernel-Version", "string", 1, "Kernel."),
            ("Container-Runtime", "string", 1, "Container runtime and its version."),
        ],
        "namespaces" => &[NAME, ("Status", "string", 0, "Phase of the namespace."), AGE],
        "configmaps" => &[NAME, ("Data", "integer", 0, "Number of entries."), AGE],
        "secrets" => &[NAME, ("Type", "string", 0, "Type of the secret."), ("Data", "integer", 0, "Number of entries."), AGE],
        "services" => &[
            NAME,
            ("Type", "string", 0, "How the service is exposed."),
            ("Cluster-IP", "string", 0, "Address inside the cluster."),
            ("External-IP", "string", 0, "Addresses outside the cluster."),
            ("Port(s)", "string", 0, "Ports of the service."),
            AGE,
            ("Selector", "string", 1, "Labels of the pods that serve."),
        ],
        "serviceaccounts" => &[NAME, ("Secrets", "integer", 0, "Number of secrets."), AGE],
        "events" => &[
            ("Last Seen", "string", 0, "When it was last seen."),
            ("Type", "string", 0, "Normal or Warning."),
            ("Reason", "string", 0, "Why it was reported, for machines."),
            ("Object", "string", 0, "What it is about."),
            ("Subobject", "string", 1, "Part of the object."),
            ("Source", "string", 1, "Who reported it."),
            ("Message", "string", 0, "What happened, for people."),
            ("First Seen", "string", 1, "When it was first seen."),
            ("Count", "string", 1, "How often it was seen."),
            ("Name", "string", 1, "Name of the event."),
        ],
        "networkpolicies" => &[NAME, ("Pod-Selector", "string", 0, "Pods that the policy applies to."), AGE],
        "leases" => &[NAME, ("Holder", "string", 0, "Who holds the lease."), AGE],
        "customresourcedefinitions" => &[NAME, ("Created At", "date", 0, "When the definition was created.")],
        _ => &[NAME, AGE],
    }
}

/// Cells of one object, in the order of [`columns`].
pub(super) fn cells(plural: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    let (name, age) = (json!(object::name(object)), json!(object_age(object, now)));
    match plural {
        "pods" => pod(object, now),
        "nodes" => node(object, now),
        "namespaces" => vec![name, json!(text_at(object, "status.phase")), age],
        "configmaps" => vec![name, json!(count(object, "data") + count(object, "binaryData")), age],
        "secrets" => vec![name, json!(text_at(object, "type")), json!(count(object, "data")), age],
        "services" => service(object, now),
        "serviceaccounts" => vec![name, json!(count(object, "secrets")), age],
        "events" => event(object, now),
        "networkpolicies" => {
            let selector = at(object, "spec.podSelector").map_or_else(|| "<none>".to_owned(), selector_text);
            vec![name, json!(selector), age]
        }
        "leases" => vec![name, json!(text_at(object, "spec.holderIdentity")), age],
        "customresourcedefinitions" => vec![name, json!(object::meta(object, "creationTimestamp"))],
        _ => vec![name, age],
    }
}

fn count(object: &Value, field: &str) -> usize {
    match object.get(field) {
        Some(Value::Object(members)) => members.len(),
        Some(Value::Array(items)) => items.len(),
        _ => 0,
    }
}

fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    at(object, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let statuses = list(pod, "status.containerStatuses");
    let ready = statuses.iter().filter(|status| status["ready"] == true).count();
    let restarts: i64 = statuses.iter().filter_map(|status| status["restartCount"].as_i64()).sum();
    let gates = list(pod, "spec.readinessGates");
    let passed = gates.iter().filter(|gate| condition(pod, text_at(gate, "conditionType")) == "True").count();
    let gates = if gates.is_empty() { "<none>".to_owned() } else { format!("{passed}/{}", gates.len()) };
    vec![
        json!(object::name(pod)),
        json!(format!("{ready}/{}", list(pod, "spec.containers").len())),
        json!(pod_status(pod)),
        json!(restarts.to_string()),
        json!(object_age(pod, now)),
        json!(text_or(pod, "status.podIP", "<none>")),
        json!(text_or(pod, "spec.nodeName", "<none>")),
        json!(text_or(pod, "status.nominatedNodeName", "<none>")),
        json!(gates),
    ]
}

fn pod_status(pod: &Value) -> String {
    if object::is_deleting(pod) {
        return "Terminating".to_owned();
    }
    let statuses = list(pod, "status.containerStatuses").iter();
    let mut reasons = statuses
        .flat_map(|status| ["waiting", "terminated"].map(|state| text_at(&status["state"][state], "reason")));
    let container_reason = reasons.rfind(|reason| !reason.is_empty()).map(str::to_owned);
    let own_reason = text_or(pod, "status.reason", text_at(pod, "status.phase"));
    container_reason.unwrap_or(own_reason)
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = list(object, "status.conditions").iter();
    conditions.filter(|one| one["type"] == kind).map(|one| text_at(one, "status")).next().unwrap_or_default()
}

fn node(node: &Value, now: Timestamp) -> Vec<Value> {
    let mut status = vec![match condition(node, "Ready") {
        "True" => "Ready",
        "" => "Unknown",
        _ => "NotReady",
    }];
    if at(node, "spec.unschedulable").is_some_and(|value| value == true) {
        status.push("SchedulingDisabled");
    }
    let roles = object::labels(node);
    let roles = roles.keys().filter_map(|key| key.strip_prefix("node-role.kubernetes.io/"));
    let roles: Vec<&str> = roles.filter(|role| !role.is_empty()).collect();
    let address = |kind: &str| {
        let addresses = list(node, "status.addresses").iter();
        let mut found = addresses.filter(|one| one["type"] == kind).map(|one| text_at(one, "address"));
        json!(found.next().unwrap_or("<none>"))
    };
    let info = |field: &str| json!(text_or(node, &format!("status.nodeInfo.{field}"), "<unknown>"));
    vec![
        json!(object::name(node)),
        json!(status.join(",")),
        json!(if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }),
        json!(object_age(node, now)),
        json!(text_at(node, "status.nodeInfo.kubeletVersion")),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn service(service: &Value, now: Timestamp) -> Vec<Value> {
    let ports = list(service, "spec.ports").iter().map(|port| {
        let protocol = text_or(port, "protocol", "TCP");
        match port["nodePort"].as_i64() {
            Some(node_port) => format!("{}:{node_port}/{protocol}", port["port"]),
            None => format!("{}/{protocol}", port["port"]),
        }
    });
    let ports: Vec<String> = ports.collect();
    let ingress = list(service, "status.loadBalancer.ingress").iter();
    let ingress = ingress.map(|one| text_or(one, "ip", text_at(one, "hostname")));
    let external = list(service, "spec.externalIPs").iter().filter_map(Value::as_str).map(str::to_owned);
    let external: Vec<String> = ingress.chain(external).collect();
    let external = match (external.is_empty(), text_at(service, "spec.type")) {
        (true, "LoadBalancer") => "<pending>".to_owned(),
        (true, "ExternalName") => text_at(service, "spec.externalName").to_owned(),
        (true, _) => "<none>".to_owned(),
        (false, _) => external.join(","),
    };
    let selector = at(service, "spec.selector").map_or_else(|| "<none>".to_owned(), labels_text);
    vec![
        json!(object::name(service)),
        json!(text_at(service, "spec.type")),
        json!(text_or(service, "spec.clusterIP", "<none>")),
        json!(external),
        json!(if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") }),
        json!(object_age(service, now)),
        json!(selector),
    ]
}

fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let first_of = |paths: &[&str]| {
        let found = paths.iter().map(|path| text_at(event, path)).find(|text| !text.is_empty());
        found.unwrap_or_default()
    };
    let first = first_of(&["firstTimestamp", "deprecatedFirstTimestamp", "eventTime"]);
    let last =
        first_of(&["series.lastObservedTime", "lastTimestamp", "deprecatedLastTimestamp", "eventTime"]);
    let about = event.get("involvedObject").or_else(|| event.get("regarding")).unwrap_or(&Value::Null);
    let object = format!("{}/{}", text_at(about, "kind").to_lowercase(), text_at(about, "name"));
    let source = first_of(&[
        "source.component",
        "deprecatedSource.component",
        "reportingComponent",
        "reportingController",
    ]);
    let host = first_of(&["source.host", "deprecatedSource.host", "reportingInstance"]);
    let source = if host.is_empty() { source.to_owned() } else { format!("{source}, {host}") };
    let mut counts =
        ["series.count", "count", "deprecatedCount"].iter().filter_map(|path| at(event, path)?.as_i64());
    vec![
        json!(age(last, now)),
        json!(text_at(event, "type")),
        json!(text_at(event, "reason")),
        json!(object),
        json!(text_at(about, "fieldPath")),
        json!(source),
        json!(first_of(&["message", "note"]).trim()),
        json!(age(first, now)),
        json!(counts.find(|&count| count > 0).unwrap_or(1).to_string()),
        json!(object::name(event)),
    ]
}

/// A map of labels as `a=b,c=d`.
fn labels_text(labels: &Value) -> String {
    let labels = labels.as_object().into_iter().flatten();
    let parts: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    if parts.is_empty() { "<none>".to_owned() } else { parts.join(",") }
}

/// A `LabelSelector` in kubectl's notation.
fn selector_text(selector: &Value) -> String {
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let mut parts: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    for expression in list(selector, "matchExpressions") {
        let key = text_at(expression, "key");
        let values: Vec<&str> = list(expression, "values").iter().filter_map(Value::as_str).collect();
        parts.push(match text_at(expression, "operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    if parts.is_empty() { "<none>".to_owned() } else { parts.join(",") }
}
