//! Options of the sockets that BGP runs over.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use socket2::SockRef;
use tokio::net::TcpStream;

use super::kernel_options;
use crate::config::Transport;

/// Class Selector 6: routing goes before what it routes (RFC 4271 appendix E).
const TOS_CS6: u32 = 0xc0;
/// How much unsent data the kernel takes: what is still with us can be dropped when the session ends.
const NOT_SENT_LOW_WATER_BYTES: u32 = 128 * 1024;

/// Sets what a socket needs before it connects or listens.
pub(super) fn prepare(socket: &SockRef<'_>, is_ipv4: bool) -> io::Result<()> {
    if is_ipv4 { socket.set_tos_v4(TOS_CS6) } else { socket.set_tclass_v6(TOS_CS6) }
}

/// Sets the TTL or hop limit of all packets from here on.
pub(super) fn set_ttl(socket: &SockRef<'_>, is_ipv4: bool, ttl: u8) -> io::Result<()> {
    if is_ipv4 { socket.set_ttl_v4(u32::from(ttl)) } else { socket.set_unicast_hops_v6(u32::from(ttl)) }
}

/// Sets what protects a connection with this address.
pub(super) fn protect(socket: impl AsFd, remote: IpAddr, transport: &Transport) -> io::Result<()> {
    let options = SockRef::from(&socket);
    let is_ipv4 = remote.is_ipv4();
    set_ttl(&options, is_ipv4, transport.ttl)?;
    if let Some(ttl_min) = transport.ttl_min {
        kernel_options::set_ttl_min(socket.as_fd(), is_ipv4, ttl_min)?;
    }
    if transport.password.is_some() {
        kernel_options::set_password(socket.as_fd(), remote, transport.password.as_ref())?;
    }
    Ok(())
}

/// Sets what a connection needs while it lives.
pub(super) fn connected(stream: &TcpStream) -> io::Result<()> {
    // Messages are written many at a time; the last of them must not wait for an acknowledgement.
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT_LOW_WATER_BYTES)
}

/// The address without the dress of an IPv4 address in IPv6.
pub(super) fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}
