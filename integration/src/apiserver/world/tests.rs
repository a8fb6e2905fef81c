use serde_json::json;

use super::*;
use crate::apiserver::query::Query;

fn world() -> World {
    World::new(100, 7, moment(0))
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn call(method: &str, url: &str, body: &Value) -> Call {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    Call {
        method: method.to_owned(),
        path: path.to_owned(),
        query: Query::parse(query),
        accept: String::new(),
        content_type: content_type.to_owned(),
        user_agent: "test/1".to_owned(),
        body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
    }
}

/// The code and document of an answer.
fn ask(world: &mut World, method: &str, url: &str, body: &Value) -> (u16, Value) {
    match world.handle(&call(method, url, body), moment(1)) {
        Ok(Reply { code, body: Body::Json(value), .. }) => (code, Value::clone(&value)),
        Ok(Reply { code, body: Body::List { mut head, items, .. }, .. }) => {
            head["items"] = items.iter().map(|item| Value::clone(item)).collect();
            (code, head)
        }
        Ok(reply) => panic!("{method} {url}: {reply:?}"),
        Err(failure) => (failure.code, failure.body()),
    }
}

fn watch(world: &mut World, url: &str) -> Box<Watch> {
    match world.handle(&call("GET", url, &Value::Null), moment(1)) {
        Ok(Reply { body: Body::Watch(watch), .. }) => watch,
        other => panic!("{url}: {other:?}"),
    }
}

/// Events of a watch, as `TYPE name`.
fn events(world: &World, watch: &mut Watch) -> Vec<String> {
    let text = |event: &Value| {
        format!(
            "{} {}",
            event["type"].as_str().unwrap(),
            event["object"]["metadata"]["name"].as_str().unwrap_or("-")
        )
    };
    match world.step(watch, moment(2)) {
        WatchStep::Events(events) => events.iter().map(text).collect(),
        WatchStep::End(event) => vec![format!("END {}", event["object"]["code"])],
    }
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

#[test]
fn verbs_that_make_no_sense_are_refused() {
    let cases = [
        ("no such path", "GET", "/nope", 404),
        ("no such resource", "GET", "/api/v1/endpoints", 404),
        ("creation over all namespaces", "POST", "/api/v1/configmaps", 405),
        ("creation with a name in the path", "POST", "/api/v1/namespaces/default/configmaps/a", 405),
        ("replacement of a collection", "PUT", MAPS, 405),
        ("deletion over all namespaces", "DELETE", "/api/v1/configmaps", 405),
        ("deletion of a status", "DELETE", "/api/v1/nodes/n/status", 405),
        ("a write to discovery", "POST", "/apis", 405),
        ("reading of a binding", "GET", "/api/v1/namespaces/default/pods/x/binding", 405),
        ("a list of a version to come", "GET", "/api/v1/configmaps?resourceVersion=999", 504),
        (
            "a list of an exact version that is gone",
            "GET",
            "/api/v1/configmaps?resourceVersion=1&resourceVersionMatch=Exact",
            410,
        ),
        (
            "a watch that streams without saying how new",
            "GET",
            "/api/v1/configmaps?watch=1&sendInitialEvents=true",
            400,
        ),
        ("a broken continuation", "GET", "/api/v1/configmaps?continue=x", 400),
        ("a limit that is none", "GET", "/api/v1/configmaps?limit=x", 400),
        ("an unknown dry run", "POST", "/api/v1/namespaces/default/configmaps?dryRun=Some", 400),
    ];
    for (why, method, url, expected) in cases {
        let (code, body) = ask(&mut world(), method, url, &map("a"));
        assert_eq!(code, expected, "{why}");
        assert_eq!(
            (&body["kind"], &body["status"], &body["code"]),
            (&json!("Status"), &json!("Failure"), &json!(code)),
            "{why}"
        );
    }
}

#[test]
fn a_dry_run_stores_nothing() {
    let mut world = world();
    let before = world.revision();
    assert_eq!(ask(&mut world, "POST", &format!("{MAPS}?dryRun=All"), &map("a")).0, 201);
    assert_eq!(ask(&mut world, "GET", &format!("{MAPS}/a"), &Value::Null).0, 404);
    assert_eq!(world.revision(), before);
    ask(&mut world, "POST", MAPS, &map("a"));
    let kept = world.revision();
    assert_eq!(
        ask(&mut world, "PATCH", &format!("{MAPS}/a?dryRun=All"), &json!({"data": {"x": "1"}})).0,
        200
    );
    assert_eq!(ask(&mut world, "DELETE", &format!("{MAPS}/a?dryRun=All"), &Value::Null).0, 200);
    assert_eq!(world.revision(), kept);
}

#[test]
fn watches_tell_the_state_and_then_every_change() {
    let mut world = world();
    ask(&mut world, "POST", MAPS, &map("a"));
    let revision = world.revision();
    let cases = [
        ("from the state", format!("{MAPS}?watch=1"), vec!["ADDED a"]),
        ("from any version", format!("{MAPS}?watch=1&resourceVersion=0"), vec!["ADDED a"]),
        ("from the current version", format!("{MAPS}?watch=1&resourceVersion={revision}"), vec![]),
        (
            "from before it was made",
            format!("{MAPS}?watch=1&resourceVersion={}", revision - 1),
            vec!["ADDED a"],
        ),
        (
            "the state as a stream",
            format!(
                "{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
            ),
            vec!["ADDED a", "BOOKMARK -"],
        ),
        (
            "no state as a stream",
            format!("{MAPS}?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"),
            vec![],
        ),
        ("in another namespace", "/api/v1/namespaces/kube-system/configmaps?watch=1".to_owned(), vec![]),
        ("another name", format!("{MAPS}?watch=1&fieldSelector=metadata.name=b"), vec![]),
    ];
    let mut watches = Vec::new();
    for (why, url, expected) in cases {
        let mut watch = watch(&mut world, &url);
        assert_eq!(events(&world, &mut watch), expected, "{why}");
        watches.push((why, watch));
    }
    ask(&mut world, "PATCH", &format!("{MAPS}/a"), &json!({"data": {"x": "1"}}));
    ask(&mut world, "DELETE", &format!("{MAPS}/a"), &Value::Null);
    for (why, watch) in &mut watches {
        let is_elsewhere = why.starts_with("in another") || why.starts_with("another");
        let expected: &[&str] = if is_elsewhere { &[] } else { &["MODIFIED a", "DELETED a"] };
        assert_eq!(events(&world, watch), expected, "{why}");
        assert_eq!(events(&world, watch), [""; 0], "{why}: nothing twice");
    }
}

#[test]
fn a_watch_behind_the_history_ends_in_410() {
    let mut world = World::new(2, 7, moment(0));
    let mut behind = watch(&mut world, &format!("{MAPS}?watch=1&resourceVersion=2"));
    let mut current = watch(&mut world, &format!("{MAPS}?watch=1"));
    for name in ["a", "b", "c"] {
        ask(&mut world, "POST", MAPS, &map(name));
        assert_eq!(events(&world, &mut current), [format!("ADDED {name}")]);
    }
    assert_eq!(events(&world, &mut behind), ["END 410"]);
}

#[test]
fn generations_count_changes_of_what_is_wanted() {
    let policies = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
    let mut world = world();
    let policy = json!({"metadata": {"name": "p", "generation": 9}, "spec": {"podSelector": {}}});
    let cases = [
        ("made", "POST", policies.to_owned(), policy, 1),
        ("metadata", "PATCH", format!("{policies}/p"), json!({"metadata": {"labels": {"a": "b"}}}), 1),
        ("spec", "PATCH", format!("{policies}/p"), json!({"spec": {"ingress": [{}]}}), 2),
        ("nothing", "PATCH", format!("{policies}/p"), json!({"spec": {"ingress": [{}]}}), 2),
    ];
    for (why, method, url, body, expected) in cases {
        assert_eq!(ask(&mut world, method, &url, &body).1["metadata"]["generation"], expected, "{why}");
    }
}

#[test]
fn what_the_server_decides_cannot_be_written() {
    let mut world = world();
    let given = json!({"metadata": {"name": "a", "uid": "mine", "creationTimestamp": "2000-01-01T00:00:00Z", "deletionTimestamp": "2000-01-01T00:00:00Z"}});
    let made = ask(&mut world, "POST", MAPS, &given).1;
    assert_ne!(made["metadata"]["uid"], "mine");
    assert_eq!(made["metadata"].get("deletionTimestamp"), None);
    let patch = json!({"metadata": {"creationTimestamp": null, "deletionTimestamp": "2000-01-01T00:00:00Z"}});
    let patched = ask(&mut world, "PATCH", &format!("{MAPS}/a"), &patch).1;
    assert_eq!(patched["metadata"]["creationTimestamp"], made["metadata"]["creationTimestamp"]);
    assert_eq!(patched["metadata"].get("deletionTimestamp"), None);
    let other_uid = json!({"metadata": {"uid": "mine"}});
    assert_eq!(ask(&mut world, "PATCH", &format!("{MAPS}/a"), &other_uid).0, 409);
}

#[test]
fn pods_leave_at_once_only_if_nothing_runs_them() {
    let pods = "/api/v1/namespaces/default/pods";
    // (why, node, phase, options, what is left of the grace period; none if it is gone)
    let cases = [
        ("never bound", "", "Pending", json!(null), None),
        ("bound", "n", "Running", json!(null), Some(30)),
        ("bound, asked to hurry", "n", "Running", json!({"gracePeriodSeconds": 3}), Some(3)),
        ("over already", "n", "Succeeded", json!(null), None),
        ("failed already", "n", "Failed", json!(null), None),
        ("by the kubelet", "n", "Running", json!({"gracePeriodSeconds": 0}), None),
    ];
    for (why, node, phase, options, expected) in cases {
        let mut world = world();
        let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}});
        assert_eq!(ask(&mut world, "POST", pods, &pod).0, 201, "{why}");
        ask(&mut world, "PATCH", &format!("{pods}/p/status"), &json!({"status": {"phase": phase}}));
        assert_eq!(ask(&mut world, "DELETE", &format!("{pods}/p"), &options).0, 200, "{why}");
        let (code, left) = ask(&mut world, "GET", &format!("{pods}/p"), &Value::Null);
        assert_eq!(left["metadata"]["deletionGracePeriodSeconds"].as_i64(), expected, "{why}");
        assert_eq!(code, if expected.is_some() { 200 } else { 404 }, "{why}");
    }
}

#[test]
fn both_groups_show_the_same_events() {
    let mut world = world();
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    let event = json!({"metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "p"}, "note": "hello", "reason": "R", "type": "Normal"});
    assert_eq!(ask(&mut world, "POST", events, &event).0, 201);
    let old = ask(&mut world, "GET", "/api/v1/namespaces/default/events/e", &Value::Null).1;
    assert_eq!(
        (&old["apiVersion"], &old["message"], &old["involvedObject"]["name"]),
        (&json!("v1"), &json!("hello"), &json!("p"))
    );
    let new = ask(&mut world, "GET", &format!("{events}?fieldSelector=regarding.name=p"), &Value::Null).1;
    assert_eq!(new["items"][0]["note"], "hello");
}
