//! What a lab consists of, as values: spaces (network namespaces), links, addresses, routers.
//!
//! ```text
//!                   external host 192.0.2.10, 2001:db8::10
//!                                   |
//!                                 spine  AS 64500, originates the default routes
//!                 10.20.x.0/30  /       \  fd00:20:x::/126
//!                          tor-1-1 ... tor-2-2   AS 64600 + rack
//!        10.10.r.251, .252     |          |      fd00:10:r::251, ::252
//!                  rack 1 ==========   ==========  rack 2     10.10.r.0/24, fd00:10:r::/64
//!                       |      |          |      |
//!                   node-1  node-2    node-3  node-4   .11, .12 ...  AS 65000 + 100 * rack + n
//!                       |      |          |      |
//!          management =============================   172.31.0.0/24, API server at .1
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

mod addresses;

pub use addresses::rack_name;
use addresses::{
    Uplink, default_ipv4, default_ipv6, interface, rack_asn, rack_ipv6, rack_net_ipv4, rack_net_ipv6,
    tor_ipv4, tor_ipv6, tor_name,
};

/// More racks would leave the private 16-bit AS numbers that people know by sight.
pub const RACKS_MAX: u8 = 5;
/// Nodes are `.11` to `.40` in their rack, AS `65r01` to `65r30`.
pub const NODES_PER_RACK_MAX: u8 = 30;
/// The address of the API server on the management network.
pub const API_ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 1);
/// The port of the API server on the management network.
pub const API_PORT: u16 = 6443;
/// AS of all nodes when they form a mesh of their own.
pub const MESH_ASN: u32 = 64512;
const SPINE_ASN: u32 = 64500;

/// Which program routes in the top-of-rack routers and the spine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouterKind {
    /// `tortie-bgp`.
    Own,
    /// BIRD 2.
    Bird,
}

/// Where a lab's Kubernetes objects live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiKind {
    /// In the lab's own process.
    #[default]
    Embedded,
    /// In etcd, behind a real kube-apiserver.
    Etcd,
}

/// The shape that a lab is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Racks, each one layer 2 segment.
    pub racks: u8,
    /// Nodes in all racks together.
    pub nodes: u8,
    /// Top of rack routers in each rack: 1 or 2.
    pub tors_per_rack: u8,
    /// The program in the routers.
    pub router: RouterKind,
    /// Nodes peer with each other (iBGP) and not with the routers of their rack.
    pub mesh: bool,
    /// Hold time that the routers offer, in seconds; 3 at least (RFC 4271 section 4.2).
    pub hold_time_secs: u16,
    /// Interval of BFD between routers and nodes, three of which may pass in silence, in milliseconds; none without BFD.
    pub bfd_interval_millis: Option<u16>,
    /// Where Kubernetes objects live.
    pub api: ApiKind,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            racks: 2,
            nodes: 4,
            tors_per_rack: 2,
            router: RouterKind::Own,
            mesh: false,
            hold_time_secs: 9,
            bfd_interval_millis: None,
            api: ApiKind::Embedded,
        }
    }
}

/// Why no lab has this shape.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A number out of its range.
    #[error("{field} is {value}, must be {least} to {most}")]
    Range {
        /// The option that is wrong.
        field: &'static str,
        /// What was asked for.
        value: u16,
        /// The least value that works.
        least: u16,
        /// The greatest value that works.
        most: u16,
    },
    /// Without BGP between nodes and routers no router knows the way to the pods of another rack.
    #[error("mesh needs all nodes in one rack: use --racks 1, or leave --mesh out")]
    MeshAcrossRacks,
}

/// A network namespace of the lab and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Space {
    /// Management network, API server, IPAM service.
    Root,
    /// The layer 2 segment of this rack, counted from 1.
    Rack(u8),
    /// The node of this name.
    Node(String),
    /// The router of this name.
    Router(String),
    /// The host outside the cluster of this name.
    External(String),
}

