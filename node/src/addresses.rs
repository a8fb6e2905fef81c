//! Which of a node's addresses is its own address in the fabric, and why.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use k8s_openapi::api::core::v1::Node;

/// The node's address of each family, with the reason for its choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeAddresses {
    /// IPv4.
    pub ipv4: Option<Chosen<Ipv4Addr>>,
    /// IPv6.
    pub ipv6: Option<Chosen<Ipv6Addr>>,
}

/// An address and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen<A> {
    /// The address.
    pub address: A,
    /// Why.
    pub reason: String,
}

/// Types of address in the order in which they are preferred.
const TYPES: [&str; 2] = ["InternalIP", "ExternalIP"];

impl NodeAddresses {
    /// The addresses of this Node: the first `InternalIP` of each family, else the first `ExternalIP`.
    pub fn of(node: &Node) -> Self {
        Self {
            ipv4: choose(node, |address| match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            }),
            ipv6: choose(node, |address| match address {
                IpAddr::V6(address) => Some(address),
                IpAddr::V4(_) => None,
            }),
        }
    }

    /// The address that sessions use: IPv4 where there is one.
    pub fn primary(&self) -> Option<IpAddr> {
        let ipv4 = self.ipv4.as_ref().map(|chosen| IpAddr::V4(chosen.address));
        ipv4.or(self.ipv6.as_ref().map(|chosen| IpAddr::V6(chosen.address)))
    }
}

fn choose<A>(node: &Node, family: impl Fn(IpAddr) -> Option<A>) -> Option<Chosen<A>> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    TYPES.iter().find_map(|type_| {
        let of_type = addresses.clone().filter(|address| address.type_ == *type_);
        let address = of_type.filter_map(|address| address.address.parse().ok()).find_map(&family)?;
        Some(Chosen { address, reason: format!("first {type_} of the Node object") })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(addresses: &[(&str, &str)]) -> Node {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "n"},
            "status": {"addresses": addresses.iter().map(|(type_, address)|
                serde_json::json!({"type": type_, "address": address})).collect::<Vec<_>>()},
        }))
        .unwrap()
    }

    #[test]
    fn the_first_internal_address_of_each_family() {
        // (why, addresses, IPv4, IPv6)
        let cases: [(&str, &[(&str, &str)], Option<&str>, Option<&str>); 5] = [
            ("none", &[], None, None),
            ("host names are none", &[("Hostname", "n1")], None, None),
            (
                "both families",
                &[("InternalIP", "10.0.0.1"), ("InternalIP", "fd00::1")],
                Some("10.0.0.1"),
                Some("fd00::1"),
            ),
            (
                "internal before external",
                &[("ExternalIP", "192.0.2.1"), ("InternalIP", "10.0.0.1")],
                Some("10.0.0.1"),
                None,
            ),
            ("external where there is no other", &[("ExternalIP", "192.0.2.1")], Some("192.0.2.1"), None),
        ];
        for (why, addresses, ipv4, ipv6) in cases {
            let chosen = NodeAddresses::of(&node(addresses));
            assert_eq!(chosen.ipv4.map(|chosen| chosen.address.to_string()).as_deref(), ipv4, "{why}");
            assert_eq!(chosen.ipv6.map(|chosen| chosen.address.to_string()).as_deref(), ipv6, "{why}");
        }
    }
}
