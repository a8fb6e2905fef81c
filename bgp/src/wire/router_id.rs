//! The BGP Identifier.

use std::fmt;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The BGP Identifier of a speaker: any number but 0, unique within its AS (RFC 6286).
///
/// It is written as a dotted quad but need not be anyone's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RouterId(NonZeroU32);

/// The text is no BGP Identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no router ID; write four octets with dots, not all of them 0, such as 10.0.0.1")]
pub struct RouterIdError(String);

impl RouterId {
    /// The identifier with this value; none if it is 0.
    pub fn new(value: u32) -> Option<Self> {
        NonZeroU32::new(value).map(Self)
    }

    /// The value, to be compared as an unsigned integer (RFC 4271 section 6.8).
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl From<NonZeroU32> for RouterId {
    fn from(value: NonZeroU32) -> Self {
        Self(value)
    }
}

impl FromStr for RouterId {
    type Err = RouterIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = Ipv4Addr::from_str(text).map_err(|_| RouterIdError(text.to_owned()))?;
        Self::new(u32::from(address)).ok_or_else(|| RouterIdError(text.to_owned()))
    }
}

impl TryFrom<String> for RouterId {
    type Error = RouterIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RouterId> for String {
    fn from(id: RouterId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ipv4Addr::from(self.get()).fmt(f)
    }
}
