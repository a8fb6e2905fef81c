//! PATCH, server-side apply among its kinds.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Reply, Request, World, body, create, read, update};
use crate::apiserver::{
    apply::{self, Author},
    object,
    patch::{self, PatchKind, strategic},
    registry::Origin,
    status::{Failure, FieldError},
};

impl World {
    pub(super) fn patch(&mut self, request: Request<'_>) -> Result<Reply, Failure> {
        let kind = PatchKind::of(&request.call.content_type)?;
        let patch = body::parse(request.call)?;
        if kind == PatchKind::Apply {
            return self.apply(request, patch);
        }
        let resource = &request.target.resource;
        let old = self.current(request)?;
        let mut new = match kind {
            PatchKind::Json => patch::json(&old, &patch)?,
            PatchKind::Merge if patch.is_object() => patch::merge(&old, &patch),
            PatchKind::Strategic if resource.origin == Origin::Custom => {
                return Err(Failure::unsupported_media_type(
                    "the body of the request was in an unknown format - accepted media types include: \
                     application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                ));
            }
            PatchKind::Strategic if patch.is_object() => {
                strategic::apply(&resource.schema, &old, &patch).map_err(Failure::bad_request)?
            }
            _ => return Err(Failure::bad_request("a merge patch must be an object")),
        };
        body::check_kind(resource, &mut new)?;
        let warnings = body::prune(resource, &mut new, request.call)?;
        update::settle_identity(request, &mut new)?;
        let written = self.change(request, &old, new, true)?;
        Ok(Reply { warnings, ..Reply::json(200, read::formed(request, &written)) })
    }

    fn apply(&mut self, request: Request<'_>, mut config: Value) -> Result<Reply, Failure> {
        let (resource, query) = (&request.target.resource, &request.call.query);
        let Some(manager) = query.given("fieldManager") else {
            let error = FieldError::required("fieldManager", "is required for apply patch");
            return Err(Failure::invalid("meta.k8s.io", "PatchOptions", "", &[error]));
        };
        body::check_kind(resource, &mut config)?;
        let warnings = body::prune(resource, &mut config, request.call)?;
        update::settle_identity(request, &mut config)?;
        let author = Author { manager, ..create::author(request, resource) };
        let exists = self.storage.get(&resource.table, &request.target.key()).is_some();
        let (code, written) = if exists {
            let old = self.current(request)?;
            let new = apply::apply(&resource.schema, &old, &config, author, query.flag("force"))?;
            (200, self.change(request, &old, with_version_of(new, &config), false)?)
        } else {
            if !request.target.subresource.is_empty() {
                return Err(Failure::not_found(resource.subject(&request.target.name)));
            }
            (201, self.apply_new(request, &config, author)?)
        };
        Ok(Reply { warnings, ..Reply::json(code, read::formed(request, &written)) })
    }

    fn apply_new(
        &mut self,
        request: Request<'_>,
        config: &Value,
        author: Author<'_>,
    ) -> Result<Arc<Value>, Failure> {
        if !object::meta(config, "resourceVersion").is_empty() {
            let subject = request.target.resource.subject(&request.target.name);
            return Err(Failure::conflict(
                subject,
                "the object does not exist, but a resourceVersion was given",
            ));
        }
        let live = json!({"metadata": {}});
        let new = apply::apply(&request.target.resource.schema, &live, config, author, true)?;
        self.insert(request, new, false)
    }
}

/// The merged object carries the version that the configuration names, if it does: a precondition.
fn with_version_of(mut object: Value, config: &Value) -> Value {
    let version = config["metadata"].get("resourceVersion").cloned();
    object::set_meta(&mut object, "resourceVersion", version);
    object
}
