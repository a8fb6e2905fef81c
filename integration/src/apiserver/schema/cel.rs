//! The rules of `x-kubernetes-validations`, evaluated as the real server does.

use kube::core::cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::Value;

use crate::apiserver::status::FieldError;

/// The compiled rules of one version of a custom resource.
pub(crate) struct Rules {
    compiled: CompiledSchema,
    any: bool,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rules")
    }
}

impl Rules {
    /// The rules in an `OpenAPI` v3 schema.
    ///
    /// # Errors
    /// The text of every rule that does not compile.
    pub(crate) fn compile(schema: &Value) -> Result<Self, Vec<String>> {
        let compiled = compile_schema(schema);
        let mut errors = Vec::new();
        collect_errors(&compiled, &mut errors);
        if errors.is_empty() { Ok(Self { compiled, any: has_rules(schema) }) } else { Err(errors) }
    }

    /// Whether there is any rule at all.
    pub(crate) fn any(&self) -> bool {
        self.any
    }

    /// Rules that `object` breaks; those about `oldSelf` only if there is an `old` object.
    pub(crate) fn check(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        match Validator::new().validate_compiled(&self.compiled, object, old) {
            Ok(()) => Vec::new(),
            Err(errors) => errors.into_vec().iter().map(|error| field_error(error, object)).collect(),
        }
    }
}

/// Texts of the rules that do not compile, here and below.
fn collect_errors(schema: &CompiledSchema, errors: &mut Vec<String>) {
    errors.extend(schema.compilation_errors().iter().map(ToString::to_string));
    let children = schema.items.iter().chain(&schema.additional_properties).map(|child| &**child);
    for child in schema.properties.values().chain(children) {
        collect_errors(child, errors);
    }
}

fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            members.contains_key("x-kubernetes-validations") || members.values().any(has_rules)
        }
        Value::Array(items) => items.iter().any(has_rules),
        _ => false,
    }
}

fn field_error(error: &kube::core::cel::ValidationError, object: &Value) -> FieldError {
    let path = error.field_path.as_str();
    let path = if path.is_empty() { "<nil>" } else { path };
    let message = match error.kind {
        ErrorKind::ValidationFailure => error.message.clone(),
        _ => format!("rule {:?}: {}", error.rule, error.message),
    };
    match error.reason.as_deref() {
        Some("FieldValueForbidden") => FieldError::forbidden(path, &message),
        Some("FieldValueRequired") => FieldError::required(path, &message),
        _ => match find(object, &error.field_path) {
            Some(value) if !value.is_object() && !value.is_array() => {
                FieldError::invalid(path, value, message)
            }
            _ => FieldError::invalid_whole(path, &message),
        },
    }
}

/// The value at a path such as `spec.ports[0].name`.
fn find<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut parts = path.split(['.', '[']).filter(|part| !part.is_empty());
    parts.try_fold(object, |value, part| match part.strip_suffix(']') {
        Some(index) => value.get(index.parse::<usize>().ok()?),
        None => value.get(part),
    })
}
