//! What changes at the API acts on new flows within a second of the call's return.

use std::time::{Duration, Instant};

use integration::lab::testing::TestLab;
use integration::probe::{Family, Question};
use serde_json::{Value, json};

use super::cast::{Cast, delete_policy, lab, policies_are_in_force, policy};

/// What is promised on a machine that does nothing else.
const PROMISE: Duration = Duration::from_secs(1);
/// Tests share theirs with others.
const SLOWNESS: u32 = 3;
/// A packet that passes is answered in a fraction of it.
const PATIENCE_MILLIS: u64 = 150;

enum Change {
    /// The namespace `x`, and the spec of a policy in it that is always called `p`.
    Policy(&'static str),
    DeletePolicy,
    /// Labels of a pod: `null` removes one.
    Pod(&'static str, Value),
    /// Labels of a namespace.
    Namespace(&'static str, Value),
    /// The phase in a pod's status.
    Phase(&'static str, &'static str),
}
use Change::{DeletePolicy, Namespace, Phase, Pod, Policy};

/// Why, the change, and then from, to, whether it passes.
type Step = (&'static str, Change, &'static [(&'static str, &'static str, bool)]);

fn steps() -> Vec<Step> {
    let by_namespace =
        "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {open: yes-it-is}}}]}]}";
    let by_pod = "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {friend: yes-it-is}}}]}]}";
    let guarded = "{podSelector: {matchLabels: {guarded: yes-it-is}}}";
    let out = "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}, podSelector: {matchLabels: {friend: yes-it-is}}}]}]}";
    let yes = |key: &str| json!({key: "yes-it-is"});
    let no = |key: &str| json!({key: null});
    vec![
        ("nothing yet", DeletePolicy, &[("y/a", "x/a", true), ("y/a", "x/b", true)]),
        ("a policy comes", Policy("{podSelector: {}}"), &[("y/a", "x/a", false), ("y/a", "x/b", false)]),
        ("it is changed to a namespace's label", Policy(by_namespace), &[("y/a", "x/a", false)]),
        (
            "the namespace gets the label",
            Namespace("y", yes("open")),
            &[("y/a", "x/a", true), ("y/b", "x/a", true), ("z/a", "x/a", false)],
        ),
        (
            "the namespace loses the label",
            Namespace("y", no("open")),
            &[("y/a", "x/a", false), ("y/b", "x/a", false)],
        ),
        ("it is changed to a pod's label", Policy(by_pod), &[("y/b", "x/a", false)]),
        (
            "a pod gets the label",
            Pod("y/b", yes("friend")),
            &[("y/b", "x/a", true), ("y/b", "x/b", true), ("y/a", "x/a", false)],
        ),
        ("the pod succeeds", Phase("y/b", "Succeeded"), &[("y/b", "x/a", false), ("y/b", "x/b", false)]),
        (
            "another pod gets the label",
            Pod("y/a", yes("friend")),
            &[("y/a", "x/a", true), ("y/a", "x/b", true)],
        ),
        (
            "the pod loses the label",
            Pod("y/a", no("friend")),
            &[("y/a", "x/a", false), ("y/a", "x/b", false)],
        ),
        ("it is changed to whom it selects", Policy(guarded), &[("y/a", "x/a", true), ("y/a", "x/b", true)]),
        (
            "a pod is selected by its new label",
            Pod("x/a", yes("guarded")),
            &[("y/a", "x/a", false), ("y/a", "x/b", true)],
        ),
        ("a pod is selected no more", Pod("x/a", no("guarded")), &[("y/a", "x/a", true)]),
        ("it is changed to egress", Policy(out), &[("x/a", "y/a", false), ("x/b", "y/a", false)]),
        (
            "whom egress asks gets the label",
            Pod("z/a", yes("friend")),
            &[("x/a", "z/a", true), ("x/b", "z/a", true)],
        ),
        ("whom egress asks fails", Phase("z/a", "Failed"), &[("x/a", "z/a", false), ("x/b", "z/a", false)]),
        (
            "it is changed to another port",
            Policy("{podSelector: {}, ingress: [{ports: [{port: 81}]}]}"),
            &[("y/a", "x/a", false), ("x/a", "y/a", true)],
        ),
        ("and back", Policy("{podSelector: {}, ingress: [{ports: [{port: 80}]}]}"), &[("y/a", "x/a", true)]),
        ("to nobody", Policy("{podSelector: {}}"), &[("y/a", "x/a", false), ("y/a", "x/b", false)]),
        ("it is deleted", DeletePolicy, &[("y/a", "x/a", true), ("y/a", "x/b", true)]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_act_on_new_flows_within_a_second() {
    let lab = lab().await;
    let cast = Cast(0);
    cast.start(&lab).await;
    policies_are_in_force(&lab, "started").await;
    let mut slowest = Duration::ZERO;
    for (why, change, expected) in steps() {
        carry_out(&lab, cast, change).await;
        let returned = Instant::now();
        let mut ways = ways(cast, expected);
        while !ways.is_empty() {
            let started = returned.elapsed();
            assert!(started <= PROMISE * SLOWNESS, "{why}: after {started:?} still wrong: {ways:?}");
            let questions: Vec<Question> = ways.iter().map(|(question, _)| question.clone()).collect();
            let found = lab.probe_all(&questions).await.unwrap();
            let were = ways.len();
            ways = ways
                .into_iter()
                .zip(found)
                .filter(|(way, found)| found.allowed != way.1)
                .map(|(way, _)| way)
                .collect();
            if ways.len() < were {
                slowest = slowest.max(started);
                println!(
                    "{why}: {} of {were} right {} ms after the call",
                    were - ways.len(),
                    started.as_millis()
                );
            }
        }
    }
    println!("the slowest flow was right {} ms after its call had returned", slowest.as_millis());
    lab.end().await;
}

async fn carry_out(lab: &TestLab, cast: Cast, change: Change) {
    let patch = async |kind: &str, namespace: Option<&str>, name: &str, subresource: &str, body: Value| {
        let api = lab.objects("v1", kind, namespace);
        let (parameters, patch) = (kube::api::PatchParams::default(), kube::api::Patch::Merge(&body));
        let patched = match subresource {
            "" => api.patch(name, &parameters, &patch).await,
            _ => api.patch_status(name, &parameters, &patch).await,
        };
        patched.unwrap();
    };
    match change {
        Policy(spec) => lab.apply(&policy(&cast.namespace("x"), "p", spec)).await.unwrap(),
        DeletePolicy => delete_policy(lab, &cast.namespace("x"), "p").await,
        Pod(key, labels) => {
            let (space, name) = key.split_once('/').unwrap();
            let body = json!({"metadata": {"labels": labels}});
            patch("Pod", Some(&cast.namespace(space)), name, "", body).await;
        }
        Namespace(name, labels) => {
            patch("Namespace", None, &cast.namespace(name), "", json!({"metadata": {"labels": labels}}))
                .await;
        }
        Phase(key, phase) => {
            let (space, name) = key.split_once('/').unwrap();
            patch("Pod", Some(&cast.namespace(space)), name, "status", json!({"status": {"phase": phase}}))
                .await;
        }
    }
}

/// Every question with the answer that it must get.
fn ways(cast: Cast, expected: &[(&str, &str, bool)]) -> Vec<(Question, bool)> {
    let both = expected.iter().flat_map(|way| [Family::Ipv4, Family::Ipv6].map(|family| (way, family)));
    both.map(|((from, to, is_allowed), family)| {
        let question = Question::new(cast.endpoint(from), cast.endpoint(to), 80);
        (Question { family: Some(family), timeout_millis: PATIENCE_MILLIS, ..question }, *is_allowed)
    })
    .collect()
}
