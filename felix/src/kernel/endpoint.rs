//! The host's side of pods: prepare an interface, bring it up, find them all again, remove one.
//!
//! ```text
//! ADD:  prepare (alias, MAC, sysctls, gateway address, neighbours) -> raise -> route -> policy -> answer
//! DEL:  remove (if the alias is the expected one)
//! start: read -> facts: interface, alias, addresses by route
//! ```
//!
//! The interface is raised before its route is written, because the kernel takes no route by an
//! interface that is down. No packet passes before the answer all the same: the pod's end is
//! down until then, and an interface without a policy chain drops.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use ipnetwork::{IpNetwork, Ipv6Network};

use super::link::{self, ALIAS_BYTES_MAX, Link, LinkChange, Links};
use super::socket::{Protocol, Socket, SocketError};
use super::sysctl::{SysctlError, Sysctls};
use super::{address, neighbour, route};
use crate::model::route::{Ownership, RouteSource, RouteTarget};
pub use crate::reconcile::link::HostSide;
use crate::reconcile::link::{
    GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY_MAC, HostStep, ObservedHostSide, ServesAnother, plan_host_side,
};
use crate::reconcile::neighbour::plan as plan_neighbours;

/// What every host-side interface's name begins with.
pub const INTERFACE_PREFIX: &str = "tort";

/// Why an endpoint could not be prepared, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// There is no such interface: the plugin has not made it, or it is gone.
    #[error("there is no interface {0}")]
    NoInterface(String),
    /// The name is not one of a host-side interface: the request is wrong.
    #[error("{0:?} is not the name of a pod's interface: it must be tort and up to 11 more characters")]
    Name(String),
    /// The alias is longer than the kernel takes: the request is wrong.
    #[error("alias of {0} bytes, at most {ALIAS_BYTES_MAX} fit")]
    AliasTooLong(usize),
    /// The interface serves another attachment: leave it alone.
    #[error(transparent)]
    ServesAnother(#[from] ServesAnother),
    /// The kernel refused a step.
    #[error("{step} of {interface}: {source}")]
    Step {
        /// What was to be done.
        step: &'static str,
        /// To which interface.
        interface: String,
        /// The kernel's reason.
        source: SocketError,
    },
    /// A setting could not be written.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// The kernel's tables could not be read.
    #[error(transparent)]
    Netlink(#[from] SocketError),
}

/// One host-side interface as found in the kernel, for a daemon that has just started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointFact {
    /// Name of the interface.
    pub interface: String,
    /// Its number.
    pub index: u32,
    /// Its alias; empty if whoever made it did not get that far.
    pub alias: String,
    /// The addresses that our routes lead through it; empty if it was never committed.
    pub addresses: BTreeSet<IpAddr>,
    /// Whether it is up.
    pub is_up: bool,
}

/// What a removal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It was there and is gone.
    Removed,
    /// There was nothing to remove.
    Absent,
}

/// Reads and writes the host's side of pods, in one network namespace.
#[derive(Debug)]
pub struct Endpoints {
    socket: Socket,
    sysctls: Sysctls,
}

impl Endpoints {
    /// For the calling thread's namespace. Calls must be made by threads of that namespace too,
    /// because sysctls follow the thread.
    ///
    /// # Errors
    /// What [`Socket::open`] says.
    pub fn open() -> io::Result<Self> {
        Self::with_sysctls(Sysctls::default())
    }

    /// Likewise, with the settings written through another folder.
    ///
    /// # Errors
    /// What [`Socket::open`] says.
    pub fn with_sysctls(sysctls: Sysctls) -> io::Result<Self> {
        Ok(Self { socket: Socket::open(Protocol::Route)?, sysctls })
    }

    /// Makes an interface ready for its pod, all but bringing it up and the routes. Doing it
    /// again changes nothing.
    ///
    /// # Errors
    /// `NoInterface`, `ServesAnother`, or which step failed and why.
    pub fn prepare(&mut self, host_side: &HostSide) -> Result<(), EndpointError> {
        check(host_side)?;
        let link = self.link(&host_side.interface)?;
        let observed = self.observe(&link)?;
        for step in plan_host_side(host_side, &observed)? {
            self.carry_out(&step, host_side, link.index)?;
        }
        let known = neighbour::list(&mut self.socket, link.index)?;
        let ops = plan_neighbours(&host_side.addresses, host_side.pod_mac, &known);
        neighbour::apply(&mut self.socket, link.index, &ops)
            .map_err(|source| step_error("neighbour entries", host_side, source))
    }

    /// Brings an interface up.
    ///
    /// # Errors
    /// `NoInterface`, or the kernel's refusal.
    pub fn raise(&mut self, interface: &str) -> Result<(), EndpointError> {
        let link = self.link(interface)?;
        Ok(link::change(&mut self.socket, link.index, &[LinkChange::Up(true)])?)
    }

    /// All host-side interfaces, by name, with the addresses that our routes lead through them.
    ///
    /// # Errors
    /// The kernel's tables could not be read.
    pub fn read(&mut self, ownership: &Ownership) -> Result<BTreeMap<String, EndpointFact>, EndpointError> {
        let links = Links::read(&mut self.socket)?;
        let routes = route::dump(&mut self.socket, ownership, &links)?;
        let mut facts: BTreeMap<String, EndpointFact> =
            links.iter().filter(|link| is_pod_interface(&link.name)).map(fact).collect();
        for (key, target) in routes {
            let RouteTarget::Link { interface } = target else { continue };
            if let Some(fact) = facts.get_mut(&interface)
                && key.source == RouteSource::Local
                && is_host_route(key.prefix)
            {
                fact.addresses.insert(key.prefix.ip());
            }
        }
        Ok(facts)
    }

