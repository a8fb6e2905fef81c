use serde_json::json;

use super::*;

fn schema() -> Schema {
    parse(&json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
            "size": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 5, "default": 3},
            "share": {"type": "number", "exclusiveMinimum": true, "minimum": 0, "multipleOf": 0.5},
            "mode": {"type": "string", "enum": ["A", "B"]},
            "on": {"type": "boolean"},
            "port": {"x-kubernetes-int-or-string": true},
            "cidr": {"type": "string", "format": "cidr"},
            "maybe": {"type": "string", "nullable": true},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "maxItems": 2, "items": {"type": "string"}},
            "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
                "items": {"type": "object", "properties": {"id": {"type": "string"}, "n": {"type": "integer", "default": 1}}}},
            "labels": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "either": {"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
        },
    }))
    .unwrap()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn values_are_held_against_every_bound() {
    let cases = [
        ("nothing wrong", json!({"name": "ab"}), ""),
        ("absent", json!({}), "name: Required value"),
        (
            "short",
            json!({"name": "a"}),
            "name: Invalid value: \"a\": name in body should be at least 2 chars long",
        ),
        ("long", json!({"name": "abcde"}), "name: Too long: may not be more than 4 bytes"),
        (
            "pattern",
            json!({"name": "AB"}),
            "name: Invalid value: \"AB\": name in body should match '^[a-z]+$'",
        ),
        (
            "type",
            json!({"name": 5}),
            "name: Invalid value: \"integer\": name in body must be of type string: \"integer\"",
        ),
        (
            "small",
            json!({"name": "ab", "size": 0}),
            "size: Invalid value: 0: size in body should be greater than or equal to 1",
        ),
        (
            "large",
            json!({"name": "ab", "size": 6}),
            "size: Invalid value: 6: size in body should be less than or equal to 5",
        ),
        (
            "no integer",
            json!({"name": "ab", "size": 1.5}),
            "size: Invalid value: \"number\": size in body must be of type integer: \"number\"",
        ),
        (
            "excluded",
            json!({"name": "ab", "share": 0}),
            "share: Invalid value: 0: share in body should be greater than 0",
        ),
        (
            "no multiple",
            json!({"name": "ab", "share": 0.7}),
            "share: Invalid value: 0.7: share in body should be a multiple of 0.5",
        ),
        (
            "none of",
            json!({"name": "ab", "mode": "C"}),
            "mode: Unsupported value: \"C\": supported values: \"A\", \"B\"",
        ),
        ("a port by number", json!({"name": "ab", "port": 80}), ""),
        ("a port by name", json!({"name": "ab", "port": "http"}), ""),
        (
            "no port",
            json!({"name": "ab", "port": true}),
            "port: Invalid value: \"boolean\": port in body must be of type integer,string: \"boolean\"",
        ),
        ("a network", json!({"name": "ab", "cidr": "10.0.0.0/8"}), ""),
        (
            "no network",
            json!({"name": "ab", "cidr": "10.0.0.0"}),
            "cidr: Invalid value: \"10.0.0.0\": cidr in body must be of type cidr: \"10.0.0.0\"",
        ),
        ("null where it may be", json!({"name": "ab", "maybe": null}), ""),
        (
            "null where it may not be",
            json!({"name": "ab", "on": null}),
            "on: Invalid value: \"null\": on in body must be of type boolean: \"null\"",
        ),
        ("twice in a set", json!({"name": "ab", "tags": ["x", "x"]}), "tags[1]: Duplicate value: \"x\""),
        (
            "too many",
            json!({"name": "ab", "tags": ["x", "y", "z"]}),
            "tags: Too many: 3: must have at most 2 items",
        ),
        (
            "twice by key",
            json!({"name": "ab", "parts": [{"id": "a"}, {"id": "a", "n": 2}]}),
            "parts[1]: Duplicate value: {\"id\":\"a\"}",
        ),
        (
            "a map's value",
            json!({"name": "ab", "labels": {"k": 1}}),
            "labels.k: Invalid value: \"integer\": labels.k in body must be of type string: \"integer\"",
        ),
        ("one of two", json!({"name": "ab", "either": {"a": "x"}}), ""),
        (
            "both of two",
            json!({"name": "ab", "either": {"a": "x", "b": "y"}}),
            "either: Invalid value: {\"a\":\"x\",\"b\":\"y\"}: \"either\" must validate one and only one schema (oneOf)",
        ),
    ];
    for (why, value, expected) in cases {
        let errors: Vec<String> =
            validate::validate(&schema(), &value).iter().map(ToString::to_string).collect();
        assert_eq!(errors.join("; "), expected, "{why}");
    }
}

#[test]
fn unknown_fields_go_and_defaults_come() {
    let mut value = json!({
        "name": "ab", "extra": 1, "on": null, "maybe": null, "free": {"any": [1]}, "labels": {"k": "v"},
        "parts": [{"id": "a", "other": true}],
    });
    let unknown = prune::prune(&schema(), &mut value);
    assert_eq!(unknown, ["extra", "parts[0].other"]);
    default::apply(&schema(), &mut value);
    let expected = json!({
        "name": "ab", "maybe": null, "free": {"any": [1]}, "labels": {"k": "v"}, "size": 3, "parts": [{"id": "a", "n": 1}],
    });
    assert_eq!(value, expected);
}

#[test]
fn schemas_that_cannot_be_understood_are_refused() {
    let mut deep = json!({"type": "string"});
    for _ in 0..=DEPTH_MAX {
        deep = json!({"type": "array", "items": deep});
    }
    let cases = [
        ("a type that is none", json!({"type": "text"}), "Unsupported value"),
        ("a pattern that is none", json!({"type": "string", "pattern": "["}), "pattern: Invalid value"),
        ("too deep", deep, "nested more than 64 levels"),
    ];
    for (why, raw, expected) in cases {
        assert!(parse(&raw).unwrap_err().contains(expected), "{why}");
    }
}

#[test]
fn built_in_definitions_know_how_their_lists_merge() {
    let pod = parse(&builtin::inlined("io.k8s.api.core.v1.Pod")).unwrap();
    let spec = pod.member("spec").unwrap();
    let keys = |keys: &[&str]| ListKind::Map(keys.iter().map(|&key| key.to_owned()).collect());
    let containers = spec.member("containers").unwrap().list().unwrap();
    assert_eq!(containers.kind, keys(&["name"]));
    let ports = containers.items.member("ports").unwrap().list().unwrap();
    assert_eq!(ports.kind, keys(&["containerPort", "protocol"]));
    assert_eq!(spec.member("tolerations").unwrap().list().unwrap().kind, ListKind::Atomic);
    let finalizers = pod.member("metadata").unwrap().member("finalizers").unwrap().list().unwrap();
    assert_eq!((finalizers.kind.clone(), finalizers.patch_key.as_deref()), (ListKind::Set, Some("")));
    let policy = parse(&builtin::inlined("io.k8s.api.networking.v1.NetworkPolicy")).unwrap();
    assert!(policy.member("spec").unwrap().member("podSelector").unwrap().is_atomic_object());
}
