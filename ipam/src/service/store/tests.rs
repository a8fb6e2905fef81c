use kube::core::Status;
use serde_json::{Value, json};

use super::*;

fn object(value: &Value) -> DynamicObject {
    serde_json::from_value(value.clone()).unwrap()
}

fn pool(name: &str, cidr: &Value) -> DynamicObject {
    object(&json!({
        "apiVersion": "tortie.dev/v1alpha1", "kind": "IPPool",
        "metadata": { "name": name }, "spec": { "cidr": cidr },
    }))
}

fn block(name: &str, spec: &Value) -> DynamicObject {
    object(&json!({
        "apiVersion": "tortie.dev/v1alpha1", "kind": "IPBlock",
        "metadata": { "name": name }, "spec": spec,
    }))
}

fn list(store: &mut Store, kind: Kind, objects: Vec<DynamicObject>) {
    store.handle((kind, Ok(Event::Init)));
    for object in objects {
        store.handle((kind, Ok(Event::InitApply(object))));
    }
    store.handle((kind, Ok(Event::InitDone)));
}

fn names(store: &Store) -> Vec<String> {
    store.objects().pools.iter().map(ResourceExt::name_any).collect()
}

#[test]
fn one_that_does_not_parse_is_set_aside_alone() {
    let mut store = Store::default();
    let good = json!("10.0.0.0/16");
    list(&mut store, Kind::Pool, vec![pool("a", &good), pool("bad", &json!(7)), pool("c", &good)]);
    assert_eq!(names(&store), ["a", "c"]);
    assert_eq!(store.pool_names().collect::<Vec<_>>(), ["a", "c", "bad"]);
    store.handle((Kind::Pool, Ok(Event::Apply(pool("bad", &good)))));
    assert_eq!(names(&store), ["a", "bad", "c"], "corrected");
    store.handle((Kind::Pool, Ok(Event::Apply(pool("a", &json!(7))))));
    assert_eq!(names(&store), ["bad", "c"], "made wrong");
    store.handle((Kind::Pool, Ok(Event::Delete(pool("a", &json!(7))))));
    assert_eq!(store.pool_names().count(), 2, "deleted while wrong");
}

#[test]
fn a_block_that_does_not_parse_still_claims_its_range() {
    let mut store = Store::default();
    let objects = vec![
        block("10-0-0-0-28", &json!({ "cidr": "10.0.0.0/28", "pool": 7 })),
        block("x", &json!({ "cidr": 7 })),
    ];
    list(&mut store, Kind::Block, objects);
    let objects = store.objects();
    assert!(objects.blocks.is_empty());
    assert_eq!(objects.unreadable_blocks, BTreeSet::from(["10.0.0.0/28".to_owned()]));
}

#[test]
fn pods_of_the_daemon_name_the_nodes_that_will_speak() {
    let pod = |name: &str, spec: &Value| {
        let metadata = json!({ "name": name, "namespace": "kube-system" });
        object(&json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }))
    };
    let bound = pod("tortie-node-1", &json!({ "nodeName": "a", "containers": [] }));
    let unbound = pod("tortie-node-2", &json!({ "containers": [] }));
    let mut store = Store::default();
    list(&mut store, Kind::Daemon, vec![bound.clone(), unbound]);
    assert_eq!(store.objects().daemons, BTreeSet::from(["a".to_owned()]));
    store.handle((Kind::Daemon, Ok(Event::Delete(bound))));
    assert!(store.objects().daemons.is_empty());
}

#[test]
fn a_new_list_replaces_the_old_one_at_its_end() {
    let mut store = Store::default();
    let cidr = json!("10.0.0.0/16");
    list(&mut store, Kind::Pool, vec![pool("a", &cidr), pool("b", &cidr)]);
    store.handle((Kind::Pool, Ok(Event::Init)));
    store.handle((Kind::Pool, Ok(Event::InitApply(pool("c", &cidr)))));
    assert_eq!(names(&store), ["a", "b"], "not before it is whole");
    store.handle((Kind::Pool, Ok(Event::InitDone)));
    assert_eq!(names(&store), ["c"]);
}

#[test]
fn a_kind_without_crd_is_an_empty_list_and_other_failures_keep_what_is_known() {
    let failed = |code: u16| {
        let status = Status { code, message: "no".into(), ..Status::default() };
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    };
    let mut store = Store::default();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Pool) {
        list(&mut store, kind, vec![]);
    }
    store.handle((Kind::Pool, Err(failed(503))));
    assert!(!store.is_synced(), "an API server that is not there says nothing");
    store.handle((Kind::Pool, Err(failed(404))));
    assert!(store.is_synced(), "one that does not know the kind does");
    list(&mut store, Kind::Pool, vec![pool("a", &json!("10.0.0.0/16"))]);
    store.handle((Kind::Pool, Err(failed(503))));
    assert_eq!(names(&store), ["a"]);
    store.handle((Kind::Pool, Err(failed(404))));
    assert!(names(&store).is_empty(), "the CRD was deleted, and all objects with it");
}
