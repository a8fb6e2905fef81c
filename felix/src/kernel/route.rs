//! Routes as netlink messages: write, dump and read back those that are ours.
//!
//! IPv6 differs from IPv4 in three ways that matter here. A create without `NLM_F_EXCL` joins
//! any route of the same metric as one more path, a foreigner's too; hence adding always says
//! EXCL. A replace with several paths removes all former ones, and needs all of the new ones in
//! one message. A delete without a gateway removes all paths.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{Emitable, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteNextHop, RouteScope, RouteType, RouteVia,
};

use super::link::Links;
use super::socket::{Reply, Request, Socket, SocketError};
use crate::model::route::{NextHop, Ownership, RouteTarget};
use crate::reconcile::route::{ObservedRoutes, RouteKey, RouteOp};

/// `RTPROT_RA`: learnt from a router advertisement.
pub(crate) const PROTOCOL_ROUTER_ADVERTISEMENT: u8 = 9;

/// Why a route cannot even be said to the kernel; it can be tried again when links change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// There is no interface of this name now.
    #[error("there is no interface {0}")]
    NoInterface(String),
    /// An IPv6 route by an IPv4 gateway: the kernel has no form for it.
    #[error("an IPv6 prefix cannot have the IPv4 gateway {0}: peer over IPv6 or set next_hop_ipv6")]
    GatewayFamily(IpAddr),
}

/// The message that carries this write out.
///
/// # Errors
/// [`Unwritable`]
pub fn request(op: &RouteOp, ownership: &Ownership, links: &Links) -> Result<Request, Unwritable> {
    let (key, target, message_type, flags) = match op {
        RouteOp::Add(key, target) => {
            (key, Some(target), libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL)
        }
        RouteOp::Replace(key, target) => {
            (key, Some(target), libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE)
        }
        RouteOp::Remove(key) => (key, None, libc::RTM_DELROUTE, 0),
    };
    let mut message = blank(key, ownership);
    match target {
        None => message.header.scope = RouteScope::NoWhere,
        Some(RouteTarget::Blackhole) => message.header.kind = RouteType::BlackHole,
        Some(RouteTarget::Link { interface }) => {
            message.header.kind = RouteType::Unicast;
            message.header.scope = RouteScope::Link;
            message.attributes.push(RouteAttribute::Oif(index_of(interface, links)?));
        }
        Some(RouteTarget::Via(hops)) => {
            message.header.kind = RouteType::Unicast;
            message.attributes.extend(gateways(key, hops, links)?);
        }
    }
    Ok(to_request(&message, message_type, flags))
}

fn blank(key: &RouteKey, ownership: &Ownership) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family_of(key.prefix.ip());
    message.header.destination_prefix_length = key.prefix.prefix();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = ownership.protocol.into();
    if key.prefix.prefix() > 0 {
        message.attributes.push(RouteAttribute::Destination(key.prefix.ip().into()));
    }
    message.attributes.push(RouteAttribute::Priority(ownership.metric(key.source)));
    message
}

fn gateways(
    key: &RouteKey,
    hops: &BTreeSet<NextHop>,
    links: &Links,
) -> Result<Vec<RouteAttribute>, Unwritable> {
    let mut paths = Vec::with_capacity(hops.len());
    for hop in hops {
        let index = hop.interface.as_ref().map(|name| index_of(name, links)).transpose()?;
        paths.push((gateway(key.prefix, hop.gateway)?, index));
    }
    if paths.len() == 1 {
        return Ok(paths
            .into_iter()
            .flat_map(|(gateway, index)| [Some(gateway), index.map(RouteAttribute::Oif)])
            .flatten()
            .collect());
    }
    let paths = paths.into_iter().map(|(gateway, index)| {
        let mut path = RouteNextHop::default();
        path.interface_index = index.unwrap_or_default();
        path.attributes = vec![gateway];
        path
    });
    Ok(vec![RouteAttribute::MultiPath(paths.collect())])
}

fn gateway(prefix: IpNetwork, gateway: IpAddr) -> Result<RouteAttribute, Unwritable> {
    match (prefix, gateway) {
        (IpNetwork::V4(_), IpAddr::V4(_)) | (IpNetwork::V6(_), IpAddr::V6(_)) => {
            Ok(RouteAttribute::Gateway(gateway.into()))
        }
        (IpNetwork::V4(_), IpAddr::V6(_)) => Ok(RouteAttribute::Via(gateway.into())),
        (IpNetwork::V6(_), IpAddr::V4(_)) => Err(Unwritable::GatewayFamily(gateway)),
    }
}

fn index_of(interface: &str, links: &Links) -> Result<u32, Unwritable> {
    links.index(interface).ok_or_else(|| Unwritable::NoInterface(interface.to_owned()))
}

/// All routes of ours in the main table, both families, as the kernel has them now.
///
/// # Errors
/// What [`Socket::dump`] says.
pub fn dump(
    socket: &mut Socket,
    ownership: &Ownership,
    links: &Links,
) -> Result<ObservedRoutes, SocketError> {
    let mut observed = ObservedRoutes::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let replies = match socket.dump(&dump_request(family, ownership.protocol)) {
            Ok(replies) => replies,
            // A kernel without IPv6 has no routes of it.
            Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => continue,
            Err(error) => return Err(error),
        };
        observed.extend(replies.iter().filter_map(|reply| decode(reply, ownership, links)));
    }
    Ok(observed)
}

