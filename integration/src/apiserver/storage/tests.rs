use super::*;

fn pod(namespace: &str, name: &str) -> Value {
    json!({"metadata": {"namespace": namespace, "name": name}})
}

fn names(storage: &Storage, namespace: &str) -> Vec<String> {
    storage.list("pods", namespace).map(|(key, _)| format!("{}/{}", key.namespace, key.name)).collect()
}

#[test]
fn a_list_holds_one_namespace_or_all_in_order() {
    let mut storage = Storage::new(10);
    for (namespace, name) in [("b", "x"), ("a", "z"), ("a", "y"), ("ab", "w")] {
        storage.put("pods", pod(namespace, name));
    }
    let cases = [
        ("all", "", vec!["a/y", "a/z", "ab/w", "b/x"]),
        ("a prefix of a namespace's name is another namespace", "a", vec!["a/y", "a/z"]),
        ("an unknown namespace is empty", "c", vec![]),
    ];
    for (why, namespace, expected) in cases {
        assert_eq!(names(&storage, namespace), expected, "{why}");
    }
}

#[test]
fn every_write_has_the_next_revision_and_says_so_in_the_object() {
    let mut storage = Storage::new(10);
    let first = storage.put("pods", pod("a", "x"));
    let second = storage.put("nodes", pod("", "n"));
    let gone = storage.remove("pods", &Key::of(&first)).unwrap();
    let versions: Vec<&str> =
        [&first, &second, &gone].iter().map(|object| object::meta(object, "resourceVersion")).collect();
    assert_eq!(versions, ["2", "3", "4"]);
    assert_eq!(storage.remove("pods", &Key::of(&first)), None);
    assert_eq!(storage.revision(), 4, "a removal of nothing is no write");
}

#[test]
fn the_history_is_bounded_and_says_when_it_no_longer_reaches_back() {
    let mut storage = Storage::new(2);
    for name in ["x", "y", "z"] {
        storage.put("pods", pod("a", name));
    }
    let since = |storage: &Storage, revision| {
        storage
            .since("pods", revision)
            .map(|changes| changes.map(|change| change.revision).collect::<Vec<_>>())
    };
    let cases = [
        ("older than the ring", 1, Err(Forgotten)),
        ("exactly at the ring's edge", 2, Ok(vec![3, 4])),
        ("inside", 3, Ok(vec![4])),
        ("current", 4, Ok(vec![])),
        ("the future", 9, Ok(vec![])),
    ];
    for (why, revision, expected) in cases {
        assert_eq!(since(&storage, revision), expected, "{why}");
    }
    storage.forget_history();
    assert_eq!(since(&storage, 3), Err(Forgotten), "after a compaction");
    assert_eq!(since(&storage, 4), Ok(vec![]), "the current version never goes");
}
