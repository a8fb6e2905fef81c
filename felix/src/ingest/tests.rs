//! Objects that are understood, and those that are not, with the field that is to blame.

#![expect(clippy::too_many_lines, clippy::needless_pass_by_value, reason = "tables of JSON values")]

use k8s_openapi::api::{core, networking};
use serde_json::{Value, json};

use super::*;
use crate::model::{Policy, Ports, Protocol};

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn policy(spec: Value) -> (Policy, Option<IngestError>) {
    let object: networking::v1::NetworkPolicy =
        read(json!({"metadata": {"namespace": "x", "name": "p"}, "spec": spec}));
    network_policy::network_policy(&object)
}

/// (why, pod, the addresses that policy sees or None if it does not see the pod)
#[test]
fn which_pods_policy_sees() {
    let pod = |spec: Value, status: Value| json!({"metadata": {"namespace": "x", "name": "p", "uid": "u"}, "spec": spec, "status": status});
    let plain = || json!({"containers": []});
    let running =
        json!({"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]});
    for (why, object, expected) in [
        ("running", pod(plain(), running.clone()), Some(2)),
        ("on its node's network", pod(json!({"containers": [], "hostNetwork": true}), running.clone()), None),
        ("succeeded", pod(plain(), json!({"phase": "Succeeded", "podIP": "10.0.0.1"})), None),
        ("failed", pod(plain(), json!({"phase": "Failed", "podIP": "10.0.0.1"})), None),
        ("without an address yet", pod(plain(), json!({"phase": "Pending"})), Some(0)),
        ("podIP alone", pod(plain(), json!({"podIP": "10.0.0.1"})), Some(1)),
        ("an address that is none", pod(plain(), json!({"podIP": "ten"})), Some(0)),
        ("without status", json!({"metadata": {"name": "p"}}), Some(0)),
    ] {
        assert_eq!(pod::pod(&read(object)).map(|pod| pod.addresses.len()), expected, "{why}");
    }
}

#[test]
fn a_static_pod_answers_to_the_hash_of_its_manifest() {
    let annotations = json!({"kubernetes.io/config.hash": "abc"});
    let object =
        read(json!({"metadata": {"namespace": "x", "name": "p", "uid": "u", "annotations": annotations}}));
    let pod = pod::pod(&object).unwrap();
    assert!(pod.has_uid("u") && pod.has_uid("abc") && !pod.has_uid(""));
}

#[test]
fn named_ports_are_of_containers_that_stay() {
    let port = |name: &str, number: i32| json!([{"name": name, "containerPort": number}]);
    let object: core::v1::Pod = read(json!({"metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "a", "ports": port("web", 80)}, {"name": "b", "ports": [{"containerPort": 81}]},
                       {"name": "bad", "ports": port("zero", 0)}],
        "initContainers": [{"name": "once", "ports": port("web", 1)},
                           {"name": "side", "restartPolicy": "Always", "ports": port("mesh", 2)}]}}));
    let ports = pod::pod(&object).unwrap().ports;
    let named: Vec<(&str, u16)> = ports.iter().map(|port| (port.name.as_str(), port.number)).collect();
    assert_eq!(named, [("mesh", 2), ("web", 80)]);
}

/// (why, spec, does it speak of ingress, of egress)
#[test]
fn policy_types() {
    for (why, spec, ingress, egress) in [
        ("nothing said", json!({"podSelector": {}}), true, false),
        ("egress rules", json!({"podSelector": {}, "egress": [{}]}), true, true),
        ("no egress rules", json!({"podSelector": {}, "egress": []}), true, false),
        ("both said", json!({"policyTypes": ["Ingress", "Egress"]}), true, true),
        ("egress said", json!({"policyTypes": ["Egress"], "ingress": [{}]}), false, true),
        ("ingress said", json!({"policyTypes": ["Ingress"], "egress": [{}]}), true, false),
        ("no spec", Value::Null, true, false),
    ] {
        let (policy, error) = policy(spec);
        assert_eq!((policy.ingress.is_some(), policy.egress.is_some()), (ingress, egress), "{why}");
        assert_eq!(error, None, "{why}");
    }
}

