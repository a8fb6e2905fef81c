//! Carries the plan of a pair out, on the host and inside the pod's network namespace.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::thread;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::sched::{CloneFlags, setns};

use crate::mac::MacAddress;
use crate::netlink::{Flagged, Netlink, NetlinkError};
use crate::response::{CniError, ErrorCode};
use crate::veth::{Pair, PodRoute, PodSide, Sysctl};

/// Index of the loopback interface in every network namespace.
const LOOPBACK_INDEX: u32 = 1;

/// A pod's network namespace, held open.
pub(crate) struct Netns {
    file: File,
    path: String,
}

impl Netns {
    /// The namespace at this path.
    ///
    /// # Errors
    /// Code 4 if there is none, or if it is the host's own: its routes are not ours to change.
    pub(crate) fn open(path: &str) -> Result<Self, CniError> {
        let refuse = |reason: String| {
            CniError::new(ErrorCode::INVALID_ENVIRONMENT, format!("CNI_NETNS {path} cannot be used"))
                .with_details(reason)
        };
        let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
        let own = File::open("/proc/thread-self/ns/net").and_then(|own| identity(&own));
        let (own, given) = own
            .and_then(|own| Ok((own, identity(&file)?)))
            .map_err(|error| refuse(format!("namespaces cannot be told apart: {error}")))?;
        if own.0 != given.0 {
            return Err(refuse("it is no namespace".into()));
        }
        if own == given {
            return Err(refuse("it is the namespace of the host; a pod needs its own".into()));
        }
        Ok(Self { file, path: path.into() })
    }

    /// What `work` says on a thread inside the namespace.
    pub(crate) fn inside<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, CniError> + Send,
    ) -> Result<T, CniError> {
        let enter = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| {
                CniError::new(ErrorCode::INVALID_ENVIRONMENT, format!("{} cannot be entered", self.path))
                    .with_details(io::Error::from(errno).to_string())
            })?;
            work()
        };
        // The thread ends inside the namespace, so that nothing has to find its way back.
        thread::scope(|scope| scope.spawn(enter).join()).unwrap_or_else(|_| {
            Err(CniError::new(ErrorCode::IO_FAILURE, "the thread in the namespace failed"))
        })
    }
}

/// An interface as far as we must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) alias: String,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) mtu: Option<u32>,
    pub(crate) is_up: bool,
}

/// The kernel refused `what`.
fn kernel(what: impl Into<String>) -> impl FnOnce(NetlinkError) -> CniError {
    let what = what.into();
    move |error| CniError::new(ErrorCode::KERNEL, what).with_details(error.to_string())
}

/// A netlink socket in the current namespace.
pub(crate) fn netlink() -> Result<Netlink, CniError> {
    Netlink::open().map_err(|error| kernel("no netlink socket")(error.into()))
}

/// The interface of this name in the current namespace.
pub(crate) fn link(netlink: &mut Netlink, name: &str) -> Result<Option<Link>, CniError> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.into()));
    match netlink.ask(RouteNetlinkMessage::GetLink(message), false) {
        Ok(answers) => Ok(answers.into_iter().find_map(read_link)),
        Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(kernel(format!("interface {name} cannot be looked at"))(error)),
    }
}

fn read_link(answer: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = answer else { return None };
    let mut link = Link {
        index: message.header.index,
        alias: String::new(),
        mac: None,
        mtu: None,
        is_up: message.header.flags.contains(LinkFlags::Up),
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfAlias(alias) => link.alias = alias,
            LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok().map(MacAddress),
            LinkAttribute::Mtu(mtu) => link.mtu = Some(mtu),
            _ => {}
        }
    }
    Some(link)
}

/// Creates the pair, both ends down, the pod's end in its namespace from the first moment.
///
/// # Errors
/// `EEXIST` in the kernel's answer is given as `None`: a name is taken on one of the two sides.
pub(crate) fn create(netlink: &mut Netlink, pair: &Pair, netns: &Netns) -> Result<Option<()>, CniError> {
    let end = |name: &str, mac: MacAddress| {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.into()));
        message.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
        message.attributes.extend(pair.mtu.map(LinkAttribute::Mtu));
        message
    };
    let mut peer = end(&pair.pod_name, pair.pod_mac);
    peer.attributes.push(LinkAttribute::NetNsFd(netns.file.as_raw_fd()));
    let mut host = end(&pair.host_name, pair.host_mac);
    host.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    match netlink.change(vec![(NLM_F_CREATE | NLM_F_EXCL, RouteNetlinkMessage::NewLink(host))]) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.errno() == Some(libc::EEXIST) => Ok(None),
        Err(error) => Err(kernel(format!("the pair {} cannot be created", pair.host_name))(error)),
    }
}

