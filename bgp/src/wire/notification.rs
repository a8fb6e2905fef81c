//! The NOTIFICATION message (RFC 4271 section 4.5, RFC 4486, RFC 6608, RFC 8538, RFC 9003).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::header::{MessageType, frame};
use super::{Capability, HEADER_LEN, MESSAGE_LEN_MAX};

/// Why a session ends, as told to the peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notification {
    /// The error code.
    pub code: u8,
    /// The subcode; its meaning depends on the code.
    pub subcode: u8,
    /// Details; their meaning depends on code and subcode.
    pub data: Bytes,
}

const HEADER: u8 = 1;
const OPEN: u8 = 2;
const UPDATE: u8 = 3;
const HOLD_TIMER: u8 = 4;
const FSM: u8 = 5;
const CEASE: u8 = 6;
const ROUTE_REFRESH: u8 = 7;
const SEND_HOLD_TIMER: u8 = 8;

const CEASE_ADMIN_SHUTDOWN: u8 = 2;
const CEASE_ADMIN_RESET: u8 = 4;
const CEASE_HARD_RESET: u8 = 9;
const CEASE_BFD_DOWN: u8 = 10;

/// The length of a shutdown text is one octet on the wire (RFC 9003 section 2).
const SHUTDOWN_TEXT_LEN_MAX: usize = 255;
/// How much of a faulty message is sent back: enough to recognise it, bounded so
/// that neither a length field nor a long message can inflate what we send.
const ECHO_LEN_MAX: usize = 64;

impl Notification {
    fn new(code: u8, subcode: u8) -> Self {
        Self { code, subcode, data: Bytes::new() }
    }

    fn with_data(code: u8, subcode: u8, data: &[u8]) -> Self {
        let data = Bytes::copy_from_slice(&data[..data.len().min(ECHO_LEN_MAX)]);
        Self { code, subcode, data }
    }

    /// 1/1: the marker is not all ones.
    pub fn connection_not_synchronized() -> Self {
        Self::new(HEADER, 1)
    }

    /// 1/2: the length cannot be; it is sent back.
    pub fn bad_message_length(length: u16) -> Self {
        Self::with_data(HEADER, 2, &length.to_be_bytes())
    }

    /// 1/3: a type of message that we do not know; it is sent back.
    pub fn bad_message_type(kind: u8) -> Self {
        Self::with_data(HEADER, 3, &[kind])
    }

    /// 2/0: the OPEN is malformed.
    pub fn open_malformed() -> Self {
        Self::new(OPEN, 0)
    }

    /// 2/1: the version is not 4, which is sent back.
    pub fn unsupported_version() -> Self {
        Self::with_data(OPEN, 1, &4_u16.to_be_bytes())
    }

    /// 2/2: the AS is not the one configured.
    pub fn bad_peer_as() -> Self {
        Self::new(OPEN, 2)
    }

    /// 2/3: the BGP Identifier is 0 or our own.
    pub fn bad_bgp_identifier() -> Self {
        Self::new(OPEN, 3)
    }

    /// 2/4: an optional parameter that we do not know.
    pub fn unsupported_optional_parameter() -> Self {
        Self::new(OPEN, 4)
    }

    /// 2/6: the hold time is 1 or 2, or shorter than we take.
    pub fn unacceptable_hold_time() -> Self {
        Self::new(OPEN, 6)
    }

    /// 2/7: capabilities that we need and the peer lacks (RFC 5492 section 5).
    pub fn unsupported_capability(needed: &[Capability]) -> Self {
        let mut data = BytesMut::new();
        for capability in needed {
            capability.encode(&mut data);
        }
        Self::with_data(OPEN, 7, &data)
    }

    /// 3/1: the list of attributes cannot be followed.
    pub fn malformed_attribute_list() -> Self {
        Self::new(UPDATE, 1)
    }

    /// 3/9: an optional attribute is malformed; its beginning is sent back.
    pub fn optional_attribute_error(attribute: &[u8]) -> Self {
        Self::with_data(UPDATE, 9, attribute)
    }

    /// 3/10: a prefix cannot be read.
    pub fn invalid_network_field() -> Self {
        Self::new(UPDATE, 10)
    }

    /// 4/0: nothing was heard for the hold time.
    pub fn hold_timer_expired() -> Self {
        Self::new(HOLD_TIMER, 0)
    }

    /// 5/1: a message that does not belong into `OpenSent` (RFC 6608).
    pub fn unexpected_in_open_sent(kind: u8) -> Self {
        Self::with_data(FSM, 1, &[kind])
    }

