//! The ROUTE-REFRESH message (RFC 2918, RFC 7313).

use bytes::Bytes;

use super::header::{MessageType, frame};
use super::{DecodeError, Family, Notification};

/// Asks for the routes of a family, or marks where such a dump begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRefresh {
    /// AFI; may be one that we do not know.
    pub afi: u16,
    /// SAFI; may be one that we do not know.
    pub safi: u8,
    /// What it says about the family.
    pub kind: RouteRefreshKind,
}

/// The subtype (RFC 7313 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteRefreshKind {
    /// Send me everything again.
    Request,
    /// Beginning of Route Refresh.
    Begin,
    /// End of Route Refresh.
    End,
    /// Not known: to be ignored.
    Other(u8),
}

impl RouteRefresh {
    /// A message about one of our families.
    pub fn new(family: Family, kind: RouteRefreshKind) -> Self {
        Self { afi: family.afi(), safi: family.safi(), kind }
    }

    /// The family, if it is one of ours.
    pub fn family(&self) -> Option<Family> {
        Family::from_codes(self.afi, self.safi)
    }
}

impl RouteRefresh {
    /// The refresh in this body. `message` is the whole message, which is sent back if its length is wrong.
    pub(super) fn decode(message: &[u8], body: &[u8]) -> Result<Self, DecodeError> {
        match *body {
            [afi_high, afi_low, subtype, safi] => Ok(Self {
                afi: u16::from_be_bytes([afi_high, afi_low]),
                safi,
                kind: RouteRefreshKind::from_code(subtype),
            }),
            _ => Err(DecodeError::new(
                Notification::invalid_route_refresh_length(message),
                format!("ROUTE-REFRESH with a body of {} octets", body.len()),
            )),
        }
    }

    pub(super) fn encode(self) -> Bytes {
        let [afi_high, afi_low] = self.afi.to_be_bytes();
        frame(MessageType::RouteRefresh, &[afi_high, afi_low, self.kind.code(), self.safi])
    }
}

impl RouteRefreshKind {
    fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Request,
            1 => Self::Begin,
            2 => Self::End,
            other => Self::Other(other),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Request => 0,
            Self::Begin => 1,
            Self::End => 2,
            Self::Other(code) => code,
        }
    }
}
