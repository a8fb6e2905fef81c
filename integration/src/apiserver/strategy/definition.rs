//! `CustomResourceDefinition`: defaults and rules.

use serde_json::{Value, json};

use super::set_default;
use crate::apiserver::{
    object::{at, text_at},
    registry::custom,
    status::FieldError,
};

pub(super) fn set_defaults(definition: &mut Value) {
    if !definition["spec"]["names"].is_object() {
        return;
    }
    let kind = text_at(definition, "spec.names.kind").to_owned();
    set_default(&mut definition["spec"]["names"], "singular", kind.to_lowercase());
    set_default(&mut definition["spec"]["names"], "listKind", format!("{kind}List"));
    set_default(&mut definition["spec"], "conversion", json!({"strategy": "None"}));
}

/// The status of a new definition: nothing is accepted yet.
pub(super) fn first_status(definition: &mut Value) {
    let versions = at(definition, "spec.versions").and_then(Value::as_array).cloned().unwrap_or_default();
    let stored = versions.iter().filter(|version| version["storage"] == true);
    let stored: Vec<Value> = stored.map(|version| version["name"].clone()).collect();
    definition["status"] = json!({"acceptedNames": {"kind": "", "plural": ""}, "storedVersions": stored});
}

pub(super) fn errors(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = custom::resources(new).err().unwrap_or_default();
    let Some(old) = old else { return errors };
    for field in ["spec.group", "spec.names.kind", "spec.names.plural", "spec.scope"] {
        if at(old, field) != at(new, field) {
            errors.push(FieldError::invalid(
                field,
                at(new, field).unwrap_or(&Value::Null),
                "field is immutable",
            ));
        }
    }
    errors
}
