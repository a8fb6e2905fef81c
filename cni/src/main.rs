//! `tortie-cni`: reads the environment and standard input, carries one verb out, prints the result.
//!
//! Started by the container runtime for every verb, so it is small: no async runtime, no credentials
//! of the API, one round trip to the daemon.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use cni::request::{self, Arguments, Command, Configuration, Target};
use cni::response::{CniError, CniVersion, ErrorCode};
use serde_json::Value;

/// Longest network configuration in bytes. The largest is GC's, with every attachment of the node.
const CONFIGURATION_LENGTH_MAX: u64 = 4 << 20;

fn main() -> ExitCode {
    let stdin = read_stdin();
    let known = stdin.as_deref().map_or(CniVersion::NEWEST, request::version_for_errors);
    match stdin.and_then(|stdin| run(&stdin)) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(result)) => print(&result, ExitCode::SUCCESS),
        Err(error) => print(&error.to_json(known), ExitCode::FAILURE),
    }
}

/// What one verb prints, if it prints anything.
fn run(stdin: &[u8]) -> Result<Option<Value>, CniError> {
    let variable = |name: &str| std::env::var(name).ok();
    let command = Command::read(variable)?;
    if command == Command::Version {
        // It may come without a valid configuration.
        return Ok(Some(cni::version::run(stdin)));
    }
    let configuration = Configuration::read(stdin, command)?;
    let target = || Target::read(&configuration.network, variable);
    match command {
        Command::Version => Ok(Some(cni::version::run(stdin))),
        Command::Add => {
            let added = cni::add::run(&configuration, &target()?, Arguments::read(variable)?)?;
            Ok(Some(added.to_json(configuration.version)))
        }
        Command::Del => {
            done(cni::del::run(&configuration, &request::attachment(&configuration.network, variable)?))
        }
        Command::Check => done(cni::check::run(&configuration, &target()?)),
        Command::Gc => done(cni::gc::run(&configuration)),
        Command::Status => done(cni::status::run(&configuration)),
    }
}

/// A verb that prints nothing when it went well.
fn done(result: Result<(), CniError>) -> Result<Option<Value>, CniError> {
    result.map(|()| None)
}

fn read_stdin() -> Result<Vec<u8>, CniError> {
    let mut bytes = Vec::new();
    let limited = io::stdin().lock().take(CONFIGURATION_LENGTH_MAX + 1).read_to_end(&mut bytes);
    limited.map_err(|error| {
        CniError::new(ErrorCode::IO_FAILURE, "standard input cannot be read").with_details(error.to_string())
    })?;
    if bytes.len() as u64 > CONFIGURATION_LENGTH_MAX {
        return Err(CniError::new(ErrorCode::DECODING_FAILURE, "the network configuration is too long")
            .with_details(format!("at most {CONFIGURATION_LENGTH_MAX} bytes are read")));
    }
    Ok(bytes)
}

fn print(object: &Value, code: ExitCode) -> ExitCode {
    // A runtime that does not listen any more sees the closed pipe itself.
    match writeln!(io::stdout().lock(), "{object}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
