//! JSON patch, JSON merge patch and strategic merge patch.

use serde_json::Value;

use super::status::Failure;

pub(crate) mod strategic;

/// How a PATCH body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl PatchKind {
    /// The kind that a content type names.
    ///
    /// # Errors
    /// 415 for any other content type.
    pub(crate) fn of(content_type: &str) -> Result<Self, Failure> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ => Err(Failure::unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, \
                 application/strategic-merge-patch+json, application/apply-patch+yaml",
            )),
        }
    }
}

/// Operations that one JSON patch may have, as in the real server.
const OPERATIONS_MAX: usize = 10_000;

/// `object` after a JSON patch (RFC 6902).
///
/// # Errors
/// 400 for what is no JSON patch, 422 if an operation or a test fails.
pub(crate) fn json(object: &Value, patch: &Value) -> Result<Value, Failure> {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    if patch.0.len() > OPERATIONS_MAX {
        let why = format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            patch.0.len()
        );
        return Err(Failure { code: 413, reason: "RequestEntityTooLarge", message: why, details: None });
    }
    let mut patched = object.clone();
    json_patch::patch(&mut patched, &patch).map_err(|error| Failure {
        code: 422,
        reason: "Invalid",
        message: format!("the server rejected our request due to an error in our request: {error}"),
        details: None,
    })?;
    Ok(patched)
}

/// `object` after a JSON merge patch (RFC 7386).
pub(crate) fn merge(object: &Value, patch: &Value) -> Value {
    let mut patched = object.clone();
    json_patch::merge(&mut patched, patch);
    patched
}

#[cfg(test)]
mod tests;
