//! Somebody else has the port of BGP: routing waits for it, and nothing else does.

use std::net::TcpListener;

use integration::lab::oracle;
use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::{Shape, Space};
use nix::sys::signal::Signal;

use super::scene::{Flows, await_sessions, await_verdict, create_pod, holder, start};

const NODE: &str = "node-1";

/// Status and message of a condition of the node's report.
async fn condition(lab: &TestLab, name: &str) -> Option<(String, String)> {
    let report = lab.objects("tortie.dev/v1alpha1", "NodeReport", None).get(NODE).await.ok()?;
    let conditions = report.data["status"]["conditions"].as_array()?.clone();
    let found = conditions.into_iter().find(|condition| condition["type"] == name)?;
    Some((found["status"].as_str()?.to_owned(), found["message"].as_str()?.to_owned()))
}

fn learnt(lab: &TestLab) -> Vec<String> {
    let text = oracle::text(holder(lab, NODE), "ip", &["route", "show", "proto", "84", "metric", "8484"]);
    text.unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_keeps_nothing_but_bgp_waiting() {
    let lab = start(Shape { racks: 1, nodes: 2, tors_per_rack: 1, ..Shape::default() }).await;
    for (name, node) in [("a", NODE), ("far", "node-2")] {
        create_pod(&lab, name, node).await;
    }
    lab.pods_ready("app").await.unwrap();
    await_sessions(&lab, NODE, 1).await;
    let flows = Flows::start(&lab, &[("far", "a")]).await;
    let before = learnt(&lab);
    assert!(!before.is_empty());

    lab.stop_daemon(NODE, Signal::SIGTERM).await.unwrap();
    let network = lab.underlay().network(&Space::Node(NODE.into())).unwrap();
    let other = network.inside(|| TcpListener::bind("0.0.0.0:179")).unwrap();
    lab.resume_daemon(NODE).await.unwrap();
    let message = lab
        .until("the condition Routing", LIMIT, async || {
            let (status, message) = condition(&lab, "Routing").await?;
            (status == "False" && message.contains("BGP cannot start")).then_some(message)
        })
        .await
        .unwrap();
    assert!(message.contains("0.0.0.0:179") && message.contains("Node node-1"), "{message}");
    // It said so itself, hence it runs.
    let daemon = lab.daemon_pid(NODE).unwrap();
    assert!(daemon.is_some(), "a daemon waits for the port");
    // The service gives blocks, the plugin is served, policy is obeyed.
    create_pod(&lab, "late", NODE).await;
    lab.pods_ready("app").await.unwrap();
    await_verdict(&lab, "a", "late", true).await;
    lab.apply(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: closed, namespace: app},
          spec: {podSelector: {matchLabels: {app: late}}, policyTypes: [Ingress]}}",
    )
    .await
    .unwrap();
    await_verdict(&lab, "a", "late", false).await;
    assert_eq!(learnt(&lab), before, "routes stay as they were");

    drop(other);
    await_sessions(&lab, NODE, 1).await;
    let holds = async || (condition(&lab, "Routing").await?.0 == "True").then_some(());
    lab.until("the end of the condition", LIMIT, holds).await.unwrap();
    assert_eq!(lab.daemon_pid(NODE).unwrap(), daemon, "the daemon is the same process");
    flows.lost_nothing("a port in use").await;
    lab.end().await;
}