/// One end of a cable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Where the interface is.
    pub space: Space,
    /// Its name there.
    pub name: String,
    /// Its addresses, each with the length of its network.
    pub addresses: Vec<IpNetwork>,
    /// The bridge of that space that it is plugged into.
    pub bridge: Option<String>,
}

/// A pair of interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cable(pub End, pub End);

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Where it is.
    pub space: Space,
    /// Its name there.
    pub name: String,
    /// Addresses of the space on it.
    pub addresses: Vec<IpNetwork>,
}

/// A route that is there from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticRoute {
    /// Whose table it is in.
    pub space: Space,
    /// Where it leads.
    pub destination: IpNetwork,
    /// The next hop.
    pub gateway: IpAddr,
}

/// A node of the lab's cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name in Kubernetes.
    pub name: String,
    /// Its rack, counted from 1.
    pub rack: u8,
    /// Its autonomous system.
    pub asn: u32,
    /// Its address on the rack's segment.
    pub ipv4: Ipv4Addr,
    /// Its address on the rack's segment.
    pub ipv6: Ipv6Addr,
    /// Its address on the management network.
    pub management: Ipv4Addr,
}

/// One BGP neighbour of a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// The neighbour's name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its autonomous system.
    pub asn: u32,
    /// The router's own address of the other family on this link.
    pub next_hop_ipv6: Ipv6Addr,
}

/// A ToR or the spine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// Its name.
    pub name: String,
    /// The rack it serves; none for the spine.
    pub rack: Option<u8>,
    /// Its autonomous system.
    pub asn: u32,
    /// Its router ID, and the address that its neighbours see.
    pub address: Ipv4Addr,
    /// What it announces of its own.
    pub originate: Vec<IpNetwork>,
    /// Whom it talks to.
    pub neighbors: Vec<Neighbor>,
    /// Hold time that it offers, in seconds.
    pub hold_time_secs: u16,
    /// Interval of its BFD sessions, in milliseconds; none without BFD.
    pub bfd_interval_millis: Option<u16>,
}

/// A host beyond the routers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct External {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ipv4: Ipv4Addr,
    /// Its address.
    pub ipv6: Ipv6Addr,
}

/// A whole lab as values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// What it was made from.
    pub shape: Shape,
    /// Every namespace that has to exist before the bridges and cables.
    pub spaces: Vec<Space>,
    /// All bridges.
    pub bridges: Vec<Bridge>,
    /// All cables.
    pub cables: Vec<Cable>,
    /// Routes that no protocol brings.
    pub routes: Vec<StaticRoute>,
    /// The cluster's nodes.
    pub nodes: Vec<Node>,
    /// The routers.
    pub routers: Vec<Router>,
    /// The hosts outside.
    pub externals: Vec<External>,
}

impl Topology {
    /// The lab of this shape.
    ///
    /// # Errors
    /// When a number is out of range or mesh and racks contradict each other.
    pub fn new(shape: Shape) -> Result<Self, ShapeError> {
        check(&shape)?;
        let mut topology = Self {
            spaces: Vec::new(),
            bridges: Vec::new(),
            cables: Vec::new(),
            routes: Vec::new(),
            nodes: nodes(&shape),
            routers: Vec::new(),
            externals: vec![External {
                name: "internet".into(),
                ipv4: Ipv4Addr::new(192, 0, 2, 10),
                ipv6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10),
            }],
            shape,
        };
        topology.add_routers();
        topology.add_spaces();
        topology.add_management();
        topology.add_racks();
        topology.add_uplinks();
        topology.add_external();
        Ok(topology)
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The routers at the top of a rack.
    pub fn tors(&self, rack: u8) -> impl Iterator<Item = &Router> {
        self.routers.iter().filter(move |router| router.rack == Some(rack))
    }

    fn add_spaces(&mut self) {
        self.spaces.push(Space::Root);
        self.spaces.extend((1..=self.shape.racks).map(Space::Rack));
        self.spaces.extend(self.routers.iter().map(|router| Space::Router(router.name.clone())));
        self.spaces.extend(self.nodes.iter().map(|node| Space::Node(node.name.clone())));
        self.spaces.extend(self.externals.iter().map(|host| Space::External(host.name.clone())));
    }

