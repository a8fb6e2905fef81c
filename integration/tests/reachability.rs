//! The main job: pods on all nodes reach each other and the world by routes learnt over BGP, both families.
//!
//! What is expected is written by hand. Needs root; one test needs BIRD 2.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::{RouterKind, Shape};
use integration::probe::{Endpoint, Family, Finding, Protocol, Question};

const LAB: &str = env!("CARGO_BIN_EXE_lab");
const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// A pod on each named node, called after it, that answers on one port of each transport.
fn manifests(nodes: &[&str]) -> String {
    let pod = |node: &&str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: on-{node}, namespace: x}}\nspec:\n  nodeName: {node}\n  \
             containers:\n  - name: server\n    image: lab\n    ports:\n    - {{containerPort: 8080}}\n    \
             - {{containerPort: 5353, protocol: UDP}}\n    - {{containerPort: 9999, protocol: SCTP}}\n"
        )
    };
    let pods: Vec<String> = nodes.iter().map(pod).collect();
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: x}}\n{}", pods.concat())
}

async fn lab_with_pods(shape: Shape, nodes: &[&str]) -> TestLab {
    let lab = TestLab::start(LAB, shape).await.unwrap();
    lab.apply(&manifests(nodes)).await.unwrap();
    lab.pods_ready("x").await.unwrap();
    lab
}

fn pod(node: &str) -> Endpoint {
    Endpoint::Pod { namespace: "x".into(), name: format!("on-{node}") }
}

fn both_families(from: &Endpoint, to: &Endpoint, protocol: Protocol, port: u16) -> Vec<Question> {
    let question =
        |family| Question { protocol, family: Some(family), ..Question::new(from.clone(), to.clone(), port) };
    FAMILIES.map(question).into()
}

/// Asked again until all are open: routes to the youngest block may still be on their way.
async fn await_open(lab: &TestLab, questions: &[Question]) -> Vec<Finding> {
    let mut last = Vec::new();
    let found = lab
        .until("all ways open", LIMIT, async || {
            last = lab.probe_all(questions).await.unwrap();
            last.iter().all(|finding| finding.allowed).then_some(())
        })
        .await;
    let closed: Vec<&Finding> = last.iter().filter(|finding| !finding.allowed).collect();
    assert!(found.is_ok(), "closed: {closed:#?}");
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_and_one_router_of_our_own() {
    let shape = Shape { racks: 1, nodes: 2, tors_per_rack: 1, ..Shape::default() };
    let lab = lab_with_pods(shape, &["node-1", "node-2"]).await;
    let (one, two) = (pod("node-1"), pod("node-2"));
    let mut questions = Vec::new();
    for (protocol, port) in [(Protocol::Tcp, 8080), (Protocol::Udp, 5353), (Protocol::Sctp, 9999)] {
        questions.extend(both_families(&one, &two, protocol, port));
        questions.extend(both_families(&two, &one, protocol, port));
    }
    let addresses = lab.pods();
    for finding in await_open(&lab, &questions).await {
        let asker = addresses.iter().find(|(name, _, _)| name.to_string() == finding.from).unwrap();
        let seen_as = finding.seen_as.unwrap();
        assert!(asker.2.contains(&seen_as), "no pod's address is translated on the way: {finding:?}");
    }
    lab.delete("v1", "Pod", Some("x"), "on-node-1").await.unwrap();
    lab.pod_gone("x", "on-node-1").await.unwrap();
    assert!(lab.probe(&Question::new(two, one, 8080)).await.is_err(), "a pod that is gone is no endpoint");
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn racks_reach_each_other_and_the_world_by_bird() {
    let shape = Shape { nodes: 3, router: RouterKind::Bird, ..Shape::default() };
    let nodes = ["node-1", "node-2", "node-3"];
    let lab = lab_with_pods(shape, &nodes).await;
    let outside = Endpoint::External("internet".into());
    let all: Vec<Endpoint> = nodes.map(pod).into_iter().chain([outside.clone()]).collect();
    let pairs =
        all.iter().flat_map(|from| all.iter().map(move |to| (from, to))).filter(|(from, to)| from != to);
    let questions: Vec<Question> =
        pairs.flat_map(|(from, to)| both_families(from, to, Protocol::Tcp, 8080)).collect();
    assert_eq!(questions.len(), 24);
    await_open(&lab, &questions).await;
    // tor-1-2 alone is enough for the rack.
    lab.underlay().cut_power("tor-1-1").await.unwrap();
    await_open(&lab, &questions).await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_needs_no_router() {
    let shape = Shape { racks: 1, nodes: 3, mesh: true, ..Shape::default() };
    let nodes = ["node-1", "node-2", "node-3"];
    let lab = lab_with_pods(shape, &nodes).await;
    let all = nodes.map(pod);
    let pairs =
        all.iter().flat_map(|from| all.iter().map(move |to| (from, to))).filter(|(from, to)| from != to);
    let questions: Vec<Question> =
        pairs.flat_map(|(from, to)| both_families(from, to, Protocol::Tcp, 8080)).collect();
    await_open(&lab, &questions).await;
    for router in ["tor-1-1", "tor-1-2"] {
        lab.underlay().cut_power(router).await.unwrap();
    }
    assert!(lab.probe_all(&questions).await.unwrap().iter().all(|finding| finding.allowed));
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_declared_ports_answer_and_hosts_answer_on_all() {
    let shape = Shape { racks: 1, nodes: 1, tors_per_rack: 1, ..Shape::default() };
    let lab = lab_with_pods(shape, &["node-1"]).await;
    let (pod, node) = (pod("node-1"), Endpoint::Node("node-1".into()));
    // (why, from, to, port, reason)
    let cases = [
        ("declared", &node, &pod, 8080, "answered by x/on-node-1"),
        ("not declared", &node, &pod, 8081, "refused"),
        ("hosts listen when they are asked", &pod, &node, 7777, "answered by node:node-1"),
    ];
    for (why, from, to, port, reason) in cases {
        let finding = lab.probe(&Question::new(from.clone(), to.clone(), port)).await.unwrap();
        assert_eq!(finding.reason, reason, "{why}");
    }
    lab.end().await;
}
