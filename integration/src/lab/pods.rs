//! The pods that run in a lab, as the prober and the command line find them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::process::Place;

/// A pod that has its network namespace.
#[derive(Clone, Debug)]
pub(super) struct RunningPod {
    pub(super) node: String,
    /// The server process in it.
    pub(super) pid: u32,
    pub(super) place: Place,
    /// Empty until ADD has answered.
    pub(super) addresses: Vec<IpAddr>,
}

/// All running pods by namespace and name.
#[derive(Clone, Debug, Default)]
pub(super) struct PodTable(Arc<Mutex<BTreeMap<(String, String), RunningPod>>>);

impl PodTable {
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<RunningPod> {
        self.lock().get(&(namespace.into(), name.into())).cloned()
    }

    pub(super) fn all(&self) -> BTreeMap<(String, String), RunningPod> {
        self.lock().clone()
    }

    pub(super) fn insert(&self, namespace: &str, name: &str, pod: RunningPod) {
        self.lock().insert((namespace.into(), name.into()), pod);
    }

    /// Removes the pod unless the name belongs to a later one.
    pub(super) fn remove(&self, namespace: &str, name: &str, pid: u32) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut table = self.lock();
        if table.get(&key).is_some_and(|pod| pod.pid == pid) {
            table.remove(&key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, String), RunningPod>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
