//! What the machine does against pods' network is told with its remedy, and the Node is told that its network works.

use integration::lab::oracle;
use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::Shape;

use super::scene::{await_verdict, create_pod, holder, start};

const NODE: &str = "node-1";

/// Waits until a condition of an object named after the node has this status; its message.
async fn await_condition(lab: &TestLab, object: (&str, &str), name: &str, status: &str) -> String {
    let (version, kind) = object;
    lab.until(&format!("{name} of {kind} is {status}"), LIMIT, async || {
        let found = lab.objects(version, kind, None).get(NODE).await.ok()?;
        let conditions = found.data["status"]["conditions"].as_array()?.clone();
        let found = conditions.into_iter().find(|it| it["type"] == name && it["status"] == status)?;
        Some(found["message"].as_str()?.to_owned())
    })
    .await
    .unwrap()
}

fn run(lab: &TestLab, command: &[&str]) {
    oracle::text(holder(lab, NODE), command[0], &command[1..]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_chain_that_drops_is_told_with_a_remedy_that_helps() {
    const REPORT: (&str, &str) = ("tortie.dev/v1alpha1", "NodeReport");
    let lab = start(Shape { racks: 1, nodes: 2, tors_per_rack: 1, ..Shape::default() }).await;
    create_pod(&lab, "a", NODE).await;
    create_pod(&lab, "far", "node-2").await;
    lab.pods_ready("app").await.unwrap();
    await_condition(&lab, ("v1", "Node"), "NetworkUnavailable", "False").await;
    await_condition(&lab, REPORT, "Forwarding", "True").await;
    await_verdict(&lab, "a", "far", true).await;

    let base = "{ type filter hook forward priority 0; policy drop; }";
    for family in ["ip", "ip6"] {
        run(&lab, &["nft", "add", "table", family, "filter"]);
        run(&lab, &["nft", "add", "chain", family, "filter", "FORWARD", base]);
    }
    await_verdict(&lab, "a", "far", false).await;
    let message = await_condition(&lab, REPORT, "Forwarding", "False").await;
    for command in ["iptables -I FORWARD -i tort+ -j ACCEPT", "ip6tables -I FORWARD -o tort+ -j ACCEPT"] {
        assert!(message.contains(command), "{message}");
    }
    await_condition(&lab, REPORT, "Ready", "False").await;
    let events = lab.objects("events.k8s.io/v1", "Event", Some("default"));
    lab.until("the Event", LIMIT, async || {
        let all = events.list(&kube::api::ListParams::default()).await.ok()?;
        all.items
            .iter()
            .any(|event| event.data["note"].as_str().is_some_and(|it| it.contains("tort+")))
            .then_some(())
    })
    .await
    .unwrap();

    // As iptables-nft writes the remedy.
    for family in ["ip", "ip6"] {
        for direction in ["iifname", "oifname"] {
            let rule = [direction, "tort*", "counter", "accept"];
            run(&lab, &[&["nft", "insert", "rule", family, "filter", "FORWARD"][..], &rule].concat());
        }
    }
    await_verdict(&lab, "a", "far", true).await;
    await_condition(&lab, REPORT, "Forwarding", "True").await;
    await_condition(&lab, REPORT, "Ready", "True").await;
    lab.end().await;
}
