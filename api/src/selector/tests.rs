//! Tables of selectors: what they select, how they print, where they fail.

use proptest::prelude::*;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn what_is_selected() {
    let worker = labels(&[("rack", "r1"), ("example.com/role", "worker")]);
    // (why, selector, selects the worker)
    let cases = [
        ("empty selects all", "", true),
        ("all()", "all()", true),
        ("has", "has(rack)", true),
        ("has not", "has(zone)", false),
        ("key with a domain", "example.com/role == 'worker'", true),
        ("other value", "rack == \"r2\"", false),
        ("unequal", "rack != 'r2'", true),
        ("unequal where the label is absent", "zone != 'z'", true),
        ("in", "rack in {'r1', 'r2'}", true),
        ("not in", "rack not in {'r1'}", false),
        ("not in where the label is absent", "zone not in {'r1'}", true),
        ("and binds closer than or", "has(zone) && has(x) || has(rack)", true),
        ("parentheses", "has(zone) && (has(x) || has(rack))", false),
        ("not", "!has(zone)", true),
        ("not of a group", "!(has(rack) && all())", false),
    ];
    for (why, text, selected) in cases {
        let selector = Selector::parse(text).unwrap();
        assert_eq!(selector.matches(&worker), selected, "{why}");
    }
}

#[test]
fn errors_name_the_place() {
    // (why, text, message)
    let cases = [
        ("no operator", "rack", "selector: expected `==`, `!=`, `in` or `not in` at character 5"),
        ("no value", "rack ==", "selector: expected a value in quotes at character 8"),
        ("bare value", "rack == r1", "selector: expected a value in quotes at character 9"),
        (
            "open quote",
            "rack == 'r1",
            "selector: expected a value that ends with the quote it began with at character 9",
        ),
        ("open group", "(all()", "selector: expected `)` at character 7"),
        ("rubbish behind", "all() all()", "selector: expected `&&`, `||` or the end at character 7"),
        ("open set", "rack in {'a'", "selector: expected `,` or `}` at character 13"),
    ];
    for (why, text, message) in cases {
        assert_eq!(Selector::parse(text).unwrap_err().to_string(), message, "{why}");
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = "!".repeat(100_000) + "all()";
    assert_eq!(Selector::parse(&deep).unwrap_err().expected, "less nesting");
}

fn any_selector() -> impl Strategy<Value = Selector> {
    let key = "[a-z][a-z0-9./_-]{0,8}";
    let values = prop::collection::vec("[a-zA-Z0-9 ._-]{0,6}", 1..4);
    let leaf = prop_oneof![
        Just(Selector::All),
        key.prop_map(Selector::Has),
        (key, values.clone()).prop_map(|(key, values)| Selector::In(key, values)),
        (key, values).prop_map(|(key, values)| Selector::NotIn(key, values)),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|part| Selector::Not(Box::new(part))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Selector::And),
            prop::collection::vec(inner, 2..4).prop_map(Selector::Or),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(selector in any_selector()) {
        prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
    }

    #[test]
    fn no_text_panics(text in ".{0,64}") {
        let _ = Selector::parse(&text);
    }
}
