//! A small blocking rtnetlink client: several requests in one send, their acknowledgements, dumps.
//!
//! Blocking is right here: the kernel answers during the send, and the plugin has nothing else to do.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// Bytes of a netlink message's header.
const HEADER_LENGTH: usize = 16;

/// Message type of an acknowledgement or error.
const NLMSG_ERROR: u16 = 2;

/// Message type of a dump's end.
const NLMSG_DONE: u16 = 3;

/// Flag: attributes follow the error, among them the kernel's text.
const NLM_F_ACK_TLVS: u16 = 0x200;

/// Attribute that holds the kernel's text.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// Datagrams that one exchange may take. A dump of a node's 4,000 interfaces takes about 400.
const DATAGRAMS_MAX: usize = 20_000;

/// Why the kernel did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetlinkError {
    /// The kernel refused one of the requests.
    #[error("{reason}{}", text.as_deref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused {
        /// Which of the requests, counted from 0.
        request: usize,
        /// The kernel's error number as text.
        reason: io::Error,
        /// The kernel's own words, if it had any.
        text: Option<String>,
    },
    /// The socket failed, or the kernel's answer could not be read.
    #[error(transparent)]
    Socket(#[from] io::Error),
}

impl NetlinkError {
    /// The kernel's error number, if it refused.
    pub(crate) fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { reason, .. } => reason.raw_os_error(),
            Self::Socket(_) => None,
        }
    }
}

/// A request with its flags beyond REQUEST and ACK.
pub(crate) type Flagged = (u16, RouteNetlinkMessage);

/// An rtnetlink socket of the namespace in which it was opened.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// A socket in the current thread's network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Both only make answers better; kernels before 4.12 and 4.20 do without.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_netlink_get_strict_chk(true);
        Ok(Self { socket, sequence: 0 })
    }

    /// Carries out all requests in order. The kernel goes on after a refused one; the first refusal
    /// is the answer.
    pub(crate) fn change(&mut self, requests: Vec<Flagged>) -> Result<(), NetlinkError> {
        let first = self.sequence + 1;
        let mut awaited = requests.len();
        let mut bytes = Vec::new();
        for (flags, request) in requests {
            self.sequence += 1;
            append(&mut bytes, request, NLM_F_REQUEST | NLM_F_ACK | flags, self.sequence);
        }
        self.send(&bytes)?;
        let mut refusal: Option<NetlinkError> = None;
        for _ in 0..DATAGRAMS_MAX {
            if awaited == 0 {
                return refusal.map_or(Ok(()), Err);
            }
            for message in messages(&self.socket.recv_from_full()?.0) {
                let Message { kind: NLMSG_ERROR, sequence, flags, payload } = message? else { continue };
                let request = sequence.checked_sub(first).ok_or_else(malformed)? as usize;
                awaited = awaited.saturating_sub(1);
                if let Some(error) = refused(request, flags, payload)? {
                    refusal.get_or_insert(error);
                }
            }
        }
        Err(malformed().into())
    }

    /// All answers to one request that asks for a list or for a single object.
    pub(crate) fn ask(
        &mut self,
        request: RouteNetlinkMessage,
        is_dump: bool,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        self.sequence += 1;
        let mut bytes = Vec::new();
        let flags = if is_dump { NLM_F_DUMP } else { NLM_F_ACK };
        append(&mut bytes, request, NLM_F_REQUEST | flags, self.sequence);
        self.send(&bytes)?;
        let mut answers = Vec::new();
        for _ in 0..DATAGRAMS_MAX {
            let datagram = self.socket.recv_from_full()?.0;
            for message in messages(&datagram) {
                let message = message?;
                if message.sequence != self.sequence {
                    continue;
                }
                match message.kind {
                    NLMSG_DONE => return Ok(answers),
                    NLMSG_ERROR => {
                        return refused(0, message.flags, message.payload)?.map_or(Ok(answers), Err);
                    }
                    _ => answers.extend(message.parse()),
                }
            }
        }
        Err(malformed().into())
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.socket.send(bytes, 0)?;
        if sent == bytes.len() { Ok(()) } else { Err(malformed()) }
    }
}

fn append(bytes: &mut Vec<u8>, request: RouteNetlinkMessage, flags: u16, sequence: u32) {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = sequence;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let start = bytes.len();
    // Messages begin at multiples of four; their own length does not count the padding.
    bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut bytes[start..start + message.buffer_len()]);
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

impl Message<'_> {
    /// What the message says, or nothing if it is of a kind that the library does not know: a newer
    /// kernel may say more than we asked.
    fn parse(&self) -> Option<RouteNetlinkMessage> {
        use netlink_packet_core::ParseableParametrized;
        RouteNetlinkMessage::parse_with_param(self.payload, self.kind).ok()
    }
}

fn messages(datagram: &[u8]) -> impl Iterator<Item = io::Result<Message<'_>>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let parsed = split(rest);
        rest = match &parsed {
            Ok(message) => {
                let length = HEADER_LENGTH + message.payload.len();
                rest.get(length.next_multiple_of(4)..).unwrap_or_default()
            }
            Err(_) => &[],
        };
        Some(parsed)
    })
}

fn split(bytes: &[u8]) -> io::Result<Message<'_>> {
    let header = bytes.first_chunk::<HEADER_LENGTH>().ok_or_else(malformed)?;
    let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
    let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
    Ok(Message {
        kind: u16::from_ne_bytes([k0, k1]),
        flags: u16::from_ne_bytes([f0, f1]),
        sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
        payload: bytes.get(HEADER_LENGTH..length).ok_or_else(malformed)?,
    })
}

/// The refusal in an error message, or `None` if it is an acknowledgement.
fn refused(request: usize, flags: u16, payload: &[u8]) -> io::Result<Option<NetlinkError>> {
    let errno = i32::from_ne_bytes(*payload.first_chunk().ok_or_else(malformed)?);
    if errno == 0 {
        return Ok(None);
    }
    let reason = io::Error::from_raw_os_error(errno.saturating_neg());
    let text = (flags & NLM_F_ACK_TLVS != 0).then(|| kernel_text(payload)).flatten();
    Ok(Some(NetlinkError::Refused { request, reason, text }))
}

/// After a refusal the kernel repeats the whole request, then come the attributes.
fn kernel_text(payload: &[u8]) -> Option<String> {
    let repeated = split(payload.get(4..)?).ok().map(|message| HEADER_LENGTH + message.payload.len())?;
    let mut rest = payload.get(4 + repeated.next_multiple_of(4)..)?;
    while let Some(&[l0, l1, k0, k1]) = rest.first_chunk() {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(4..length)?;
        if u16::from_ne_bytes([k0, k1]) == NLMSGERR_ATTR_MSG {
            return Some(String::from_utf8_lossy(value).trim_end_matches('\0').to_owned());
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's netlink answer cannot be read")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn foreign_bytes_never_panic_and_always_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&bytes).flatten() {
                let _ = refused(0, message.flags | NLM_F_ACK_TLVS, message.payload);
            }
            let _ = kernel_text(&bytes);
        }
    }
}
