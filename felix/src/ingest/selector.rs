//! Kubernetes label selectors.

use api::selector::Selector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::FieldError;

/// The selector in a form that is equal for all ways to write the same requirements.
///
/// Requirements are sorted and freed of duplicates, because sets are shared by equal selectors.
pub(super) fn selector(field: &str, selector: &LabelSelector) -> Result<Selector, FieldError> {
    let mut parts = Vec::new();
    for (key, value) in selector.match_labels.iter().flatten() {
        let field = format!("{field}.matchLabels[{key}]");
        check_key(&field, key)?;
        check_value(&field, value)?;
        parts.push(Selector::In(key.clone(), vec![value.clone()]));
    }
    for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
        parts.push(expression(&format!("{field}.matchExpressions[{index}]"), requirement)?);
    }
    parts.sort_by_key(ToString::to_string);
    parts.dedup();
    Ok(match parts.len() {
        0 => Selector::All,
        1 => parts.remove(0),
        _ => Selector::And(parts),
    })
}

fn expression(field: &str, requirement: &LabelSelectorRequirement) -> Result<Selector, FieldError> {
    let key = requirement.key.clone();
    check_key(field, &key)?;
    let mut values = requirement.values.clone().unwrap_or_default();
    values.sort();
    values.dedup();
    for value in &values {
        check_value(field, value)?;
    }
    match (requirement.operator.as_str(), values.is_empty()) {
        ("In", false) => Ok(Selector::In(key, values)),
        ("NotIn", false) => Ok(Selector::NotIn(key, values)),
        ("Exists", true) => Ok(Selector::Has(key)),
        ("DoesNotExist", true) => Ok(Selector::Not(Box::new(Selector::Has(key)))),
        ("In" | "NotIn", true) => Err(FieldError::new(field, "In and NotIn need at least one value")),
        ("Exists" | "DoesNotExist", false) => {
            Err(FieldError::new(field, "Exists and DoesNotExist take no values"))
        }
        (other, _) => Err(FieldError::new(
            field,
            format!("operator {other:?} is none of In, NotIn, Exists, DoesNotExist"),
        )),
    }
}

/// Only what a label can hold: the text of a selector is the identity of its set, so no value may
/// be able to imitate other text.
fn check_value(field: &str, value: &str) -> Result<(), FieldError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if value.len() <= 63 && value.chars().all(allowed) {
        return Ok(());
    }
    Err(FieldError::new(field, format!("{value:?} is no label value: at most 63 letters, digits, - _ .")))
}

fn check_key(field: &str, key: &str) -> Result<(), FieldError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    if !key.is_empty() && key.len() <= 317 && key.chars().all(allowed) {
        return Ok(());
    }
    Err(FieldError::new(
        field,
        format!("{key:?} is no label key: letters, digits, - _ . with an optional prefix/"),
    ))
}
