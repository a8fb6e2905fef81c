//! The command line of `cargo lab`.

#![allow(clippy::print_stdout, reason = "a command line tool speaks on stdout")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::lab::{directory, hold};
use crate::probe::{client, server, traffic};

/// Whole routed clusters on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", bin_name = "cargo lab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Holds the namespaces of a space.
    #[command(hide = true)]
    Hold(hold::Hold),
    /// Answers questions.
    #[command(hide = true)]
    Serve(server::Serve),
    /// Asks the questions that stdin holds.
    #[command(hide = true)]
    Ask,
    /// Sends traffic and counts.
    #[command(hide = true)]
    Traffic(traffic::Traffic),
    /// Removes a directory once stdin ends.
    #[command(hide = true)]
    Sweep {
        /// What to remove.
        path: PathBuf,
    },
}

/// Parses the arguments, does what they say, and reports failure in one line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Hold(arguments) => hold::hold(&arguments)?,
        Command::Sweep { path } => directory::sweep(&path)?,
        Command::Serve(arguments) => leaf_runtime()?.block_on(server::serve(arguments))?,
        Command::Ask => leaf_runtime()?.block_on(client::run())?,
        Command::Traffic(arguments) => leaf_runtime()?.block_on(traffic::run(arguments))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The runtime of the many small processes: one thread.
fn leaf_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
