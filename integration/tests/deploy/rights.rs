//! The daemons' rights are enough, and they use what they have: a real API server notes every request of theirs.
//!
//! Needs root.

use std::collections::BTreeSet;
use std::fs;

use integration::kube::AUDIT_LOG;
use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::{ApiKind, Shape};
use serde_json::Value;

use crate::manifest::{deploy, objects};

const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// Account, verb and resource that are granted and need not be used by this scenario, and when they are.
const SELDOM: [(&str, &str, &str); 9] = [
    // The watch has not told of the pod yet.
    ("tortie-node", "get", "pods"),
    // Only while the condition NetworkUnavailable is there.
    ("tortie-node", "patch", "nodes/status"),
    // The same Event again within minutes.
    ("tortie-node", "patch", "events"),
    ("tortie-ipam", "patch", "events"),
    // A cluster without objects of its own; here the lab has made them.
    ("tortie-ipam", "create", "bgpconfigurations"),
    ("tortie-ipam", "create", "bgppeers"),
    // The API server was restored from a backup.
    ("tortie-ipam", "patch", "ippools"),
    // A node is gone for good.
    ("tortie-ipam", "delete", "ipblocks"),
    ("tortie-ipam", "patch", "ipblocks"),
];

const PODS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: x}
---
apiVersion: v1
kind: Pod
metadata: {name: one, namespace: x}
spec: {nodeName: node-1, containers: [{name: server, image: lab, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: two, namespace: x}
spec: {nodeName: node-2, containers: [{name: server, image: lab, ports: [{containerPort: 8080}]}]}
";

/// A peer whose selector is no selector: an Event says so.
const PROBLEM: &str = "
apiVersion: tortie.dev/v1alpha1
kind: BGPPeer
metadata: {name: wrong}
spec: {nodeSelector: '&&', peerIP: 192.0.2.1, asNumber: 64999}
";

type Right = (String, String, String);

/// Every request of our accounts so far, and those that were refused.
fn requests(log: &str) -> (BTreeSet<Right>, BTreeSet<Right>) {
    let (mut all, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for entry in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let account = entry["impersonatedUser"]["username"].as_str().unwrap_or_default();
        let Some(account) = account.strip_prefix("system:serviceaccount:kube-system:") else { continue };
        let resource = entry["objectRef"]["resource"].as_str().unwrap_or_default();
        let subresource = entry["objectRef"]["subresource"].as_str().map(|name| format!("/{name}"));
        let verb = entry["verb"].as_str().unwrap_or_default().to_owned();
        let right = (account.to_owned(), verb, format!("{resource}{}", subresource.unwrap_or_default()));
        if entry["responseStatus"]["code"] == 403 {
            refused.insert(right.clone());
        }
        all.insert(right);
    }
    (all, refused)
}

/// Every right that the manifest gives to an account.
fn granted() -> BTreeSet<Right> {
    let objects = objects(&fs::read_to_string(deploy().join("parts/rbac.yaml")).unwrap());
    let roles = objects.iter().filter(|object| !object["rules"].is_null());
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    let mut granted = BTreeSet::new();
    for role in roles {
        let account = role["metadata"]["name"].as_str().unwrap();
        for rule in role["rules"].as_array().unwrap() {
            for verb in texts(&rule["verbs"]) {
                let of_verb = |resource| (account.to_owned(), verb.clone(), resource);
                granted.extend(texts(&rule["resources"]).into_iter().map(of_verb));
            }
        }
    }
    granted
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_are_enough_and_no_more() {
    let shape = Shape { racks: 1, nodes: 2, tors_per_rack: 1, api: ApiKind::Etcd, ..Shape::default() };
    let lab = TestLab::start_on_its_api(LAB, shape).await.unwrap();
    lab.apply(PODS).await.unwrap();
    lab.pods_ready("x").await.unwrap();
    lab.apply(PROBLEM).await.unwrap();
    lab.delete("v1", "Pod", Some("x"), "one").await.unwrap();
    let log = lab.underlay().directory().path().join("kube").join(AUDIT_LOG);
    let seldom: BTreeSet<Right> = SELDOM
        .iter()
        .map(|(account, verb, resource)| ((*account).into(), (*verb).into(), (*resource).into()))
        .collect();
    let granted = granted();
    assert!(seldom.is_subset(&granted), "not granted: {:?}", seldom.difference(&granted).collect::<Vec<_>>());
    let mut unused: BTreeSet<Right> = BTreeSet::new();
    let used = lab.until("use of every right", LIMIT, async || {
        let (used, refused) = requests(&fs::read_to_string(&log).ok()?);
        assert!(refused.is_empty(), "forbidden: {refused:?}");
        unused = granted.difference(&used).filter(|right| !seldom.contains(*right)).cloned().collect();
        unused.is_empty().then_some(())
    });
    assert!(used.await.is_ok(), "granted and never used: {unused:?}");
    lab.end().await;
}