    /// 5/2: a message that does not belong into `OpenConfirm` (RFC 6608).
    pub fn unexpected_in_open_confirm(kind: u8) -> Self {
        Self::with_data(FSM, 2, &[kind])
    }

    /// 5/3: a message that does not belong into `Established` (RFC 6608).
    pub fn unexpected_in_established(kind: u8) -> Self {
        Self::with_data(FSM, 3, &[kind])
    }

    /// 6/1: more prefixes than allowed (RFC 4486).
    pub fn max_prefixes_reached() -> Self {
        Self::new(CEASE, 1)
    }

    /// 6/2: stopped by an operator, who may say why in at most 255 octets (RFC 9003).
    pub fn admin_shutdown(text: &str) -> Self {
        Self { code: CEASE, subcode: CEASE_ADMIN_SHUTDOWN, data: shutdown_text(text) }
    }

    /// 6/3: the peer was removed from the configuration.
    pub fn peer_deconfigured() -> Self {
        Self::new(CEASE, 3)
    }

    /// 6/4: restarted by an operator, who may say why in at most 255 octets (RFC 9003).
    pub fn admin_reset(text: &str) -> Self {
        Self { code: CEASE, subcode: CEASE_ADMIN_RESET, data: shutdown_text(text) }
    }

    /// 6/5: the connection is refused.
    pub fn connection_rejected() -> Self {
        Self::new(CEASE, 5)
    }

    /// 6/6: the configuration changed in a way that needs a new session.
    pub fn configuration_change() -> Self {
        Self::new(CEASE, 6)
    }

    /// 6/7: the other of two connections is kept.
    pub fn collision() -> Self {
        Self::new(CEASE, 7)
    }

    /// 6/8: no room for more.
    pub fn out_of_resources() -> Self {
        Self::new(CEASE, 8)
    }

    /// 6/9: as `inner`, and routes must not be kept (RFC 8538 section 3.1).
    pub fn hard_reset(inner: &Self) -> Self {
        let mut data = BytesMut::with_capacity(inner.data.len() + 2);
        data.put_u8(inner.code);
        data.put_u8(inner.subcode);
        data.put_slice(&inner.data);
        Self { code: CEASE, subcode: CEASE_HARD_RESET, data: data.freeze() }
    }

    /// 6/10: BFD says that forwarding to the peer failed (RFC 9384).
    pub fn bfd_down() -> Self {
        Self::new(CEASE, CEASE_BFD_DOWN)
    }

    /// 7/1: a ROUTE-REFRESH of the wrong length, which is sent back (RFC 7313 section 5).
    pub fn invalid_route_refresh_length(message: &[u8]) -> Self {
        Self::with_data(ROUTE_REFRESH, 1, message)
    }

    /// 8/0: the peer took nothing for too long (RFC 9687).
    pub fn send_hold_timer_expired() -> Self {
        Self::new(SEND_HOLD_TIMER, 0)
    }

    /// Whether routes must not be kept although the sender knows RFC 8538.
    pub fn is_hard_reset(&self) -> bool {
        (self.code, self.subcode) == (CEASE, CEASE_HARD_RESET)
    }

    /// Whether BFD lost the way (RFC 9384).
    pub fn is_bfd_down(&self) -> bool {
        (self.code, self.subcode) == (CEASE, CEASE_BFD_DOWN)
    }

    /// The reason that a Hard Reset carries. One in another is none: it would only nest without end.
    pub fn behind_hard_reset(&self) -> Option<Self> {
        let is_whole = self.is_hard_reset() && self.data.len() >= 2;
        is_whole.then(|| Self::decode(&self.data)).filter(|inner| !inner.is_hard_reset())
    }

    /// Whether the peer refuses our version of the protocol.
    pub fn is_version_error(&self) -> bool {
        (self.code, self.subcode) == (OPEN, 1)
    }

    /// Whether the peer ended this connection in favour of the other one.
    pub fn is_collision(&self) -> bool {
        (self.code, self.subcode) == (CEASE, 7)
    }

    /// What the operator of the other side says (RFC 9003), with control characters escaped;
    /// hexadecimal if it is not text.
    pub fn shutdown_text(&self) -> Option<String> {
        let has_text =
            self.code == CEASE && [CEASE_ADMIN_SHUTDOWN, CEASE_ADMIN_RESET].contains(&self.subcode);
        let (&length, rest) = self.data.split_first().filter(|_| has_text)?;
        let text = rest.get(..usize::from(length))?;
        match std::str::from_utf8(text) {
            Ok("") => None,
            Ok(text) => Some(text.escape_debug().to_string()),
            Err(_) => Some(format!("0x{:x}", Bytes::copy_from_slice(text))),
        }
    }

