//! The API server of a lab: the embedded one, or a real kube-apiserver with etcd in its place.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;

use super::error::LabError;
use super::topology::ApiKind;
use crate::apiserver::ApiServer;
use crate::kube::KubeServer;

/// One of the two; both serve the same listeners by plain HTTP.
pub(super) enum Server {
    Embedded(ApiServer),
    Etcd(KubeServer),
}

impl Server {
    /// Starts the server; the real one keeps its data and logs in `directory` and is built first if this machine
    /// has not built it yet.
    pub(super) async fn start(
        kind: ApiKind,
        listeners: Vec<TcpListener>,
        directory: PathBuf,
    ) -> Result<Self, LabError> {
        if kind == ApiKind::Embedded {
            return Ok(Self::Embedded(ApiServer::start(listeners)?));
        }
        let start = move || {
            std::fs::create_dir_all(&directory)?;
            KubeServer::start(listeners, &directory, |what| tracing::info!("{what}"))
        };
        let started = tokio::task::spawn_blocking(start).await.map_err(io::Error::other)?;
        Ok(Self::Etcd(started.map_err(io::Error::other)?))
    }

    /// Makes the server as good as down, or ends that.
    pub(super) fn set_outage(&self, is_out: bool) {
        match (self, is_out) {
            (Self::Embedded(server), true) => server.begin_outage(),
            (Self::Embedded(server), false) => server.end_outage(),
            (Self::Etcd(server), true) => server.begin_outage(),
            (Self::Etcd(server), false) => server.end_outage(),
        }
    }

    /// Stops it; blocks until it has ended.
    pub(super) fn stop(self) -> io::Result<()> {
        match self {
            Self::Embedded(server) => server.stop(),
            Self::Etcd(server) => server.stop(),
        }
    }
}
