//! Addresses of interfaces: list them, add one, read their events.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::socket::{Request, Socket, SocketError, attribute, attributes};

const HEADER_BYTES: usize = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_PERMANENT: u32 = 0x80;
const IFA_F_TENTATIVE: u32 = 0x40;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;

/// One address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Number of the interface.
    pub index: u32,
    /// The address itself with the length of its subnet; host bits as they are.
    pub network: IpNetwork,
    /// False for one that a router advertisement or DHCP client gave for a time.
    pub is_permanent: bool,
    /// True while IPv6 still asks whether somebody else has it.
    pub is_tentative: bool,
}

/// Reads an `RTM_NEWADDR` or `RTM_DELADDR` payload; `None` for other families or if it is cut.
pub(crate) fn parse(payload: &[u8]) -> Option<Address> {
    let header = payload.get(..HEADER_BYTES)?;
    let index = u32::from_ne_bytes(header[4..8].try_into().ok()?);
    let mut flags = u32::from(header[2]);
    let mut address = None;
    for (kind, value) in attributes(&payload[HEADER_BYTES..]) {
        match kind {
            // On point-to-point links IFA_ADDRESS is the other end; IFA_LOCAL is always ours.
            IFA_LOCAL => address = read(value),
            IFA_ADDRESS => address = address.or_else(|| read(value)),
            IFA_FLAGS => flags = value.try_into().map_or(flags, u32::from_ne_bytes),
            _ => {}
        }
    }
    Some(Address {
        index,
        network: IpNetwork::new(address?, header[1]).ok()?,
        is_permanent: flags & IFA_F_PERMANENT != 0,
        is_tentative: flags & IFA_F_TENTATIVE != 0,
    })
}

fn read(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        _ => None,
    }
}

/// All addresses of the namespace, both families.
///
/// # Errors
/// What [`Socket::dump`] says.
pub fn list(socket: &mut Socket) -> Result<Vec<Address>, SocketError> {
    let request = Request { message_type: libc::RTM_GETADDR, flags: 0, payload: vec![0; HEADER_BYTES] };
    let replies = socket.dump(&request)?;
    let ours = replies.iter().filter(|reply| reply.message_type == libc::RTM_NEWADDR);
    Ok(ours.filter_map(|reply| parse(&reply.payload)).collect())
}

/// The addresses of one interface, both families.
///
/// # Errors
/// What [`Socket::dump`] says.
pub fn list_of(socket: &mut Socket, index: u32) -> Result<Vec<Address>, SocketError> {
    let mut payload = vec![0; HEADER_BYTES];
    payload[4..8].copy_from_slice(&index.to_ne_bytes());
    let request = Request { message_type: libc::RTM_GETADDR, flags: 0, payload };
    let replies = socket.dump(&request)?;
    let addresses = replies.iter().filter_map(|reply| parse(&reply.payload));
    // Kernels before 5.1 do not filter.
    Ok(addresses.filter(|address| address.index == index).collect())
}

/// Gives an interface a permanent address, without duplicate address detection; one that it
/// has already is success.
///
/// # Errors
/// What [`Socket::request`] says.
pub fn add(socket: &mut Socket, index: u32, network: IpNetwork) -> Result<(), SocketError> {
    let mut payload = vec![0; HEADER_BYTES];
    payload[0] = family(network.ip());
    payload[1] = network.prefix();
    payload[3] = if is_link_local(network.ip()) { RT_SCOPE_LINK } else { RT_SCOPE_UNIVERSE };
    payload[4..8].copy_from_slice(&index.to_ne_bytes());
    let octets = octets(network.ip());
    attribute(&mut payload, IFA_LOCAL, &octets);
    attribute(&mut payload, IFA_ADDRESS, &octets);
    attribute(&mut payload, IFA_FLAGS, &(IFA_F_NODAD | IFA_F_PERMANENT).to_ne_bytes());
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let flags = u16::try_from(flags).unwrap_or_default();
    match socket.request(&Request { message_type: libc::RTM_NEWADDR, flags, payload }) {
        Err(error) if error.errno() == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}

/// The address in network byte order.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// `AF_INET` or `AF_INET6`.
pub(crate) fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    u8::try_from(family).unwrap_or_default()
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
