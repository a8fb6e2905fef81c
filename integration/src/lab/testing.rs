//! A lab for tests: starts in the test's own process, takes manifests, waits for conditions.
//!
//! ```text
//! TestLab::start -> apply (manifests) -> pods_ready -> ask (real packets) -> apply, change, delete ... -> end
//! ```
//!
//! Everything of [`Lab`] can be called on it. When a test panics, the ends of the logs are printed.

#![allow(clippy::print_stderr, reason = "a failed test shows what the programs logged")]

use std::io;
use std::net::IpAddr;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use api::control::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

use super::Lab;
use super::cni_call::{Attachment, Caller, NetworkList, addresses};
use super::directory::Directory;
use super::error::LabError;
use super::netns::NetworkNamespace;
use super::programs::Programs;
use super::steps::Steps;
use super::topology::{ApiKind, Shape, Space};
use crate::probe::Endpoint;

pub use super::kubelet::UNMANAGED;

/// Who a test's objects belong to in server-side apply.
const FIELD_MANAGER: &str = "test";
/// For what takes a second on an idle machine.
pub const LIMIT: Duration = Duration::from_mins(1);
/// The environment variable that says on which API server the tests' labs run: `embedded`, which is the default, or
/// `etcd`. The same tests pass on both.
pub const API_VARIABLE: &str = "TORTIE_LAB_API";
/// Of each log so many lines are printed after a panic.
const LOG_LINES_SHOWN: usize = 60;

/// A lab that belongs to one test.
#[derive(Debug)]
pub struct TestLab {
    lab: Option<Lab>,
    parent: TempDir,
}

impl TestLab {
    /// A lab of this shape, once every node can make pods, on the API server that [`API_VARIABLE`] names; `lab` is
    /// `env!("CARGO_BIN_EXE_lab")`.
    ///
    /// # Errors
    /// As [`Lab::start`]; a name that is no API server's.
    pub async fn start(lab: &str, shape: Shape) -> Result<Self, LabError> {
        Self::start_on_its_api(lab, Shape { api: api_of_this_run()?, ..shape }).await
    }

    /// Likewise, on the API server of the shape in every run: for what one of them alone has.
    ///
    /// # Errors
    /// As [`Lab::start`].
    pub async fn start_on_its_api(lab: &str, shape: Shape) -> Result<Self, LabError> {
        let parent = tempfile::tempdir()?;
        let programs = Programs::beside(Path::new(lab))?;
        let directory = Directory::create(&parent.path().join("lab"), programs.lab())?;
        let mut this = Self { lab: None, parent };
        this.lab = Some(Lab::start(shape, programs, directory, &Steps::silent()).await?);
        Ok(this)
    }

    /// Applies every document of a YAML text, on the server's side, in their order.
    ///
    /// # Errors
    /// What the API server refused, or text that is no object.
    pub async fn apply(&self, manifests: &str) -> Result<(), LabError> {
        for document in serde_yaml_ng::Deserializer::from_str(manifests) {
            let object: Value = serde::Deserialize::deserialize(document).map_err(io::Error::other)?;
            if !object.is_null() {
                self.apply_object(object).await?;
            }
        }
        Ok(())
    }

    /// Applies one object, on the server's side; returns it as the server holds it now.
    ///
    /// # Errors
    /// What the API server refused.
    pub async fn apply_object(&self, object: Value) -> Result<DynamicObject, LabError> {
        let object: DynamicObject = serde_json::from_value(object)?;
        let types = object.types.clone().unwrap_or_default();
        let api = self.objects(&types.api_version, &types.kind, object.metadata.namespace.as_deref());
        let name = object.metadata.name.clone().unwrap_or_default();
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        Ok(api.patch(&name, &parameters, &Patch::Apply(&object)).await?)
    }

