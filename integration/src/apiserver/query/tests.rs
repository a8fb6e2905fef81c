use super::*;

#[test]
fn paths_name_resources_objects_and_subresources() {
    let registry = Registry::new();
    let cases = [
        ("a collection over all namespaces", "/api/v1/pods", Some("pods||| ")),
        ("a collection in a namespace", "/api/v1/namespaces/a/pods", Some("pods|a|| ")),
        ("an object", "/api/v1/namespaces/a/pods/x", Some("pods|a|x| ")),
        ("a subresource", "/api/v1/namespaces/a/pods/x/status", Some("pods|a|x|status ")),
        ("a subresource that is not served", "/api/v1/namespaces/a/pods/x/log", None),
        ("a namespace", "/api/v1/namespaces/a", Some("namespaces||a| ")),
        ("a namespace's status", "/api/v1/namespaces/a/status", Some("namespaces||a|status ")),
        ("a cluster-scoped object", "/api/v1/nodes/n", Some("nodes||n| ")),
        (
            "a group",
            "/apis/networking.k8s.io/v1/namespaces/a/networkpolicies/p",
            Some("networkpolicies|a|p| "),
        ),
        ("a namespaced object without namespace", "/api/v1/pods/x", None),
        ("a cluster-scoped object in a namespace", "/api/v1/namespaces/a/nodes/n", None),
        ("an unknown version", "/api/v2/pods", None),
        ("an unknown group", "/apis/apps/v1/deployments", None),
        ("too long", "/api/v1/namespaces/a/pods/x/status/y", None),
        ("escaped", "/api/v1/namespaces/a/pods/x%2Ey", Some("pods|a|x.y| ")),
        ("a group without resource", "/api/v1", None),
    ];
    for (why, path, expected) in cases {
        let found = Target::parse(&registry, path).ok();
        let found = found.map(|one| {
            format!("{}|{}|{}|{} ", one.resource.plural, one.namespace, one.name, one.subresource)
        });
        assert_eq!(found.as_deref(), expected, "{why}");
    }
}

#[test]
fn the_first_form_that_can_be_made_is_taken() {
    let cases = [
        ("nothing said", "", Some(Form::Plain)),
        ("anything", "*/*", Some(Form::Plain)),
        ("protobuf, or JSON", "application/vnd.kubernetes.protobuf,application/json", Some(Form::Plain)),
        ("only protobuf", "application/vnd.kubernetes.protobuf", None),
        (
            "a table",
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            Some(Form::Table(IncludeObject::Metadata)),
        ),
        (
            "an old table, else JSON",
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Some(Form::Plain),
        ),
        ("metadata", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Some(Form::Partial)),
    ];
    for (why, accept, expected) in cases {
        assert_eq!(Form::of(accept, &Query::default()).ok(), expected, "{why}");
    }
}

#[test]
fn queries_are_decoded() {
    let query = Query::parse("labelSelector=app%20in%20%28a%2Cb%29&watch=1&limit=5&empty=&bad=%zz+x");
    let cases =
        [("labelSelector", "app in (a,b)"), ("watch", "1"), ("empty", ""), ("absent", ""), ("bad", "%zz x")];
    for (name, expected) in cases {
        assert_eq!(query.text(name), expected, "{name}");
    }
    assert!(query.flag("watch") && !query.flag("limit"));
    assert_eq!(query.number("limit"), Ok(Some(5)));
    assert_eq!(query.number("labelSelector").unwrap_err().code, 400);
}
