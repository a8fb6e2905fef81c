//! The node's own objects, one of each kind, of which it writes the status.

use std::fmt::Debug;

use kube::{
    Api, Resource,
    api::{Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};

/// Writes the status of the node's object, which is made first if somebody deleted it or it never was.
///
/// # Errors
/// The API server's refusal, or none of its answer.
pub(crate) async fn write_status<K>(
    api: &Api<K>,
    name: &str,
    status: &impl Serialize,
    new: impl FnOnce() -> K,
) -> Result<(), kube::Error>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let patch = Patch::Merge(serde_json::json!({ "status": status }));
    match api.patch_status(name, &PatchParams::default(), &patch).await {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(error),
    }
    api.create(&PostParams::default(), &new()).await?;
    api.patch_status(name, &PatchParams::default(), &patch).await.map(drop)
}
