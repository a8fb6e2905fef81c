//! The command line of `tortie-node`.

use std::{net::SocketAddr, path::PathBuf};

use api::server::ApiServer;
use clap::Parser;

use crate::logging::LogFormat;

/// The node daemon of Tortie: BGP, kernel routes, policy and addresses of one Kubernetes node.
#[derive(Clone, Debug, Parser)]
#[command(name = "tortie-node", version)]
pub struct Args {
    /// Name of this machine's Node object.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: String,

    /// Kubeconfig file; without it the service account of the pod is used.
    #[arg(long, env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,

    /// HOST, HOST:PORT or URL of the API server in place of the Service's address, so that no kube-proxy is needed
    /// to reach it; empty for none. A kubeconfig file says it itself.
    #[arg(long, env = "TORTIE_API_SERVER", default_value = "", hide_default_value = true)]
    pub api_server: ApiServer,

    /// Where the sockets are made.
    #[arg(long, default_value = "/run/tortie")]
    pub run_dir: PathBuf,

    /// Where the last-good snapshot is kept.
    #[arg(long, default_value = api::names::STATE_DIR)]
    pub state_dir: PathBuf,

    /// Where kernel settings are written: in a pod, whose own `/proc/sys` is read-only, the host's, mounted elsewhere.
    #[arg(long, default_value = "/proc/sys")]
    pub sysctl_dir: PathBuf,

    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, default_value = "127.0.0.1:9964")]
    pub http_address: SocketAddr,

    /// Where the container runtime looks for CNI plugins.
    #[arg(long, default_value = "/opt/cni/bin")]
    pub cni_bin_dir: PathBuf,

    /// Where the container runtime looks for the CNI configuration.
    #[arg(long, default_value = "/etc/cni/net.d")]
    pub cni_conf_dir: PathBuf,

    /// The root of the host's files, where /etc/systemd and /etc/NetworkManager are looked for: what they do to routes
    /// and interfaces is reported.
    #[arg(long, default_value = "/")]
    pub host_root: PathBuf,

    /// The plugin that is installed into the plugins' folder; without it none is installed.
    #[arg(long)]
    pub cni_plugin: Option<PathBuf>,

    /// Form of the log lines.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged: a level, or levels by module such as `info,bgp=debug`.
    #[arg(long, default_value = "info")]
    pub log_level: String,
}
