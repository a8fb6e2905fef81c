//! The part of `JSONPath` that printer columns use.

use serde_json::Value;

/// Values at a path of fields, indices, `[*]` and `[?(@.field=="value")]`; none if it cannot be read.
pub(super) fn find<'a>(root: &'a Value, path: &str) -> Vec<&'a Value> {
    let path = path.trim_start_matches('{').trim_end_matches('}');
    let Some(steps) = steps(path) else { return Vec::new() };
    steps
        .iter()
        .fold(vec![root], |values, step| values.into_iter().flat_map(|value| step.of(value)).collect())
}

#[derive(Debug, PartialEq)]
enum Step {
    Field(String),
    Index(usize),
    Every,
    /// Items whose field at this dotted path has this value.
    Where(String, String),
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let items = || value.as_array().into_iter().flatten();
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(index) => value.get(index).into_iter().collect(),
            Self::Every => items().collect(),
            Self::Where(path, wanted) => items().filter(|item| has(item, path, wanted)).collect(),
        }
    }
}

fn has(item: &Value, path: &str, wanted: &str) -> bool {
    let found = path.split('.').try_fold(item, |value, field| value.get(field));
    match found {
        Some(Value::String(text)) => text == wanted,
        Some(other) => *other == wanted,
        None => false,
    }
}

fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let end = inside.find(']')?;
            steps.push(bracket(&inside[..end])?);
            rest = &inside[end + 1..];
        } else {
            let (name, after) = field(rest.strip_prefix('.').unwrap_or(rest));
            if name.is_empty() {
                return None;
            }
            steps.push(Step::Field(name));
            rest = after;
        }
    }
    Some(steps)
}

/// A field's name up to the next `.` or `[`; a backslash keeps what follows it.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (name, &text[at..]),
            other => name.push(other),
        }
    }
    (name, "")
}

fn bracket(inside: &str) -> Option<Step> {
    if inside == "*" {
        return Some(Step::Every);
    }
    if let Some(condition) = inside.strip_prefix("?(@.").and_then(|rest| rest.strip_suffix(')')) {
        let (path, wanted) = condition.split_once("==")?;
        let wanted = wanted.trim().trim_matches(['"', '\'']);
        return Some(Step::Where(path.trim().to_owned(), wanted.to_owned()));
    }
    let quoted = inside.trim_matches('\'');
    if quoted.len() == inside.len() {
        inside.parse().ok().map(Step::Index)
    } else {
        Some(Step::Field(quoted.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn printer_columns_find_their_values() {
        let object = json!({
            "metadata": {"annotations": {"a.b/c": "dotted"}},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}],
                "sizes": [4, 5],
            },
        });
        let cases = [
            ("plain", ".status.sizes", vec![json!([4, 5])]),
            ("without the leading dot", "status.sizes[1]", vec![json!(5)]),
            ("in braces", "{.status.sizes[0]}", vec![json!(4)]),
            ("every item", ".status.sizes[*]", vec![json!(4), json!(5)]),
            ("filtered", r#".status.conditions[?(@.type=="Ready")].status"#, vec![json!("True")]),
            (
                "filtered, single quotes",
                ".status.conditions[?(@.type=='Other')].status",
                vec![json!("False")],
            ),
            ("escaped dots", r".metadata.annotations.a\.b/c", vec![json!("dotted")]),
            ("quoted field", ".metadata.annotations['a.b/c']", vec![json!("dotted")]),
            ("absent", ".spec.size", vec![]),
            ("unreadable", ".status[", vec![]),
            ("empty name", "..status", vec![]),
        ];
        for (why, path, expected) in cases {
            let found: Vec<Value> = find(&object, path).into_iter().cloned().collect();
            assert_eq!(found, expected, "{why}");
        }
    }
}
