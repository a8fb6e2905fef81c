//! CHECK: is the attachment still as ADD left it?
//!
//! The daemon compares its own side and says what the pod's side shall be; that is compared here with
//! what the kernel has, and with what the runtime was told.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::client::{self, Patience};
use crate::mac::MacAddress;
use crate::netlink::Netlink;
use crate::netns::{self, Netns};
use crate::protocol::{Answer, CheckRequest, Request};
use crate::request::{Configuration, Target};
use crate::response::{CniError, ErrorCode};
use crate::veth::{self, Observed, Owner, PodRoute, PodSide, Wishes};

/// Compares the attachment with what it should be.
///
/// # Errors
/// Code 102 with all differences in its details; 7 without `prevResult`; 11 while the daemon is away.
pub fn run(configuration: &Configuration, target: &Target) -> Result<(), CniError> {
    let previous = configuration
        .previous
        .as_ref()
        .ok_or_else(|| CniError::new(ErrorCode::INVALID_CONFIGURATION, "CHECK needs prevResult"))?;
    let told: BTreeSet<IpAddr> = previous.ips.iter().map(|entry| entry.address.ip()).collect();
    let netns = Netns::open(&target.netns)?;
    check_host(target)?;
    let side = wanted(configuration, target, &told)?;
    let observed = netns.inside(|| observe(&side.interface))?;
    let mut differences = side.differences(veth::pod_mac(&target.attachment), &observed);
    differences.extend(
        (side.addresses != told).then(|| {
            format!("the runtime was told the addresses {told:?}, but they are {:?}", side.addresses)
        }),
    );
    if differences.is_empty() { Ok(()) } else { Err(failed(target, &differences.join("; "))) }
}

fn failed(target: &Target, details: &str) -> CniError {
    CniError::new(ErrorCode::CHECK_FAILED, format!("{} is not as it was made", target.attachment))
        .with_details(details)
}

fn check_host(target: &Target) -> Result<(), CniError> {
    let name = veth::host_interface_name(&target.attachment);
    let host = netns::link(&mut netns::netlink()?, &name)?;
    match host.map(|host| (veth::owner(&host.alias, &target.attachment), host.is_up)) {
        None => Err(failed(target, &format!("{name} is gone"))),
        Some((Owner::Attachment, true)) => Ok(()),
        Some((Owner::Attachment, false)) => Err(failed(target, &format!("{name} is down"))),
        Some(_) => Err(failed(target, &format!("{name} serves somebody else"))),
    }
}

fn wanted(
    configuration: &Configuration,
    target: &Target,
    told: &BTreeSet<IpAddr>,
) -> Result<PodSide, CniError> {
    let request = Request::Check(CheckRequest {
        attachment: target.attachment.clone(),
        host_interface: veth::host_interface_name(&target.attachment),
        addresses: told.iter().copied().collect(),
    });
    let wishes = Wishes { mtu: configuration.mtu, default_route: configuration.default_route };
    match client::ask(&configuration.socket, &request, Patience::NONE)? {
        Answer::Granted(grant) => PodSide::of(&target.attachment.ifname, &grant, wishes),
        other => Err(client::unexpected(&other)),
    }
}

/// What is in the kernel; to be called inside the pod's namespace.
fn observe(interface: &str) -> Result<Observed, CniError> {
    let mut netlink = netns::netlink()?;
    let Some(link) = netns::link(&mut netlink, interface)? else { return Ok(Observed::default()) };
    Ok(Observed {
        mac: link.mac,
        mtu: link.mtu,
        is_up: link.is_up,
        addresses: addresses(&mut netlink, link.index)?,
        neighbours: neighbours(&mut netlink, link.index)?,
        routes: routes(&mut netlink, link.index)?,
    })
}

fn list(netlink: &mut Netlink, request: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, CniError> {
    netlink.ask(request, true).map_err(|error| {
        CniError::new(ErrorCode::KERNEL, "the pod's side cannot be looked at").with_details(error.to_string())
    })
}

fn addresses(netlink: &mut Netlink, index: u32) -> Result<BTreeSet<IpAddr>, CniError> {
    let answers = list(netlink, RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    let of_link = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewAddress(message) if message.header.index == index => Some(message),
        _ => None,
    });
    let address = |message: AddressMessage| {
        message.attributes.into_iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(address),
            _ => None,
        })
    };
    Ok(of_link.filter_map(address).collect())
}

fn neighbours(netlink: &mut Netlink, index: u32) -> Result<BTreeSet<(IpAddr, MacAddress)>, CniError> {
    let answers = list(netlink, RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()))?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewNeighbour(message) if message.header.ifindex == index => {
                neighbour(message)
            }
            _ => None,
        })
        .collect())
}

fn neighbour(message: NeighbourMessage) -> Option<(IpAddr, MacAddress)> {
    if message.header.state != NeighbourState::Permanent {
        return None;
    }
    let (mut address, mut mac) = (None, None);
    for attribute in message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => address = Some(IpAddr::V4(v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => address = Some(IpAddr::V6(v6)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.try_into().ok().map(MacAddress),
            _ => {}
        }
    }
    Some((address?, mac?))
}

fn routes(netlink: &mut Netlink, index: u32) -> Result<BTreeSet<PodRoute>, CniError> {
    let mut routes = BTreeSet::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        let answers = list(netlink, RouteNetlinkMessage::GetRoute(request))?;
        routes.extend(answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(message) => route(&message, index),
            _ => None,
        }));
    }
    Ok(routes)
}

fn route(message: &RouteMessage, index: u32) -> Option<PodRoute> {
    let address = |address: &RouteAddress| match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    };
    let unspecified: IpAddr = match message.header.address_family {
        AddressFamily::Inet => [0; 4].into(),
        _ => [0; 16].into(),
    };
    let (mut destination, mut gateway, mut is_ours) = (unspecified, None, false);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => destination = address(to)?,
            RouteAttribute::Gateway(via) => gateway = address(via),
            RouteAttribute::Oif(oif) => is_ours = *oif == index,
            _ => {}
        }
    }
    if !is_ours || message.header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    let prefix = ipnetwork::IpNetwork::new(destination, message.header.destination_prefix_length).ok()?;
    Some(PodRoute { destination: prefix, gateway })
}
