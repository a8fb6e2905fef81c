//! Answers the command line until the lab shall end: by request, or by a signal.

use std::io;
use std::sync::Arc;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use super::Lab;
use super::control::{Location, NodeLine, PodLine, REQUEST_BYTES_MAX, Reply, Request, RouterLine, Status};
use super::topology::{Space, rack_name};
use crate::probe::{Endpoint, Question};

/// Command lines that are served at once; more wait in the socket's backlog.
const CLIENTS_MAX: usize = 64;

/// The signals that end a lab.
#[derive(Debug)]
pub struct EndSignals([Signal; 3]);

impl EndSignals {
    /// From now on these signals no longer kill the process.
    ///
    /// # Errors
    /// When the runtime has no signal driver.
    pub fn catch() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    /// Returns when one of them has come. Cancel-safe.
    pub async fn come(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// What a supervisor owns: it answers the command line, and can be ended.
pub trait Served: Send + Sync + 'static {
    /// The reply to a request, as a line of JSON.
    fn answer(&self, request: Request) -> impl Future<Output = String> + Send;

    /// Ends all of it, in order.
    fn end(self) -> impl Future<Output = ()> + Send;
}

impl Served for Lab {
    async fn answer(&self, request: Request) -> String {
        carry_out(self, request).await
    }

    async fn end(self) {
        Self::end(self).await;
    }
}

/// Serves until a request or a signal ends the lab, ends it, and only then lets go of the asker.
pub async fn serve<L: Served>(lab: L, listener: &UnixListener, signals: &mut EndSignals) {
    let lab = Arc::new(lab);
    let mut clients = JoinSet::new();
    let asker = loop {
        // Cancel-safe, all three: a connection, a finished client and a signal stay until taken.
        tokio::select! {
            accepted = listener.accept(), if clients.len() < CLIENTS_MAX => {
                if let Ok((stream, _)) = accepted {
                    clients.spawn(answer(lab.clone(), stream));
                }
            }
            Some(client) = clients.join_next() => {
                if let Ok(Some(asker)) = client {
                    break Some(asker);
                }
            }
            () = signals.come() => break None,
        }
    };
    clients.shutdown().await;
    if let Some(lab) = Arc::into_inner(lab) {
        lab.end().await;
    }
    drop(asker);
}

/// The connection back if it asked for the end.
async fn answer<L: Served>(lab: Arc<L>, mut stream: UnixStream) -> Option<UnixStream> {
    let mut line = String::new();
    let (reader, _) = stream.split();
    BufReader::new(reader.take(REQUEST_BYTES_MAX)).read_line(&mut line).await.ok()?;
    let reply = match serde_json::from_str(&line) {
        Ok(Request::Down) => return Some(stream),
        Ok(request) => lab.answer(request).await,
        Err(error) => text::<()>(Err(format!("request not understood: {error}"))),
    };
    let _ = stream.write_all(reply.as_bytes()).await;
    None
}

async fn carry_out(lab: &Lab, request: Request) -> String {
    match request {
        Request::Status => text(Ok(status(lab))),
        Request::Locate { endpoint } => text(locate(lab, &endpoint)),
        Request::Probe { from, to, port, protocol, family, timeout_millis } => {
            let question = from.parse().and_then(|from| {
                Ok(Question { from, to: to.parse()?, port, protocol, family, timeout_millis })
            });
            match question {
                Ok(question) => text(lab.probe(&question).await.map_err(|error| error.to_string())),
                Err(error) => text::<()>(Err(error.to_string())),
            }
        }
        Request::Down => String::new(),
    }
}

pub(crate) fn text<T: Serialize>(outcome: Result<T, String>) -> String {
    let reply = match outcome {
        Ok(value) => Reply::Value(value),
        Err(text) => Reply::Error(text),
    };
    serde_json::to_string(&reply).unwrap_or_default() + "\n"
}

fn locate(lab: &Lab, endpoint: &str) -> Result<Location, String> {
    let endpoint: Endpoint = endpoint.parse().map_err(|error| format!("{error}"))?;
    let process = lab.process_of(&endpoint).map_err(|error| error.to_string())?;
    Ok(locate_line(process))
}

/// Where that process is, seen from here.
pub(crate) fn locate_line(process: u32) -> Location {
    Location { supervisor: std::process::id(), process }
}

fn status(lab: &Lab) -> Status {
    let underlay = lab.underlay();
    let topology = underlay.topology();
    let nodes = topology.nodes.iter().map(|node| NodeLine {
        name: node.name.clone(),
        rack: rack_name(node.rack),
        asn: node.asn,
        addresses: vec![node.ipv4.to_string(), node.ipv6.to_string()],
        holder: underlay.holder(&Space::Node(node.name.clone())),
        daemon: lab.daemon_pid(&node.name).ok().flatten(),
    });
    let routers = topology.routers.iter().map(|router| RouterLine {
        name: router.name.clone(),
        asn: router.asn,
        address: router.address.to_string(),
        holder: underlay.holder(&Space::Router(router.name.clone())),
        socket: underlay.router_socket(&router.name),
    });
    let pods = lab.pods().into_iter().map(|(name, node, addresses)| PodLine {
        name: name.to_string(),
        node,
        addresses: addresses.iter().map(ToString::to_string).collect(),
    });
    Status {
        supervisor: std::process::id(),
        shape: topology.shape.clone(),
        kubeconfig: lab.kubeconfig().into(),
        nodes: nodes.collect(),
        routers: routers.collect(),
        pods: pods.collect(),
    }
}
