//! One pod's life on its node.
//!
//! ```text
//! namespace + server -> CNI ADD (again after code 11) -> Running -> first TCP port answers -> Ready
//!        \________________________________________________________________________/
//!                          deletion at any moment: CNI DEL -> server ends -> object goes
//! ```

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::Value;
use tokio::process::Child;
use tokio::sync::watch;

use super::cni_call::{Attachment, Caller, NetworkList, addresses};
use super::kubelet::{Kubelet, NodeHandle};
use super::netns::{NetworkNamespace, namespace_path};
use super::pod_status::{Stage, patch, ports};
use super::pods::RunningPod;
use super::process::Launch;
use super::space::HeldSpace;
use super::underlay::{server_arguments, start_server};
use crate::probe::Protocol;

/// Between two tries of the same thing: the first, and the most after doubling.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A server that went away in the middle of a request may never answer it; the client alone would wait for minutes.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long the readiness probe waits for one connection.
const READINESS_PATIENCE: Duration = Duration::from_secs(1);

/// Runs the pod until it is deleted. `ending` turns true when that has been asked for.
pub(super) async fn live(
    kubelet: Arc<Kubelet>,
    node: NodeHandle,
    pod: Pod,
    mut ending: watch::Receiver<bool>,
) {
    let mut life = Life { kubelet, node, pod, space: None, server: None, network: None, said: None };
    // Cancel-safe: what `run` had made by then is in `life`, and taken back below.
    tokio::select! {
        () = life.run() => {}
        _ = ending.wait_for(|is_ending| *is_ending) => {}
    }
    let _ = ending.wait_for(|is_ending| *is_ending).await;
    life.end().await;
}

struct Life {
    kubelet: Arc<Kubelet>,
    node: NodeHandle,
    pod: Pod,
    space: Option<HeldSpace>,
    server: Option<Child>,
    /// Set before ADD is called, so that a call that was cut short is taken back too.
    network: Option<(NetworkList, Attachment, Option<Value>)>,
    said: Option<Stage>,
}

impl Life {
    async fn run(&mut self) {
        let mut pause = Backoff::new();
        while let Err(error) = self.make_space().await {
            self.say(&[], Stage::Waiting(format!("namespace: {error}"))).await;
            pause.wait().await;
        }
        let addresses =
            if self.is_host_network() { self.node.addresses.clone() } else { self.attach().await };
        self.register(addresses.clone());
        self.say(&addresses, Stage::Running).await;
        self.await_ready(&addresses).await;
        self.say(&addresses, Stage::Ready).await;
    }

    async fn make_space(&mut self) -> io::Result<()> {
        let place = if self.is_host_network() {
            self.node.place.clone()
        } else {
            if self.space.is_none() {
                let kubelet = &self.kubelet;
                let space =
                    HeldSpace::start(&kubelet.spawner, &kubelet.lab, self.name(), false, &kubelet.log)
                        .await?;
                bring_up_loopback(space.network())?;
                self.space = Some(space);
            }
            self.space.as_ref().map(HeldSpace::place).unwrap_or_default()
        };
        let own: &[IpAddr] = if self.is_host_network() { &self.node.addresses } else { &[] };
        let name = format!("{}/{}", self.namespace(), self.name());
        let launch =
            Launch::new(&self.kubelet.lab).arguments(server_arguments(&name, &ports(&self.pod), own));
        let mut launch = launch.at(place);
        launch.stderr = self.kubelet.log.try_clone()?.into();
        self.server = Some(start_server(&self.kubelet.spawner, launch).await?);
        self.register(Vec::new());
        Ok(())
    }

    /// The pod's addresses, once a call of ADD has succeeded.
    async fn attach(&mut self) -> Vec<IpAddr> {
        let mut pause = Backoff::new();
        loop {
            match self.try_attach().await {
                Ok(addresses) => return addresses,
                Err(message) => self.say(&[], Stage::Waiting(message)).await,
            }
            pause.wait().await;
        }
    }

    async fn try_attach(&mut self) -> Result<Vec<IpAddr>, String> {
        let list = NetworkList::first_in(&self.node.cni_directory).map_err(|error| error.to_string())?;
        let list = list.ok_or_else(|| "the node has no network configuration yet".to_owned())?;
        let attachment = self.attachment().ok_or("the pod's namespace is gone")?;
        self.network = Some((list.clone(), attachment.clone(), None));
        let result = self.caller().add(&list, &attachment).await.map_err(|error| error.to_string())?;
        let found = addresses(&result);
        self.network = Some((list, attachment, Some(result)));
        Ok(found)
    }

