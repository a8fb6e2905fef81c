use super::*;
use crate::apiserver::registry::Registry;

const MOMENT: &str = "2026-01-02T03:04:05Z";

fn author(manager: &str) -> Author<'_> {
    let now = MOMENT.parse().unwrap();
    Author { manager, subresource: "", api_version: "v1", now, reset: &["status"] }
}

fn schema(plural: &str) -> Schema {
    Registry::new().find("", "v1", plural).unwrap().schema.clone()
}

fn named(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data})
}

/// Applies the configurations in turn, by these managers; the data that results, or the conflict.
fn applied(steps: &[(&str, bool, Value)]) -> Result<Value, String> {
    let schema = schema("configmaps");
    let mut live = json!({"metadata": {"name": "c"}});
    for (manager, force, data) in steps {
        live = apply(&schema, &live, &named(data), author(manager), *force)
            .map_err(|failure| failure.message)?;
    }
    Ok(live["data"].clone())
}

#[test]
fn managers_own_what_they_apply() {
    let cases = [
        ("alone", vec![("a", false, json!({"x": "1"}))], Ok(json!({"x": "1"}))),
        (
            "two, each its own",
            vec![("a", false, json!({"x": "1"})), ("b", false, json!({"y": "2"}))],
            Ok(json!({"x": "1", "y": "2"})),
        ),
        (
            "what is no longer named goes",
            vec![("a", false, json!({"x": "1", "y": "2"})), ("a", false, json!({"y": "2"}))],
            Ok(json!({"y": "2"})),
        ),
        (
            "unless another owns it too",
            vec![
                ("a", false, json!({"x": "1"})),
                ("b", false, json!({"x": "1"})),
                ("a", false, json!({"z": "3"})),
            ],
            Ok(json!({"x": "1", "z": "3"})),
        ),
        (
            "a change of another's field conflicts",
            vec![("a", false, json!({"x": "1"})), ("b", false, json!({"x": "2"}))],
            Err("Apply failed with 1 conflict: conflict with \"a\": .data.x".to_owned()),
        ),
        (
            "and is made by force",
            vec![("a", false, json!({"x": "1"})), ("b", true, json!({"x": "2"}))],
            Ok(json!({"x": "2"})),
        ),
        (
            "after which the loser may leave it out",
            vec![("a", false, json!({"x": "1"})), ("b", true, json!({"x": "2"})), ("a", false, json!({}))],
            Ok(json!({"x": "2"})),
        ),
        (
            "two conflicts",
            vec![("a", false, json!({"x": "1", "y": "1"})), ("b", false, json!({"x": "2", "y": "2"}))],
            Err("Apply failed with 2 conflicts: conflicts with \"a\":\n- .data.x\n- .data.y".to_owned()),
        ),
    ];
    for (why, steps, expected) in cases {
        assert_eq!(applied(&steps), expected, "{why}");
    }
}

#[test]
fn lists_with_keys_merge_item_by_item() {
    let schema = schema("pods");
    let pod = |containers: Value| json!({"metadata": {"name": "p"}, "spec": {"containers": containers}});
    let live = json!({"metadata": {"name": "p"}});
    let one =
        apply(&schema, &live, &pod(json!([{"name": "a", "image": "1"}])), author("one"), false).unwrap();
    let both =
        apply(&schema, &one, &pod(json!([{"name": "b", "image": "2"}])), author("two"), false).unwrap();
    assert_eq!(both["spec"]["containers"], json!([{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]));
    let refusal =
        apply(&schema, &both, &pod(json!([{"name": "a", "image": "3"}])), author("two"), false).unwrap_err();
    assert_eq!(
        refusal.message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.containers[name=\"a\"].image"
    );
    let gone = apply(&schema, &both, &pod(json!([])), author("one"), false).unwrap();
    assert_eq!(gone["spec"]["containers"], json!([{"name": "b", "image": "2"}]));
}

#[test]
fn an_update_takes_the_fields_it_changes() {
    let schema = schema("configmaps");
    let live = json!({"metadata": {"name": "c"}});
    let applied = apply(&schema, &live, &named(&json!({"x": "1", "y": "1"})), author("a"), false).unwrap();
    let mut updated = applied.clone();
    updated["data"]["x"] = json!("2");
    track(&schema, &applied, &mut updated, author("u"));
    let expected = json!([
        {"manager": "a", "operation": "Apply", "apiVersion": "v1", "time": MOMENT, "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:y": {}}}},
        {"manager": "u", "operation": "Update", "apiVersion": "v1", "time": MOMENT, "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:x": {}}}},
    ]);
    assert_eq!(updated["metadata"]["managedFields"], expected);
    let refusal =
        apply(&schema, &updated, &named(&json!({"x": "1", "y": "1"})), author("a"), false).unwrap_err();
    assert_eq!(
        refusal.message,
        format!("Apply failed with 1 conflict: conflict with \"u\" using v1: .data.x")
    );
}

#[test]
fn created_objects_own_their_maps_too() {
    let schema = schema("configmaps");
    let mut created = named(&json!({"x": "1"}));
    track(&schema, &json!({"metadata": {}}), &mut created, author("u"));
    assert_eq!(created["metadata"]["managedFields"][0]["fieldsV1"], json!({"f:data": {".": {}, "f:x": {}}}));
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let schema = schema("configmaps");
    let config = named(&json!({"x": "1"}));
    let first = apply(&schema, &json!({"metadata": {"name": "c"}}), &config, author("a"), false).unwrap();
    let later = Author { now: "2027-01-01T00:00:00Z".parse().unwrap(), ..author("a") };
    assert_eq!(apply(&schema, &first, &config, later, false).unwrap(), first);
}