    fn add_management(&mut self) {
        let bridge = "mgmt0".to_owned();
        self.bridges.push(Bridge {
            space: Space::Root,
            name: bridge.clone(),
            addresses: vec![interface(API_ADDRESS, 24)],
        });
        for node in &self.nodes {
            self.cables.push(Cable(
                plugged(Space::Root, &node.name, &bridge),
                end(Space::Node(node.name.clone()), "mgmt0", vec![interface(node.management, 24)]),
            ));
        }
    }

    fn add_racks(&mut self) {
        let bridge = "rack0";
        for rack in 1..=self.shape.racks {
            self.bridges.push(Bridge {
                space: Space::Rack(rack),
                name: bridge.into(),
                addresses: Vec::new(),
            });
        }
        for node in &self.nodes {
            let addresses = vec![interface(node.ipv4, 24), interface(node.ipv6, 64)];
            self.cables.push(Cable(
                plugged(Space::Rack(node.rack), &node.name, bridge),
                end(Space::Node(node.name.clone()), "eth0", addresses),
            ));
        }
        for (rack, tor) in self.each_tor() {
            let addresses = vec![interface(tor_ipv4(rack, tor), 24), interface(tor_ipv6(rack, tor), 64)];
            self.cables.push(Cable(
                plugged(Space::Rack(rack), &tor_name(rack, tor), bridge),
                end(Space::Router(tor_name(rack, tor)), "rack0", addresses),
            ));
        }
        if self.shape.mesh {
            self.add_mesh_defaults();
        }
    }

    /// In a mesh no protocol tells the nodes the way out of their rack.
    fn add_mesh_defaults(&mut self) {
        for node in &self.nodes {
            for (destination, gateway) in [
                (default_ipv4(), IpAddr::V4(tor_ipv4(node.rack, 1))),
                (default_ipv6(), IpAddr::V6(tor_ipv6(node.rack, 1))),
            ] {
                self.routes.push(StaticRoute { space: Space::Node(node.name.clone()), destination, gateway });
            }
        }
    }

    fn add_uplinks(&mut self) {
        for (rack, tor) in self.each_tor() {
            let uplink = Uplink::of(rack, tor);
            let name = tor_name(rack, tor);
            let spine = vec![interface(uplink.spine_ipv4, 30), interface(uplink.spine_ipv6, 126)];
            let tor = vec![interface(uplink.tor_ipv4, 30), interface(uplink.tor_ipv6, 126)];
            self.cables.push(Cable(
                end(Space::Router("spine".into()), &name, spine),
                end(Space::Router(name.clone()), "uplink0", tor),
            ));
        }
    }

    fn add_external(&mut self) {
        let gateway_ipv4 = Ipv4Addr::new(192, 0, 2, 1);
        let gateway_ipv6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        for host in &self.externals {
            let space = Space::External(host.name.clone());
            self.cables.push(Cable(
                end(
                    Space::Router("spine".into()),
                    "external0",
                    vec![interface(gateway_ipv4, 24), interface(gateway_ipv6, 64)],
                ),
                end(space.clone(), "eth0", vec![interface(host.ipv4, 24), interface(host.ipv6, 64)]),
            ));
            for (destination, gateway) in
                [(default_ipv4(), gateway_ipv4.into()), (default_ipv6(), IpAddr::V6(gateway_ipv6))]
            {
                self.routes.push(StaticRoute { space: space.clone(), destination, gateway });
            }
        }
    }

