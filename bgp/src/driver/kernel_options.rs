//! The socket options that no crate offers: TCP MD5 signatures and the least TTL.

use std::io;
use std::mem::size_of;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_void, socklen_t};

use crate::config::{PASSWORD_BYTES_MAX, Password};

/// Size of `struct sockaddr_storage`.
const ADDRESS_LEN: usize = 128;

/// `struct tcp_md5sig` of `linux/tcp.h`.
#[repr(C)]
struct Md5Signature {
    /// `struct sockaddr_storage`.
    address: [u8; ADDRESS_LEN],
    flags: u8,
    prefix_len: u8,
    key_len: u16,
    interface: c_int,
    key: [u8; PASSWORD_BYTES_MAX],
}

/// The kernel refuses any other size.
const _: () = assert!(size_of::<Md5Signature>() == 216);

/// Has segments to and from this address signed with the key; without one, not signed any more.
///
/// Segments that are not signed so are then dropped in silence.
pub(super) fn set_password(
    socket: BorrowedFd<'_>,
    remote: IpAddr,
    password: Option<&Password>,
) -> io::Result<()> {
    let key = password.map(Password::bytes).unwrap_or_default();
    let mut signature = Md5Signature {
        address: socket_address(remote)?,
        flags: 0,
        prefix_len: 0,
        key_len: u16::try_from(key.len()).map_err(io::Error::other)?,
        interface: 0,
        key: [0; PASSWORD_BYTES_MAX],
    };
    let place = signature.key.get_mut(..key.len()).ok_or(io::ErrorKind::InvalidInput)?;
    place.copy_from_slice(key);
    set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG, &signature)
}

/// `struct sockaddr_in` or `struct sockaddr_in6` with no port, as a key has none.
fn socket_address(address: IpAddr) -> io::Result<[u8; ADDRESS_LEN]> {
    let (family, place, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, 4, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, 8, address.octets().to_vec()),
    };
    let mut bytes = [0; ADDRESS_LEN];
    let family = u16::try_from(family).map_err(io::Error::other)?;
    bytes[..2].copy_from_slice(&family.to_ne_bytes());
    bytes[place..place + octets.len()].copy_from_slice(&octets);
    Ok(bytes)
}

/// Drops what arrives with a lower TTL or hop limit (RFC 5082).
pub(super) fn set_ttl_min(socket: BorrowedFd<'_>, is_ipv4: bool, ttl: u8) -> io::Result<()> {
    /// `IPV6_MINHOPCOUNT` of `linux/in6.h`.
    const IPV6_MINHOPCOUNT: c_int = 73;
    let value = c_int::from(ttl);
    if is_ipv4 {
        set(socket, libc::IPPROTO_IP, libc::IP_MINTTL, &value)
    } else {
        set(socket, libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT, &value)
    }
}

/// `T` must be what the kernel expects of the option.
#[expect(unsafe_code, reason = "socket2 lacks these options")]
fn set<T>(socket: BorrowedFd<'_>, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    let length = socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for as long as it is borrowed, and the kernel reads
    // `length` bytes from `value`, which is borrowed for the call and as long as its type.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast::<c_void>(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
