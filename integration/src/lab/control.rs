//! What the command line and a lab's supervisor say to each other: one line of JSON each way.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::topology::Shape;
use crate::probe::{Family, Protocol};

/// The socket's name in the lab's directory.
pub const SOCKET: &str = "control.sock";
/// Longest request that the supervisor reads, in bytes: two names and a few numbers.
pub const REQUEST_BYTES_MAX: u64 = 4096;

/// What the command line asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// What runs.
    Status,
    /// The process that holds an endpoint's namespaces.
    Locate {
        /// The endpoint as text.
        endpoint: String,
    },
    /// A real packet.
    Probe {
        /// Who asks.
        from: String,
        /// Who is asked.
        to: String,
        /// On which port.
        port: u16,
        /// How.
        protocol: Protocol,
        /// By which family.
        family: Option<Family>,
        /// How long to wait, in milliseconds.
        timeout_millis: u64,
    },
    /// End of the lab. The connection is closed when all has ended.
    Down,
}

/// The supervisor's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply<T> {
    /// What was asked for.
    Value(T),
    /// Why not.
    Error(String),
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The supervisor's process.
    pub supervisor: u32,
    /// The lab's shape.
    pub shape: Shape,
    /// The kubeconfig file.
    pub kubeconfig: PathBuf,
    /// The nodes.
    pub nodes: Vec<NodeLine>,
    /// The routers.
    pub routers: Vec<RouterLine>,
    /// The pods.
    pub pods: Vec<PodLine>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLine {
    /// Its name.
    pub name: String,
    /// Its rack.
    pub rack: String,
    /// Its autonomous system.
    pub asn: u32,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The process that holds its namespaces.
    pub holder: Option<u32>,
    /// The process of its daemon.
    pub daemon: Option<u32>,
}

/// One router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterLine {
    /// Its name.
    pub name: String,
    /// Its autonomous system.
    pub asn: u32,
    /// Its address.
    pub address: String,
    /// The process that holds its namespaces.
    pub holder: Option<u32>,
    /// Its control socket.
    pub socket: PathBuf,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodLine {
    /// Namespace and name.
    pub name: String,
    /// Its node.
    pub node: String,
    /// Its addresses.
    pub addresses: Vec<String>,
}

/// Where an endpoint's namespaces are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The supervisor, whose user namespace all others belong to.
    pub supervisor: u32,
    /// The process in the namespaces.
    pub process: u32,
}

/// Asks the supervisor of the lab in that directory.
///
/// # Errors
/// When no lab runs there, or with the supervisor's own words.
pub fn ask<T: DeserializeOwned>(directory: &Path, request: &Request) -> io::Result<T> {
    let mut line = String::new();
    BufReader::new(send(directory, request)?).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the lab ended before it answered"));
    }
    match serde_json::from_str(&line)? {
        Reply::Value(value) => Ok(value),
        Reply::Error(text) => Err(io::Error::other(text)),
    }
}

/// Ends the lab in that directory and waits until it has ended.
///
/// # Errors
/// When no lab runs there.
pub fn down(directory: &Path) -> io::Result<()> {
    let mut stream = send(directory, &Request::Down)?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

fn send(directory: &Path, request: &Request) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(directory.join(SOCKET)).map_err(|_| {
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        let text = format!("no lab '{name}' runs: start it with `cargo lab up --name {name}`");
        io::Error::new(io::ErrorKind::NotFound, text)
    })?;
    writeln!(stream, "{}", serde_json::to_string(request)?)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_as_they_are_written() {
        let probe = Request::Probe {
            from: "default/a".into(),
            to: "node:node-1".into(),
            port: 80,
            protocol: Protocol::Sctp,
            family: Some(Family::Ipv6),
            timeout_millis: 300,
        };
        for request in [Request::Status, Request::Locate { endpoint: "a/b".into() }, probe, Request::Down] {
            let text = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request, "{text}");
        }
    }
}
