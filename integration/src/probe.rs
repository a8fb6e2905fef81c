//! Reachability by real packets: from x to x port -> allowed.
//!
//! ```text
//! Job --> prober process in x's namespace --nonce--> server process in x's namespace
//!           Answer <-- nonce, its name, the address it saw --'
//! ```
//!
//! Both ends are processes of their own in the namespaces. Only an answer that carries the nonce of
//! its question counts, so nothing can be answered from a model or by a stale packet.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub mod client;
mod datagram;
pub mod matrix;
pub mod sctp;
pub mod server;
pub mod traffic;

/// How long a question waits for its answer, in milliseconds, unless told otherwise. A packet that
/// is allowed takes well below one; the rest is for a machine under load.
pub const TIMEOUT_MILLIS: u64 = 1000;

/// The transport that carries a question.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// A connection, a line each way.
    Tcp,
    /// A datagram each way, repeated.
    Udp,
    /// INIT and INIT ACK by raw sockets; the kernel needs no SCTP for it.
    Sctp,
}

/// IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "4")]
    Ipv4,
    /// IPv6.
    #[serde(rename = "6")]
    Ipv6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

/// Who asks or is asked: `namespace/pod`, `node:NAME`, `external:NAME` or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// A pod.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A node's own network.
    Node(String),
    /// A host beyond the routers.
    External(String),
    /// Whoever has this address; can only be asked.
    Address(IpAddr),
}

/// Text that names no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is none of namespace/pod, node:NAME, external:NAME, or an address")]
pub struct EndpointError(String);

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let error = || EndpointError(text.into());
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let named = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        if let Some(name) = text.strip_prefix("node:") {
            return named(name).map(Self::Node).ok_or_else(error);
        }
        if let Some(name) = text.strip_prefix("external:") {
            return named(name).map(Self::External).ok_or_else(error);
        }
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self::Pod { namespace: namespace.into(), name: name.into() })
            }
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::Node(name) => write!(f, "node:{name}"),
            Self::External(name) => write!(f, "external:{name}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// A question between two endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who asks.
    pub from: Endpoint,
    /// Who is asked.
    pub to: Endpoint,
    /// The port asked on.
    pub port: u16,
    /// The transport.
    pub protocol: Protocol,
    /// Which of the asked one's addresses; its first when none.
    pub family: Option<Family>,
    /// How long to wait, in milliseconds.
    pub timeout_millis: u64,
}

impl Question {
    /// By TCP, the first address, the usual patience.
    pub fn new(from: Endpoint, to: Endpoint, port: u16) -> Self {
        Self { from, to, port, protocol: Protocol::Tcp, family: None, timeout_millis: TIMEOUT_MILLIS }
    }
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Whether the asked one's answer came back.
    pub allowed: bool,
    /// Who asked.
    pub from: String,
    /// Who was asked.
    pub to: String,
    /// Which family carried it; none when the question could not be put.
    pub family: Option<Family>,
    /// The transport.
    pub protocol: Protocol,
    /// From the question to the answer or to giving up, in milliseconds.
    pub millis: f64,
    /// Why not, or who answered.
    pub reason: String,
    /// The address by which the asked one knows the asking one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_as: Option<IpAddr>,
}

/// A question as the prober process gets it: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Returned with the answer.
    pub id: usize,
    /// Whom to ask.
    pub address: IpAddr,
    /// On which port.
    pub port: u16,
    /// How.
    pub protocol: Protocol,
    /// For how long at most, in milliseconds.
    pub timeout_millis: u64,
}

/// What the prober process says: one line of JSON for each job, in the order in which they end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The job's.
    pub id: usize,
    /// Time from question to end, in milliseconds.
    pub millis: f64,
    /// What happened.
    pub outcome: Outcome,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The nonce came back.
    Answered {
        /// The server's name.
        by: String,
        /// The asking address as the server saw it.
        seen_as: Option<IpAddr>,
    },
    /// Somebody refused: RST, or port unreachable.
    Refused,
    /// A router or the own kernel had no way.
    Unreachable(String),
    /// Nothing came.
    Silent,
    /// The question could not be put.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_read_as_they_print() {
        let cases = [
            ("default/web", Ok("default/web")),
            ("node:node-1", Ok("node:node-1")),
            ("external:internet", Ok("external:internet")),
            ("10.244.0.7", Ok("10.244.0.7")),
            ("fd00:10::7", Ok("fd00:10::7")),
            ("web", Err(())),
            ("node:", Err(())),
            ("a/b/c", Err(())),
            ("/web", Err(())),
            ("", Err(())),
        ];
        for (text, expected) in cases {
            let found = text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
            assert_eq!(found.as_deref().map_err(|_| ()), expected, "{text:?}");
        }
    }
}
