//! The pods of this node as the API server last told them, and waiting for one that a request names.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cni::{
    protocol::PodReference,
    response::{CniError, ErrorCode},
};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::sync::watch;
use tracing::debug;

use crate::watch::{ObjectKey, Update};

/// How long ADD waits for the watch to tell of a pod: the runtime may hear of a pod before we do.
const WATCH_TIME_MAX: Duration = Duration::from_secs(5);

/// How long the one request to the API server may take that follows.
const GET_TIME_MAX: Duration = Duration::from_secs(3);

/// On a static pod's mirror: the UID under which the runtime knows the pod.
const CONFIG_HASH: &str = "kubernetes.io/config.hash";

/// All pods of this node by namespace and name.
#[derive(Debug)]
pub(super) struct PodCache {
    pods: watch::Sender<Pods>,
}

/// The pods, and whether they are all.
#[derive(Clone, Debug, Default)]
pub(super) struct Pods {
    pub(super) in_sync: bool,
    pub(super) by_key: BTreeMap<ObjectKey, Arc<Pod>>,
}

impl Default for PodCache {
    fn default() -> Self {
        Self { pods: watch::Sender::new(Pods::default()) }
    }
}

impl PodCache {
    /// Takes what the watch told.
    pub(super) fn update(&self, update: Update<Pod>) {
        self.pods.send_modify(|pods| match update {
            Update::Reset(all) => {
                pods.in_sync = true;
                pods.by_key = all.into_iter().map(|pod| (ObjectKey::of(&pod), Arc::new(trim(pod)))).collect();
            }
            Update::Apply(pod) => {
                pods.by_key.insert(ObjectKey::of(&pod), Arc::new(trim(pod)));
            }
            Update::Delete(gone) => {
                pods.by_key.remove(&gone.key);
            }
        });
    }

    /// Takes the pods of the last-good snapshot; the watch's first list replaces them.
    pub(super) fn restore(&self, pods: Vec<Pod>) {
        self.pods.send_modify(|known| {
            if !known.in_sync {
                known.by_key =
                    pods.into_iter().map(|pod| (ObjectKey::of(&pod), Arc::new(trim(pod)))).collect();
            }
        });
    }

    /// The pods as they are now.
    pub(super) fn snapshot(&self) -> Pods {
        self.pods.borrow().clone()
    }

    /// The pod that the request means.
    ///
    /// # Errors
    /// `TRY_AGAIN_LATER` for a pod that neither the watch nor the API server knows under this UID.
    pub(super) async fn find(&self, client: &Client, reference: &PodReference) -> Result<Arc<Pod>, CniError> {
        let key = ObjectKey { namespace: reference.namespace.clone(), name: reference.name.clone() };
        let mut pods = self.pods.subscribe();
        let known = pods.wait_for(|pods| pods.by_key.get(&key).is_some_and(|pod| is_meant(pod, reference)));
        if let Ok(Ok(pods)) = tokio::time::timeout(WATCH_TIME_MAX, known).await
            && let Some(pod) = pods.by_key.get(&key)
        {
            return Ok(pod.clone());
        }
        debug!(pod = %key, "the watch does not know the pod; asking the API server");
        let api: Api<Pod> = Api::namespaced(client.clone(), &key.namespace);
        let answer = tokio::time::timeout(GET_TIME_MAX, api.get_opt(&key.name)).await;
        let reason = match answer {
            Ok(Ok(Some(pod))) if is_meant(&pod, reference) => return Ok(Arc::new(trim(pod))),
            Ok(Ok(Some(_))) => "the API server has another pod of this name".to_owned(),
            Ok(Ok(None)) => "the API server has no such pod".to_owned(),
            Ok(Err(error)) => format!("the API server did not answer: {error}"),
            Err(_) => format!("the API server did not answer within {} s", GET_TIME_MAX.as_secs()),
        };
        let message = format!("pod {key} is not known on this node");
        Err(CniError::new(ErrorCode::TRY_AGAIN_LATER, message).with_details(reason))
    }
}

/// Whether the object is the pod that the runtime means: its UID is the object's, or for a static pod the hash that
/// its mirror bears. A runtime that says no UID means whatever has the name.
fn is_meant(pod: &Pod, reference: &PodReference) -> bool {
    reference.uid.as_ref().is_none_or(|uid| has_uid(pod, uid))
}

/// Whether a runtime may know the pod by this UID: the object's own, or for a static pod the hash that its mirror bears.
pub(super) fn has_uid(pod: &Pod, uid: &str) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    let config_hash = annotations.and_then(|annotations| annotations.get(CONFIG_HASH));
    pod.metadata.uid.as_deref() == Some(uid) || config_hash.is_some_and(|hash| hash == uid)
}

/// Whether the pod has ended, so that its address serves nobody.
pub(super) fn is_terminated(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// What nobody here reads would be most of a pod's size.
fn trim(mut pod: Pod) -> Pod {
    pod.metadata.managed_fields = None;
    if let Some(spec) = &mut pod.spec {
        spec.volumes = None;
        spec.tolerations = None;
        for container in &mut spec.containers {
            let ports = container.ports.take();
            let name = std::mem::take(&mut container.name);
            *container = k8s_openapi::api::core::v1::Container { name, ports, ..Default::default() };
        }
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, config_hash: Option<&str>) -> Pod {
        serde_json::from_value(serde_json::json!({"metadata": {
            "namespace": "default", "name": "web", "uid": uid,
            "annotations": config_hash.map(|hash| serde_json::json!({CONFIG_HASH: hash})),
        }}))
        .unwrap()
    }

    #[test]
    fn a_pod_is_meant_by_its_uid() {
        // (why, object's UID, its config hash, UID of the request, meant)
        let cases = [
            ("same UID", "u1", None, Some("u1"), true),
            ("former pod of the name", "u2", None, Some("u1"), false),
            ("static pod", "u1", Some("hash"), Some("hash"), true),
            ("runtime without UIDs", "u1", None, None, true),
        ];
        for (why, uid, config_hash, requested, meant) in cases {
            let reference = PodReference {
                namespace: "default".to_owned(),
                name: "web".to_owned(),
                uid: requested.map(str::to_owned),
            };
            assert_eq!(is_meant(&pod(uid, config_hash), &reference), meant, "{why}");
        }
    }
}
