//! The pair of one attachment as a value: names, link-layer addresses, and what its pod's end shall be.
//!
//! Names and link-layer addresses are functions of the attachment, so that plugin and daemon derive the
//! same ones without asking each other, and a second ADD meets the first one's interface.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use sha2::{Digest, Sha256};

use crate::mac::MacAddress;
use crate::protocol::{Attachment, Grant};
use crate::response::{CniError, ErrorCode};

/// What every host end's name begins with.
pub const HOST_INTERFACE_PREFIX: &str = "tort";

/// Link-layer address of every host end, and of both gateways as the pod sees them.
pub const HOST_MAC: MacAddress = MacAddress([0xee; 6]);

/// The only interface that gets default routes without being asked.
const DEFAULT_ROUTE_INTERFACE: &str = "eth0";

/// Hexadecimal digits of a hash in names: with the prefix they fill the 15 bytes of an interface name.
const HASH_DIGITS: usize = 11;

/// Least MTU in bytes that a daemon may grant (RFC 8200 §5).
const MTU_MIN: u32 = 1280;

/// Name of an attachment's host end: `tort` and 11 hexadecimal digits.
pub fn host_interface_name(attachment: &Attachment) -> String {
    let digits = hex(&hash(&[&attachment.network, &attachment.container_id, &attachment.ifname]));
    format!("{HOST_INTERFACE_PREFIX}{}", &digits[..HASH_DIGITS])
}

/// Link-layer address of an attachment's pod end: unicast, locally administered.
pub fn pod_mac(attachment: &Attachment) -> MacAddress {
    let hash = hash(&["mac", &attachment.network, &attachment.container_id, &attachment.ifname]);
    let mut octets = *hash.first_chunk().expect("a hash has 32 bytes");
    octets[0] = (octets[0] & 0xfc) | 0x02;
    MacAddress(octets)
}

/// What a network is called in an alias; its own name may be too long.
pub fn network_hash(network: &str) -> String {
    let mut digits = hex(&hash(&[network]));
    digits.truncate(HASH_DIGITS);
    digits
}

/// Whom a host end serves, as it stands in its alias `v1/containerID/ifname/podUID/hash of the network`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alias {
    /// The sandbox.
    pub container_id: String,
    /// Name of the pod's end.
    pub ifname: String,
    /// The pod's UID; empty if the runtime did not say it.
    pub pod_uid: String,
    /// See [`network_hash`].
    pub network_hash: String,
}

impl Alias {
    /// The alias of this attachment for this pod.
    pub fn of(attachment: &Attachment, pod_uid: &str) -> Self {
        Self {
            container_id: attachment.container_id.clone(),
            ifname: attachment.ifname.clone(),
            pod_uid: pod_uid.into(),
            network_hash: network_hash(&attachment.network),
        }
    }

    /// As the kernel stores it; at most 255 bytes for every attachment that the plugin lets in.
    pub fn text(&self) -> String {
        format!("v1/{}/{}/{}/{}", self.container_id, self.ifname, self.pod_uid, self.network_hash)
    }

    /// The alias in this text; `None` if it is nobody's or somebody else's.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("v1/")?.split('/').map(str::to_owned);
        let alias = Self {
            container_id: parts.next().filter(|part| !part.is_empty())?,
            ifname: parts.next().filter(|part| !part.is_empty())?,
            pod_uid: parts.next()?,
            network_hash: parts.next().filter(|part| part.len() == HASH_DIGITS)?,
        };
        parts.next().is_none().then_some(alias)
    }

    /// Whether an interface with this alias serves this attachment, for whichever pod.
    pub fn serves(&self, attachment: &Attachment) -> bool {
        self.container_id == attachment.container_id
            && self.ifname == attachment.ifname
            && self.network_hash == network_hash(&attachment.network)
    }
}

/// Whose an interface with one of our names is, by its alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody's yet: an ADD is under way, or was killed before the daemon knew of it.
    Nobody,
    /// This attachment's.
    Attachment,
    /// Somebody else's, and not to be touched.
    Other,
}

