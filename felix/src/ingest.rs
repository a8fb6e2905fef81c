//! Kubernetes and custom objects to the model: one file per kind, and the only place that names their types.
//!
//! An object that cannot be understood never fails its neighbours. A pod or namespace then is as if
//! it were not there; a policy isolates what it selects and allows nothing.

pub mod ip_pool;
pub mod namespace;
pub mod network_policy;
pub mod pod;
mod selector;

/// Why an object, or a field of it, was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {field}: {reason}")]
pub struct IngestError {
    /// Kind, namespace and name.
    pub object: String,
    /// Path of the field.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub reason: String,
}

/// A field that was not understood, before the object around it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldError {
    field: String,
    reason: String,
}

impl FieldError {
    fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    fn of(self, object: String) -> IngestError {
        IngestError { object, field: self.field, reason: self.reason }
    }
}

#[cfg(test)]
mod tests;
