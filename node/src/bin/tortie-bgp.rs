//! `tortie-bgp`: a BGP router from a TOML file.

use std::process::ExitCode;

use clap::Parser;
use node::{
    logging,
    router::{self, args::Args},
};

fn main() -> ExitCode {
    let args = Args::parse();
    let log_level = match logging::start(args.log_format, &args.log_level) {
        Ok(log_level) => log_level,
        Err(error) => {
            eprintln!("tortie-bgp: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    match router::run(args, log_level) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(cause = format!("{error:#}"), "the router ends; the kernel keeps its routes");
            ExitCode::FAILURE
        }
    }
}
