//! Netlink messages as bytes: the header, attributes, acknowledgements and the kernel's reasons.

use std::io;

use super::SocketError;

const HEADER_BYTES: usize = 16;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;
/// The two upper bits of an attribute's type say "nested" and "network byte order".
const ATTRIBUTE_TYPE_MASK: u16 = 0x3fff;

/// One message for the kernel; the socket adds sequence number and acknowledgement flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `nlmsg_type`, for example `RTM_NEWROUTE`.
    pub message_type: u16,
    /// `nlmsg_flags` beside REQUEST, ACK and DUMP, for example `NLM_F_CREATE`.
    pub flags: u16,
    /// Everything after the netlink header.
    pub payload: Vec<u8>,
}

impl Request {
    /// The whole message, padded, with these flags beside its own.
    pub fn encode(&self, flags: u16, sequence: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length());
        self.encode_into(flags, sequence, &mut bytes);
        bytes
    }

    /// Appends the whole message, padded, with these flags beside its own.
    pub fn encode_into(&self, flags: u16, sequence: u32, bytes: &mut Vec<u8>) {
        let length = u32::try_from(HEADER_BYTES + self.payload.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(&self.message_type.to_ne_bytes());
        bytes.extend_from_slice(&(self.flags | flags).to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&0_u32.to_ne_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }

    pub(super) fn length(&self) -> usize {
        (HEADER_BYTES + self.payload.len()).next_multiple_of(4)
    }
}

/// What the kernel answered, copied out of the socket's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `nlmsg_type`, for example `RTM_NEWROUTE`.
    pub message_type: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// Everything after the netlink header.
    pub payload: Vec<u8>,
}

/// The kernel's refusal of one request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", io::Error::from_raw_os_error(*errno), told(text.as_deref()))]
pub struct Refusal {
    /// Positive error number, for example `libc::ENETUNREACH`.
    pub errno: i32,
    /// The kernel's own explanation (extended acknowledgement), where it gave one.
    pub text: Option<String>,
    /// Where in the request the offending attribute begins, in bytes, where it said so.
    pub offset: Option<u32>,
}

impl Refusal {
    /// A refusal without explanation.
    pub fn of(errno: i32) -> Self {
        Self { errno, text: None, offset: None }
    }
}

fn told(text: Option<&str>) -> String {
    text.map(|text| format!(": {text}")).unwrap_or_default()
}

/// One message inside a datagram from the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// `nlmsg_type`.
    pub message_type: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`: that of the request, or 0 for notifications.
    pub sequence: u32,
    /// `nlmsg_pid`: the port of the socket that caused this message.
    pub port: u32,
    /// Everything after the header, without padding.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// How the request ended if this is an acknowledgement, an error or the end of a dump.
    pub fn outcome(&self) -> Option<Result<(), Refusal>> {
        match self.message_type {
            NLMSG_ERROR => Some(self.error()),
            NLMSG_DONE => Some(self.done()),
            NLMSG_OVERRUN => Some(Err(Refusal::of(libc::ENOBUFS))),
            _ => None,
        }
    }

    /// True if this is a message of the protocol and not of netlink itself.
    pub fn is_data(&self) -> bool {
        self.message_type > NLMSG_OVERRUN
    }

    pub(super) fn is_dump_interrupted(&self) -> bool {
        self.flags & NLM_F_DUMP_INTR != 0
    }

    pub(super) fn to_reply(self) -> Reply {
        let Self { message_type, flags, payload, .. } = self;
        Reply { message_type, flags, payload: payload.to_vec() }
    }

    fn error(&self) -> Result<(), Refusal> {
        let Some(code) = read_i32(self.payload) else {
            return Err(Refusal::of(libc::EBADMSG));
        };
        if code == 0 {
            return Ok(());
        }
        // The original header follows; its payload too unless the kernel capped it.
        let quoted = if self.flags & NLM_F_CAPPED == 0 {
            read_u32(self.payload.get(4..).unwrap_or_default())
                .map_or(HEADER_BYTES, |length| length as usize)
                .max(HEADER_BYTES)
                .next_multiple_of(4)
        } else {
            HEADER_BYTES
        };
        Err(self.refusal(code, 4 + quoted))
    }

    fn done(&self) -> Result<(), Refusal> {
        match read_i32(self.payload) {
            Some(code) if code < 0 => Err(self.refusal(code, 4)),
            _ => Ok(()),
        }
    }

    fn refusal(&self, code: i32, attributes_at: usize) -> Refusal {
        let mut refusal = Refusal::of(code.saturating_neg());
        if self.flags & NLM_F_ACK_TLVS == 0 {
            return refusal;
        }
        for (kind, value) in attributes(self.payload.get(attributes_at..).unwrap_or_default()) {
            match kind {
                NLMSGERR_ATTR_MSG => refusal.text = Some(read_text(value)),
                NLMSGERR_ATTR_OFFS => refusal.offset = read_u32(value),
                _ => {}
            }
        }
        refusal
    }
}

/// The messages of one datagram, in order; padding and no-ops are skipped.
#[derive(Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    /// All messages of this datagram.
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    fn cut(&mut self) -> Result<Frame<'a>, SocketError> {
        let bytes = std::mem::take(&mut self.rest);
        let length = read_u32(bytes).map_or(0, |length| length as usize);
        if bytes.len() < HEADER_BYTES || length < HEADER_BYTES || length > bytes.len() {
            return Err(SocketError::Malformed("header promises more than there is"));
        }
        self.rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Ok(Frame {
            message_type: u16::from_ne_bytes([bytes[4], bytes[5]]),
            flags: u16::from_ne_bytes([bytes[6], bytes[7]]),
            sequence: u32::from_ne_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
            port: u32::from_ne_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]),
            payload: &bytes[HEADER_BYTES..length],
        })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, SocketError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.cut() {
                Ok(frame) if frame.message_type == NLMSG_NOOP => {}
                other => return Some(other),
            }
        }
        None
    }
}

/// The attributes in these bytes as (type without flag bits, value); stops at the first that
/// is malformed.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = rest.get(..ATTRIBUTE_HEADER_BYTES)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & ATTRIBUTE_TYPE_MASK;
        let value = rest.get(ATTRIBUTE_HEADER_BYTES..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Appends one attribute, padded. The value must be shorter than 65,532 bytes.
pub fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(ATTRIBUTE_HEADER_BYTES + value.len())
        .expect("callers split what does not fit into a 16-bit length");
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn read_u32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_ne_bytes)
}

fn read_i32(bytes: &[u8]) -> Option<i32> {
    bytes.first_chunk().copied().map(i32::from_ne_bytes)
}

fn read_text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
