//! The command line of `tortie-bgp`.

use std::path::PathBuf;

use clap::Parser;

use crate::logging::LogFormat;

/// A BGP router from a file: the speaker of Tortie outside a cluster, as a ToR or a route reflector.
#[derive(Clone, Debug, Parser)]
#[command(name = "tortie-bgp", version)]
pub struct Args {
    /// The TOML file; SIGHUP reads it again.
    #[arg(long)]
    pub config: PathBuf,

    /// Where questions are answered; `tortiectl --socket` asks there.
    #[arg(long, default_value = "/run/tortie-bgp/control.sock")]
    pub socket: PathBuf,

    /// At the end, tell the neighbors to forget our routes and remove ours from the kernel. Without
    /// it both stay for a graceful restart.
    #[arg(long)]
    pub cleanup_on_exit: bool,

    /// Form of the log lines.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged: a level, or levels by module such as `info,bgp=debug`.
    #[arg(long, default_value = "info")]
    pub log_level: String,
}
