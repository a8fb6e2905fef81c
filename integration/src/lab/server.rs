//! The API server of a lab: the embedded one, or a real kube-apiserver with etcd in its place.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;

use super::error::LabError;
use super::topology::ApiKind;
use crate::apiserver::ApiServer;
use crate::kube::KubeServer;
use crate::serving::ServingThread;

/// Starts the server; the real one keeps its data and logs in `directory` and is built first if this machine has not
/// built it yet. Both serve the same listeners by plain HTTP.
pub(super) async fn start(
    kind: ApiKind,
    listeners: Vec<TcpListener>,
    directory: PathBuf,
) -> Result<ServingThread, LabError> {
    if kind == ApiKind::Embedded {
        return Ok(ApiServer::start(listeners)?.into_thread());
    }
    let start = move || {
        std::fs::create_dir_all(&directory)?;
        KubeServer::start(listeners, &directory, |what| tracing::info!("{what}"))
    };
    let started = tokio::task::spawn_blocking(start).await.map_err(io::Error::other)?;
    Ok(started.map_err(io::Error::other)?.into_thread())
}
