//! What all tests of failures need: pods, questions, waiting.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use integration::lab::prober::RunningTraffic;
use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::{Shape, Space};
use integration::probe::{Endpoint, Family, Finding, Protocol, Question};

/// The lab's program.
pub(crate) const LAB: &str = env!("CARGO_BIN_EXE_lab");
/// Every pod answers on it by TCP and UDP.
pub(crate) const PORT: u16 = 8080;
/// Datagrams of a flow; a loss of one of them is seen.
const EVERY_MILLIS: u64 = 10;
const FLOWS: u16 = 4;

/// A lab of this shape with a namespace `app`.
pub(crate) async fn start(shape: Shape) -> TestLab {
    let lab = TestLab::start(LAB, shape).await.unwrap();
    lab.apply("{apiVersion: v1, kind: Namespace, metadata: {name: app, labels: {team: app}}}").await.unwrap();
    lab
}

/// A pod of the namespace `app` that is bound to a node; `app` is its label.
pub(crate) async fn create_pod(lab: &TestLab, name: &str, node: &str) {
    lab.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: app, labels: {{app: {name}}}}},
           spec: {{nodeName: {node}, terminationGracePeriodSeconds: 0, containers: [{{name: server, image: lab, ports: [
             {{containerPort: {PORT}}}, {{containerPort: {PORT}, protocol: UDP}}]}}]}}}}"
    ))
    .await
    .unwrap();
}

/// Deletes a pod of the namespace `app`; does not wait for its end.
pub(crate) async fn delete_pod(lab: &TestLab, name: &str) {
    lab.delete("v1", "Pod", Some("app"), name).await.unwrap();
}

/// The pod of this name.
pub(crate) fn pod(name: &str) -> Endpoint {
    Endpoint::Pod { namespace: "app".into(), name: name.into() }
}

/// The addresses of a running pod; none while it has none.
pub(crate) fn addresses(lab: &TestLab, name: &str) -> Vec<IpAddr> {
    let found = lab.pods().into_iter().find(|(endpoint, ..)| *endpoint == pod(name));
    found.map(|(_, _, addresses)| addresses).unwrap_or_default()
}

/// The process that holds a node's namespaces.
pub(crate) fn holder(lab: &TestLab, node: &str) -> u32 {
    lab.underlay().holder(&Space::Node(node.into())).expect("the node is part of the shape")
}

/// What a real packet finds, by TCP.
pub(crate) async fn ask(lab: &TestLab, from: &str, to: &str, family: Family) -> Finding {
    let question = Question { family: Some(family), ..Question::new(pod(from), pod(to), PORT) };
    lab.probe(&question).await.unwrap()
}

/// Waits until one pod reaches another, or does not, by both families.
pub(crate) async fn await_verdict(lab: &TestLab, from: &str, to: &str, allowed: bool) {
    for family in [Family::Ipv4, Family::Ipv6] {
        let what = format!("{from} -> {to} by {family:?} {}", if allowed { "open" } else { "closed" });
        lab.until(&what, LIMIT, async || {
            let timeout_millis = if allowed { 1000 } else { 200 };
            let question =
                Question { family: Some(family), timeout_millis, ..Question::new(pod(from), pod(to), PORT) };
            (lab.probe(&question).await.ok()?.allowed == allowed).then_some(())
        })
        .await
        .unwrap();
    }
}

/// Flows of datagrams between pods by both families, which count what they lose.
pub(crate) struct Flows(Vec<(String, RunningTraffic)>);

impl Flows {
    /// Starts them between each two; they must reach each other already.
    pub(crate) async fn start(lab: &TestLab, pairs: &[(&str, &str)]) -> Self {
        let mut flows = Vec::new();
        for (from, to) in pairs {
            await_verdict(lab, from, to, true).await;
            for family in [Family::Ipv4, Family::Ipv6] {
                let question = Question {
                    protocol: Protocol::Udp,
                    family: Some(family),
                    ..Question::new(pod(from), pod(to), PORT)
                };
                let traffic = lab.start_traffic(&question, FLOWS, EVERY_MILLIS).await.unwrap();
                flows.push((format!("{from} -> {to} by {family:?}"), traffic));
            }
        }
        Self(flows)
    }

    /// Ends them; every one must have sent something and lost nothing. How many datagrams were sent.
    pub(crate) async fn lost_nothing(self, why: &str) -> u64 {
        let mut sent = 0;
        let mut lost = Vec::new();
        for (name, traffic) in self.0 {
            let tally = traffic.stop().await.unwrap();
            eprintln!(
                "{why}: {name}: {} of {} lost, longest gap {} ms",
                tally.lost, tally.sent, tally.longest_gap_millis
            );
            sent += tally.sent;
            if tally.lost > 0 || tally.sent == 0 {
                lost.push(format!("{name}: {tally:?}"));
            }
        }
        assert!(lost.is_empty(), "{why}: flows lost datagrams:\n{}", lost.join("\n"));
        sent
    }
}

/// Waits until all sessions of a node are up.
pub(crate) async fn await_sessions(lab: &TestLab, node: &str, expected: usize) {
    let endpoint = Endpoint::Node(node.into());
    lab.until(&format!("{expected} sessions of {node}"), LIMIT, async || {
        let peers = lab.peers(&endpoint).await.ok()?;
        let up = peers.iter().filter(|peer| peer.state == "Established").count();
        (up == expected && peers.len() == expected).then_some(())
    })
    .await
    .unwrap();
}

/// Waits for a condition that foreign tools tell; how long it took.
pub(crate) async fn timed(lab: &TestLab, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "measures real time")]
    let started = Instant::now();
    lab.until(what, LIMIT, async || holds().then_some(())).await.unwrap();
    started.elapsed()
}

/// The number in an environment variable, or else this one.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}
