//! A policy that makes the compiler fail is set aside, with a condition, and everything else goes on.

use std::sync::Arc;

use felix::compile::CompileHook;
use integration::lab::testing::{LIMIT, TestLab};
use integration::probe::{Endpoint, Question};
use nix::sys::signal::Signal;

use super::cast::{delete_policy, lab, namespace, pod, policy, port};
use super::daemon::{InProcess, PolicyPart};

fn endpoint(name: &str) -> Endpoint {
    Endpoint::Pod { namespace: "faulty".into(), name: name.into() }
}

async fn is_allowed(lab: &TestLab, from: &str, to: &str) -> bool {
    let question = Question { timeout_millis: 300, ..Question::new(endpoint(from), endpoint(to), 80) };
    lab.probe(&question).await.unwrap().allowed
}

/// Returns once it is so.
async fn becomes(lab: &TestLab, why: &str, from: &str, to: &str, expected: bool) {
    let check = async || (is_allowed(lab, from, to).await == expected).then_some(());
    lab.until(&format!("{why}: {from} -> {to} is {expected}"), LIMIT, check).await.unwrap();
}

/// The message of the report's condition `Policy` while it does not hold.
async fn complaint(lab: &TestLab) -> Option<String> {
    let reports = lab.objects("tortie.dev/v1alpha1", "NodeReport", None);
    let report = reports.get("node-1").await.ok()?;
    let conditions = report.data["status"]["conditions"].as_array()?.clone();
    let policy = conditions.into_iter().find(|condition| condition["type"] == "Policy")?;
    (policy["status"] == "False").then(|| policy["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_breaks_the_compiler_stands_alone() {
    let lab = lab().await;
    let ports = [port("TCP", 80, "")];
    let mut manifests = namespace("faulty", "{}");
    for name in ["client", "broken", "fine", "free"] {
        manifests += &pod("faulty", name, "node-1", &format!("{{pod: {name}}}"), &ports);
    }
    lab.apply(&manifests).await.unwrap();
    lab.pods_ready("faulty").await.unwrap();
    lab.stop_daemon("node-1", Signal::SIGTERM).await.unwrap();
    let hook: CompileHook = Arc::new(|key| assert!(key.name != "bad", "injected"));
    let daemon = InProcess::start(&lab, "node-1", PolicyPart::Hooked(hook));

    let closed = |name: &str| format!("{{podSelector: {{matchLabels: {{pod: {name}}}}}}}");
    let open = "{podSelector: {matchLabels: {pod: broken}}, ingress: [{}]}";
    lab.apply(&policy("faulty", "bad", open)).await.unwrap();
    lab.apply(&policy("faulty", "good", &closed("fine"))).await.unwrap();
    becomes(&lab, "a policy after the bad one acts", "client", "fine", false).await;
    becomes(&lab, "the bad one allows nothing", "client", "broken", false).await;
    assert!(is_allowed(&lab, "client", "free").await, "others are as before");
    let message = lab.until("the condition", LIMIT, async || complaint(&lab).await).await.unwrap();
    assert!(message.contains("faulty/bad"), "{message}");

    lab.apply(&pod("faulty", "late", "node-1", "{pod: late}", &ports)).await.unwrap();
    lab.pods_ready("faulty").await.unwrap();
    assert!(is_allowed(&lab, "client", "late").await, "CNI goes on");
    assert!(is_allowed(&lab, "late", "free").await, "CNI goes on");
    delete_policy(&lab, "faulty", "good").await;
    becomes(&lab, "deletion of another policy acts", "client", "fine", true).await;
    let outside = Question::new(endpoint("client"), Endpoint::External("internet".into()), 80);
    assert!(lab.probe(&outside).await.unwrap().allowed, "routing goes on");
    delete_policy(&lab, "faulty", "bad").await;
    becomes(&lab, "the bad one is gone", "client", "broken", true).await;
    let gone = async || complaint(&lab).await.is_none().then_some(());
    lab.until("the end of the condition", LIMIT, gone).await.unwrap();
    daemon.stop();
    lab.end().await;
}
