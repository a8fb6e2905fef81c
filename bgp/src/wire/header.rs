//! The header that all messages begin with (RFC 4271 section 4.1).

use bytes::{BufMut, Bytes, BytesMut};

use super::{DecodeError, Notification};

/// Marker, length and type.
pub const HEADER_LEN: usize = 19;
/// The longest message without RFC 8654.
pub const MESSAGE_LEN_MAX: usize = 4096;
/// The longest message with RFC 8654.
pub const EXTENDED_MESSAGE_LEN_MAX: usize = 65535;

const MARKER: [u8; 16] = [0xff; 16];

/// The kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageType {
    Open,
    Update,
    Notification,
    Keepalive,
    RouteRefresh,
}

impl MessageType {
    const ALL: [Self; 5] =
        [Self::Open, Self::Update, Self::Notification, Self::Keepalive, Self::RouteRefresh];

    pub(super) fn code(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Update => 2,
            Self::Notification => 3,
            Self::Keepalive => 4,
            Self::RouteRefresh => 5,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The least length of a message of this kind, header included.
    fn length_min(self) -> usize {
        HEADER_LEN
            + match self {
                Self::Open => 10,
                Self::Update | Self::RouteRefresh => 4,
                Self::Notification => 2,
                Self::Keepalive => 0,
            }
    }

    /// Whether a message of this kind may have this length. OPEN and KEEPALIVE never
    /// grow with RFC 8654; ROUTE-REFRESH has an error of its own for a wrong length.
    fn takes(self, length: usize, length_max: usize) -> bool {
        let length_max = match self {
            Self::Open => MESSAGE_LEN_MAX,
            Self::Keepalive => HEADER_LEN,
            Self::Update | Self::Notification | Self::RouteRefresh => length_max,
        };
        (self.length_min()..=length_max).contains(&length)
    }
}

/// How long the first message in this buffer is, in octets; none while that is not known yet.
///
/// # Errors
/// What to send before closing: the marker is wrong, or no message can have this length.
pub fn frame_length(buffer: &[u8], extended_message: bool) -> Result<Option<usize>, Notification> {
    let seen = buffer.len().min(MARKER.len());
    if buffer[..seen] != MARKER[..seen] {
        return Err(Notification::connection_not_synchronized());
    }
    let Some(&[high, low]) = buffer.get(16..18) else {
        return Ok(None);
    };
    let length = u16::from_be_bytes([high, low]);
    let length_max = if extended_message { EXTENDED_MESSAGE_LEN_MAX } else { MESSAGE_LEN_MAX };
    if (HEADER_LEN..=length_max).contains(&usize::from(length)) {
        Ok(Some(usize::from(length)))
    } else {
        Err(Notification::bad_message_length(length))
    }
}

/// The kind of a whole message and what follows its header.
pub(super) fn split(message: &Bytes, length_max: usize) -> Result<(MessageType, Bytes), DecodeError> {
    let refuse = |notification, reason: String| Err(DecodeError { notification, reason });
    let Some(header) = message.get(..HEADER_LEN) else {
        let length = u16::try_from(message.len()).unwrap_or(0);
        return refuse(Notification::bad_message_length(length), "shorter than a header".to_owned());
    };
    if header[..MARKER.len()] != MARKER {
        return refuse(Notification::connection_not_synchronized(), "the marker is not all ones".to_owned());
    }
    let length = u16::from_be_bytes([header[16], header[17]]);
    let Some(kind) = MessageType::from_code(header[18]) else {
        return refuse(Notification::bad_message_type(header[18]), format!("message of type {}", header[18]));
    };
    if usize::from(length) != message.len() || !kind.takes(message.len(), length_max) {
        return refuse(Notification::bad_message_length(length), format!("{kind:?} of {length} octets"));
    }
    Ok((kind, message.slice(HEADER_LEN..)))
}

/// The message of this kind with this body.
///
/// The caller keeps the body within what the peer takes; a longer one is cut to
/// the greatest length that the field can say, rather than sent with a wrong one.
pub(super) fn frame(kind: MessageType, body: &[u8]) -> Bytes {
    let body = &body[..body.len().min(EXTENDED_MESSAGE_LEN_MAX - HEADER_LEN)];
    let length = HEADER_LEN + body.len();
    let mut message = BytesMut::with_capacity(length);
    message.put_slice(&MARKER);
    message.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
    message.put_u8(kind.code());
    message.put_slice(body);
    message.freeze()
}
