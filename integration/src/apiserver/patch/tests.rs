use serde_json::json;

use super::*;
use crate::apiserver::registry::Registry;

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn strategic_merge_goes_by_the_keys_of_the_lists() {
    let registry = Registry::new();
    let schema = &registry.find("", "v1", "pods").unwrap().schema;
    let pod = json!({
        "metadata": {"finalizers": ["a", "b"], "labels": {"x": "1", "y": "2"}},
        "spec": {
            "containers": [{"name": "one", "image": "i1", "args": ["p", "q"]}, {"name": "two", "image": "i2"}],
            "tolerations": [{"key": "k"}],
        },
    });
    // (why, patch, pointer to what is compared, expected)
    let cases = [
        (
            "a map merges",
            json!({"metadata": {"labels": {"y": "3", "z": "4"}}}),
            "/metadata/labels",
            json!({"x": "1", "y": "3", "z": "4"}),
        ),
        ("null removes", json!({"metadata": {"labels": {"x": null}}}), "/metadata/labels", json!({"y": "2"})),
        (
            "an item is changed by its key",
            json!({"spec": {"containers": [{"name": "two", "image": "i3"}]}}),
            "/spec/containers",
            json!([{"name": "one", "image": "i1", "args": ["p", "q"]}, {"name": "two", "image": "i3"}]),
        ),
        (
            "a new item comes first",
            json!({"spec": {"containers": [{"name": "three"}]}}),
            "/spec/containers/0",
            json!({"name": "three"}),
        ),
        (
            "an item is deleted",
            json!({"spec": {"containers": [{"name": "one", "$patch": "delete"}]}}),
            "/spec/containers",
            json!([{"name": "two", "image": "i2"}]),
        ),
        (
            "a list without key is replaced",
            json!({"spec": {"tolerations": [{"key": "l"}]}}),
            "/spec/tolerations",
            json!([{"key": "l"}]),
        ),
        (
            "scalars of an atomic list are replaced",
            json!({"spec": {"containers": [{"name": "one", "args": ["r"]}]}}),
            "/spec/containers/0/args",
            json!(["r"]),
        ),
        (
            "scalars of a merged list are added",
            json!({"metadata": {"finalizers": ["c", "a"]}}),
            "/metadata/finalizers",
            json!(["c", "a", "b"]),
        ),
        (
            "and deleted",
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
            "/metadata/finalizers",
            json!(["b"]),
        ),
        (
            "an object is replaced",
            json!({"metadata": {"labels": {"$patch": "replace", "n": "1"}}}),
            "/metadata/labels",
            json!({"n": "1"}),
        ),
        (
            "the order is the author's",
            json!({"spec": {"$setElementOrder/containers": [{"name": "two"}, {"name": "one"}], "containers": [{"name": "one", "image": "i4"}]}}),
            "/spec/containers",
            json!([{"name": "two", "image": "i2"}, {"name": "one", "image": "i4", "args": ["p", "q"]}]),
        ),
    ];
    for (why, patch, pointer, expected) in cases {
        let patched = strategic::apply(schema, &pod, &patch).unwrap();
        assert_eq!(patched.pointer(pointer), Some(&expected), "{why}");
    }
}

#[test]
fn a_patch_without_the_key_of_its_list_is_refused() {
    let registry = Registry::new();
    let schema = &registry.find("", "v1", "pods").unwrap().schema;
    let patch = json!({"spec": {"containers": [{"image": "x"}]}});
    let error = strategic::apply(schema, &json!({}), &patch).unwrap_err();
    assert_eq!(error, "map: does not contain declared merge key: name");
}

#[test]
fn json_patches_test_and_change() {
    let object = json!({"a": 1, "list": [1, 2]});
    let cases = [
        (
            "replace",
            json!([{"op": "replace", "path": "/a", "value": 2}]),
            Ok(json!({"a": 2, "list": [1, 2]})),
        ),
        (
            "append",
            json!([{"op": "add", "path": "/list/-", "value": 3}]),
            Ok(json!({"a": 1, "list": [1, 2, 3]})),
        ),
        ("a failed test", json!([{"op": "test", "path": "/a", "value": 2}]), Err(422)),
        ("removal of nothing", json!([{"op": "remove", "path": "/b"}]), Err(422)),
        ("no patch", json!({"a": 2}), Err(400)),
    ];
    for (why, patch, expected) in cases {
        assert_eq!(json(&object, &patch).map_err(|failure| failure.code), expected, "{why}");
    }
}
