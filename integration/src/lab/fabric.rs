//! The topology carried out: spaces, bridges, cables, addresses, static routes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use super::link::Links;
use super::netns::NetworkNamespace;
use super::process::Spawner;
use super::space::HeldSpace;
use super::topology::{Bridge, Cable, End, Space, StaticRoute, Topology};

/// Before any interface exists, so that each is born with it.
const SETTINGS: [(&str, &str); 4] = [
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    // Answer pings and probes from every address, also while many are asked at once.
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv6/icmp/ratelimit", "0"),
];
/// In routers: forward, and spread flows by addresses and ports over equal paths.
const ROUTER_SETTINGS: [(&str, &str); 4] = [
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv4/fib_multipath_hash_policy", "1"),
    ("ipv6/fib_multipath_hash_policy", "1"),
];

/// All spaces of a lab with the cables between them.
#[derive(Debug)]
pub(super) struct Fabric {
    /// Namespaces in which no process has to live.
    bare: Vec<(Space, NetworkNamespace)>,
    held: BTreeMap<String, HeldSpace>,
    links: BTreeMap<String, Links>,
}

impl Fabric {
    /// Everything that the topology names, up and addressed.
    pub(super) async fn build(
        topology: &Topology,
        spawner: &Spawner,
        lab: &Path,
        log: &File,
    ) -> io::Result<Self> {
        let mut fabric = Self { bare: Vec::new(), held: BTreeMap::new(), links: BTreeMap::new() };
        let started = topology.spaces.iter().filter_map(|space| held_name(space).map(|name| (space, name)));
        let started = started.map(async |(space, name)| {
            let private = matches!(space, Space::Node(_));
            Ok::<_, io::Error>((name.to_owned(), HeldSpace::start(spawner, lab, name, private, log).await?))
        });
        fabric.held = futures::future::try_join_all(started).await?.into_iter().collect();
        for space in topology.spaces.iter().filter(|space| held_name(space).is_none()) {
            fabric.bare.push((space.clone(), NetworkNamespace::create()?));
        }
        fabric.connect(topology)?;
        Ok(fabric)
    }

    fn connect(&mut self, topology: &Topology) -> io::Result<()> {
        for space in &topology.spaces {
            self.prepare(space)?;
        }
        topology.bridges.iter().try_for_each(|bridge| self.add_bridge(bridge))?;
        topology.cables.iter().try_for_each(|cable| self.add_cable(cable))?;
        topology.routes.iter().try_for_each(|route| self.add_route(route))
    }

    fn prepare(&mut self, space: &Space) -> io::Result<()> {
        let network = self.network(space)?;
        network.set(&SETTINGS)?;
        if matches!(space, Space::Router(_)) {
            network.set(&ROUTER_SETTINGS)?;
        }
        let mut links = Links::of(network)?;
        links.set_up("lo", true)?;
        self.links.insert(key(space), links);
        Ok(())
    }

    fn add_bridge(&mut self, bridge: &Bridge) -> io::Result<()> {
        let links = self.links_of(&bridge.space)?;
        links.add_bridge(&bridge.name)?;
        links.set_up(&bridge.name, true)?;
        bridge.addresses.iter().try_for_each(|address| links.add_address(&bridge.name, *address))
    }

    fn add_cable(&mut self, Cable(near, far): &Cable) -> io::Result<()> {
        let far_network = self.network(&far.space)?.clone();
        self.links_of(&near.space)?.add_cable(&near.name, &far.name, &far_network)?;
        for end in [near, far] {
            self.configure(end)?;
        }
        Ok(())
    }

    fn configure(&mut self, end: &End) -> io::Result<()> {
        let links = self.links_of(&end.space)?;
        if let Some(bridge) = &end.bridge {
            links.plug(&end.name, bridge)?;
        }
        links.set_up(&end.name, true)?;
        end.addresses.iter().try_for_each(|address| links.add_address(&end.name, *address))
    }

    fn add_route(&mut self, route: &StaticRoute) -> io::Result<()> {
        self.links_of(&route.space)?.add_route(route.destination, route.gateway)
    }

    /// Pulls all cables of a space: nobody gets a farewell from it.
    pub(super) fn unplug(&mut self, topology: &Topology, space: &Space) -> io::Result<()> {
        let ends = topology.cables.iter().flat_map(|Cable(near, far)| [near, far]);
        let names: Vec<&str> = ends.filter(|end| end.space == *space).map(|end| end.name.as_str()).collect();
        let links = self.links_of(space)?;
        names.into_iter().try_for_each(|name| links.delete(name))
    }

    /// Sets one interface up or down.
    pub(super) fn set_up(&mut self, space: &Space, interface: &str, is_up: bool) -> io::Result<()> {
        self.links_of(space)?.set_up(interface, is_up)
    }

    /// Sets the MTU of one interface.
    pub(super) fn set_mtu(&mut self, space: &Space, interface: &str, mtu: u32) -> io::Result<()> {
        self.links_of(space)?.set_mtu(interface, mtu)
    }

    /// The network namespace of a space.
    pub(super) fn network(&self, space: &Space) -> io::Result<&NetworkNamespace> {
        let bare = self.bare.iter().find(|(name, _)| name == space).map(|(_, network)| network);
        bare.or_else(|| self.held(space).map(HeldSpace::network)).ok_or_else(|| unknown(space))
    }

    /// The holder of a node, router or external host.
    pub(super) fn held(&self, space: &Space) -> Option<&HeldSpace> {
        self.held.get(held_name(space)?)
    }

    /// Ends all holders.
    pub(super) async fn end(self) {
        futures::future::join_all(self.held.into_values().map(HeldSpace::end)).await;
    }

    fn links_of(&mut self, space: &Space) -> io::Result<&mut Links> {
        self.links.get_mut(&key(space)).ok_or_else(|| unknown(space))
    }
}

/// The name of the process that holds this space, if it needs one. Names are unique over all kinds.
fn held_name(space: &Space) -> Option<&str> {
    match space {
        Space::Root | Space::Rack(_) => None,
        Space::Node(name) | Space::Router(name) | Space::External(name) => Some(name),
    }
}

fn key(space: &Space) -> String {
    format!("{space:?}")
}

fn unknown(space: &Space) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("the lab has no {space:?}"))
}
