//! How the TCP connection of a session is protected and how far it reaches.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::NeighborConfig;

/// The longest key that the kernel takes (`TCP_MD5SIG_MAXKEYLEN`).
pub const PASSWORD_BYTES_MAX: usize = 80;
/// What an internal neighbor is sent with: the default of the kernel and of RFC 1122.
const TTL_INTERNAL: u8 = 64;
/// What a connection with TTL security is sent with: no router on the way can make it so (RFC 5082 section 3).
const TTL_MAX: u8 = 255;

/// The key that both sides sign their segments with (RFC 2385). It never shows: neither in logs nor in answers.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// The password; whether it can be used is [`SpeakerConfig::check`](super::SpeakerConfig::check)'s to say.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its bytes, for the kernel.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Why a neighbor has no session although it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// An operator wants it; the neighbor is told this text (RFC 9003).
    Shutdown(String),
    /// Something that the session needs is missing; this stays with us.
    Missing(String),
}

impl Hold {
    /// What the neighbor may read.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Shutdown(text) => text,
            Self::Missing(_) => "",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown(text) if text.is_empty() => f.write_str("shut down by configuration"),
            Self::Shutdown(text) => write!(f, "shut down by configuration: {text}"),
            Self::Missing(what) => f.write_str(what),
        }
    }
}

/// What the sockets of a session are set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// The TTL or hop limit to send with.
    pub ttl: u8,
    /// Segments that arrive with less are dropped by the kernel (RFC 5082); none: all arrive.
    pub ttl_min: Option<u8>,
    /// The key that segments are signed with (RFC 2385).
    pub password: Option<Password>,
}

impl NeighborConfig {
    /// How to reach the neighbor; `is_ebgp` says whether it is in another AS. An external one is one hop away
    /// unless it is configured otherwise (RFC 4271 section 3).
    pub(crate) fn transport(&self, is_ebgp: bool) -> Transport {
        let ttl = match (self.ttl_security_hops, is_ebgp) {
            (Some(_), _) => TTL_MAX,
            (None, true) => self.ebgp_multihop.unwrap_or(1),
            (None, false) => TTL_INTERNAL,
        };
        // A packet from a direct neighbor has crossed no router: it arrives as it was sent.
        let ttl_min = self.ttl_security_hops.map(|hops| TTL_MAX.saturating_sub(hops.saturating_sub(1)));
        Transport { ttl, ttl_min, password: self.password.clone() }
    }
}