/// Whose the interface with this alias is, seen from this attachment.
pub fn owner(alias: &str, attachment: &Attachment) -> Owner {
    match Alias::parse(alias) {
        _ if alias.is_empty() => Owner::Nobody,
        Some(alias) if alias.serves(attachment) => Owner::Attachment,
        _ => Owner::Other,
    }
}

/// The pair as it is created: host end down, pod end down in the pod's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Name of the host end.
    pub host_name: String,
    /// Link-layer address of the host end.
    pub host_mac: MacAddress,
    /// Name of the pod's end.
    pub pod_name: String,
    /// Link-layer address of the pod's end.
    pub pod_mac: MacAddress,
    /// MTU of both ends in bytes; the kernel's default if the daemon is to decide.
    pub mtu: Option<u32>,
}

impl Pair {
    /// The pair of this attachment.
    pub fn of(attachment: &Attachment, mtu: Option<u32>) -> Self {
        Self {
            host_name: host_interface_name(attachment),
            host_mac: HOST_MAC,
            pod_name: attachment.ifname.clone(),
            pod_mac: pod_mac(attachment),
            mtu,
        }
    }
}

/// What a pod's end shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSide {
    /// Name of the interface.
    pub interface: String,
    /// MTU in bytes.
    pub mtu: u32,
    /// The pod's addresses, each whole: /32 or /128.
    pub addresses: BTreeSet<IpAddr>,
    /// Permanent neighbour entries: the gateways.
    pub neighbours: BTreeSet<(IpAddr, MacAddress)>,
    /// Routes, in an order in which each is possible after those before it.
    pub routes: Vec<PodRoute>,
    /// Settings of the interface, written before it comes up.
    pub sysctls: Vec<Sysctl>,
}

/// One route inside a pod, always through the pod's end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodRoute {
    /// Where to.
    pub destination: IpNetwork,
    /// The next hop, which is on the link whatever the addresses say; without one the destination is.
    pub gateway: Option<IpAddr>,
}

/// One file below `/proc/sys` and its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// Path below `/proc/sys`.
    pub path: String,
    /// What to write.
    pub value: &'static str,
    /// Whether the pod works without it, on a kernel that does not have it.
    pub is_optional: bool,
}

/// What a network configuration may say of the pod's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// MTU in bytes that has precedence over the daemon's.
    pub mtu: Option<u32>,
    /// Whether default routes lead through the interface, if somebody said it.
    pub default_route: Option<bool>,
}

impl PodSide {
    /// The pod's side for this grant.
    ///
    /// # Errors
    /// Code 6 for a grant that makes no sense: no address, two of one family, a gateway of the other
    /// family, an impossible MTU. The daemon is then of another release or broken.
    pub fn of(interface: &str, grant: &Grant, wishes: Wishes) -> Result<Self, CniError> {
        refuse_nonsense(grant)?;
        let wants_default = wishes.default_route.unwrap_or(interface == DEFAULT_ROUTE_INTERFACE);
        let has_ipv6 = grant.addresses.iter().any(|granted| granted.address.is_ipv6());
        let gateways = grant.addresses.iter().map(|granted| granted.gateway);
        Ok(Self {
            interface: interface.into(),
            mtu: wishes.mtu.unwrap_or(grant.mtu),
            addresses: grant.addresses.iter().map(|granted| granted.address).collect(),
            neighbours: gateways.clone().map(|gateway| (gateway, grant.gateway_mac)).collect(),
            routes: gateways.flat_map(|gateway| routes(gateway, wants_default)).collect(),
            sysctls: sysctls(interface, has_ipv6),
        })
    }

    /// The routes as the runtime is told them: destination and next hop.
    pub fn reported_routes(&self) -> Vec<(IpNetwork, IpAddr)> {
        self.routes.iter().filter_map(|route| Some((route.destination, route.gateway?))).collect()
    }
}

