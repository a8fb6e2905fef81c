use proptest::prelude::*;

use super::*;

/// A field of bytes.
fn length(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
    field.extend(bytes);
    field
}

fn body(kind: &str, raw: &[u8]) -> Vec<u8> {
    let type_meta = [length(1, b"v1"), length(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), length(1, &type_meta), length(2, raw)].concat()
}

#[test]
fn known_kinds_are_read_and_nothing_is_dropped() {
    let meta = length(1, &[length(1, b"x"), length(2, b""), length(8, &[])].concat());
    let entry = [length(1, b"key"), length(2, b"value")].concat();
    let cases = [
        (
            "texts that are empty and times that are none are absent",
            body("Namespace", &meta),
            Ok(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}})),
        ),
        (
            "a map",
            body("ConfigMap", &[meta.clone(), length(2, &entry)].concat()),
            Ok(
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"key": "value"}}),
            ),
        ),
        (
            "a map of bytes",
            body("Secret", &length(2, &entry)),
            Ok(json!({"apiVersion": "v1", "kind": "Secret", "data": {"key": "dmFsdWU="}})),
        ),
        (
            "a zero that is given",
            body("DeleteOptions", &[1 << 3, 0]),
            Ok(json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0})),
        ),
        (
            "an unknown field",
            body("Namespace", &length(9, b"")),
            Err("field 9 is not known here; send JSON instead"),
        ),
        ("an unknown kind", body("Pod", b""), Err("kind \"Pod\" is not read in protobuf")),
        (
            "another type on the wire",
            body("Namespace", &[1 << 3, 0]),
            Err("a field has another wire type than its table says"),
        ),
        ("cut off", body("Namespace", &[1 << 3 | 2, 9]), Err("a field is cut off")),
        ("no magic", b"{}".to_vec(), Err("the body does not start with the magic of protobuf")),
    ];
    for (why, body, expected) in cases {
        assert_eq!(decode(&body).map_err(|error| error.0), expected.map_err(str::to_owned), "{why}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(raw in proptest::collection::vec(any::<u8>(), 0..64), kind in "Service|Eviction|Secret|Pod") {
        let _ = decode(&raw);
        let _ = decode(&body(&kind, &raw));
    }
}
