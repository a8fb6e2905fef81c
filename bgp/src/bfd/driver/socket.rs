//! The sockets of BFD (RFC 5881 section 4, RFC 5883 section 5).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::super::{MULTIHOP_PORT, SINGLE_HOP_PORT, SessionKey, TTL};

/// Class Selector 6, as routing has.
const TOS_CS6: u32 = 0xc0;
/// Source ports that the RFC allows; the highest is 65535.
const SOURCE_PORT_FIRST: u16 = 49152;
/// Longer datagrams are cut; no packet is as long.
const DATAGRAM_BYTES_MAX: usize = 64;
/// Packets of thousands of sessions wait here while the thread is not scheduled.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// Which receiver a session needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    pub(super) is_ipv4: bool,
    pub(super) is_multihop: bool,
}

impl Port {
    pub(super) fn of(key: &SessionKey) -> Self {
        Self { is_ipv4: key.remote.is_ipv4(), is_multihop: key.is_multihop }
    }

    fn number(self) -> u16 {
        if self.is_multihop { MULTIHOP_PORT } else { SINGLE_HOP_PORT }
    }
}

/// What came.
pub(super) struct Datagram {
    pub(super) source: IpAddr,
    /// Of the interface, if the address is link-local.
    pub(super) scope: u32,
    pub(super) ttl: u8,
    pub(super) is_multihop: bool,
    pub(super) bytes: Vec<u8>,
}

/// A receiver.
///
/// # Errors
/// The kernel's, for instance that another process has the port.
pub(super) fn receiver(port: Port) -> io::Result<UdpSocket> {
    let socket = open(port.is_ipv4)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    if port.is_ipv4 {
        setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
    } else {
        setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
    }
    socket.bind(&SocketAddr::new(unspecified(port.is_ipv4), port.number()).into())?;
    UdpSocket::from_std(socket.into())
}

/// A sender from one of our addresses, or from whichever the kernel chooses.
///
/// # Errors
/// The kernel's, for instance that the address is not ours.
pub(super) fn sender(local: Option<IpAddr>, is_ipv4: bool) -> io::Result<UdpSocket> {
    let address = local.unwrap_or(unspecified(is_ipv4));
    let mut refusal = io::Error::from(io::ErrorKind::AddrInUse);
    for port in SOURCE_PORT_FIRST..=u16::MAX {
        let socket = open(is_ipv4)?;
        match socket.bind(&SocketAddr::new(address, port).into()) {
            Ok(()) => return UdpSocket::from_std(socket.into()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => refusal = error,
            Err(error) => return Err(error),
        }
    }
    Err(refusal)
}

/// Where a session's packets go.
pub(super) fn destination(key: &SessionKey) -> SocketAddr {
    let mut address = SocketAddr::new(key.remote, Port::of(key).number());
    if let SocketAddr::V6(address) = &mut address {
        address.set_scope_id(key.scope);
    }
    address
}

/// Waits for a datagram; `None` for one without TTL or of a family that is none. Cancel-safe.
pub(super) async fn receive(socket: &UdpSocket, is_multihop: bool) -> io::Result<Option<Datagram>> {
    let read = || {
        let mut bytes = [0; DATAGRAM_BYTES_MAX];
        let mut control = cmsg_space!(i32);
        let (length, ttl, address) = {
            let mut buffers = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let message =
                recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut buffers, Some(&mut control), flags)?;
            let ttl = message.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => {
                    u8::try_from(ttl).ok()
                }
                _ => None,
            });
            (message.bytes, ttl, message.address.and_then(|address| plain(&address)))
        };
        let (Some(ttl), Some((source, scope))) = (ttl, address) else { return Ok(None) };
        Ok(Some(Datagram { source, scope, ttl, is_multihop, bytes: bytes[..length].to_vec() }))
    };
    socket.async_io(Interest::READABLE, read).await
}

fn plain(address: &SockaddrStorage) -> Option<(IpAddr, u32)> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some((v4.ip().into(), 0));
    }
    let v6 = address.as_sockaddr_in6()?;
    let scope = if v6.ip().is_unicast_link_local() { v6.scope_id() } else { 0 };
    Some((v6.ip().into(), scope))
}

fn open(is_ipv4: bool) -> io::Result<Socket> {
    let domain = if is_ipv4 { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if is_ipv4 {
        socket.set_tos_v4(TOS_CS6)?;
        socket.set_ttl_v4(u32::from(TTL))?;
    } else {
        socket.set_only_v6(true)?;
        socket.set_tclass_v6(TOS_CS6)?;
        socket.set_unicast_hops_v6(u32::from(TTL))?;
    }
    Ok(socket)
}

fn unspecified(is_ipv4: bool) -> IpAddr {
    if is_ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}
