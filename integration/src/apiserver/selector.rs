//! Label selectors and field selectors of list and watch requests.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    object::{self, at},
    registry::{Origin, Resource},
    status::Failure,
};

/// Which objects a request is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selector {
    labels: Vec<LabelRequirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Clone, Debug, PartialEq)]
struct LabelRequirement {
    key: String,
    test: LabelTest,
}

#[derive(Clone, Debug, PartialEq)]
enum LabelTest {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

#[derive(Clone, Debug, PartialEq)]
struct FieldRequirement {
    path: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// The selector of a request on `resource`.
    ///
    /// # Errors
    /// 400 for what cannot be parsed, and for fields that this resource cannot be selected by.
    pub(crate) fn parse(resource: &Resource, labels: &str, fields: &str) -> Result<Self, Failure> {
        let labels = label_requirements(labels)
            .map_err(|why| Failure::bad_request(format!("unable to parse requirement: {why}")))?;
        let fields = field_requirements(resource, fields)?;
        Ok(Self { labels, fields })
    }

    /// Whether `object` is meant.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = object::labels(object);
        self.labels.iter().all(|one| one.matches(&labels))
            && self.fields.iter().all(|one| one.matches(object))
    }
}

impl LabelRequirement {
    fn matches(&self, labels: &BTreeMap<&str, &str>) -> bool {
        let value = labels.get(self.key.as_str());
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            LabelTest::Exists => value.is_some(),
            LabelTest::Absent => value.is_none(),
            LabelTest::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            LabelTest::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
            LabelTest::Greater(bound) => number().is_some_and(|number| number > *bound),
            LabelTest::Less(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

impl FieldRequirement {
    fn matches(&self, object: &Value) -> bool {
        let value = match at(object, &self.path) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        (value == self.value) == self.equal
    }
}

/// Comma-separated requirements, where commas in parentheses separate values.
fn label_requirements(text: &str) -> Result<Vec<LabelRequirement>, String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_usize;
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (character, parts.last_mut()) {
            (',', _) if depth == 0 => parts.push(String::new()),
            (_, Some(part)) => part.push(character),
            (_, None) => {}
        }
    }
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.map(label_requirement).collect()
}

fn label_requirement(text: &str) -> Result<LabelRequirement, String> {
    let made = |key: &str, test: LabelTest| {
        let key = key.trim();
        if super::names::is_qualified_name(key) {
            Ok(LabelRequirement { key: key.to_owned(), test })
        } else {
            Err(format!(
                "<nil>: Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.'"
            ))
        }
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some((key, value)) = text.split_once("!=") {
        return made(key, LabelTest::NotIn(one(value)));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return made(key, LabelTest::In(one(value)));
    }
    if let Some((key, value)) = text.split_once('>') {
        return made(key, LabelTest::Greater(value.trim().parse().map_err(|_| text.to_owned())?));
    }
    if let Some((key, value)) = text.split_once('<') {
        return made(key, LabelTest::Less(value.trim().parse().map_err(|_| text.to_owned())?));
    }
    if let Some(key) = text.strip_prefix('!') {
        return made(key, LabelTest::Absent);
    }
    match text.split_once(char::is_whitespace) {
        None => made(text, LabelTest::Exists),
        Some((key, rest)) => {
            made(key, set_test(rest.trim()).ok_or_else(|| format!("found {rest:?}, expected: in, notin"))?)
        }
    }
}

fn set_test(text: &str) -> Option<LabelTest> {
    let values = |rest: &str| {
        let inside = rest.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inside.split(',').map(|value| value.trim().to_owned()).collect())
    };
    match text.strip_prefix("notin") {
        Some(rest) => values(rest).map(LabelTest::NotIn),
        None => text.strip_prefix("in").and_then(values).map(LabelTest::In),
    }
}

fn field_requirements(resource: &Resource, text: &str) -> Result<Vec<FieldRequirement>, Failure> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (path, value, equal) = if let Some((path, value)) = part.split_once("!=") {
                (path, value, false)
            } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (path, value, true)
            } else {
                let why = format!("invalid selector: '{text}'; can't understand '{part}'");
                return Err(Failure::bad_request(why));
            };
            if !is_selectable(resource, path) {
                return Err(Failure::bad_request(format!("field label not supported: {path}")));
            }
            Ok(FieldRequirement { path: path.to_owned(), value: value.to_owned(), equal })
        })
        .collect()
}

/// Fields that the real server selects by, per resource.
fn is_selectable(resource: &Resource, path: &str) -> bool {
    if path == "metadata.name" || (path == "metadata.namespace" && resource.namespaced) {
        return true;
    }
    if resource.origin == Origin::Custom {
        return false;
    }
    let fields: &[&str] = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "namespaces") => &["status.phase"],
        ("", "secrets") => &["type"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "events") => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "reason",
            "reportingController",
            "type",
        ],
        _ => &[],
    };
    fields.contains(&path)
}

#[cfg(test)]
mod tests;