/// True if an interface's addresses or default route of IPv6 came from router advertisements:
/// the numbers of the interfaces that such routes use.
///
/// # Errors
/// What [`Socket::dump`] says.
pub(crate) fn advertised_interfaces(socket: &mut Socket) -> Result<BTreeSet<u32>, SocketError> {
    let request = dump_request(AddressFamily::Inet6, PROTOCOL_ROUTER_ADVERTISEMENT);
    let replies = match socket.dump(&request) {
        Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => return Ok(BTreeSet::new()),
        other => other?,
    };
    let messages = replies.iter().filter_map(|reply| RouteMessage::parse(&reply.payload).ok());
    Ok(messages.flat_map(|message| interfaces(&message)).collect())
}

fn interfaces(message: &RouteMessage) -> Vec<u32> {
    let mut found = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => found.push(*index),
            RouteAttribute::MultiPath(paths) => found.extend(paths.iter().map(|path| path.interface_index)),
            _ => {}
        }
    }
    found
}

fn dump_request(family: AddressFamily, protocol: u8) -> Request {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = protocol.into();
    to_request(&message, libc::RTM_GETROUTE, 0)
}

/// The route in this message if it is one of ours in the main table.
pub(crate) fn decode(reply: &Reply, ownership: &Ownership, links: &Links) -> Option<(RouteKey, RouteTarget)> {
    if reply.message_type != libc::RTM_NEWROUTE {
        return None;
    }
    let message = RouteMessage::parse(&reply.payload).ok()?;
    let is_ours = u8::from(message.header.protocol) == ownership.protocol
        && message.header.table == RouteHeader::RT_TABLE_MAIN
        && !message.header.flags.contains(netlink_packet_route::route::RouteFlags::Cloned);
    let key = is_ours.then(|| key_of(&message, ownership)).flatten()?;
    Some((key, target_of(&message, links)))
}

fn key_of(message: &RouteMessage, ownership: &Ownership) -> Option<RouteKey> {
    let mut metric = 0;
    let mut destination = match message.header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Priority(value) => metric = *value,
            RouteAttribute::Destination(address) => destination = address_of(address)?,
            _ => {}
        }
    }
    let prefix = IpNetwork::new(destination, message.header.destination_prefix_length).ok()?;
    Some(RouteKey { source: ownership.source(metric)?, prefix })
}

fn target_of(message: &RouteMessage, links: &Links) -> RouteTarget {
    match message.header.kind {
        RouteType::BlackHole => RouteTarget::Blackhole,
        RouteType::Unicast => unicast_target(message, links).unwrap_or_else(inexpressible),
        _ => inexpressible(),
    }
}

fn inexpressible() -> RouteTarget {
    RouteTarget::Via(BTreeSet::new())
}

fn unicast_target(message: &RouteMessage, links: &Links) -> Option<RouteTarget> {
    let mut interface = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::MultiPath(paths) => return multipath_target(paths, links),
            RouteAttribute::Oif(index) => interface = Some(links.name(*index)),
            // A foreign hand gave it a next-hop object: the paths are not in this message.
            RouteAttribute::NhId(_) => return None,
            _ => {}
        }
    }
    match gateway_of(&message.attributes) {
        Some(gateway) => Some(RouteTarget::Via([NextHop { gateway, interface }].into())),
        None => interface.map(|interface| RouteTarget::Link { interface }),
    }
}

fn multipath_target(paths: &[RouteNextHop], links: &Links) -> Option<RouteTarget> {
    let hops: Option<BTreeSet<NextHop>> = paths
        .iter()
        .map(|path| {
            let gateway = gateway_of(&path.attributes)?;
            let interface = Some(links.name(path.interface_index));
            // `hops` is the weight less one, and ours are all equal.
            (path.hops == 0).then_some(NextHop { gateway, interface })
        })
        .collect();
    hops.map(RouteTarget::Via)
}

fn gateway_of(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => address_of(address),
        RouteAttribute::Via(RouteVia::Inet(address)) => Some((*address).into()),
        RouteAttribute::Via(RouteVia::Inet6(address)) => Some((*address).into()),
        _ => None,
    })
}

/// Whether the kernel would take this as a next hop now: its reason if not.
///
/// # Errors
/// What [`Socket::get`] says, except a refusal, which is the answer.
pub(crate) fn check_hop(
    socket: &mut Socket,
    hop: &NextHop,
    links: &Links,
) -> Result<Result<(), String>, SocketError> {
    let mut message = RouteMessage::default();
    message.header.address_family = family_of(hop.gateway);
    message.header.destination_prefix_length = if hop.gateway.is_ipv4() { 32 } else { 128 };
    message.attributes.push(RouteAttribute::Destination(hop.gateway.into()));
    if let Some(interface) = &hop.interface {
        match index_of(interface, links) {
            Ok(index) => message.attributes.push(RouteAttribute::Oif(index)),
            Err(error) => return Ok(Err(error.to_string())),
        }
    }
    match socket.get(&to_request(&message, libc::RTM_GETROUTE, 0)) {
        Ok(replies) => Ok(replies.first().map_or(Err("no answer".to_owned()), is_on_link)),
        Err(SocketError::Refused(refusal)) => Ok(Err(refusal.to_string())),
        Err(error) => Err(error),
    }
}

fn is_on_link(reply: &Reply) -> Result<(), String> {
    let Ok(message) = RouteMessage::parse(&reply.payload) else {
        return Err("unreadable answer".to_owned());
    };
    match (message.header.kind, gateway_of(&message.attributes)) {
        (RouteType::Unicast, None) => Ok(()),
        (RouteType::Unicast, Some(gateway)) => Err(format!("it is not on a link but behind {gateway}")),
        (kind, _) => Err(format!("it is {kind:?} here")),
    }
}

fn address_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn family_of(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn to_request(message: &RouteMessage, message_type: u16, flags: i32) -> Request {
    let mut payload = vec![0; message.buffer_len()];
    message.emit(&mut payload);
    Request { message_type, flags: u16::try_from(flags).unwrap_or_default(), payload }
}

#[cfg(test)]
mod tests;
