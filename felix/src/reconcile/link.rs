//! (the host side that a pod should have, the interface as it is) -> what to change, in order;
//! and which uplinks need help before the node becomes a router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use crate::model::route::RouteTarget;

/// The hardware address of every gateway that a pod sees.
pub const GATEWAY_MAC: [u8; 6] = [0xee; 6];

/// The gateway that pods see in IPv4.
pub const GATEWAY_IPV4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The gateway that pods see in IPv6: the link-local address that belongs to [`GATEWAY_MAC`].
pub const GATEWAY_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0xecee, 0xeeff, 0xfeee, 0xeeee);

/// What the host's end of a pod's pair should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSide {
    /// Name of the interface, `tort` and 11 hexadecimal digits.
    pub interface: String,
    /// Whom it serves, `v1/containerID/ifname/podUID/hash`; at most 255 bytes.
    pub alias: String,
    /// The pod's addresses.
    pub addresses: Vec<IpAddr>,
    /// The pod's hardware address.
    pub pod_mac: [u8; 6],
}

impl HostSide {
    /// The routes that lead to the pod: one /32 or /128 per address. Having them in the kernel
    /// is what makes the attachment committed.
    pub fn routes(&self) -> impl Iterator<Item = (IpNetwork, RouteTarget)> {
        let target = RouteTarget::Link { interface: self.interface.clone() };
        self.addresses.iter().map(move |address| (IpNetwork::from(*address), target.clone()))
    }

    /// True if the pod has an IPv6 address, and hence needs an IPv6 gateway.
    pub fn has_ipv6(&self) -> bool {
        self.addresses.iter().any(IpAddr::is_ipv6)
    }
}

/// What the interface is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedHostSide {
    /// Its alias, empty if it has none.
    pub alias: String,
    /// Its hardware address.
    pub mac: Option<[u8; 6]>,
    /// Whether it has [`GATEWAY_IPV6`].
    pub has_gateway_ipv6: bool,
}

/// One step of preparing the host's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostStep {
    /// Write the alias: from here on the interface says whom it serves.
    Alias,
    /// Give it [`GATEWAY_MAC`].
    GatewayMac,
    /// Write the sysctls of a pod's interface, of IPv4 and, if true, IPv6.
    Sysctls {
        /// Whether IPv6 is wanted.
        ipv6: bool,
    },
    /// Give it [`GATEWAY_IPV6`].
    GatewayIpv6,
}

/// The interface serves somebody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interface {interface} bears the alias {found:?}, not {wanted:?}: it serves another attachment")]
pub struct ServesAnother {
    /// The interface.
    pub interface: String,
    /// The alias that it should have, or have none.
    pub wanted: String,
    /// The alias that it has.
    pub found: String,
}

/// The steps from `observed` to `desired`, in order.
///
/// The alias comes first, so that a daemon that dies in between finds out whose it is; sysctls
/// come before the address, because IPv6 may be disabled on the interface until then.
///
/// # Errors
/// [`ServesAnother`] if it has another's alias.
pub fn plan_host_side(
    desired: &HostSide,
    observed: &ObservedHostSide,
) -> Result<Vec<HostStep>, ServesAnother> {
    let mut steps = Vec::new();
    if observed.alias.is_empty() {
        steps.push(HostStep::Alias);
    } else if observed.alias != desired.alias {
        return Err(ServesAnother {
            interface: desired.interface.clone(),
            wanted: desired.alias.clone(),
            found: observed.alias.clone(),
        });
    }
    if observed.mac != Some(GATEWAY_MAC) {
        steps.push(HostStep::GatewayMac);
    }
    steps.push(HostStep::Sysctls { ipv6: desired.has_ipv6() });
    if desired.has_ipv6() && !observed.has_gateway_ipv6 {
        steps.push(HostStep::GatewayIpv6);
    }
    Ok(steps)
}

/// How an interface treats router advertisements now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertisementFacts {
    /// Its name.
    pub interface: String,
    /// `accept_ra`: 0 never, 1 unless it forwards, 2 always.
    pub accept_ra: u8,
    /// Whether IPv6 forwarding is on for it already.
    pub is_forwarding: bool,
    /// Whether it has an address or a route that came by router advertisement.
    pub is_advertised: bool,
}

/// The interfaces that need `accept_ra=2` before forwarding is switched on; without it they
/// would lose their addresses and default route when the next advertisement is ignored.
pub fn plan_accept_ra(facts: &[AdvertisementFacts]) -> Vec<&str> {
    let needs =
        |facts: &&AdvertisementFacts| facts.accept_ra == 1 && !facts.is_forwarding && facts.is_advertised;
    facts.iter().filter(needs).map(|facts| facts.interface.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_side(addresses: &[&str]) -> HostSide {
        HostSide {
            interface: "tort00000000001".into(),
            alias: "v1/c/eth0/u/h".into(),
            addresses: addresses.iter().map(|address| address.parse().expect("an address")).collect(),
            pod_mac: [2, 0, 0, 0, 0, 1],
        }
    }

    #[test]
    fn a_host_side_is_prepared_step_by_step() {
        use HostStep::{Alias, GatewayIpv6, GatewayMac, Sysctls};
        let both = host_side(&["10.244.0.5", "fd00::5"]);
        let v4 = host_side(&["10.244.0.5"]);
        let fresh = ObservedHostSide { alias: String::new(), mac: None, has_gateway_ipv6: false };
        let done =
            ObservedHostSide { alias: both.alias.clone(), mac: Some(GATEWAY_MAC), has_gateway_ipv6: true };
        let another = ObservedHostSide { alias: "v1/d/eth0/u/h".into(), ..done.clone() };
        let refusal = ServesAnother {
            interface: both.interface.clone(),
            wanted: both.alias.clone(),
            found: another.alias.clone(),
        };
        // (why, desired, observed, expected)
        let cases = [
            ("fresh", &both, &fresh, Ok(vec![Alias, GatewayMac, Sysctls { ipv6: true }, GatewayIpv6])),
            ("without IPv6", &v4, &fresh, Ok(vec![Alias, GatewayMac, Sysctls { ipv6: false }])),
            ("again", &both, &done, Ok(vec![Sysctls { ipv6: true }])),
            ("another's", &both, &another, Err(refusal)),
        ];
        for (why, desired, observed, expected) in cases {
            assert_eq!(plan_host_side(desired, observed), expected, "{why}");
        }
    }

    #[test]
    fn each_address_has_a_route_of_its_own() {
        let routes: Vec<String> = host_side(&["10.244.0.5", "fd00::5"])
            .routes()
            .map(|(prefix, target)| format!("{prefix} {target:?}"))
            .collect();
        let target = r#"Link { interface: "tort00000000001" }"#;
        assert_eq!(routes, [format!("10.244.0.5/32 {target}"), format!("fd00::5/128 {target}")]);
    }

    #[test]
    fn uplinks_that_live_by_advertisements_are_helped() {
        // (why, accept_ra, forwarding, advertised, helped)
        let cases = [
            ("lives by it", 1, false, true, true),
            ("hears none", 1, false, false, false),
            ("switched off on purpose", 0, false, true, false),
            ("always accepts", 2, false, true, false),
            ("forwards already, so it does not accept them now", 1, true, true, false),
        ];
        for (why, accept_ra, is_forwarding, is_advertised, helped) in cases {
            let interface = "eth0".to_owned();
            let facts = [AdvertisementFacts { interface, accept_ra, is_forwarding, is_advertised }];
            assert_eq!(!plan_accept_ra(&facts).is_empty(), helped, "{why}");
        }
    }
}