    fn add_routers(&mut self) {
        let spine_neighbors = self.each_tor().into_iter().map(|(rack, tor)| {
            let uplink = Uplink::of(rack, tor);
            Neighbor {
                name: tor_name(rack, tor),
                address: uplink.tor_ipv4,
                asn: rack_asn(rack),
                next_hop_ipv6: uplink.spine_ipv6,
            }
        });
        let spine = Router {
            name: "spine".into(),
            rack: None,
            asn: SPINE_ASN,
            address: Ipv4Addr::new(192, 0, 2, 1),
            originate: vec![default_ipv4(), default_ipv6()],
            neighbors: spine_neighbors.collect(),
            hold_time_secs: self.shape.hold_time_secs,
            bfd_interval_millis: self.shape.bfd_interval_millis,
        };
        let tors: Vec<Router> = self.each_tor().into_iter().map(|(rack, tor)| self.tor(rack, tor)).collect();
        self.routers.push(spine);
        self.routers.extend(tors);
    }

    fn tor(&self, rack: u8, tor: u8) -> Router {
        let uplink = Uplink::of(rack, tor);
        let mut neighbors = vec![Neighbor {
            name: "spine".into(),
            address: uplink.spine_ipv4,
            asn: SPINE_ASN,
            next_hop_ipv6: uplink.tor_ipv6,
        }];
        let nodes = self.nodes.iter().filter(|node| node.rack == rack && !self.shape.mesh);
        neighbors.extend(nodes.map(|node| Neighbor {
            name: node.name.clone(),
            address: node.ipv4,
            asn: node.asn,
            next_hop_ipv6: tor_ipv6(rack, tor),
        }));
        Router {
            name: tor_name(rack, tor),
            rack: Some(rack),
            asn: rack_asn(rack),
            address: tor_ipv4(rack, tor),
            originate: vec![rack_net_ipv4(rack), rack_net_ipv6(rack)],
            neighbors,
            hold_time_secs: self.shape.hold_time_secs,
            bfd_interval_millis: self.shape.bfd_interval_millis,
        }
    }

    fn each_tor(&self) -> Vec<(u8, u8)> {
        let tors = self.shape.tors_per_rack;
        (1..=self.shape.racks).flat_map(|rack| (1..=tors).map(move |tor| (rack, tor))).collect()
    }
}

fn check(shape: &Shape) -> Result<(), ShapeError> {
    let nodes_most = u16::from(NODES_PER_RACK_MAX) * u16::from(shape.racks.clamp(1, RACKS_MAX));
    for (field, value, least, most) in [
        ("racks", shape.racks.into(), 1, u16::from(RACKS_MAX)),
        ("nodes", shape.nodes.into(), 1, nodes_most),
        ("ToRs per rack", shape.tors_per_rack.into(), 1, 2),
        ("hold time", shape.hold_time_secs, 3, u16::MAX),
    ] {
        if !(least..=most).contains(&value) {
            return Err(ShapeError::Range { field, value, least, most });
        }
    }
    if shape.mesh && shape.racks > 1 {
        return Err(ShapeError::MeshAcrossRacks);
    }
    Ok(())
}

/// Nodes fill the racks evenly and in order: with 4 nodes and 2 racks, 1 and 2 are in the first.
fn nodes(shape: &Shape) -> Vec<Node> {
    let (whole, rest) = (shape.nodes / shape.racks, shape.nodes % shape.racks);
    let places = (1..=shape.racks)
        .flat_map(|rack| (1..=whole + u8::from(rack <= rest)).map(move |place| (rack, place)));
    (1..)
        .zip(places)
        .map(|(number, (rack, place))| Node {
            name: format!("node-{number}"),
            rack,
            asn: if shape.mesh { MESH_ASN } else { 65000 + 100 * u32::from(rack) + u32::from(place) },
            ipv4: Ipv4Addr::new(10, 10, rack, 10 + place),
            // Written so that the last group reads like the last octet: ::11, ::12.
            ipv6: rack_ipv6(rack, 10 + place),
            management: Ipv4Addr::new(172, 31, 0, 10 + number),
        })
        .collect()
}

fn end(space: Space, name: &str, addresses: Vec<IpNetwork>) -> End {
    End { space, name: name.into(), addresses, bridge: None }
}

fn plugged(space: Space, name: &str, bridge: &str) -> End {
    End { space, name: name.into(), addresses: Vec::new(), bridge: Some(bridge.into()) }
}

#[cfg(test)]
mod tests;
