//! The kubelets of all nodes of a lab, and a scheduler that is just enough.
//!
//! ```text
//! watch Pods --unbound--> scheduler -> binding
//!            --bound to a node of the lab--> one task for each pod (pod.rs)
//!            --deletion--> tells that task
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::PostParams;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::netns::NetworkNamespace;
use super::pod;
use super::pod_status::is_finished;
use super::pods::PodTable;
use super::process::{Place, Spawner};
use super::scheduler::{Candidate, pick};

/// The annotation of Pods whose namespace and CNI calls are a test's own business.
pub const UNMANAGED: &str = "lab.tortie.dev/unmanaged";

/// What the kubelet must know of a node.
#[derive(Clone, Debug)]
pub(super) struct NodeHandle {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) network: NetworkNamespace,
    pub(super) addresses: Vec<IpAddr>,
    /// The node's /etc/cni/net.d as seen from outside.
    pub(super) cni_directory: PathBuf,
}

/// Between two tries of a watch that failed. Doubling pauses would make a pod after an outage wait for half a minute on
/// the lab alone.
const RETRY: Duration = Duration::from_millis(500);

struct Steady;

impl Iterator for Steady {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(RETRY)
    }
}

impl Backoff for Steady {
    fn reset(&mut self) {}
}

/// What all pods' tasks share.
pub(super) struct Kubelet {
    pub(super) client: Client,
    pub(super) spawner: Spawner,
    pub(super) lab: PathBuf,
    pub(super) log: File,
    pub(super) nodes: BTreeMap<String, NodeHandle>,
    pub(super) pods: PodTable,
}

/// Runs until the task is aborted; then all pods' tasks end with it.
pub(super) async fn run(kubelet: Arc<Kubelet>) {
    let mut events = watcher::watcher(Api::<Pod>::all(kubelet.client.clone()), watcher::Config::default())
        .backoff(Steady)
        .boxed();
    let mut state = Loop {
        kubelet,
        known: BTreeMap::new(),
        bound: BTreeMap::new(),
        seen: BTreeSet::new(),
        tasks: JoinSet::new(),
    };
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => state.handle(event).await,
            Err(error) => tracing::debug!(%error, "watch of pods"),
        }
        while state.tasks.try_join_next().is_some() {}
    }
}

struct Loop {
    kubelet: Arc<Kubelet>,
    /// By UID: how the pod's task is told to end.
    known: BTreeMap<String, watch::Sender<bool>>,
    /// By UID: the node of every bound pod, from the moment of its binding.
    bound: BTreeMap<String, String>,
    /// UIDs of the list that is being received.
    seen: BTreeSet<String>,
    tasks: JoinSet<()>,
}

impl Loop {
    async fn handle(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.seen.clear(),
            Event::InitApply(pod) => {
                self.seen.extend(pod.metadata.uid.clone());
                self.apply(pod).await;
            }
            Event::InitDone => {
                let gone: Vec<String> =
                    self.known.keys().filter(|uid| !self.seen.contains(*uid)).cloned().collect();
                for uid in gone {
                    self.end(&uid);
                }
            }
            Event::Apply(pod) => self.apply(pod).await,
            Event::Delete(pod) => {
                let uid = pod.metadata.uid.unwrap_or_default();
                self.end(&uid);
                self.known.remove(&uid);
                self.bound.remove(&uid);
            }
        }
    }

    async fn apply(&mut self, pod: Pod) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let is_ending = pod.metadata.deletion_timestamp.is_some();
        match node {
            None if !is_ending => self.schedule(&pod).await,
            Some(node) if !self.known.contains_key(&uid) && (is_ending || !is_finished(&pod)) => {
                self.start(uid.clone(), &node, pod);
            }
            _ => {}
        }
        if is_ending {
            self.end(&uid);
        }
    }

    fn start(&mut self, uid: String, node: &str, pod: Pod) {
        let Some(handle) = self.kubelet.nodes.get(node) else { return };
        if pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(UNMANAGED)) {
            return;
        }
        let (sender, ending) = watch::channel(false);
        self.bound.insert(uid.clone(), node.into());
        self.known.insert(uid, sender);
        self.tasks.spawn(pod::live(self.kubelet.clone(), handle.clone(), pod, ending));
    }

    fn end(&self, uid: &str) {
        if let Some(ending) = self.known.get(uid) {
            ending.send_replace(true);
        }
    }

    async fn schedule(&mut self, pod: &Pod) {
        let (Some(name), Some(namespace)) = (&pod.metadata.name, &pod.metadata.namespace) else { return };
        let candidates = match self.candidates().await {
            Ok(candidates) => candidates,
            Err(error) => {
                return tracing::warn!(pod = %name, %error, "no node for it: nodes cannot be listed");
            }
        };
        let selector = pod.spec.as_ref().and_then(|spec| spec.node_selector.clone()).unwrap_or_default();
        let Some(node) = pick(&candidates, &selector) else {
            return tracing::warn!(pod = %name, ?selector, "no node for it: none has these labels");
        };
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "namespace": namespace},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let api: Api<Pod> = Api::namespaced(self.kubelet.client.clone(), namespace);
        let bound: Result<serde_json::Value, _> =
            api.create_subresource("binding", name, &PostParams::default(), &binding).await;
        match bound {
            Ok(_) => drop(self.bound.insert(pod.metadata.uid.clone().unwrap_or_default(), node.into())),
            Err(error) => tracing::warn!(pod = %name, node, %error, "binding refused"),
        }
    }

    async fn candidates(&self) -> kube::Result<Vec<Candidate>> {
        let nodes =
            Api::<Node>::all(self.kubelet.client.clone()).list(&kube::api::ListParams::default()).await?;
        let ours = nodes.into_iter().filter_map(|node| {
            let name = node.metadata.name?;
            self.kubelet.nodes.contains_key(&name).then_some(())?;
            let pods = self.bound.values().filter(|node| **node == name).count();
            Some(Candidate { labels: node.metadata.labels.unwrap_or_default(), name, pods })
        });
        Ok(ours.collect())
    }
}
