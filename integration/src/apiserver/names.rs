//! Names as Kubernetes allows them.

use serde_json::json;

use super::status::FieldError;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Longest label of a DNS name, and longest label value.
const LABEL_LENGTH_MAX: usize = 63;
/// Longest DNS name.
const SUBDOMAIN_LENGTH_MAX: usize = 253;

/// Which rule the names of a kind follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// DNS name of several labels.
    Subdomain,
    /// One DNS label.
    Label,
    /// One DNS label that begins with a letter.
    Label1035,
}

impl NameRule {
    /// The rule of a resource of that table.
    pub(crate) fn of(table: &str) -> Self {
        match table {
            "namespaces" => Self::Label,
            "services" => Self::Label1035,
            _ => Self::Subdomain,
        }
    }

    /// What is wrong with `name`, if anything.
    pub(crate) fn check(self, path: &str, name: &str) -> Option<FieldError> {
        let (fits, text, length_max) = match self {
            Self::Subdomain => (name.split('.').all(is_label_shaped), SUBDOMAIN, SUBDOMAIN_LENGTH_MAX),
            Self::Label => (is_label_shaped(name), LABEL, LABEL_LENGTH_MAX),
            Self::Label1035 => {
                let starts_well = name.starts_with(|first: char| first.is_ascii_lowercase());
                (starts_well && is_label_shaped(name), LABEL_1035, LABEL_LENGTH_MAX)
            }
        };
        if name.len() > length_max {
            let detail = format!("must be no more than {length_max} characters");
            return Some(FieldError::invalid(path, &json!(name), detail));
        }
        (!fits).then(|| FieldError::invalid(path, &json!(name), text))
    }
}

fn is_label_shaped(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether `text` could be a label's value, or the name part of its key.
fn is_name_shaped(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= LABEL_LENGTH_MAX
        && text.bytes().all(is_inner)
        && is_edge(text.bytes().next())
        && is_edge(text.bytes().next_back())
}

/// Whether `key` is a qualified name: `name` or `prefix/name`.
pub(crate) fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        None => is_name_shaped(key),
        Some((prefix, name)) => NameRule::Subdomain.check("", prefix).is_none() && is_name_shaped(name),
    }
}

/// What is wrong with a map of labels at `path`.
pub(crate) fn check_labels(path: &str, labels: &serde_json::Value) -> Vec<FieldError> {
    let mut errors = check_keys(path, labels);
    for value in labels.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()) {
        if !value.is_empty() && !is_name_shaped(value) {
            errors.push(FieldError::invalid(path, &json!(value), LABEL_VALUE));
        }
    }
    errors
}

/// What is wrong with the keys of a map of labels or annotations at `path`.
pub(crate) fn check_keys(path: &str, map: &serde_json::Value) -> Vec<FieldError> {
    let keys = map.as_object().into_iter().flatten().map(|(key, _)| key);
    keys.filter(|key| !is_qualified_name(key))
        .map(|key| FieldError::invalid(path, &json!(key), QUALIFIED))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_of_their_kind() {
        use NameRule::{Label, Label1035, Subdomain};
        let long = "a".repeat(64);
        let cases = [
            ("plain", Subdomain, "a-1", true),
            ("dots", Subdomain, "a.b", true),
            ("a label may have no dots", Label, "a.b", false),
            ("upper case", Subdomain, "A", false),
            ("empty", Subdomain, "", false),
            ("empty part", Subdomain, "a..b", false),
            ("ends in a dash", Label, "a-", false),
            ("digit first", Label, "1a", true),
            ("digit first in a service", Label1035, "1a", false),
            ("too long for a label", Label, &long, false),
            ("long enough for a DNS name", Subdomain, &long, true),
        ];
        for (why, rule, name, expected) in cases {
            assert_eq!(rule.check("metadata.name", name).is_none(), expected, "{why}");
        }
    }

    #[test]
    fn label_keys_are_qualified_names() {
        let cases = [
            ("plain", "app", true),
            ("with prefix", "example.com/app", true),
            ("upper case", "App_1.x", true),
            ("empty", "", false),
            ("empty prefix", "/app", false),
            ("empty name", "example.com/", false),
            ("two slashes", "a/b/c", false),
            ("bad edge", "-app", false),
        ];
        for (why, key, expected) in cases {
            assert_eq!(is_qualified_name(key), expected, "{why}");
        }
    }
}
