//! The first answered packet of a network namespace: echo requests until an answer comes.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// Between two requests to a target that is not reachable yet.
const REPEAT: Duration = Duration::from_millis(2);
/// A pod that reaches nothing by then will not.
const LIMIT: Duration = Duration::from_secs(10);
/// Types of echo requests and replies (RFC 792, RFC 4443 sections 4.1 and 4.2).
const ECHO_IPV4: (u8, u8) = (8, 0);
const ECHO_IPV6: (u8, u8) = (128, 129);
/// Header, identifier, sequence number.
const ECHO_BYTES: usize = 8;

/// Returns once the target has answered the calling thread's namespace.
///
/// # Errors
/// `TimedOut` when it never did; or the kernel's refusal of a raw socket.
pub(super) fn first_answer(target: IpAddr) -> io::Result<()> {
    let (domain, protocol, (request_type, reply_type)) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, ECHO_IPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, ECHO_IPV6),
    };
    let mut socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_read_timeout(Some(REPEAT))?;
    let started = now();
    while started.elapsed() < LIMIT {
        let sent = socket.connect(&SocketAddr::new(target, 0).into());
        let sent = sent.and_then(|()| socket.write_all(&request(request_type)));
        if sent.is_err() {
            // No route yet, or an address that is still tentative.
            std::thread::sleep(REPEAT);
        } else if is_answered(&mut socket, target, reply_type) {
            return Ok(());
        }
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        format!("{target} did not answer within {} s", LIMIT.as_secs()),
    ))
}

/// Reads what the namespace receives until the reply is there or nothing more comes.
fn is_answered(socket: &mut Socket, target: IpAddr, reply_type: u8) -> bool {
    let mut buffer = [0; 256];
    while let Ok(length) = socket.read(&mut buffer) {
        let message = &buffer[..length];
        // An IPv4 socket delivers the IP header too; its length is in its first byte, in words of 4 bytes.
        let header = if target.is_ipv4() { usize::from(message.first().unwrap_or(&0) & 0x0f) * 4 } else { 0 };
        if message.get(header) == Some(&reply_type) {
            return true;
        }
    }
    false
}

/// For IPv6 the kernel computes the checksum (RFC 3542 section 3.1).
fn request(request_type: u8) -> [u8; ECHO_BYTES] {
    let mut message = [request_type, 0, 0, 0, 0, 1, 0, 1];
    let checksum = checksum(message).to_be_bytes();
    message[2..4].copy_from_slice(&checksum);
    message
}

/// RFC 1071.
fn checksum(message: [u8; ECHO_BYTES]) -> u16 {
    let mut sum: u32 =
        message.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > u32::from(u16::MAX) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[expect(clippy::disallowed_methods, reason = "a limit of a wait for another namespace")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::netns::NetworkNamespace;

    #[test]
    fn the_checksum_makes_the_message_sum_to_all_ones() {
        let message = request(ECHO_IPV4.0);
        assert_eq!(checksum(message), 0);
        assert_eq!(message, [8, 0, 0xf7, 0xfd, 0, 1, 0, 1]);
    }

    #[test]
    fn a_namespace_with_loopback_answers_itself() {
        let namespace = NetworkNamespace::create().unwrap();
        let up = || std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(namespace.inside(up).unwrap().success());
        for target in ["127.0.0.1", "::1"] {
            namespace.inside(|| first_answer(target.parse().unwrap())).unwrap();
        }
    }
}