    /// Objects of a kind by `apiVersion`, `kind` and, if they have one, namespace.
    pub fn objects(&self, version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client(), namespace, &resource),
            None => Api::all_with(self.client(), &resource),
        }
    }

    /// Deletes one object; what is not there is no error.
    ///
    /// # Errors
    /// What the API server refused.
    pub async fn delete(
        &self,
        version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<(), LabError> {
        match self.objects(version, kind, namespace).delete(name, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    /// Returns once every pod of the namespace is Ready.
    ///
    /// # Errors
    /// `Overdue` when one is not after a minute.
    pub async fn pods_ready(&self, namespace: &str) -> Result<(), LabError> {
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        self.until(&format!("readiness of the pods of {namespace}"), LIMIT, async || {
            let pods = api.list(&ListParams::default()).await.ok()?;
            pods.iter().all(is_ready).then_some(())
        })
        .await
    }

    /// Returns once the pod is gone, object and namespace.
    ///
    /// # Errors
    /// `Overdue` when it is still there after a minute.
    pub async fn pod_gone(&self, namespace: &str, name: &str) -> Result<(), LabError> {
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        self.until(&format!("end of {namespace}/{name}"), LIMIT, async || {
            matches!(api.get_opt(name).await, Ok(None)).then_some(())
        })
        .await
    }

    /// Calls ADD of the node's CNI configuration for a pod that bears [`UNMANAGED`]; the addresses in its result.
    ///
    /// # Errors
    /// The plugin's own words, or that there is no such node or configuration.
    pub async fn attach(&self, node: &str, pod: &Pod, netns: &Path) -> Result<Vec<IpAddr>, LabError> {
        let (caller, list) = self.runtime(node)?;
        let result = caller.add(&list, &attachment(pod, netns)).await.map_err(io::Error::other)?;
        Ok(addresses(&result))
    }

    /// Calls DEL likewise.
    ///
    /// # Errors
    /// The plugin's own words, or that there is no such node or configuration.
    pub async fn detach(&self, node: &str, pod: &Pod, netns: &Path) -> Result<(), LabError> {
        let (caller, list) = self.runtime(node)?;
        Ok(caller.del(&list, &attachment(pod, netns), None).await.map_err(io::Error::other)?)
    }

    fn runtime(&self, node: &str) -> Result<(Caller, NetworkList), LabError> {
        let unknown = || LabError::Unknown(format!("CNI configuration of {node}"));
        let space = Space::Node(node.into());
        let underlay = self.underlay();
        let folder = underlay.path_in(&space, "/etc/cni/net.d").ok_or_else(unknown)?;
        let list = NetworkList::first_in(&folder)?.ok_or_else(unknown)?;
        Ok((Caller { spawner: underlay.spawner().clone(), node: underlay.place(&space)? }, list))
    }

    /// What `action` returns when run in the network of a pod, node or host outside; sockets that it opens stay there.
    ///
    /// # Errors
    /// The action's, or that there is no such endpoint.
    pub fn inside<T: Send>(
        &self,
        endpoint: &Endpoint,
        action: impl FnOnce() -> io::Result<T> + Send,
    ) -> Result<T, LabError> {
        Ok(NetworkNamespace::of_process(self.process_of(endpoint)?)?.inside(action)?)
    }

    /// What a node's daemon answers over its control socket.
    ///
    /// # Errors
    /// When there is no such node or its daemon does not answer.
    pub async fn control<T>(&self, node: &str, request: Request) -> Result<T, LabError>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let holder = self.process_of(&Endpoint::Node(node.into()))?;
        let socket = format!("/proc/{holder}/root{}", api::names::CONTROL_SOCKET);
        let asking = move || super::ask_daemon(Path::new(&socket), &request);
        Ok(tokio::task::spawn_blocking(asking).await.map_err(io::Error::other)??)
    }

    /// Ends the lab in order.
    pub async fn end(mut self) {
        if let Some(lab) = self.lab.take() {
            lab.end().await;
        }
    }
}

impl Deref for TestLab {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        self.lab.as_ref().expect("a lab is there from start to end")
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show_logs(self.parent.path().join("lab").as_path());
        }
    }
}

fn api_of_this_run() -> io::Result<ApiKind> {
    match std::env::var(API_VARIABLE).as_deref() {
        Err(_) | Ok("embedded") => Ok(ApiKind::Embedded),
        Ok("etcd") => Ok(ApiKind::Etcd),
        Ok(other) => {
            Err(io::Error::other(format!("{API_VARIABLE} is {other:?}, must be \"embedded\" or \"etcd\"")))
        }
    }
}

/// Whether the kubelet has found that the pod answers.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn attachment(pod: &Pod, netns: &Path) -> Attachment {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    Attachment {
        container_id: format!("test-{uid}"),
        netns: netns.into(),
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        pod: pod.metadata.name.clone().unwrap_or_default(),
        uid,
    }
}

fn show_logs(directory: &Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for path in
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "log"))
    {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        eprintln!("--- {} ---\n{}", path.display(), last.join("\n"));
    }
}
