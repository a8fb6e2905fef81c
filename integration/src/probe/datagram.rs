//! Raw SCTP sockets: one for each family, with the addresses that the kernel gives.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{Family, sctp};

/// A raw SCTP socket of that family, bound to `local` if given.
///
/// The type is that of a datagram socket because it is used like one: whole packets, with addresses.
pub(super) fn raw_sctp(family: Family, local: Option<IpAddr>) -> io::Result<UdpSocket> {
    let domain = if family == Family::Ipv4 { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(sctp::PROTOCOL_NUMBER)))?;
    if let Some(address) = local {
        socket.bind(&SockAddr::from(SocketAddr::new(address, 0)))?;
    }
    Ok(socket.into())
}

/// The SCTP packet in what a raw socket received: IPv4 hands over its own header too.
pub(super) fn payload(family: Family, bytes: &[u8]) -> &[u8] {
    let header = match (family, bytes.first()) {
        (Family::Ipv4, Some(first)) => usize::from(first & 0x0f) * 4,
        _ => 0,
    };
    bytes.get(header..).unwrap_or_default()
}