    fn attachment(&self) -> Option<Attachment> {
        let uid = self.pod.metadata.uid.clone().unwrap_or_default();
        // A runtime's container IDs are 64 hex digits; the UID's 32, twice, are as good.
        let digits: String = uid.chars().filter(char::is_ascii_hexdigit).collect();
        Some(Attachment {
            container_id: digits.repeat(2),
            netns: namespace_path(self.space.as_ref()?.pid(), "net"),
            namespace: self.namespace().into(),
            pod: self.name().into(),
            uid,
        })
    }

    async fn await_ready(&self, addresses: &[IpAddr]) {
        let port = ports(&self.pod).into_iter().find(|port| port.protocol == Protocol::Tcp);
        let (Some(port), Some(address)) = (port, addresses.first()) else { return };
        let target = SocketAddr::new(*address, port.number);
        let mut pause = Backoff::new();
        while !self.connects(target).await {
            pause.wait().await;
        }
    }

    /// As the kubelet does: from the node's own network.
    async fn connects(&self, target: SocketAddr) -> bool {
        let network = self.node.network.clone();
        let connect = move || {
            network.inside(|| TcpStream::connect_timeout(&target, READINESS_PATIENCE).map(drop)).is_ok()
        };
        tokio::task::spawn_blocking(connect).await.unwrap_or(false)
    }

    async fn end(mut self) {
        self.detach().await;
        if let Some(mut server) = self.server.take() {
            if let Some(pid) = server.id() {
                self.kubelet.pods.remove(self.namespace(), self.name(), pid);
            }
            let _ = server.kill().await;
        }
        if let Some(space) = self.space.take() {
            space.end().await;
        }
        self.delete_object().await;
    }

    async fn detach(&mut self) {
        let Some((list, attachment, result)) = self.network.take() else { return };
        let mut pause = Backoff::new();
        while let Err(error) = self.caller().del(&list, &attachment, result.as_ref()).await {
            tracing::warn!(pod = self.name(), %error, "DEL failed, will be tried again");
            pause.wait().await;
        }
    }

    async fn delete_object(&self) {
        let preconditions = Preconditions { uid: self.pod.metadata.uid.clone(), resource_version: None };
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        let mut pause = Backoff::new();
        loop {
            match self.api().delete(self.name(), &parameters).await {
                // Gone already, or a later pod of this name.
                Ok(_) | Err(kube::Error::Api(_)) => return,
                Err(error) => tracing::warn!(pod = self.name(), %error, "its object cannot be deleted yet"),
            }
            pause.wait().await;
        }
    }

    /// Writes the stage into the Pod's status, unless that is what was written last.
    async fn say(&mut self, addresses: &[IpAddr], stage: Stage) {
        if self.said.as_ref() == Some(&stage) {
            return;
        }
        let patch = patch(&self.pod, &self.node.addresses, addresses, &stage, Timestamp::now());
        let mut pause = Backoff::new();
        loop {
            let (api, parameters, merge) = (self.api(), PatchParams::default(), Patch::Merge(&patch));
            let patching = api.patch_status(self.name(), &parameters, &merge);
            match tokio::time::timeout(ANSWER_LIMIT, patching).await {
                Ok(Ok(_)) => break,
                Ok(Err(kube::Error::Api(status))) => {
                    tracing::warn!(pod = self.name(), error = %status.message, "its status was refused");
                    break;
                }
                // The network does not wait for a server that is down.
                Ok(Err(_)) | Err(_) if matches!(stage, Stage::Waiting(_)) => return,
                Ok(Err(_)) | Err(_) => pause.wait().await,
            }
        }
        self.said = Some(stage);
    }

    fn register(&self, addresses: Vec<IpAddr>) {
        let Some(pid) = self.server.as_ref().and_then(Child::id) else { return };
        let place = self.space.as_ref().map_or_else(|| self.node.place.clone(), HeldSpace::place);
        let pod = RunningPod { node: self.node.name.clone(), pid, place, addresses };
        self.kubelet.pods.insert(self.namespace(), self.name(), pod);
    }

    fn caller(&self) -> Caller {
        Caller { spawner: self.kubelet.spawner.clone(), node: self.node.place.clone() }
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.kubelet.client.clone(), self.namespace())
    }

    fn is_host_network(&self) -> bool {
        self.pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false)
    }

    fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }
}

fn bring_up_loopback(network: &NetworkNamespace) -> io::Result<()> {
    super::link::Links::of(network)?.set_up("lo", true)
}

/// Pauses that double.
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Self(PAUSE_FIRST)
    }

    #[expect(clippy::disallowed_methods, reason = "between tries of what another process must do")]
    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(PAUSE_MAX);
    }
}