/// Removes an interface, and with it the other end of its pair; one that is gone is removed.
pub(crate) fn remove(netlink: &mut Netlink, index: u32) -> Result<(), CniError> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    match netlink.change(vec![(0, RouteNetlinkMessage::DelLink(message))]) {
        Err(error) if error.errno() != Some(libc::ENODEV) => {
            Err(kernel(format!("interface {index} cannot be removed"))(error))
        }
        _ => Ok(()),
    }
}

/// Gives the interface this MTU.
pub(crate) fn set_mtu(netlink: &mut Netlink, index: u32, mtu: u32) -> Result<(), CniError> {
    netlink.change(vec![mtu_request(index, mtu)]).map_err(kernel(format!("MTU {mtu} cannot be set")))
}

fn mtu_request(index: u32, mtu: u32) -> Flagged {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::Mtu(mtu));
    (0, RouteNetlinkMessage::SetLink(message))
}

/// Makes the pod's side what the plan says; to be called inside the pod's namespace.
pub(crate) fn configure(side: &PodSide) -> Result<(), CniError> {
    side.sysctls.iter().try_for_each(write)?;
    let mut netlink = netlink()?;
    let link = link(&mut netlink, &side.interface)?.ok_or_else(|| {
        CniError::new(
            ErrorCode::INTERFACE_CONFLICT,
            format!("{} vanished from the container", side.interface),
        )
    })?;
    let (requests, names): (Vec<_>, Vec<_>) = requests(side, link.index).into_iter().unzip();
    netlink.change(requests).map_err(|error| {
        let what = match &error {
            NetlinkError::Refused { request, .. } => names.get(*request).cloned(),
            NetlinkError::Socket(_) => None,
        };
        kernel(format!("the pod's side cannot be set up: {}", what.unwrap_or_default()))(error)
    })
}

/// Everything in one send, in an order in which each request is possible after those before it.
fn requests(side: &PodSide, index: u32) -> Vec<(Flagged, String)> {
    let mut requests = vec![
        (up(LOOPBACK_INDEX), "lo up".into()),
        (mtu_request(index, side.mtu), format!("MTU {}", side.mtu)),
        (up(index), format!("{} up", side.interface)),
    ];
    let addresses = side.addresses.iter().map(|each| (address(index, *each), format!("address {each}")));
    let neighbours =
        side.neighbours.iter().map(|(ip, mac)| (neighbour(index, *ip, *mac), format!("neighbour {ip}")));
    let routes =
        side.routes.iter().map(|each| (route(index, each), format!("route to {}", each.destination)));
    requests.extend(addresses.chain(neighbours).chain(routes));
    requests
}

fn up(index: u32) -> Flagged {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    (0, RouteNetlinkMessage::SetLink(message))
}

fn address(index: u32, address: IpAddr) -> Flagged {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.family = family(address);
    message.header.prefix_len = prefix_length(address);
    message.header.scope = AddressScope::Universe;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    if address.is_ipv6() {
        // The daemon answers for its uniqueness; duplicate detection would cost a second.
        message.header.flags = AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    (NLM_F_CREATE | NLM_F_REPLACE, RouteNetlinkMessage::NewAddress(message))
}

fn neighbour(index: u32, address: IpAddr, mac: MacAddress) -> Flagged {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = index;
    message.header.family = family(address);
    message.header.state = NeighbourState::Permanent;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![
        NeighbourAttribute::Destination(match address {
            IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
            IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
        }),
        NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()),
    ];
    (NLM_F_CREATE | NLM_F_REPLACE, RouteNetlinkMessage::NewNeighbour(message))
}

fn route(index: u32, route: &PodRoute) -> Flagged {
    let destination = route.destination.ip();
    let mut message = RouteMessage::default();
    message.header.address_family = family(destination);
    message.header.destination_prefix_length = route.destination.prefix();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.kind = RouteType::Unicast;
    message.header.scope = if route.gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
    message.attributes = vec![RouteAttribute::Oif(index)];
    if route.destination.prefix() > 0 {
        message.attributes.push(RouteAttribute::Destination(route_address(destination)));
    }
    if let Some(gateway) = route.gateway {
        message.header.flags = RouteFlags::Onlink;
        message.attributes.push(RouteAttribute::Gateway(route_address(gateway)));
    }
    (NLM_F_CREATE | NLM_F_REPLACE, RouteNetlinkMessage::NewRoute(message))
}

fn write(sysctl: &Sysctl) -> Result<(), CniError> {
    match std::fs::write(format!("/proc/sys/{}", sysctl.path), sysctl.value) {
        Err(error) if !(sysctl.is_optional && error.kind() == io::ErrorKind::NotFound) => Err(CniError::new(
            ErrorCode::KERNEL,
            format!("sysctl {} cannot be set to {}", sysctl.path, sysctl.value),
        )
        .with_details(error.to_string())),
        _ => Ok(()),
    }
}

pub(crate) fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn prefix_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    }
}
