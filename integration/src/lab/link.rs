//! Bridges, cables, addresses and static routes, by netlink: one blocking request, one answer.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};

use ipnetwork::IpNetwork;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::netns::NetworkNamespace;

/// The protocol number of the lab's static routes: `static` (4) of rtnetlink.
const STATIC: RouteProtocol = RouteProtocol::Static;

/// One network namespace's rtnetlink socket.
#[derive(Debug)]
pub(super) struct Links {
    socket: Socket,
    sequence_number: u32,
}

impl Links {
    /// The socket of that namespace; it may be used from anywhere.
    pub(super) fn of(namespace: &NetworkNamespace) -> io::Result<Self> {
        let socket = namespace.inside(|| {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        })?;
        Ok(Self { socket, sequence_number: 0 })
    }

    pub(super) fn add_bridge(&mut self, name: &str) -> io::Result<()> {
        let mut link = named(name);
        link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        self.create(RouteNetlinkMessage::NewLink(link), &format!("bridge {name}"))
    }

    /// A cable from here to the interface `peer` in another namespace.
    pub(super) fn add_cable(
        &mut self,
        name: &str,
        peer: &str,
        peer_namespace: &NetworkNamespace,
    ) -> io::Result<()> {
        let mut far = named(peer);
        let handle: RawFd = peer_namespace.handle().as_raw_fd();
        far.attributes.push(LinkAttribute::NetNsFd(handle));
        let mut link = named(name);
        link.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(far))),
        ]));
        self.create(RouteNetlinkMessage::NewLink(link), &format!("cable {name} to {peer}"))
    }

    pub(super) fn plug(&mut self, name: &str, bridge: &str) -> io::Result<()> {
        let controller = self.index(bridge)?;
        let mut link = named(name);
        link.attributes.push(LinkAttribute::Controller(controller));
        self.change(RouteNetlinkMessage::SetLink(link), &format!("{name} into {bridge}"))
    }

    pub(super) fn set_up(&mut self, name: &str, is_up: bool) -> io::Result<()> {
        let mut link = named(name);
        link.header.change_mask = LinkFlags::Up;
        if is_up {
            link.header.flags = LinkFlags::Up;
        }
        self.change(RouteNetlinkMessage::SetLink(link), &format!("{name} up or down"))
    }

    pub(super) fn set_mtu(&mut self, name: &str, mtu: u32) -> io::Result<()> {
        let mut link = named(name);
        link.attributes.push(LinkAttribute::Mtu(mtu));
        self.change(RouteNetlinkMessage::SetLink(link), &format!("MTU of {name}"))
    }

    pub(super) fn delete(&mut self, name: &str) -> io::Result<()> {
        self.change(RouteNetlinkMessage::DelLink(named(name)), &format!("deletion of {name}"))
    }

    /// The address is usable at once: no duplicate address detection.
    pub(super) fn add_address(&mut self, name: &str, address: IpNetwork) -> io::Result<()> {
        let index = self.index(name)?;
        let mut message = AddressMessage::default();
        message.header.family = family(address.ip());
        message.header.prefix_len = address.prefix();
        message.header.index = index;
        message.header.scope = AddressScope::Universe;
        message.header.flags = AddressHeaderFlags::Nodad;
        message.attributes = vec![
            AddressAttribute::Local(address.ip()),
            AddressAttribute::Address(address.ip()),
            AddressAttribute::Flags(AddressFlags::Nodad),
        ];
        self.create(RouteNetlinkMessage::NewAddress(message), &format!("address {address} on {name}"))
    }

    pub(super) fn add_route(&mut self, destination: IpNetwork, gateway: IpAddr) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(destination.ip());
        message.header.destination_prefix_length = destination.prefix();
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = STATIC;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![
            RouteAttribute::Destination(route_address(destination.network())),
            RouteAttribute::Gateway(route_address(gateway)),
        ];
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.request(RouteNetlinkMessage::NewRoute(message), flags, &format!("route to {destination}"))
            .map(drop)
    }

    /// The kernel's number of an interface.
    pub(super) fn index(&mut self, name: &str) -> io::Result<u32> {
        match self.request(RouteNetlinkMessage::GetLink(named(name)), 0, &format!("interface {name}"))? {
            Some(RouteNetlinkMessage::NewLink(link)) => Ok(link.header.index),
            _ => Err(io::Error::other(format!("interface {name}: unexpected answer"))),
        }
    }

    fn create(&mut self, message: RouteNetlinkMessage, what: &str) -> io::Result<()> {
        self.request(message, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, what).map(drop)
    }

    fn change(&mut self, message: RouteNetlinkMessage, what: &str) -> io::Result<()> {
        self.request(message, NLM_F_ACK, what).map(drop)
    }

    /// The object that the kernel answered with, or none for a bare acknowledgement.
    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        what: &str,
    ) -> io::Result<Option<RouteNetlinkMessage>> {
        self.sequence_number += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence_number;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        self.answer().map_err(|error| io::Error::new(error.kind(), format!("{what}: {error}")))
    }

    /// Reads until the acknowledgement, so that none is left over for the next request.
    fn answer(&mut self) -> io::Result<Option<RouteNetlinkMessage>> {
        let mut object = None;
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let packet = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
                let length = (packet.header.length as usize).next_multiple_of(4).min(rest.len());
                rest = &rest[length..];
                if packet.header.sequence_number != self.sequence_number {
                    continue;
                }
                match packet.payload {
                    NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                    NetlinkPayload::Error(_) => return Ok(object),
                    NetlinkPayload::InnerMessage(message) => object = Some(message),
                    _ => {}
                }
            }
        }
    }
}

fn named(name: &str) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.into()));
    link
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}
