//! `tortie-node`: builds the compartments, joins them all.

use std::process::ExitCode;

use clap::Parser;
use node::{args::Args, daemon, logging};

fn main() -> ExitCode {
    let args = Args::parse();
    let log_level = match logging::start(args.log_format, &args.log_level) {
        Ok(log_level) => log_level,
        Err(error) => {
            eprintln!("tortie-node: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    match daemon::run(args, log_level) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                cause = format!("{error:#}"),
                "the daemon ends; the kernel keeps routes and policy"
            );
            ExitCode::FAILURE
        }
    }
}
