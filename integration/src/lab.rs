//! Whole clusters on one machine, in network namespaces that end with their supervisor.
//!
//! ```text
//! topology (values) -> fabric (spaces, cables) -> routers, nodes -> kubelet -> pods -> probe
//!                                     all processes <- process (one parent thread)
//! ```

use std::path::Path;
use std::time::Duration;

use kube::Client;
use nix::sys::signal::Signal;

mod cluster;
mod cni_call;
pub mod control;
mod daemon;
pub mod directory;
pub mod error;
mod fabric;
pub mod hold;
mod kubeconfig;
mod kubelet;
mod link;
pub mod netns;
pub mod objects;
pub mod oracle;
mod pod;
mod pod_status;
mod pods;
pub mod prober;
pub(crate) mod process;
pub mod programs;
mod reach;
pub mod router_config;
mod scheduler;
mod server;
mod space;
pub mod steps;
pub mod supervisor;
pub mod testing;
pub mod topology;
pub mod underlay;
pub mod user;
pub mod wait;

use cluster::Cluster;
use directory::Directory;
use error::LabError;
use prober::RunningTraffic;
use programs::Programs;
use reach::Reach;
use steps::Steps;
use topology::{Shape, Topology};
use underlay::Underlay;

use crate::probe::{Endpoint, Finding, Question};

/// How long a daemon may take to answer on its control socket.
const DAEMON_PATIENCE: Duration = Duration::from_secs(5);

/// A whole lab that runs. Dropping it ends every process and namespace; `end` does so in order.
#[derive(Debug)]
pub struct Lab {
    cluster: Cluster,
    underlay: Underlay,
}

impl Lab {
    /// A lab of this shape, once every node can make pods.
    ///
    /// # Errors
    /// When the shape cannot be, a program is missing, the machine refuses something, or a node does
    /// not become ready; its directory with the logs is then removed, and the text says what.
    pub async fn start(
        shape: Shape,
        programs: Programs,
        directory: Directory,
        steps: &Steps,
    ) -> Result<Self, LabError> {
        let topology = Topology::new(shape)?;
        let underlay = Underlay::build(topology, programs, directory).await?;
        steps.say(&summary(underlay.topology()));
        underlay.start_routers().await?;
        let mut cluster = Cluster::start_api(&underlay).await?;
        steps.say("routers and API server run, the cluster's objects are in it");
        cluster.start_daemons(&underlay).await?;
        cluster.start_kubelets(&underlay).await?;
        steps.say("every node is ready: tortie-node runs and has put its CNI configuration down");
        Ok(Self { cluster, underlay })
    }

    /// The network under the cluster.
    pub fn underlay(&self) -> &Underlay {
        &self.underlay
    }

    /// A client of the lab's API server.
    pub fn client(&self) -> Client {
        self.cluster.client.clone()
    }

    /// Makes the API server as good as down, or ends that; its objects stay.
    pub fn set_api_outage(&self, is_out: bool) {
        self.cluster.set_outage(is_out);
    }

    /// The kubeconfig file for programs on this machine.
    pub fn kubeconfig(&self) -> &Path {
        self.cluster.kubeconfig()
    }

    /// What a real packet found.
    ///
    /// # Errors
    /// When an endpoint does not exist.
    pub async fn probe(&self, question: &Question) -> Result<Finding, LabError> {
        let mut findings = self.probe_all(std::slice::from_ref(question)).await?;
        findings.pop().ok_or_else(|| LabError::Unknown("finding".into()))
    }

    /// What real packets found, all at once; in the order of the questions.
    ///
    /// # Errors
    /// When an endpoint does not exist.
    pub async fn probe_all(&self, questions: &[Question]) -> Result<Vec<Finding>, LabError> {
        self.reach().ask(questions).await
    }

    /// Traffic between two endpoints, which counts what it loses until it is stopped.
    ///
    /// # Errors
    /// When an endpoint does not exist or has no address.
    pub async fn start_traffic(
        &self,
        question: &Question,
        flows: u16,
        every_millis: u64,
    ) -> Result<RunningTraffic, LabError> {
        let reach = self.reach();
        let to = reach
            .target(question)?
            .ok_or_else(|| LabError::Unknown(format!("address of {}", question.to)))?;
        let arguments = [
            "--to".to_owned(),
            to.to_string(),
            "--port".into(),
            question.port.to_string(),
            "--flows".into(),
            flows.to_string(),
            "--every-millis".into(),
            every_millis.to_string(),
        ];
        let (spawner, lab) = (self.underlay.spawner(), self.underlay.programs().lab());
        Ok(RunningTraffic::start(spawner, lab, reach.place(&question.from)?, arguments.into()).await?)
    }

