//! The cluster on top of the underlay: API server, IPAM service, node daemons, kubelets.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use tokio::task::JoinHandle;

use super::cni_call::NetworkList;
use super::daemon::Daemon;
use super::error::LabError;
use super::kubeconfig;
use super::kubelet::{self, Kubelet, NodeHandle};
use super::objects::{Seed, node_status, seeds};
use super::pods::PodTable;
use super::process::Launch;
use super::server;
use super::topology::{API_ADDRESS, API_PORT, Node, Space};
use super::underlay::Underlay;
use super::wait::until;
use crate::serving::ServingThread;

/// Until the daemon of a node has put its CNI configuration down, which it does last.
const NODE_READY_LIMIT: Duration = Duration::from_mins(1);
/// Until the API server serves a kind whose definition was created; a real one takes about a second.
const KIND_SERVED_LIMIT: Duration = Duration::from_secs(30);
/// Where a node finds its kubeconfig.
const NODE_KUBECONFIG: &str = "/run/lab/kubeconfig";

/// A running cluster.
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) pods: PodTable,
    kubeconfig: PathBuf,
    server: Option<ServingThread>,
    ipam: Option<Daemon>,
    nodes: BTreeMap<String, Daemon>,
    kubelet: Option<JoinHandle<()>>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("kubeconfig", &self.kubeconfig)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// The API server with the topology's objects in it; nothing else runs yet.
    pub(super) async fn start_api(underlay: &Underlay) -> Result<Self, LabError> {
        let root = underlay.network(&Space::Root)?;
        let inside = root.inside(|| TcpListener::bind((API_ADDRESS, API_PORT)))?;
        let outside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = outside.local_addr()?;
        let data = underlay.directory().path().join("kube");
        let server = server::start(underlay.topology().shape.api, vec![outside, inside], data).await?;
        let kubeconfig = underlay.directory().write("kubeconfig", &kubeconfig::text(address))?;
        let config = kube::Config::new(
            format!("http://{address}").parse().map_err(|_| io::Error::other("address is no URI"))?,
        );
        let client = Client::try_from(config)?;
        for seed in seeds(underlay.topology())? {
            create(&client, &seed).await?;
        }
        for node in &underlay.topology().nodes {
            set_node_status(&client, node, false).await?;
        }
        let server = Some(server);
        let nodes = BTreeMap::new();
        Ok(Self { client, pods: PodTable::default(), kubeconfig, server, ipam: None, nodes, kubelet: None })
    }

    /// Starts the IPAM service and all node daemons.
    pub(super) async fn start_daemons(&mut self, underlay: &Underlay) -> Result<(), LabError> {
        let server = SocketAddr::from((API_ADDRESS, API_PORT));
        let of_ipam = kubeconfig::of_service_account(server, "tortie-ipam");
        let kubeconfig = underlay.directory().write("kubeconfig.ipam", &of_ipam)?;
        let inside = kubeconfig::of_service_account(server, "tortie-node");
        self.ipam = Some(start_ipam(underlay, &kubeconfig).await?);
        for node in &underlay.topology().nodes {
            let space = Space::Node(node.name.clone());
            let place = underlay.path_in(&space, NODE_KUBECONFIG);
            let place = place.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            if let Some(folder) = place.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(place, &inside)?;
            self.nodes.insert(node.name.clone(), start_node(underlay, node).await?);
        }
        Ok(())
    }

    /// Starts the kubelets; returns once every node can make pods.
    pub(super) async fn start_kubelets(&mut self, underlay: &Underlay) -> Result<(), LabError> {
        let mut nodes = BTreeMap::new();
        for node in &underlay.topology().nodes {
            nodes.insert(node.name.clone(), node_handle(underlay, node)?);
        }
        let kubelet = Kubelet {
            client: self.client.clone(),
            spawner: underlay.spawner().clone(),
            lab: underlay.programs().lab().to_owned(),
            log: underlay.directory().log("lab")?,
            nodes: nodes.clone(),
            pods: self.pods.clone(),
        };
        self.kubelet = Some(tokio::spawn(kubelet::run(Arc::new(kubelet))));
        for node in &underlay.topology().nodes {
            let folder = &nodes[&node.name].cni_directory;
            let found = until(NODE_READY_LIMIT, async || NetworkList::first_in(folder).ok().flatten()).await;
            found.ok_or_else(|| LabError::Overdue {
                what: format!(
                    "CNI configuration of {0} (its log ends with `{1}`)",
                    node.name,
                    underlay.directory().last_logged(&node.name)
                ),
                limit_secs: NODE_READY_LIMIT.as_secs(),
                directory: underlay.directory().path().display().to_string(),
            })?;
            set_node_status(&self.client, node, true).await?;
        }
        Ok(())
    }

    /// The kubeconfig for programs on this machine.
    pub(super) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Makes the API server as good as down, or ends that.
    pub(super) fn set_outage(&self, is_out: bool) {
        if let Some(server) = &self.server {
            server.set_outage(is_out);
        }
    }

    /// The daemon of a node, or `ipam` for the IPAM service.
    pub(super) fn daemon(&self, name: &str) -> Result<&Daemon, LabError> {
        let found = if name == "ipam" { self.ipam.as_ref() } else { self.nodes.get(name) };
        found.ok_or_else(|| LabError::Unknown(format!("daemon {name}")))
    }

    /// Ends all of it.
    pub(super) async fn end(mut self) {
        if let Some(kubelet) = self.kubelet.take() {
            kubelet.abort();
            let _ = kubelet.await;
        }
        let daemons = self.nodes.into_values().chain(self.ipam);
        futures::future::join_all(daemons.map(Daemon::end)).await;
        if let Some(server) = self.server {
            let _ = tokio::task::spawn_blocking(|| server.stop()).await;
        }
    }
}

