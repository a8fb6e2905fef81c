//! The control socket: `tortiectl`'s questions, answered from memory.

use std::{io, path::PathBuf, sync::Arc, time::Duration, time::Instant};

use anyhow::Result;
use api::control::{
    AddressStatus, ConditionStatus, MESSAGE_LENGTH_MAX, NodeStatus, PeerStatus, PodPolicyStatus, Reply,
    Request, RouteStatus,
};
use bgp::driver::Handle;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    attachments::{AttachmentsView, server::listen},
    bgp_status,
    logging::LogLevel,
    policy::PolicyView,
    shared::Shared,
};

/// How many clients are served at a time.
const CLIENTS_MAX: usize = 32;

/// How long a client may take over a question, or over taking its answer.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest question in bytes; they are all short.
const QUESTION_LENGTH_MAX: u32 = 64 * 1024;

/// What answers are made of.
#[derive(Clone, Debug)]
pub struct ControlContext {
    /// Name of this machine's Node object.
    pub node_name: String,
    /// When the daemon started.
    pub started: Instant,
    /// What the compartments tell each other.
    pub shared: Shared,
    /// The speaker, once it runs.
    pub speaker: Arc<watch::Sender<Option<Handle>>>,
    /// Blocks and addresses.
    pub attachments: AttachmentsView,
    /// Policy in force.
    pub policy: PolicyView,
    /// What is logged.
    pub log_level: LogLevel,
}

/// Serves clients on this path until `stop`.
///
/// # Errors
/// The socket cannot be made.
pub async fn serve(context: Arc<ControlContext>, path: PathBuf, stop: CancellationToken) -> Result<()> {
    let listener: UnixListener = listen(&path)?;
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // Cancel-safe: a connection that is not accepted stays in the backlog.
            accepted = listener.accept() => accepted,
            Some(_) = clients.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let (Ok((stream, _)), Ok(place)) = (accepted, places.clone().acquire_owned().await) else { continue };
        let context = context.clone();
        clients.spawn(async move {
            // A client that sends garbage or goes away costs its own connection alone.
            let _ = serve_client(&context, stream).await;
            drop(place);
        });
    }
    clients.shutdown().await;
    Ok(())
}

async fn serve_client(context: &ControlContext, mut stream: UnixStream) -> io::Result<()> {
    loop {
        let question = tokio::time::timeout(CLIENT_TIME_MAX, read_question(&mut stream)).await??;
        let Some(question) = question else { return Ok(()) };
        let answer = match serde_json::from_slice::<Request>(&question) {
            Ok(request) => context.answer(request).await,
            Err(error) => encode(&Reply::<()>::Error(format!("the question is not understood: {error}"))),
        };
        let answer = answer.unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}").into_bytes());
        let length = u32::try_from(answer.len()).ok().filter(|length| *length <= MESSAGE_LENGTH_MAX);
        let length = length.ok_or_else(|| io::Error::other("the answer is too long"))?;
        tokio::time::timeout(CLIENT_TIME_MAX, async {
            stream.write_all(&length.to_be_bytes()).await?;
            stream.write_all(&answer).await
        })
        .await??;
    }
}

async fn read_question(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(length);
    if length > QUESTION_LENGTH_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the question is too long"));
    }
    let mut question = vec![0; usize::try_from(length).unwrap_or_default()];
    stream.read_exact(&mut question).await?;
    Ok(Some(question))
}

fn encode<T: Serialize>(reply: &Reply<T>) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(reply)
}

impl ControlContext {
    async fn answer(&self, request: Request) -> serde_json::Result<Vec<u8>> {
        match request {
            Request::Node => encode(&Reply::Value(self.node().await)),
            Request::Peers => encode(&self.peers().await),
            Request::Routes => encode(&self.routes().await),
            Request::Ipam => encode(&Reply::Value(self.attachments.blocks())),
            Request::Policy { namespace, pod } => encode(&self.pod_policy(&namespace, &pod)),
            Request::LogLevel { level } => encode(&self.set_log_level(level)),
        }
    }

    fn speaker(&self) -> Option<Handle> {
        self.speaker.borrow().clone()
    }

