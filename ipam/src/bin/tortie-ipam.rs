//! The IPAM service: gives address blocks to nodes and takes them back.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use api::server::ApiServer;
use clap::{Parser, ValueEnum};
use ipam::service::{self, Options, Pages};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing_subscriber::EnvFilter;

/// Gives address blocks to nodes and takes them back. Run two replicas: one leads.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// File with the API server's address and credentials; without it `KUBECONFIG`, the default
    /// file, or a pod's own credentials are used.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// HOST, HOST:PORT or URL of the API server in place of the Service's address, so that no kube-proxy is needed
    /// to reach it; empty for none. A kubeconfig file says it itself.
    #[arg(long, env = "TORTIE_API_SERVER", default_value = "", hide_default_value = true)]
    api_server: ApiServer,
    /// Namespace of the Lease and of the `ConfigMap` `tortie-config`.
    #[arg(long, default_value = api::names::NAMESPACE)]
    namespace: String,
    /// Name of this replica, which no other one may have; by default the host's name and a number.
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
    /// Where /healthz, /readyz and /metrics are served; nowhere if it is not given.
    #[arg(long)]
    http_address: Option<SocketAddr>,
    /// Form of the log.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Level of the log, as `info` or `ipam=debug,kube=warn`.
    #[arg(long, default_value = "info")]
    log_level: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    start_log(&arguments)?;
    let client = client(arguments.kubeconfig.as_ref(), &arguments.api_server).await?;
    let pages = match arguments.http_address {
        Some(address) => Some(Pages::at(address).await.with_context(|| format!("--http-address {address}"))?),
        None => None,
    };
    let identity = arguments.identity.unwrap_or_else(own_name);
    info!(identity, namespace = arguments.namespace, "tortie-ipam starts");
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(shutdown.clone())?);
    let options = Options { namespace: arguments.namespace, identity };
    let outcome = service::run(client, options, pages, shutdown.clone()).await;
    shutdown.cancel();
    signals.await?;
    outcome
}

fn start_log(arguments: &Arguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log_level)
        .with_context(|| format!("--log-level {}: write a level like info", arguments.log_level))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let log = log.with_ansi(std::io::stderr().is_terminal());
    match arguments.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

async fn client(kubeconfig: Option<&PathBuf>, server: &ApiServer) -> anyhow::Result<Client> {
    let config = match (kubeconfig, server.url()) {
        (Some(path), _) => {
            let file =
                Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        (None, Some(url)) => {
            let mut config = Config::incluster_dns().context("--api-server needs a pod's credentials")?;
            config.cluster_url = url.parse().with_context(|| format!("--api-server {url}"))?;
            config
        }
        (None, None) => {
            Config::infer().await.context("no kubeconfig and no pod credentials found; give --kubeconfig")?
        }
    };
    Ok(Client::try_from(config)?)
}

/// A name that no other replica has: host names are unique within a cluster, process numbers
/// within a host.
fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

fn cancel_on_signal(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        // All arms are cancel-safe.
        tokio::select! {
            _ = terminate.recv() => info!("stops on SIGTERM"),
            _ = interrupt.recv() => info!("stops on SIGINT"),
            () = shutdown.cancelled() => {}
        }
        shutdown.cancel();
    })
}
