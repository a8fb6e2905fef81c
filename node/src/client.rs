//! The way to the API server.

use std::path::Path;

use anyhow::{Context, Result};
use api::server::ApiServer;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// A client by this kubeconfig file, or by the pod's service account without one; then at this server, or at the
/// Service's address if none is given.
///
/// # Errors
/// A file that cannot be read or understood; no service account. No server is asked yet.
pub async fn connect(kubeconfig: Option<&Path>, server: &ApiServer) -> Result<Client> {
    let config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("kubeconfig {} cannot be read", path.display()))?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("kubeconfig {}", path.display()))?
        }
        None => in_cluster(server).context("no --kubeconfig and no service account in this pod")?,
    };
    Client::try_from(config).context("no client for the API server")
}

/// Token and certificate authority of the pod's service account.
fn in_cluster(server: &ApiServer) -> Result<Config> {
    let Some(url) = server.url() else { return Ok(Config::incluster()?) };
    let mut config = Config::incluster_dns()?;
    config.cluster_url = url.parse().with_context(|| format!("--api-server {url}"))?;
    Ok(config)
}