/// A pod's end as the kernel has it; the default is one that does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Link-layer address.
    pub mac: Option<MacAddress>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// Whether it is up.
    pub is_up: bool,
    /// All addresses on it, link-local ones among them.
    pub addresses: BTreeSet<IpAddr>,
    /// Its permanent neighbour entries.
    pub neighbours: BTreeSet<(IpAddr, MacAddress)>,
    /// Its routes in the main table.
    pub routes: BTreeSet<PodRoute>,
}

impl PodSide {
    /// What is missing or wrong in the kernel, one line each; what is there beyond the plan is the
    /// pod's own affair.
    pub fn differences(&self, mac: MacAddress, observed: &Observed) -> Vec<String> {
        if *observed == Observed::default() {
            return vec![format!("{} is gone", self.interface)];
        }
        let mut found = Vec::new();
        let mut expect = |holds: bool, text: String| found.extend((!holds).then_some(text));
        expect(observed.mac == Some(mac), format!("link-layer address is not {mac}"));
        expect(observed.mtu == Some(self.mtu), format!("MTU is not {}", self.mtu));
        expect(observed.is_up, format!("{} is down", self.interface));
        for address in &self.addresses {
            expect(observed.addresses.contains(address), format!("address {address} is missing"));
        }
        for (address, mac) in &self.neighbours {
            let holds = observed.neighbours.contains(&(*address, *mac));
            expect(holds, format!("neighbour {address} is not permanently {mac}"));
        }
        for route in &self.routes {
            let via = route.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
            expect(
                observed.routes.contains(route),
                format!("route to {}{via} is missing", route.destination),
            );
        }
        found
    }
}

fn refuse_nonsense(grant: &Grant) -> Result<(), CniError> {
    let refuse = |what: &str| {
        Err(CniError::new(ErrorCode::DECODING_FAILURE, "the daemon's answer makes no sense")
            .with_details(what))
    };
    let ipv4 = grant.addresses.iter().filter(|granted| granted.address.is_ipv4()).count();
    if grant.addresses.is_empty() {
        return refuse("it has no address");
    }
    if ipv4 > 1 || grant.addresses.len() - ipv4 > 1 {
        return refuse("it has two addresses of one family");
    }
    if grant.addresses.iter().any(|granted| granted.address.is_ipv4() != granted.gateway.is_ipv4()) {
        return refuse("an address and its gateway are of different families");
    }
    if !(MTU_MIN..=65_535).contains(&grant.mtu) {
        return refuse(&format!("its MTU is {}", grant.mtu));
    }
    Ok(())
}

/// An IPv4 gateway gets a link route of its own: some guests look for one, and nothing else in the pod
/// says that it is on the link. An IPv6 gateway is link-local and so on the link by its nature.
fn routes(gateway: IpAddr, wants_default: bool) -> Vec<PodRoute> {
    let on_link =
        gateway.is_ipv4().then(|| PodRoute { destination: IpNetwork::from(gateway), gateway: None });
    let default =
        wants_default.then(|| PodRoute { destination: everything(gateway), gateway: Some(gateway) });
    on_link.into_iter().chain(default).collect()
}

/// The default prefix of this address's family.
fn everything(like: IpAddr) -> IpNetwork {
    let text = if like.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
    text.parse().expect("a constant prefix")
}

fn sysctls(interface: &str, has_ipv6: bool) -> Vec<Sysctl> {
    let ipv6 = |key: &str, value, is_optional| Sysctl {
        path: format!("net/ipv6/conf/{interface}/{key}"),
        value,
        is_optional,
    };
    // Nobody but the daemon says what a pod's routes and addresses are.
    let mut sysctls = vec![ipv6("accept_ra", "0", true), ipv6("accept_redirects", "0", true)];
    if has_ipv6 {
        // Runtimes may switch IPv6 off in every new namespace.
        sysctls.push(ipv6("disable_ipv6", "0", false));
        // The link-local address too must be there at once: it is the source of neighbour discovery.
        sysctls.push(ipv6("accept_dad", "0", true));
    }
    sysctls
}

fn hash(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        // None of the parts can hold a zero byte, so that different parts never hash alike.
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

#[cfg(test)]
mod tests;