    fn names(&self) -> (Option<&'static str>, Option<&'static str>) {
        let (code, subcodes): (_, &[&str]) = match self.code {
            HEADER => ("Message Header Error", &HEADER_SUBCODES),
            OPEN => ("OPEN Message Error", &OPEN_SUBCODES),
            UPDATE => ("UPDATE Message Error", &UPDATE_SUBCODES),
            HOLD_TIMER => ("Hold Timer Expired", &[]),
            FSM => ("Finite State Machine Error", &FSM_SUBCODES),
            CEASE => ("Cease", &CEASE_SUBCODES),
            ROUTE_REFRESH => ("ROUTE-REFRESH Message Error", &["Invalid Message Length"]),
            SEND_HOLD_TIMER => ("Send Hold Timer Expired", &[]),
            _ => return (None, None),
        };
        let index = usize::from(self.subcode).checked_sub(1);
        (Some(code), index.and_then(|index| subcodes.get(index).copied()))
    }
}

const HEADER_SUBCODES: [&str; 3] = ["Connection Not Synchronized", "Bad Message Length", "Bad Message Type"];
const OPEN_SUBCODES: [&str; 11] = [
    "Unsupported Version Number",
    "Bad Peer AS",
    "Bad BGP Identifier",
    "Unsupported Optional Parameter",
    "Authentication Failure",
    "Unacceptable Hold Time",
    "Unsupported Capability",
    "Subcode 8",
    "Subcode 9",
    "Subcode 10",
    "Role Mismatch",
];
const UPDATE_SUBCODES: [&str; 11] = [
    "Malformed Attribute List",
    "Unrecognized Well-known Attribute",
    "Missing Well-known Attribute",
    "Attribute Flags Error",
    "Attribute Length Error",
    "Invalid ORIGIN Attribute",
    "AS Routing Loop",
    "Invalid NEXT_HOP Attribute",
    "Optional Attribute Error",
    "Invalid Network Field",
    "Malformed AS_PATH",
];
const FSM_SUBCODES: [&str; 3] = [
    "Unexpected Message in OpenSent State",
    "Unexpected Message in OpenConfirm State",
    "Unexpected Message in Established State",
];
const CEASE_SUBCODES: [&str; 10] = [
    "Maximum Number of Prefixes Reached",
    "Administrative Shutdown",
    "Peer De-configured",
    "Administrative Reset",
    "Connection Rejected",
    "Other Configuration Change",
    "Connection Collision Resolution",
    "Out of Resources",
    "Hard Reset",
    "BFD Down",
];

/// The text behind its length; cut at a character's boundary if it is too long; nothing if it is empty.
fn shutdown_text(text: &str) -> Bytes {
    let text = &text[..text.floor_char_boundary(SHUTDOWN_TEXT_LEN_MAX)];
    let Some(length) = u8::try_from(text.len()).ok().filter(|length| *length > 0) else {
        return Bytes::new();
    };
    let mut data = BytesMut::with_capacity(text.len() + 1);
    data.put_u8(length);
    data.put_slice(text.as_bytes());
    data.freeze()
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names() {
            (None, _) => write!(f, "code {} subcode {}", self.code, self.subcode)?,
            (Some(code), Some(subcode)) => write!(f, "{code} / {subcode}")?,
            (Some(code), None) if self.subcode == 0 => f.write_str(code)?,
            (Some(code), None) => write!(f, "{code} / subcode {}", self.subcode)?,
        }
        match (self.shutdown_text(), self.behind_hard_reset()) {
            (Some(text), _) => write!(f, ": {text}"),
            (None, Some(inner)) => write!(f, ": {inner}"),
            (None, None) => Ok(()),
        }
    }
}

impl Notification {
    /// The notification in a body of at least two octets; the header's length was checked for that.
    pub(super) fn decode(body: &Bytes) -> Self {
        let octet = |index: usize| body.get(index).copied().unwrap_or(0);
        let data = Bytes::copy_from_slice(body.get(2..).unwrap_or_default());
        Self { code: octet(0), subcode: octet(1), data }
    }

    pub(super) fn encode(&self) -> Bytes {
        // The peer may not take more than this (RFC 8654 section 4).
        let data = &self.data[..self.data.len().min(MESSAGE_LEN_MAX - HEADER_LEN - 2)];
        let mut body = BytesMut::with_capacity(data.len() + 2);
        body.put_u8(self.code);
        body.put_u8(self.subcode);
        body.put_slice(data);
        frame(MessageType::Notification, &body)
    }
}
