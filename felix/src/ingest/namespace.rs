//! Namespaces.

use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::model::Namespace;

/// The namespace with its labels.
pub fn namespace(object: &v1::Namespace) -> Namespace {
    from_metadata(&object.metadata)
}

/// The namespace whose metadata this is: all that is needed of it.
pub fn from_metadata(metadata: &ObjectMeta) -> Namespace {
    Namespace {
        name: metadata.name.clone().unwrap_or_default(),
        labels: metadata.labels.clone().unwrap_or_default(),
    }
}
