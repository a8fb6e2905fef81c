//! Communities of the three kinds: plain, extended and large.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A plain community (RFC 1997): the upper half names an AS, the lower half is its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Community(pub u32);

/// A large community (RFC 8092), for AS numbers of four octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LargeCommunity {
    /// The AS that gives the rest its meaning.
    pub global: u32,
    /// First word.
    pub local1: u32,
    /// Second word.
    pub local2: u32,
}

/// An extended community (RFC 4360), carried without being understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExtendedCommunity(pub [u8; 8]);

/// The text is no community of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {kind}; write {form}")]
pub struct CommunityError {
    text: String,
    kind: &'static str,
    form: &'static str,
}

impl Community {
    /// Routes to be treated as the last resort before a planned shutdown (RFC 8326).
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xffff_0000);
    /// Not to be advertised outside the AS or confederation (RFC 1997).
    pub const NO_EXPORT: Self = Self(0xffff_ff01);
    /// Not to be advertised to anyone (RFC 1997).
    pub const NO_ADVERTISE: Self = Self(0xffff_ff02);
    /// Not to be advertised to external peers, confederation members included (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: Self = Self(0xffff_ff03);
}

impl ExtendedCommunity {
    /// Whether it may leave the AS (RFC 4360 section 2: the T bit is 0).
    pub fn is_transitive(self) -> bool {
        self.0[0] & 0x40 == 0
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff)
    }
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl FromStr for Community {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once(':').and_then(|(high, low)| {
            Some(u32::from(high.parse::<u16>().ok()?) << 16 | u32::from(low.parse::<u16>().ok()?))
        });
        parsed.map(Self).ok_or_else(|| CommunityError {
            text: text.to_owned(),
            kind: "community",
            form: "two numbers of at most 65535 with a colon, such as 64512:100",
        })
    }
}

impl FromStr for LargeCommunity {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Option<Vec<u32>> = text.split(':').map(|word| word.parse().ok()).collect();
        match words.as_deref() {
            Some(&[global, local1, local2]) => Ok(Self { global, local1, local2 }),
            _ => Err(CommunityError {
                text: text.to_owned(),
                kind: "large community",
                form: "three numbers with colons, such as 4200000001:1:100",
            }),
        }
    }
}

impl FromStr for ExtendedCommunity {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u64::from_str_radix(text, 16) {
            Ok(value) if is_hex => Ok(Self(value.to_be_bytes())),
            _ => Err(CommunityError {
                text: text.to_owned(),
                kind: "extended community",
                form: "its eight octets as 16 hexadecimal digits",
            }),
        }
    }
}

/// Serde takes and gives these as text, in the form that people write.
macro_rules! as_text {
    ($($kind:ty),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = CommunityError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(community: $kind) -> Self {
                community.to_string()
            }
        }
    )*};
}
as_text!(Community, LargeCommunity, ExtendedCommunity);
