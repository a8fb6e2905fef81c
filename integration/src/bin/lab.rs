//! `cargo lab`: whole routed clusters on this machine. See `integration::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    integration::cli::main()
}
