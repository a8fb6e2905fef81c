//! What status shows of policy, readable without the compartment.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use api::control::PodPolicyStatus;
use felix::{
    explain,
    model::{Model, ObjectKey},
};

/// The model as the kernel serves it; the compartment writes, the control socket reads.
#[derive(Clone, Debug, Default)]
pub struct PolicyView {
    pods: Arc<Mutex<BTreeMap<ObjectKey, PodPolicyStatus>>>,
}

impl PolicyView {
    /// What is in force for this pod; nothing if it has no network on this node.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<PodPolicyStatus> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        pods.get(&ObjectKey::new(namespace, name)).cloned()
    }

    /// Takes the present model.
    pub(super) fn update(&self, model: &Model) {
        let endpoints = model.endpoints.values();
        let pods =
            endpoints.map(|endpoint| (endpoint.pod.clone(), explain::policies_of(model, endpoint))).collect();
        *self.pods.lock().unwrap_or_else(PoisonError::into_inner) = pods;
    }
}