async fn create(client: &Client, seed: &Seed) -> Result<(), LabError> {
    let api: Api<DynamicObject> = match &seed.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &seed.resource),
        None => Api::all_with(client.clone(), &seed.resource),
    };
    let object: DynamicObject = serde_json::from_value(seed.body.clone())?;
    let created =
        until(KIND_SERVED_LIMIT, async || match api.create(&PostParams::default(), &object).await {
            // Some servers make the first namespaces themselves.
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Some(Ok(())),
            // A real server serves a kind some time after its definition was created.
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            other => Some(other.map(drop)),
        });
    let overdue = || io::Error::other(format!("kind {} is not served", seed.resource.kind));
    Ok(created.await.ok_or_else(overdue)??)
}

async fn set_node_status(client: &Client, node: &Node, is_ready: bool) -> Result<(), LabError> {
    let api: Api<k8s_openapi::api::core::v1::Node> = Api::all(client.clone());
    // By type, as a kubelet does: conditions of others stay.
    let patch = Patch::Strategic(node_status(node, is_ready));
    api.patch_status(&node.name, &PatchParams::default(), &patch).await?;
    Ok(())
}

fn node_handle(underlay: &Underlay, node: &Node) -> io::Result<NodeHandle> {
    let space = Space::Node(node.name.clone());
    Ok(NodeHandle {
        name: node.name.clone(),
        place: underlay.place(&space)?,
        network: underlay.network(&space)?,
        addresses: vec![node.ipv4.into(), node.ipv6.into()],
        cni_directory: underlay.path_in(&space, "/etc/cni/net.d").ok_or(io::ErrorKind::NotFound)?,
    })
}

async fn start_ipam(underlay: &Underlay, kubeconfig: &Path) -> Result<Daemon, LabError> {
    let program = underlay.programs().own("tortie-ipam")?;
    let place = underlay.place(&Space::Root)?;
    let log = underlay.directory().log("ipam")?;
    let kubeconfig = kubeconfig.to_owned();
    let launch = move || {
        Launch::new(&program)
            .arguments(["--kubeconfig".into(), kubeconfig.clone(), "--identity".into(), PathBuf::from("lab")])
            .at(place.clone())
            .with("NO_COLOR", "1")
            .log_to(&log)
    };
    Ok(Daemon::start("ipam", underlay.spawner().clone(), launch).await?)
}

async fn start_node(underlay: &Underlay, node: &Node) -> Result<Daemon, LabError> {
    let program = underlay.programs().own("tortie-node")?;
    let plugin = underlay.programs().own("tortie-cni")?;
    let place = underlay.place(&Space::Node(node.name.clone()))?;
    let log = underlay.directory().log(&node.name)?;
    let name = node.name.clone();
    let launch = move || {
        Launch::new(&program)
            .arguments(["--node-name", &name, "--kubeconfig", NODE_KUBECONFIG, "--cni-plugin"])
            .arguments([&plugin])
            .at(place.clone())
            .with("NO_COLOR", "1")
            .log_to(&log)
    };
    Ok(Daemon::start(&node.name, underlay.spawner().clone(), launch).await?)
}