    /// What a program prints that is run on a node or an external host, or in a pod's network.
    ///
    /// # Errors
    /// When the endpoint does not exist, or the program is missing or fails; with its own words.
    pub async fn run(
        &self,
        endpoint: &Endpoint,
        program: &Path,
        arguments: &[&str],
    ) -> Result<String, LabError> {
        let launch = process::Launch::new(program).arguments(arguments).at(self.reach().place(endpoint)?);
        Ok(prober::capture(self.underlay.spawner(), launch).await?)
    }

    /// The BGP sessions of a node, as its daemon tells over its control socket.
    ///
    /// # Errors
    /// When there is no such node or its daemon does not answer.
    pub async fn peers(&self, node: &Endpoint) -> Result<Vec<api::control::PeerStatus>, LabError> {
        let holder = self.process_of(node)?;
        let socket = format!("/proc/{holder}/root{}", api::names::CONTROL_SOCKET);
        let asking = move || ask_daemon(Path::new(&socket), &api::control::Request::Peers);
        Ok(tokio::task::spawn_blocking(asking).await.map_err(std::io::Error::other)??)
    }

    /// The process of a node's daemon, or of `ipam`; none while it is down.
    ///
    /// # Errors
    /// When there is no such daemon.
    pub fn daemon_pid(&self, name: &str) -> Result<Option<u32>, LabError> {
        Ok(self.cluster.daemon(name)?.pid())
    }

    /// Sends a signal to a node's daemon, or to `ipam`, waits for its end and leaves it down.
    ///
    /// # Errors
    /// When there is no such daemon.
    pub async fn stop_daemon(&self, name: &str, signal: Signal) -> Result<(), LabError> {
        self.cluster.daemon(name)?.stop(signal).await;
        Ok(())
    }

    /// Starts a daemon that was stopped.
    ///
    /// # Errors
    /// When there is no such daemon.
    pub async fn resume_daemon(&self, name: &str) -> Result<(), LabError> {
        self.cluster.daemon(name)?.resume().await;
        Ok(())
    }

    /// What `check` gave, asked again and again until it gives something.
    ///
    /// # Errors
    /// `Overdue` when it never did.
    pub async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        check: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T, LabError> {
        self.underlay.until(what, limit, check).await
    }

    /// The process that holds an endpoint's namespaces, for `setns` and `nsenter`.
    ///
    /// # Errors
    /// When the endpoint does not exist.
    pub fn process_of(&self, endpoint: &Endpoint) -> Result<u32, LabError> {
        let unknown = || LabError::Unknown(endpoint.to_string());
        match endpoint {
            Endpoint::Pod { namespace, name } => {
                Ok(self.cluster.pods.get(namespace, name).ok_or_else(unknown)?.pid)
            }
            Endpoint::Node(name) => {
                self.underlay.holder(&topology::Space::Node(name.clone())).ok_or_else(unknown)
            }
            Endpoint::External(name) => {
                self.underlay.holder(&topology::Space::External(name.clone())).ok_or_else(unknown)
            }
            Endpoint::Address(_) => Err(unknown()),
        }
    }

    /// Every pod that runs: namespace, name, node, addresses.
    pub fn pods(&self) -> Vec<(Endpoint, String, Vec<std::net::IpAddr>)> {
        let all = self.cluster.pods.all().into_iter();
        all.map(|((namespace, name), pod)| (Endpoint::Pod { namespace, name }, pod.node, pod.addresses))
            .collect()
    }

    /// Ends everything in order.
    pub async fn end(self) {
        self.cluster.end().await;
        self.underlay.end().await;
    }

    fn reach(&self) -> Reach<'_> {
        Reach { underlay: &self.underlay, cluster: &self.cluster }
    }
}

/// One question to a daemon's control socket.
fn ask_daemon<T: serde::de::DeserializeOwned>(
    socket: &Path,
    request: &api::control::Request,
) -> std::io::Result<T> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(DAEMON_PATIENCE))?;
    api::control::write_message(&mut stream, request)?;
    match api::control::read_message(&mut stream)? {
        Some(api::control::Reply::Value(value)) => Ok(value),
        Some(api::control::Reply::Error(text)) => Err(std::io::Error::other(text)),
        None => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

fn summary(topology: &Topology) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    format!(
        "{}, {}, {}, {}",
        count(topology.shape.racks.into(), "rack"),
        count(topology.nodes.len(), "node"),
        count(topology.routers.len(), "router"),
        count(topology.cables.len(), "cable"),
    )
}
