//! The interface by which the node's address is reached, and the MTU that pods may use.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::address::{self, Address};
use super::endpoint::is_pod_interface;
use super::link::{self, Link};
use super::socket::{Socket, SocketError};

/// The least MTU with which IPv6 works (RFC 8200 §5); links below it are not uplinks.
const MTU_MIN: u32 = 1280;

/// The interface that carries the node's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// Its name.
    pub interface: String,
    /// Its number.
    pub index: u32,
    /// The MTU for pods: that of the interface; of an address on the loopback interface, the
    /// least of those that lead out of the node.
    pub mtu: u32,
    /// Whether it is up and has a carrier.
    pub has_carrier: bool,
}

/// Why there is no uplink.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// No interface has this address: the Node object and the machine disagree.
    #[error("no interface of this machine has the node's address {0}")]
    NoInterface(IpAddr),
    /// Links or addresses could not be read.
    #[error(transparent)]
    Netlink(#[from] SocketError),
}

/// The interface that carries this address.
///
/// # Errors
/// `NoInterface`, or a dump failed.
pub fn find(socket: &mut Socket, node_address: IpAddr) -> Result<Uplink, UplinkError> {
    let addresses = address::list(socket)?;
    let links = link::list(socket)?;
    choose(node_address, &addresses, &links).ok_or(UplinkError::NoInterface(node_address))
}

fn choose(node_address: IpAddr, addresses: &[Address], links: &BTreeMap<u32, Link>) -> Option<Uplink> {
    let carrier = addresses.iter().find(|address| address.network.ip() == node_address)?;
    let link = links.get(&carrier.index)?;
    let mtu = if link.is_loopback { least_mtu(links).unwrap_or(link.mtu) } else { link.mtu };
    Some(Uplink {
        interface: link.name.clone(),
        index: link.index,
        mtu,
        has_carrier: link.is_up && link.has_carrier,
    })
}

fn least_mtu(links: &BTreeMap<u32, Link>) -> Option<u32> {
    let leads_out = |link: &&Link| {
        link.is_up && !link.is_loopback && link.mtu >= MTU_MIN && !is_pod_interface(&link.name)
    };
    links.values().filter(leads_out).map(|link| link.mtu).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, mtu: u32, is_up: bool) -> (u32, Link) {
        let is_loopback = name == "lo";
        let name = name.to_owned();
        let alias = String::new();
        (index, Link { index, name, alias, mac: None, mtu, is_up, has_carrier: is_up, is_loopback })
    }

    #[test]
    fn the_mtu_is_that_of_the_way_out() {
        let links = BTreeMap::from([
            link(1, "lo", 65536, true),
            link(2, "eth0", 9000, true),
            link(3, "eth1", 8950, true),
            link(4, "eth2", 1500, false),
            link(5, "tort00000000001", 1400, true),
            link(6, "tiny0", 576, true),
        ]);
        let address = |index, network: &str| Address {
            index,
            network: network.parse().expect("an address"),
            is_permanent: true,
            is_tentative: false,
        };
        let addresses = [
            address(1, "192.0.2.77/32"),
            address(2, "10.0.0.1/24"),
            address(4, "fd00::1/64"),
            address(9, "10.9.9.9/32"),
        ];
        // (why, node address, expected)
        let cases = [
            ("plain", "10.0.0.1", Some(("eth0", 9000, true))),
            ("down", "fd00::1", Some(("eth2", 1500, false))),
            ("on loopback", "192.0.2.77", Some(("lo", 8950, true))),
            ("nowhere", "10.0.0.2", None),
            ("its interface is gone", "10.9.9.9", None),
        ];
        for (why, node_address, expected) in cases {
            let found = choose(node_address.parse().expect("an address"), &addresses, &links);
            let expected =
                expected.map(|(interface, mtu, has_carrier)| (interface.to_owned(), mtu, has_carrier));
            assert_eq!(
                found.map(|uplink| (uplink.interface, uplink.mtu, uplink.has_carrier)),
                expected,
                "{why}"
            );
        }
    }
}
