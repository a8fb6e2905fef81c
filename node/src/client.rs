//! The way to the API server.

use std::path::Path;

use anyhow::{Context, Result};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// A client by this kubeconfig file, or by the pod's service account without one.
///
/// # Errors
/// A file that cannot be read or understood; no service account. No server is asked yet.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client> {
    let config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("kubeconfig {} cannot be read", path.display()))?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("kubeconfig {}", path.display()))?
        }
        None => Config::incluster().context("no --kubeconfig and no service account in this pod")?,
    };
    Client::try_from(config).context("no client for the API server")
}
