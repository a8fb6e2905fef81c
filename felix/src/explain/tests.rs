//! The reasons and the sentences; the verdicts have tables of their own in `tests/`.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::selector::Selector;

use super::*;
use crate::model::{NamespaceMatch, Protocol};

fn interface(name: &str) -> InterfaceName {
    InterfaceName::new(name).unwrap()
}

/// x/a is attached and isolated by two policies, one of them set aside; x/b is elsewhere.
fn model() -> Model {
    let mut model = Model::default();
    for (name, last) in [("a", 1), ("b", 2)] {
        let key = ObjectKey::new("x", name);
        let labels = BTreeMap::from([("app".to_owned(), name.to_owned())]);
        let addresses = vec![[10, 0, 0, last].into()];
        let pod = Pod { key: key.clone(), uids: vec!["u".to_owned()], labels, addresses, ports: vec![] };
        model.pods.insert(key, Arc::new(pod));
    }
    let endpoint = Endpoint {
        interface: interface("tort1"),
        pod: ObjectKey::new("x", "a"),
        pod_uid: "u".to_owned(),
        addresses: vec![[10, 0, 0, 1].into()],
    };
    model.endpoints.insert(endpoint.interface, endpoint);
    let term = PodTerm {
        namespaces: NamespaceMatch::Named("x".to_owned()),
        pods: Selector::In("app".to_owned(), vec!["b".to_owned()]),
    };
    let block =
        Peer::Block { cidr: "10.9.0.0/16".parse().unwrap(), except: vec!["10.9.1.0/24".parse().unwrap()] };
    let port = PortMatch { protocol: Protocol::Tcp, ports: Ports::Range(80, 80) };
    let rules = vec![
        PolicyRule { peers: vec![block], ports: vec![] },
        PolicyRule { peers: vec![Peer::Pods(term)], ports: vec![port] },
    ];
    let policy = |name: &str, rules| Policy {
        key: ObjectKey::new("x", name),
        pod_selector: Selector::All,
        ingress: Some(rules),
        egress: None,
        error: None,
    };
    let broken = policy("broken", vec![PolicyRule::default()]).failed_closed("spec.x: wrong".to_owned());
    for policy in [policy("web", rules), broken] {
        model.policies.insert(policy.key.clone(), policy);
    }
    model
}

fn packet(from: Place, to: Place, source: [u8; 4], destination: [u8; 4], port: u16) -> Packet {
    let (source, destination) = (source.into(), destination.into());
    Packet { from, to, source, destination, protocol: 6, destination_port: port }
}

#[test]
fn every_verdict_has_its_reason() {
    let (pod, fabric, node) = (Place::Workload(interface("tort1")), Place::Fabric, Place::Node);
    let unknown = Place::Workload(interface("tort2"));
    let (a, b, world) = ([10, 0, 0, 1], [10, 0, 0, 2], [8, 8, 8, 8]);
    for (allowed, packet, text) in [
        (true, packet(fabric, pod, b, a, 80), "ingress: allowed by rule 1 of NetworkPolicy x/web"),
        (true, packet(fabric, pod, [10, 9, 0, 1], a, 1), "ingress: allowed by rule 0 of NetworkPolicy x/web"),
        (
            false,
            packet(fabric, pod, [10, 9, 1, 1], a, 1),
            "ingress: no rule of NetworkPolicy x/broken, x/web allows it",
        ),
        (false, packet(fabric, pod, b, a, 81), "ingress: no rule of NetworkPolicy x/broken, x/web allows it"),
        (true, packet(pod, fabric, a, world, 80), "egress: no policy isolates x/a"),
        (true, packet(pod, pod, a, a, 80), "a pod may always reach itself"),
        (false, packet(pod, fabric, b, world, 80), "the source is no address of the pod that sent it"),
        (true, packet(node, pod, world, a, 80), "a node may always reach its own pods"),
        (false, packet(pod, node, a, world, 80), "pods may not reach their node by configuration"),
        (false, packet(fabric, unknown, world, b, 80), "ingress: the pod behind the interface is not known"),
        (true, packet(fabric, fabric, world, b, 80), "no pod of this node takes part"),
    ] {
        let explanation = explain(&model(), HostAccess::Drop, &packet);
        assert_eq!(explanation.allowed, allowed, "{text}");
        assert_eq!(explanation.reasons.last().unwrap().to_string(), text);
    }
}

#[test]
fn policies_are_told_as_sentences() {
    let model = model();
    let endpoint = endpoint_of(&model, &ObjectKey::new("x", "a")).unwrap();
    let status = policies_of(&model, endpoint);
    assert_eq!((status.pod.as_str(), status.interface.as_str()), ("x/a", "tort1"));
    assert!(status.ingress.isolated && !status.egress.isolated);
    let told: Vec<(&str, &str)> =
        status.ingress.policies.iter().map(|it| (it.policy.as_str(), it.error.as_str())).collect();
    assert_eq!(told, [("x/broken", "spec.x: wrong"), ("x/web", "")]);
    let expected =
        ["from 10.9.0.0/16 except 10.9.1.0/24; any protocol", "from pods app == 'b' in namespace x; TCP 80"];
    assert_eq!(status.ingress.policies[1].rules, expected);
    assert!(endpoint_of(&model, &ObjectKey::new("x", "b")).is_none(), "not on this node");
}

#[test]
fn a_pod_that_is_not_known_is_told_as_cut_off() {
    let mut model = model();
    model.pods.clear();
    let endpoint = endpoint_of(&model, &ObjectKey::new("x", "a")).unwrap();
    let status = policies_of(&model, endpoint);
    assert!(status.ingress.isolated && status.egress.isolated && status.ingress.policies.is_empty());
}