    /// The sessions; an error while there is no speaker.
    async fn peers(&self) -> Reply<Vec<PeerStatus>> {
        let Some(speaker) = self.speaker() else { return Reply::Error(self.why_no_speaker()) };
        match speaker.status().await {
            Ok(status) => Reply::Value(bgp_status::peers(&status)),
            Err(error) => Reply::Error(error.to_string()),
        }
    }

    async fn routes(&self) -> Reply<Vec<RouteStatus>> {
        let Some(speaker) = self.speaker() else { return Reply::Error(self.why_no_speaker()) };
        match speaker.routes().await {
            Ok(routes) => Reply::Value(bgp_status::routes(&routes)),
            Err(error) => Reply::Error(error.to_string()),
        }
    }

    fn why_no_speaker(&self) -> String {
        let routing = self.shared.routing.borrow();
        let problem = routing.problems.first().map(ToString::to_string);
        format!(
            "BGP is not running: {}",
            problem.unwrap_or_else(|| "the API server has not told the node's objects yet".to_owned())
        )
    }

    fn pod_policy(&self, namespace: &str, pod: &str) -> Reply<PodPolicyStatus> {
        let status = self.policy.pod(namespace, pod);
        status.map_or_else(
            || Reply::Error(format!("pod {namespace}/{pod} has no network on this node; ask its own node")),
            Reply::Value,
        )
    }

    fn set_log_level(&self, level: String) -> Reply<String> {
        match self.log_level.set(&level) {
            Ok(()) => {
                info!(level, "log level changed");
                Reply::Value(level)
            }
            Err(error) => Reply::Error(format!("{error:#}")),
        }
    }

    /// The sessions; none while there is no speaker.
    pub async fn peer_list(&self) -> Vec<PeerStatus> {
        match self.peers().await {
            Reply::Value(peers) => peers,
            Reply::Error(_) => Vec::new(),
        }
    }

    /// The node as a whole.
    pub async fn node(&self) -> NodeStatus {
        let routing = self.shared.routing.borrow().clone();
        let policy = self.shared.policy.borrow().clone();
        let own = self.shared.blocks.borrow().clone();
        let peers = self.peer_list().await;
        let ipv4 = routing.addresses.ipv4.map(|chosen| (chosen.address.to_string(), chosen.reason));
        let ipv6 = routing.addresses.ipv6.map(|chosen| (chosen.address.to_string(), chosen.reason));
        let addresses = ipv4.into_iter().chain(ipv6);
        NodeStatus {
            node: self.node_name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_secs: self.started.elapsed().as_secs(),
            asn: routing.asn,
            router_id: routing.router_id,
            addresses: addresses.map(|(address, reason)| AddressStatus { address, reason }).collect(),
            originated: own.blocks.iter().map(ToString::to_string).collect(),
            peers_established: peers.iter().filter(|peer| peer.state == bgp_status::ESTABLISHED).count(),
            peers_configured: peers.len(),
            endpoints: self.shared.endpoints.borrow().by_interface.len(),
            policies: policy.policies,
            conditions: self.conditions(),
        }
    }

    /// What works and what does not, and why.
    pub fn conditions(&self) -> Vec<ConditionStatus> {
        let routing = self.shared.routing.borrow().clone();
        let policy = self.shared.policy.borrow().clone();
        let endpoints_in_sync = self.shared.endpoints.borrow().in_sync;
        let condition = |name: &str, problem: Option<String>, fine: &str| ConditionStatus {
            name: name.to_owned(),
            holds: problem.is_none(),
            message: problem.unwrap_or_else(|| fine.to_owned()),
        };
        let listed = |problems: &[crate::config::Problem]| {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        };
        let routing_problem =
            listed(&routing.problems).or((!routing.in_sync).then(|| "waiting for the API server".to_owned()));
        let addresses_problem =
            (!endpoints_in_sync).then(|| "waiting for the blocks and pods of this node".to_owned());
        let policy_problem = policy
            .kernel_error
            .or(listed(&policy.problems))
            .or((!policy.in_sync).then(|| "waiting for the API server".to_owned()));
        vec![
            condition("Routing", routing_problem, "all BGP objects are obeyed"),
            condition("Addresses", addresses_problem, "pods get addresses"),
            condition("Policy", policy_problem, "all policies are in the kernel"),
        ]
    }
}
