//! The control socket: `tortiectl`'s questions about a router, answered from memory.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, net::UnixStream as StdUnixStream},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use api::control::{ConditionStatus, MESSAGE_LENGTH_MAX, NodeStatus, PeerStatus, Reply, Request};
use bgp::driver::{Handle, Stopped};
use felix::kernel::route_writer::RouteWriter;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::file::RouterFile;
use crate::{bgp_status, logging::LogLevel};

/// How many clients are served at a time.
const CLIENTS_MAX: usize = 16;
/// How long a client may take over a question, or over taking its answer.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest question in bytes; they are all short.
const QUESTION_LENGTH_MAX: u32 = 64 * 1024;

/// What answers are made of.
pub(super) struct ControlContext {
    pub(super) started: Instant,
    pub(super) file: Arc<watch::Sender<RouterFile>>,
    pub(super) handle: Handle,
    pub(super) writer: Option<RouteWriter>,
    pub(super) log_level: LogLevel,
}

/// The questions that only a router answers.
#[derive(Deserialize)]
#[serde(tag = "show", rename_all = "kebab-case")]
enum OwnRequest {
    /// The speaker's own status, with everything that it knows of its sessions.
    Status,
}

/// Makes the socket, for its owner alone.
///
/// # Errors
/// Another router answers on it, or it cannot be made there.
pub(super) fn listen(path: &Path) -> Result<UnixListener> {
    let name = || format!("--socket {}", path.display());
    if StdUnixStream::connect(path).is_ok() {
        return Err(anyhow!("{}: another router answers there; stop it or name another socket", name()));
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(name)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(name),
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(name)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(name)?;
    Ok(listener)
}

/// Serves clients until `ending`.
///
/// # Errors
/// None at present: a client that sends garbage costs its own connection alone.
pub(super) async fn serve(
    context: Arc<ControlContext>,
    listener: UnixListener,
    ending: CancellationToken,
) -> Result<()> {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let mut clients = JoinSet::new();
    loop {
        let place = tokio::select! {
            // Cancel-safe: no place was taken, no connection accepted.
            place = Arc::clone(&places).acquire_owned() => place?,
            () = ending.cancelled() => break,
        };
        let accepted = tokio::select! {
            // Cancel-safe: a connection that is not accepted stays in the backlog.
            accepted = listener.accept() => accepted,
            () = ending.cancelled() => break,
        };
        while clients.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else { continue };
        let context = Arc::clone(&context);
        clients.spawn(async move {
            let _ = serve_client(&context, stream).await;
            drop(place);
        });
    }
    clients.shutdown().await;
    Ok(())
}

async fn serve_client(context: &ControlContext, mut stream: UnixStream) -> io::Result<()> {
    while let Some(question) = timeout(CLIENT_TIME_MAX, read_question(&mut stream)).await?? {
        let answer = context.answer(&question).await?;
        let length = u32::try_from(answer.len()).ok().filter(|length| *length <= MESSAGE_LENGTH_MAX);
        let length = length.ok_or_else(|| io::Error::other("the answer is too long"))?;
        timeout(CLIENT_TIME_MAX, async {
            stream.write_all(&length.to_be_bytes()).await?;
            stream.write_all(&answer).await
        })
        .await??;
    }
    Ok(())
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
    let mut question = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut question).await?;
    Ok(Some(question))
}

fn encode<T: Serialize>(value: Result<T, Stopped>) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&match value {
        Ok(value) => Reply::Value(value),
        Err(error) => Reply::Error(error.to_string()),
    })
}

fn refuse(why: String) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Reply::<()>::Error(why))
}

impl ControlContext {
    async fn answer(&self, question: &[u8]) -> serde_json::Result<Vec<u8>> {
        if let Ok(OwnRequest::Status) = serde_json::from_slice(question) {
            return encode(self.handle.status().await);
        }
        match serde_json::from_slice(question) {
            Ok(Request::Node) => encode(self.node().await),
            Ok(Request::Peers) => encode(self.peers().await),
            Ok(Request::Routes) => {
                encode(self.handle.routes().await.map(|routes| bgp_status::routes(&routes)))
            }
            Ok(Request::LogLevel { level }) => match self.log_level.set(&level) {
                Ok(()) => {
                    info!(level, "log level changed");
                    encode(Ok(level))
                }
                Err(error) => refuse(format!("{error:#}")),
            },
            Ok(Request::Ipam | Request::Policy { .. }) => {
                refuse("this is a router, which has no pods; ask a node".to_owned())
            }
            Err(error) => refuse(format!("the question is not understood: {error}")),
        }
    }

    async fn peers(&self) -> Result<Vec<PeerStatus>, Stopped> {
        Ok(bgp_status::peers(&self.handle.status().await?))
    }

    async fn node(&self) -> Result<NodeStatus, Stopped> {
        let peers = self.peers().await?;
        let file = self.file.borrow().clone();
        Ok(NodeStatus {
            node: nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_secs: self.started.elapsed().as_secs(),
            asn: file.speaker.asn,
            router_id: file.speaker.router_id.to_string(),
            originated: file.originate.keys().map(ToString::to_string).collect(),
            peers_established: peers.iter().filter(|peer| peer.state == bgp_status::ESTABLISHED).count(),
            peers_configured: peers.len(),
            conditions: vec![self.routing()],
            ..NodeStatus::default()
        })
    }

    /// Whether the kernel has all routes.
    fn routing(&self) -> ConditionStatus {
        let pending = self.writer.as_ref().map(|writer| writer.status().pending).unwrap_or_default();
        let texts: Vec<String> =
            pending.iter().map(|(key, reason)| format!("{}: {reason}", key.prefix)).collect();
        let fine = if self.writer.is_some() {
            "all routes are in the kernel"
        } else {
            "no kernel routes are asked for"
        };
        ConditionStatus {
            name: "Routing".to_owned(),
            holds: texts.is_empty(),
            message: if texts.is_empty() { fine.to_owned() } else { texts.join("; ") },
        }
    }
}
