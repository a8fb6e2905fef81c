//! The codec: bytes to messages and back, as values and nothing else.
//!
//! ```text
//! header -> open (capability) | update (attribute, nlri) | notification | route_refresh
//! ```
//!
//! A decoder is given one whole message and never looks beyond it; every length is
//! checked against what is left at its own level. What an UPDATE means after RFC 7606
//! is decided here, so that nothing above has to know a malformed attribute from a good one.

mod as_path;
mod attribute;
mod capability;
mod community;
mod family;
mod header;
mod nlri;
mod notification;
mod open;
mod route_refresh;
mod router_id;
mod update;

#[cfg(test)]
mod tests;

pub use as_path::{AsPath, AsPathSegment, SegmentKind};
pub use attribute::{Aggregator, AttributeFault, Attributes, FaultAction, Origin, UnknownAttribute};
pub use capability::{Capability, ExtendedNextHop, GracefulFamily, GracefulRestart};
pub use community::{Community, ExtendedCommunity, LargeCommunity};
pub use family::Family;
pub use header::{EXTENDED_MESSAGE_LEN_MAX, HEADER_LEN, MESSAGE_LEN_MAX, frame_length};
pub use notification::Notification;
pub use open::{AS_TRANS, Open};
pub use route_refresh::{RouteRefresh, RouteRefreshKind};
pub use router_id::RouterId;
pub use update::{Announcement, AttributesTooLarge, NextHop, Update, encode_end_of_rib, encode_withdrawn};

use bytes::Bytes;
use header::MessageType;

/// One message of the protocol (RFC 4271 section 4, RFC 2918).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Opens a session and says what the sender can do.
    Open(Open),
    /// Announces and withdraws routes.
    Update(Box<Update>),
    /// Ends the session and says why.
    Notification(Notification),
    /// Says that the sender is alive.
    Keepalive,
    /// Asks for all routes of a family, or marks the ends of such a dump (RFC 7313).
    RouteRefresh(RouteRefresh),
}

/// What the OPENs of both sides settled, as far as decoding depends on it.
#[expect(clippy::struct_excessive_bools, reason = "each is one negotiated capability or rule")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionContext {
    /// Whether AS numbers in `AS_PATH` and `AGGREGATOR` have four octets (RFC 6793).
    pub four_octet_as: bool,
    /// Whether the peer is in another AS.
    pub is_ebgp: bool,
    /// The peer's AS.
    pub peer_asn: u32,
    /// Whether a path from an external peer must begin with the peer's AS (RFC 4271 section 6.3).
    pub enforce_first_as: bool,
    /// The families in use; what comes for another one is ignored.
    pub families: Vec<Family>,
    /// Whether messages may have up to 65535 octets (RFC 8654).
    pub extended_message: bool,
    /// Whether IPv4 routes may come with an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
}

impl SessionContext {
    /// What holds before both OPENs are known: plain RFC 4271, no family.
    pub fn before_open() -> Self {
        Self {
            four_octet_as: false,
            is_ebgp: true,
            peer_asn: 0,
            enforce_first_as: false,
            families: Vec::new(),
            extended_message: false,
            extended_next_hop: false,
        }
    }

    /// How to write messages for this session.
    pub fn encoding(&self) -> Encoding {
        Encoding {
            four_octet_as: self.four_octet_as,
            message_len_max: if self.extended_message { EXTENDED_MESSAGE_LEN_MAX } else { MESSAGE_LEN_MAX },
        }
    }
}

/// All that the bytes of an UPDATE depend on beside its content: sessions with
/// equal encodings can share one encoded message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encoding {
    /// Whether AS numbers are written with four octets.
    pub four_octet_as: bool,
    /// The longest message that the peer takes, in octets.
    pub message_len_max: usize,
}

/// Why a message ends the session: what to tell the peer, and what to tell people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({notification})")]
pub struct DecodeError {
    /// What to send before closing.
    pub notification: Notification,
    /// What was wrong, for logs.
    pub reason: String,
}

impl DecodeError {
    fn new(notification: Notification, reason: impl Into<String>) -> Self {
        Self { notification, reason: reason.into() }
    }
}

/// The message in these bytes: exactly one, header included.
///
/// # Errors
/// The message ends the session; the error says what to send before closing.
pub fn decode(message: &Bytes, context: &SessionContext) -> Result<Message, DecodeError> {
    let (kind, body) = header::split(message, context.encoding().message_len_max)?;
    match kind {
        MessageType::Open => Open::decode(&body).map(Message::Open),
        MessageType::Update => Update::decode(&body, context).map(Box::new).map(Message::Update),
        MessageType::Notification => Ok(Message::Notification(Notification::decode(&body))),
        MessageType::Keepalive => Ok(Message::Keepalive),
        MessageType::RouteRefresh => RouteRefresh::decode(message, &body).map(Message::RouteRefresh),
    }
}

/// The bytes of a message: one, or several for an UPDATE that does not fit into one.
///
/// # Errors
/// [`AttributesTooLarge`] for an UPDATE with routes that cannot be told to this peer; no other message fails.
pub fn encode(message: &Message, encoding: Encoding) -> Result<Vec<Bytes>, AttributesTooLarge> {
    Ok(vec![match message {
        Message::Open(open) => open.encode(),
        Message::Update(update) => return update.encode(encoding),
        Message::Notification(notification) => notification.encode(),
        Message::Keepalive => encode_keepalive(),
        Message::RouteRefresh(refresh) => refresh.encode(),
    }])
}

/// The bytes of a KEEPALIVE.
pub fn encode_keepalive() -> Bytes {
    header::frame(MessageType::Keepalive, &[])
}
