//! The lab's plan of addresses, names and AS numbers: each can be read off the rack and the place in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// The addresses of the link between a ToR and the spine.
pub(super) struct Uplink {
    pub(super) spine_ipv4: Ipv4Addr,
    pub(super) spine_ipv6: Ipv6Addr,
    pub(super) tor_ipv4: Ipv4Addr,
    pub(super) tor_ipv6: Ipv6Addr,
}

impl Uplink {
    pub(super) fn of(rack: u8, tor: u8) -> Self {
        let link = (rack - 1) * 2 + tor;
        let ipv6 = |host| Ipv6Addr::new(0xfd00, 0x20, link.into(), 0, 0, 0, 0, host);
        Self {
            spine_ipv4: Ipv4Addr::new(10, 20, link, 1),
            spine_ipv6: ipv6(1),
            tor_ipv4: Ipv4Addr::new(10, 20, link, 2),
            tor_ipv6: ipv6(2),
        }
    }
}

/// The value of the rack label of the rack's nodes.
pub fn rack_name(rack: u8) -> String {
    format!("rack-{rack}")
}

pub(super) fn tor_name(rack: u8, tor: u8) -> String {
    format!("tor-{rack}-{tor}")
}

pub(super) fn rack_asn(rack: u8) -> u32 {
    64600 + u32::from(rack)
}

pub(super) fn tor_ipv4(rack: u8, tor: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 10, rack, 250 + tor)
}

pub(super) fn tor_ipv6(rack: u8, tor: u8) -> Ipv6Addr {
    rack_ipv6(rack, 250 + tor)
}

/// The address in the rack's IPv6 network whose last group, read as decimal, is `host`.
pub(super) fn rack_ipv6(rack: u8, host: u8) -> Ipv6Addr {
    let host = u16::from(host);
    let digits = (host / 100) << 8 | (host / 10 % 10) << 4 | (host % 10);
    Ipv6Addr::new(0xfd00, 0x10, rack.into(), 0, 0, 0, 0, digits)
}

pub(super) fn rack_net_ipv4(rack: u8) -> IpNetwork {
    interface(Ipv4Addr::new(10, 10, rack, 0), 24)
}

pub(super) fn rack_net_ipv6(rack: u8) -> IpNetwork {
    interface(Ipv6Addr::new(0xfd00, 0x10, rack.into(), 0, 0, 0, 0, 0), 64)
}

pub(super) fn default_ipv4() -> IpNetwork {
    interface(Ipv4Addr::UNSPECIFIED, 0)
}

pub(super) fn default_ipv6() -> IpNetwork {
    interface(Ipv6Addr::UNSPECIFIED, 0)
}

pub(super) fn interface(address: impl Into<IpAddr>, length: u8) -> IpNetwork {
    IpNetwork::new(address.into(), length).expect("all lengths in this file fit their family")
}
