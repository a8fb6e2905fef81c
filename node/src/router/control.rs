//! The control socket: `tortiectl`'s questions about a router, answered from memory.

use std::{sync::Arc, time::Instant};

use api::control::{ConditionStatus, NodeStatus, PeerStatus, Reply, Request};
use bgp::driver::{Handle, Stopped};
use felix::kernel::route_writer::RouteWriter;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::info;

use super::file::RouterFile;
use crate::{bgp_status, control_socket::Answers, logging::LogLevel};

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

fn encode<T: Serialize>(value: Result<T, Stopped>) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&match value {
        Ok(value) => Reply::Value(value),
        Err(error) => Reply::Error(error.to_string()),
    })
}

fn refuse(why: String) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Reply::<()>::Error(why))
}

impl Answers for ControlContext {
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
}

impl ControlContext {
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
