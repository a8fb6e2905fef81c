//! The API server is down: what was known goes on, what cannot be known is not guessed.

use std::path::PathBuf;

use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::Shape;
use integration::probe::Family;
use nix::sys::signal::Signal;
use serde_json::json;

use super::plugin::Plugin;
use super::scene::{Flows, addresses, ask, await_sessions, await_verdict, create_pod, holder, start};

const NODE: &str = "node-1";

/// The network configuration of the node, out of the runtime's sight and back.
struct Configuration {
    shown: PathBuf,
    hidden: PathBuf,
}

impl Configuration {
    fn of(lab: &TestLab) -> Self {
        let folder = PathBuf::from(format!("/proc/{}/root/etc/cni/net.d", holder(lab, NODE)));
        Self { shown: folder.join("10-tortie.conflist"), hidden: folder.join("10-tortie.hidden") }
    }

    fn hide(&self) {
        std::fs::rename(&self.shown, &self.hidden).unwrap();
    }

    fn show(&self) {
        std::fs::rename(&self.hidden, &self.shown).unwrap();
    }
}

/// Waits until a file of the daemon's last-good snapshot names what it shall know.
async fn await_snapshot(lab: &TestLab, file: &str, word: &str) {
    let path = format!("/proc/{}/root/var/lib/tortie/{file}", holder(lab, NODE));
    lab.until(&format!("{word} in {file}"), LIMIT, async || {
        std::fs::read_to_string(&path).ok().filter(|text| text.contains(word)).map(drop)
    })
    .await
    .unwrap();
}

async fn await_addresses(lab: &TestLab, name: &str) {
    lab.until(&format!("addresses of {name}"), LIMIT, async || {
        (addresses(lab, name).len() == 2).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_were_bound_before_an_outage_get_network_and_policy_during_it() {
    let lab = start(Shape { racks: 1, nodes: 2, tors_per_rack: 1, ..Shape::default() }).await;
    for (name, node) in [("friend", "node-2"), ("stranger", "node-2"), ("standing", NODE)] {
        create_pod(&lab, name, node).await;
    }
    lab.apply(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: friends, namespace: app},
          spec: {podSelector: {matchExpressions: [{key: app, operator: In, values: [early, late]}]},
                 policyTypes: [Ingress],
                 ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}], ports: [{port: 8080}]}]}}",
    )
    .await
    .unwrap();
    lab.pods_ready("app").await.unwrap();
    await_sessions(&lab, NODE, 1).await;
    let flows = Flows::start(&lab, &[("friend", "standing")]).await;
    let configuration = Configuration::of(&lab);
    configuration.hide();
    create_pod(&lab, "early", NODE).await;
    create_pod(&lab, "late", NODE).await;
    await_snapshot(&lab, "attachments.json", "\"late\"").await;
    await_snapshot(&lab, "policy.json", "\"late\"").await;
    await_known_addresses(&lab, &["friend", "stranger"]).await;

    lab.set_api_outage(true);
    // By the daemon that has lost its API server: both pods are bound, and one is enough.
    configuration.show();
    await_addresses(&lab, "early").await;
    verdicts(&lab, "early").await;

    await_addresses(&lab, "late").await;
    lab.stop_daemon(NODE, Signal::SIGKILL).await.unwrap();
    lab.resume_daemon(NODE).await.unwrap();
    let unknown =
        Plugin::new(&lab, NODE, "unknown", ["app", "unknown", "0b7e6c6e-0000-4000-8000-000000000003"]);
    let refused = unknown.call("ADD", &json!({}));
    assert_eq!(refused.code, 11, "a pod that it cannot know: {refused:?}");
    assert!(refused.output["details"].as_str().unwrap().contains("API server"), "{refused:?}");
    for name in ["early", "late"] {
        verdicts(&lab, name).await;
    }

    lab.set_api_outage(false);
    create_pod(&lab, "after", NODE).await;
    lab.pods_ready("app").await.unwrap();
    await_verdict(&lab, "stranger", "after", true).await;
    lab.delete("networking.k8s.io/v1", "NetworkPolicy", Some("app"), "friends").await.unwrap();
    await_verdict(&lab, "stranger", "late", true).await;
    flows.lost_nothing("outage of the API server and a killed daemon").await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_starts_in_an_outage_serves_by_its_snapshot() {
    let lab = start(Shape { racks: 1, nodes: 2, tors_per_rack: 1, ..Shape::default() }).await;
    for (name, node) in [("friend", "node-2"), ("stranger", "node-2")] {
        create_pod(&lab, name, node).await;
    }
    lab.apply(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: friends, namespace: app},
          spec: {podSelector: {matchLabels: {app: late}}, policyTypes: [Ingress],
                 ingress: [{from: [{namespaceSelector: {matchLabels: {team: app}},
                                    podSelector: {matchLabels: {app: friend}}}]}]}}",
    )
    .await
    .unwrap();
    lab.pods_ready("app").await.unwrap();
    await_sessions(&lab, NODE, 1).await;
    let configuration = Configuration::of(&lab);
    configuration.hide();
    create_pod(&lab, "late", NODE).await;
    for file in ["attachments.json", "policy.json"] {
        await_snapshot(&lab, file, "\"late\"").await;
    }
    await_snapshot(&lab, "policy.json", "\"friends\"").await;
    await_known_addresses(&lab, &["friend", "stranger"]).await;
    lab.set_api_outage(true);
    lab.stop_daemon(NODE, Signal::SIGKILL).await.unwrap();
    assert!(addresses(&lab, "late").is_empty(), "it has no network yet");
    // The daemon puts the configuration down anew once it can serve.
    lab.resume_daemon(NODE).await.unwrap();
    await_addresses(&lab, "late").await;
    verdicts(&lab, "late").await;
    // A pod that came while nobody looked is refused until the server is back.
    lab.stop_daemon(NODE, Signal::SIGKILL).await.unwrap();
    lab.set_api_outage(false);
    create_pod(&lab, "unseen", NODE).await;
    lab.set_api_outage(true);
    lab.resume_daemon(NODE).await.unwrap();
    let unseen = Plugin::new(&lab, NODE, "unseen", ["app", "unseen", "0b7e6c6e-0000-4000-8000-000000000004"]);
    let refused = unseen.call("ADD", &json!({}));
    assert_eq!(refused.code, 11, "{refused:?}");
    assert!(addresses(&lab, "unseen").is_empty());
    verdicts(&lab, "late").await;
    lab.set_api_outage(false);
    lab.pods_ready("app").await.unwrap();
    await_verdict(&lab, "stranger", "unseen", true).await;
    lab.end().await;
}

/// The snapshot of policy is written some time after a change: a daemon that is killed before would not know it.
async fn await_known_addresses(lab: &TestLab, pods: &[&str]) {
    for pod in pods {
        let addresses = addresses(lab, pod);
        assert!(!addresses.is_empty(), "{pod} has network");
        for address in addresses {
            await_snapshot(lab, "policy.json", &format!("\"{address}\"")).await;
        }
    }
}

/// The friend is let in, the stranger is not.
async fn verdicts(lab: &TestLab, name: &str) {
    await_verdict(lab, "friend", name, true).await;
    for family in [Family::Ipv4, Family::Ipv6] {
        assert!(!ask(lab, "stranger", name, family).await.allowed, "stranger -> {name} by {family:?}");
    }
}