/// (why, spec, field to blame, selector of the policy that stands for it)
#[test]
fn what_is_not_understood_fails_closed_and_names_the_field() {
    let rule = |rule: Value| json!({"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [{}, rule]});
    let peer = |peer: Value| rule(json!({"from": [{"podSelector": {}}, peer]}));
    let port = |port: Value| rule(json!({"ports": [port]}));
    let selector = |expression: Value| json!({"podSelector": {"matchExpressions": [expression]}});
    let own = "a == 'b'";
    for (why, spec, field, selects) in [
        (
            "no prefix",
            peer(json!({"ipBlock": {"cidr": "10.0.0.0"}})),
            "spec.ingress[1].from[1].ipBlock.cidr",
            own,
        ),
        ("text", peer(json!({"ipBlock": {"cidr": "ten/8"}})), "spec.ingress[1].from[1].ipBlock.cidr", own),
        (
            "exception outside",
            peer(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/8"]}})),
            "spec.ingress[1].from[1].ipBlock.except[0]",
            own,
        ),
        (
            "exception of the other family",
            peer(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["fd00::/8"]}})),
            "spec.ingress[1].from[1].ipBlock.except[0]",
            own,
        ),
        ("nothing", peer(json!({})), "spec.ingress[1].from[1]", own),
        (
            "too much",
            peer(json!({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}})),
            "spec.ingress[1].from[1]",
            own,
        ),
        (
            "operator of a peer",
            peer(json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}})),
            "spec.ingress[1].from[1].podSelector.matchExpressions[0]",
            own,
        ),
        ("protocol", port(json!({"protocol": "ICMP"})), "spec.ingress[1].ports[0].protocol", own),
        ("port 0", port(json!({"port": 0})), "spec.ingress[1].ports[0].port", own),
        ("port too high", port(json!({"port": 65536})), "spec.ingress[1].ports[0].port", own),
        (
            "range upside down",
            port(json!({"port": 2, "endPort": 1})),
            "spec.ingress[1].ports[0].endPort",
            own,
        ),
        (
            "range of a name",
            port(json!({"port": "web", "endPort": 1})),
            "spec.ingress[1].ports[0].endPort",
            own,
        ),
        ("range of nothing", port(json!({"endPort": 1})), "spec.ingress[1].ports[0].endPort", own),
        ("name", port(json!({"port": "not a name"})), "spec.ingress[1].ports[0].port", own),
        (
            "operator",
            selector(json!({"key": "a", "operator": "Like"})),
            "spec.podSelector.matchExpressions[0]",
            "all()",
        ),
        (
            "In nothing",
            selector(json!({"key": "a", "operator": "In"})),
            "spec.podSelector.matchExpressions[0]",
            "all()",
        ),
        (
            "Exists with values",
            selector(json!({"key": "a", "operator": "Exists", "values": ["b"]})),
            "spec.podSelector.matchExpressions[0]",
            "all()",
        ),
        (
            "a value that imitates another selector",
            json!({"podSelector": {"matchLabels": {"a": "b' || x == 'y"}}}),
            "spec.podSelector.matchLabels[a]",
            "all()",
        ),
        ("policy type", json!({"policyTypes": ["Ingress", "Both"]}), "spec.policyTypes", "all()"),
    ] {
        let (policy, error) = policy(spec);
        let error = error.unwrap_or_else(|| panic!("{why}: is understood"));
        assert_eq!((error.object.as_str(), error.field.as_str()), ("NetworkPolicy x/p", field), "{why}");
        assert_eq!(policy.pod_selector.to_string(), selects, "{why}");
        assert_eq!(policy.ingress.as_deref(), Some(&[][..]), "{why}: allows nothing");
        assert_eq!(policy.error, Some(error.to_string()), "{why}");
    }
}

/// (why, spec, selector of the policy that stands for it, does it isolate ingress, egress)
#[test]
fn an_object_that_cannot_be_parsed_isolates_what_can_be_read_of_its_selection() {
    let select = || json!({"matchLabels": {"a": "b"}});
    for (why, spec, selects, ingress, egress) in [
        ("rules", json!({"podSelector": select(), "ingress": "all"}), "a == 'b'", true, false),
        ("egress rules", json!({"podSelector": select(), "egress": "all"}), "a == 'b'", true, true),
        ("types said", json!({"podSelector": select(), "policyTypes": ["Egress"]}), "a == 'b'", false, true),
        ("types", json!({"podSelector": select(), "policyTypes": "Egress"}), "a == 'b'", true, true),
        ("unknown type", json!({"podSelector": select(), "policyTypes": ["Both"]}), "a == 'b'", true, true),
        ("selector", json!({"podSelector": {"matchLabels": ["a"]}, "ingress": 1}), "all()", true, false),
        (
            "operator",
            json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}),
            "all()",
            true,
            false,
        ),
        ("no selector", json!({"ingress": "all"}), "all()", true, false),
        ("no object", json!("all"), "all()", true, true),
        ("nothing", Value::Null, "all()", true, true),
    ] {
        let key = crate::model::ObjectKey::new("x", "p");
        let (policy, error) = network_policy::unparsable(key, &spec, "no number at line 3");
        assert_eq!(policy.pod_selector.to_string(), selects, "{why}");
        assert_eq!(policy.ingress, ingress.then(Vec::new), "{why}");
        assert_eq!(policy.egress, egress.then(Vec::new), "{why}");
        assert_eq!(error.to_string(), "NetworkPolicy x/p: object: no number at line 3", "{why}");
        assert_eq!(policy.error, Some(error.to_string()), "{why}");
    }
}

#[test]
fn ways_to_write_the_same_selector_are_equal() {
    let of = |selector: Value| policy(json!({"podSelector": selector})).0.pod_selector;
    let labels = of(json!({"matchLabels": {"a": "1", "b": "2"}}));
    let expressions = of(json!({"matchExpressions": [
        {"key": "b", "operator": "In", "values": ["2", "2"]}, {"key": "a", "operator": "In", "values": ["1"]}]}));
    assert_eq!(labels, expressions);
}

#[test]
fn ports_are_read() {
    let spec = json!({"ingress": [{"ports": [
        {}, {"protocol": "UDP"}, {"port": 80}, {"port": 1, "endPort": 65535, "protocol": "SCTP"}, {"port": "web"}]}]});
    let ports = policy(spec).0.ingress.unwrap().remove(0).ports;
    let read: Vec<(Protocol, Ports)> = ports.into_iter().map(|port| (port.protocol, port.ports)).collect();
    let expected = [
        (Protocol::Tcp, Ports::Any),
        (Protocol::Udp, Ports::Any),
        (Protocol::Tcp, Ports::Range(80, 80)),
        (Protocol::Sctp, Ports::Range(1, 65535)),
        (Protocol::Tcp, Ports::Named("web".to_owned())),
    ];
    assert_eq!(read, expected);
}
