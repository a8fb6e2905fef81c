//! What blocks and statuses say, in every order in which the two may come.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn pod(uid: &str, node: &str, addresses: &[&str]) -> v1::Pod {
    let ips: Vec<_> = addresses.iter().map(|ip| serde_json::json!({"ip": ip})).collect();
    serde_json::from_value(serde_json::json!({
        "metadata": {"namespace": "default", "name": "web", "uid": uid},
        "spec": {"nodeName": node, "containers": []},
        "status": {"phase": "Running", "podIPs": ips},
    }))
    .unwrap()
}

fn block(cidr: &str, node: &str, allocations: &[(u16, &str)]) -> IPBlock {
    let name = prefix::object_name(cidr.parse().unwrap());
    serde_json::from_value(serde_json::json!({
        "apiVersion": "tortie.dev/v1alpha1", "kind": "IPBlock",
        "metadata": {"name": name},
        "spec": {"cidr": cidr, "pool": "p", "node": node, "nodeUID": "n"},
        "status": {"allocations": allocations.iter().map(|(ordinal, uid)| serde_json::json!({
            "ordinal": ordinal, "podUID": uid, "since": "2026-01-01T00:00:00Z"})).collect::<Vec<_>>()},
    }))
    .unwrap()
}

fn gone(name: &str, uid: &str) -> Gone {
    let key = crate::watch::ObjectKey { namespace: "default".to_owned(), name: name.to_owned() };
    Gone { key, uid: uid.to_owned() }
}

const V4: &str = "10.244.0.0/26";
const V6: &str = "fd00::/122";

#[test]
fn blocks_override_the_status_of_their_own_nodes_pods() {
    let ours = || block(V4, "a", &[]);
    // (why, blocks, addresses of the status, addresses of pod u1 on node a)
    let cases: [(_, Vec<IPBlock>, &[&str], &[&str]); 10] = [
        ("its node's block", vec![block(V4, "a", &[(5, "u1")])], &["10.244.0.9"], &["10.244.0.5"]),
        (
            "another node's block",
            vec![ours(), block(V6, "b", &[(5, "u1")])],
            &["10.244.0.9"],
            &["10.244.0.9"],
        ),
        ("no block speaks of it", vec![ours()], &["10.244.0.9"], &["10.244.0.9"]),
        ("the block gives it to another", vec![block(V4, "a", &[(9, "u2")])], &["10.244.0.9"], &[]),
        ("outside of every block", vec![ours()], &["10.0.0.1"], &[]),
        ("in another node's block", vec![block(V4, "b", &[])], &["10.244.0.9"], &[]),
        ("no blocks", vec![], &["10.244.0.9"], &[]),
        (
            "an ordinal outside of the block",
            vec![block(V4, "a", &[(64, "u1")])],
            &["10.244.0.9"],
            &["10.244.0.9"],
        ),
        (
            "one family by the block, the other by the status",
            vec![block(V4, "a", &[(5, "u1")]), block(V6, "a", &[])],
            &["10.244.0.9", "fd00::1"],
            &["10.244.0.5", "fd00::1"],
        ),
        ("no status", vec![block(V6, "a", &[(5, "u1")])], &[], &["fd00::5"]),
    ];
    let key = ObjectKey::new("default", "web");
    for (why, all, status, addresses) in cases {
        let object = pod("u1", "a", status);
        let expected: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let mut pod_first = Blocks::default();
        pod_first.pod(&object);
        for block in &all {
            pod_first.update(Update::Apply(block.clone()));
        }
        let mut blocks_first = Blocks::default();
        blocks_first.update(Update::Reset(all));
        let pod = blocks_first.pod(&object).unwrap();
        assert_eq!(pod.addresses, expected, "{why}");
        assert_eq!(pod_first.with_addresses(&key), Some(pod), "{why}: the order must not matter");
    }
}

#[test]
fn only_what_changed_is_touched_and_nothing_is_left_of_what_is_gone() {
    let mut blocks = Blocks::default();
    blocks.pod(&pod("u1", "a", &["10.244.0.9"]));
    let delete = || Update::Delete(gone("10-244-0-0-26", ""));
    let moved = || Update::Apply(block(V4, "b", &[(5, "u1"), (6, "u2")]));
    // (why, update, how many pods may have other addresses)
    let cases = [
        ("a range of its node", Update::Apply(block(V4, "a", &[])), 1),
        ("the same", Update::Apply(block(V4, "a", &[])), 0),
        ("an address of its own", Update::Apply(block(V4, "a", &[(5, "u1")])), 1),
        ("another pod's address", Update::Apply(block(V4, "a", &[(5, "u1"), (6, "u2")])), 0),
        ("the same list", Update::Reset(vec![block(V4, "a", &[(5, "u1"), (6, "u2")])]), 0),
        ("its status' address is another's", Update::Apply(block(V4, "a", &[(5, "u1"), (9, "u2")])), 1),
        ("the block is another node's now", moved(), 1),
        ("the block is gone", delete(), 1),
        ("a block of another node", Update::Apply(block(V6, "b", &[(6, "u2")])), 0),
        ("an empty list", Update::Reset(vec![]), 0),
    ];
    for (why, update, expected) in cases {
        assert_eq!(blocks.update(update).len(), expected, "{why}");
    }
    assert!(blocks.pod_gone(&gone("web", "u1")));
    let left = (blocks.keys_by_uid.len(), blocks.keys_by_address.len(), blocks.keys_by_node.len());
    assert_eq!(left, (0, 0, 0));
    assert_eq!((blocks.names_by_node.len(), blocks.names_by_uid.len()), (0, 0));
}

#[test]
fn what_comes_late_of_a_former_pod_of_the_name_is_not_taken() {
    let at = |uid: &str, created: &str| {
        let mut object = pod(uid, "a", &[]);
        object.metadata.creation_timestamp = serde_json::from_value(serde_json::json!(created)).unwrap();
        object
    };
    let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z");
    let mut blocks = Blocks::default();
    blocks.pod(&at("new", late));
    // (why, object, former)
    let cases = [
        ("an older one", at("old", early), true),
        ("itself", at("new", late), false),
        ("a still newer one", at("newest", late), false),
    ];
    for (why, object, expected) in cases {
        assert_eq!(blocks.is_former(&object), expected, "{why}");
    }
    assert!(!blocks.pod_gone(&gone("web", "old")), "the end of the former pod is not the new one's");
    assert!(blocks.pods.contains_key(&ObjectKey::new("default", "web")));
    assert!(blocks.pod_gone(&gone("web", "new")));
    assert!(blocks.pod_gone(&gone("web", "new")), "what is not there may be told gone");
    assert!(blocks.pods.is_empty());
}