    /// Removes an interface if its alias is the expected one; the kernel removes its routes,
    /// neighbours and the pod's end with it.
    ///
    /// # Errors
    /// `ServesAnother` if it bears another alias; it is left alone then.
    pub fn remove(&mut self, interface: &str, alias: &str) -> Result<Removal, EndpointError> {
        check_name(interface)?;
        let Some(link) = link::by_name(&mut self.socket, interface)? else {
            return Ok(Removal::Absent);
        };
        if link.alias != alias {
            let (wanted, found) = (alias.to_owned(), link.alias);
            return Err(ServesAnother { interface: link.name, wanted, found }.into());
        }
        // By number: a new interface of the same name would have another.
        link::delete(&mut self.socket, link.index)?;
        Ok(Removal::Removed)
    }

    fn link(&mut self, interface: &str) -> Result<Link, EndpointError> {
        check_name(interface)?;
        link::by_name(&mut self.socket, interface)?
            .ok_or_else(|| EndpointError::NoInterface(interface.to_owned()))
    }

    fn observe(&mut self, link: &Link) -> Result<ObservedHostSide, EndpointError> {
        let has_gateway_ipv6 = address::list_of(&mut self.socket, link.index)?
            .iter()
            .any(|address| address.network == gateway_network() && !address.is_tentative);
        Ok(ObservedHostSide { alias: link.alias.clone(), mac: link.mac, has_gateway_ipv6 })
    }

    fn carry_out(&mut self, step: &HostStep, host_side: &HostSide, index: u32) -> Result<(), EndpointError> {
        match step {
            HostStep::Alias => {
                let change = LinkChange::Alias(host_side.alias.clone());
                link::change(&mut self.socket, index, &[change])
                    .map_err(|source| step_error("alias", host_side, source))
            }
            HostStep::GatewayMac => link::change(&mut self.socket, index, &[LinkChange::Mac(GATEWAY_MAC)])
                .map_err(|source| step_error("gateway MAC", host_side, source)),
            HostStep::Sysctls { ipv6 } => {
                Ok(self.sysctls.prepare_pod_interface(&host_side.interface, *ipv6)?)
            }
            HostStep::GatewayIpv6 => address::add(&mut self.socket, index, gateway_network())
                .map_err(|source| step_error("gateway address", host_side, source)),
        }
    }
}

/// The route that makes the host answer ARP for the pods' IPv4 gateway, on every pod interface:
/// to be asked of the route writer once, as a local route.
pub fn gateway_route() -> (IpNetwork, RouteTarget) {
    let gateway = IpNetwork::from(IpAddr::from(GATEWAY_IPV4));
    (gateway, RouteTarget::Link { interface: "lo".into() })
}

/// True for a name that the plugin could have given.
pub fn is_pod_interface(name: &str) -> bool {
    name.starts_with(INTERFACE_PREFIX) && name.len() > INTERFACE_PREFIX.len() && link::is_valid_name(name)
}

fn check(host_side: &HostSide) -> Result<(), EndpointError> {
    check_name(&host_side.interface)?;
    match host_side.alias.len() {
        length if length > ALIAS_BYTES_MAX => Err(EndpointError::AliasTooLong(length)),
        _ => Ok(()),
    }
}

fn check_name(interface: &str) -> Result<(), EndpointError> {
    if is_pod_interface(interface) { Ok(()) } else { Err(EndpointError::Name(interface.to_owned())) }
}

fn fact(link: &Link) -> (String, EndpointFact) {
    let fact = EndpointFact {
        interface: link.name.clone(),
        index: link.index,
        alias: link.alias.clone(),
        addresses: BTreeSet::new(),
        is_up: link.is_up,
    };
    (link.name.clone(), fact)
}

fn is_host_route(prefix: IpNetwork) -> bool {
    prefix.prefix() == if prefix.is_ipv4() { 32 } else { 128 }
}

fn gateway_network() -> IpNetwork {
    let network = Ipv6Network::new(GATEWAY_IPV6, 64);
    IpNetwork::V6(network.expect("64 is a length of an IPv6 prefix"))
}

fn step_error(step: &'static str, host_side: &HostSide, source: SocketError) -> EndpointError {
    EndpointError::Step { step, interface: host_side.interface.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_plugin_are_touched() {
        let cases = [
            ("tort0123456789a", true),
            ("tort", false),
            ("eth0", false),
            ("tort0123456789abc", false),
            ("tort/../all", false),
            ("", false),
        ];
        for (name, expected) in cases {
            assert_eq!(is_pod_interface(name), expected, "{name:?}");
        }
    }

    #[test]
    fn the_gateway_addresses_are_those_of_its_mac() {
        assert_eq!(gateway_network().to_string(), "fe80::ecee:eeff:feee:eeee/64");
        assert_eq!(gateway_route().0.to_string(), "169.254.1.1/32");
        // EUI-64 of the MAC: the kernel would generate the same address.
        let mac = GATEWAY_MAC;
        let octets = [mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]];
        let IpAddr::V6(address) = gateway_network().ip() else { panic!("IPv6") };
        assert_eq!(address.octets()[8..], octets);
    }
}
