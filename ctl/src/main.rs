//! `tortiectl`: asks a node's daemon over its control socket.

use std::process::ExitCode;

use clap::Parser;

#[expect(clippy::print_stdout, reason = "the answer belongs on standard output")]
fn main() -> ExitCode {
    let args = ctl::args::Args::parse();
    match ctl::run::run(&args) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
