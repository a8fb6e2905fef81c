use serde_json::json;

use super::*;
use crate::apiserver::registry::Registry;

fn pods() -> std::sync::Arc<Resource> {
    std::sync::Arc::clone(Registry::new().find("", "v1", "pods").unwrap())
}

#[test]
fn labels_and_fields_select() {
    let pod = json!({
        "metadata": {"name": "x", "namespace": "a", "labels": {"app": "web", "tier": "3", "empty": ""}},
        "spec": {"nodeName": "n1"}, "status": {"phase": "Running"},
    });
    let cases = [
        ("nothing asked", "", "", true),
        ("equal", "app=web", "", true),
        ("equal, two signs", "app==web", "", true),
        ("spaces", " app = web , tier ", "", true),
        ("not equal", "app!=web", "", false),
        ("not equal to an absent label", "other!=web", "", true),
        ("exists", "app", "", true),
        ("does not exist", "!app", "", false),
        ("in", "app in (api, web)", "", true),
        ("notin", "app notin (api,web)", "", false),
        ("notin an absent label", "other notin (api)", "", true),
        ("greater", "tier>2", "", true),
        ("less", "tier<2", "", false),
        ("empty value", "empty=", "", true),
        ("both must hold", "app=web,tier=4", "", false),
        ("name", "", "metadata.name=x", true),
        ("node", "", "spec.nodeName!=n1", false),
        ("phase and node", "", "status.phase=Running,spec.nodeName=n1", true),
        ("absent field is empty", "", "status.podIP=", true),
    ];
    for (why, labels, fields, expected) in cases {
        let selector = Selector::parse(&pods(), labels, fields).unwrap();
        assert_eq!(selector.matches(&pod), expected, "{why}");
    }
}

#[test]
fn what_cannot_be_selected_by_is_refused() {
    let cases = [
        ("no such field", "", "spec.image=x", "field label not supported: spec.image"),
        (
            "no operator",
            "",
            "spec.nodeName",
            "invalid selector: 'spec.nodeName'; can't understand 'spec.nodeName'",
        ),
        (
            "bad operator",
            "app within (x)",
            "",
            "unable to parse requirement: found \"within (x)\", expected: in, notin",
        ),
    ];
    for (why, labels, fields, expected) in cases {
        let failure = Selector::parse(&pods(), labels, fields).unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (400, expected), "{why}");
    }
}
