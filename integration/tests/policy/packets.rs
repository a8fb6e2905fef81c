//! Sockets and raw packets in the namespaces of pods, for what an ordinary program does not send.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use integration::lab::testing::TestLab;
use integration::probe::Endpoint;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// `IPPROTO_RAW`: the sender writes the IP header itself.
const RAW: i32 = 255;
const UDP: u8 = 17;

/// A UDP socket in the endpoint's network, bound to this address and port, which waits no longer than `patience`.
pub(crate) fn udp(lab: &TestLab, at: &Endpoint, local: SocketAddr, patience: Duration) -> UdpSocket {
    lab.inside(at, || {
        let socket = UdpSocket::bind(local)?;
        socket.set_read_timeout(Some(patience))?;
        Ok(socket)
    })
    .unwrap()
}

/// What arrives on the socket until its patience ends.
pub(crate) fn drain(socket: &UdpSocket) -> Vec<String> {
    let mut buffer = [0; 2048];
    let mut all = Vec::new();
    while let Ok(length) = socket.recv(&mut buffer) {
        all.push(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
    }
    all
}

/// Whether `word` comes back from `to`, asked a few times because datagrams may be lost.
pub(crate) fn is_answered(socket: &UdpSocket, to: SocketAddr, word: &str) -> bool {
    (0..20).any(|_| {
        socket.send_to(word.as_bytes(), to).is_ok() && drain(socket).iter().any(|line| line.starts_with(word))
    })
}

/// Sends one UDP datagram whose IP header says that it comes from `source`.
pub(crate) fn send_as(
    lab: &TestLab,
    at: &Endpoint,
    source: SocketAddr,
    destination: SocketAddr,
    text: &str,
) -> io::Result<()> {
    let packet = packet(source, destination, text.as_bytes());
    let sent = lab.inside(at, || {
        let domain = if source.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(RAW)))?;
        socket.send_to(&packet, &SockAddr::from(SocketAddr::new(destination.ip(), 0)))
    });
    sent.map(drop).map_err(io::Error::other)
}

fn packet(source: SocketAddr, destination: SocketAddr, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + data.len()).unwrap();
    let mut datagram = Vec::new();
    for word in [source.port(), destination.port(), length, 0] {
        datagram.extend(word.to_be_bytes());
    }
    datagram.extend(data);
    match (source.ip(), destination.ip()) {
        // The kernel fills in length, identification and checksum; a UDP checksum of 0 is none (RFC 768).
        (IpAddr::V4(from), IpAddr::V4(to)) => [header_v4(from, to, length), datagram].concat(),
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let checksum = checksum_v6(from, to, &datagram);
            datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
            [header_v6(from, to, length), datagram].concat()
        }
        _ => panic!("addresses of two families"),
    }
}

fn header_v4(from: Ipv4Addr, to: Ipv4Addr, length: u16) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((length + 20).to_be_bytes());
    header.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
    header.extend(from.octets());
    header.extend(to.octets());
    header
}

fn header_v6(from: Ipv6Addr, to: Ipv6Addr, length: u16) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(length.to_be_bytes());
    header.extend([UDP, 64]);
    header.extend(from.octets());
    header.extend(to.octets());
    header
}

/// RFC 8200 section 8.1.
fn checksum_v6(from: Ipv6Addr, to: Ipv6Addr, datagram: &[u8]) -> u16 {
    let length = u32::try_from(datagram.len()).unwrap();
    let mut bytes = [from.octets(), to.octets()].concat();
    bytes.extend(length.to_be_bytes());
    bytes.extend(u32::from(UDP).to_be_bytes());
    bytes.extend(datagram);
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !u16::try_from(sum).unwrap() {
        0 => 0xffff,
        other => other,
    }
}
