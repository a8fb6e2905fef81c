//! The command line.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// State of a Tortie node, with the reason for it.
#[derive(Clone, Debug, Parser)]
#[command(name = "tortiectl", version)]
pub struct Args {
    /// Control socket of the daemon.
    #[arg(long, global = true, env = "TORTIE_SOCKET", default_value = api::names::CONTROL_SOCKET)]
    pub socket: PathBuf,

    /// Form of the answer.
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,

    /// What to ask.
    #[command(subcommand)]
    pub command: Command,
}

/// Form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Aligned columns.
    Table,
    /// JSON, with every field that the daemon sent.
    Json,
}

/// What to ask.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// The node as a whole.
    #[command(subcommand)]
    Node(NodeCommand),
    /// Sessions and routes.
    #[command(subcommand)]
    Bgp(BgpCommand),
    /// Blocks and addresses.
    #[command(subcommand)]
    Ipam(IpamCommand),
    /// Network policy.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// What the daemon logs.
    #[command(subcommand)]
    Log(LogCommand),
}

/// The node as a whole.
#[derive(Clone, Debug, Subcommand)]
pub enum NodeCommand {
    /// Addresses, counts, and what works or does not.
    Status,
}

/// Sessions and routes.
#[derive(Clone, Debug, Subcommand)]
pub enum BgpCommand {
    /// Every session: state, uptime, prefixes, last error.
    Peers,
    /// Everything about one session: terms, counts, and the last errors of both sides.
    Peer {
        /// The peer's name or address.
        peer: String,
    },
    /// Every prefix with all its paths, and why each is used or not.
    Routes,
    /// The route that packets to an address take, or a prefix: every path, and why it is used or not.
    Why {
        /// An address, or a prefix such as `10.0.0.0/8`.
        destination: String,
    },
}

/// Blocks and addresses.
#[derive(Clone, Debug, Subcommand)]
pub enum IpamCommand {
    /// The node's blocks and who holds their addresses.
    Show,
}

/// Network policy.
#[derive(Clone, Debug, Subcommand)]
pub enum PolicyCommand {
    /// What is in force for one pod of this node.
    Show(PodArgs),
}

/// What the daemon logs.
#[derive(Clone, Debug, Subcommand)]
pub enum LogCommand {
    /// Changes it while the daemon runs: `info`, `debug`, `info,bgp=debug`.
    Level {
        /// The new level.
        level: String,
    },
}

/// A pod by name.
#[derive(Clone, Debug, ClapArgs)]
pub struct PodArgs {
    /// The pod's name, or `namespace/name`.
    pub pod: String,
    /// The pod's namespace.
    #[arg(long, short, default_value = "default")]
    pub namespace: String,
}

impl PodArgs {
    /// Namespace and name.
    pub fn key(&self) -> (String, String) {
        match self.pod.split_once('/') {
            Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
            None => (self.namespace.clone(), self.pod.clone()),
        }
    }
}
