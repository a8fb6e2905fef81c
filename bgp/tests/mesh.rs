//! Seeded simulation: many speakers, virtual time, crashes, restarts, lost and reset connections.
//! At rest every kernel table equals a reference that is computed from the topology alone.
//!
//! A failure names its seed; `BGP_MESH_SEEDS=7..8 cargo test -p bgp --test mesh` repeats it.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use bgp::config::{ExportPolicy, Origination, Originations};
use bgp::fib::FibNextHop;
use bgp::speaker::{Input, RestartMode, Stop};
use bgp::status::{NeighborStatus, SessionState};
use bgp::wire::Family;
use ipnetwork::IpNetwork;
use network::Network;

/// As many as run in a few seconds; each kind of topology comes equally often.
const SEEDS: Range<u64> = 0..8;
/// Long enough for several restarts to overlap.
const DISTURBANCES: usize = 40;
/// The longest pause (60 s), a hold time and a deferral fit in well.
const REST_SECS_MAX: u64 = 400;

type Table = BTreeMap<IpNetwork, BTreeSet<FibNextHop>>;

/// A network with what is wanted of it.
struct Mesh {
    network: Network,
    wanted: Vec<Originations>,
    edges: Vec<(usize, usize)>,
}

#[test]
fn all_tables_agree_at_rest() {
    let (seeds, mut speakers) = (seeds(), 0);
    for seed in seeds.clone() {
        let mut mesh = Mesh::new(seed);
        mesh.start();
        for _ in 0..DISTURBANCES {
            mesh.disturb();
        }
        mesh.come_to_rest();
        speakers += mesh.wanted.len();
    }
    let networks = seeds.end - seeds.start;
    eprintln!(
        "measured: {networks} networks, {speakers} speakers, {DISTURBANCES} disturbances of each network"
    );
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("BGP_MESH_SEEDS") else { return SEEDS };
    let (first, end) = text.split_once("..").expect("BGP_MESH_SEEDS is a range such as 3..8");
    first.parse().unwrap()..end.parse().unwrap()
}

impl Mesh {
    fn new(seed: u64) -> Self {
        let mut mesh = Self { network: Network::new(seed), wanted: Vec::new(), edges: Vec::new() };
        match seed % 4 {
            0 => mesh.internal_mesh(),
            1 => mesh.fabric(),
            2 => mesh.random_external(),
            _ => mesh.internal_groups(),
        }
        let edges = mesh.edges.clone();
        for (a, b) in edges {
            mesh.network.join(a, b);
        }
        mesh
    }

    /// Nodes of one AS, each with each.
    fn internal_mesh(&mut self) {
        let count = 20 + self.network.rng.below(11);
        for _ in 0..count {
            self.router(64512, 2);
        }
        self.full_mesh(0..count);
    }

    /// Racks with two `ToRs` of the rack's AS, nodes with an AS each that carry no traffic of others, two spines.
    fn fabric(&mut self) {
        let spines = [self.router(64600, 0), self.router(64601, 1)];
        for rack in 0..2 + self.network.rng.below(3) {
            let rack_asn = 64700 + u32::try_from(rack).unwrap();
            let tors = [self.router(rack_asn, 1), self.router(rack_asn, 0)];
            self.edges.extend(tors.iter().flat_map(|tor| spines.map(|spine| (*tor, spine))));
            for _ in 0..4 + self.network.rng.below(5) {
                let asn = 65000 + u32::try_from(self.wanted.len()).unwrap();
                let node = self.router(asn, 2);
                self.edges.extend(tors.map(|tor| (node, tor)));
            }
        }
    }

    fn random_external(&mut self) {
        let count = 20 + self.network.rng.below(11);
        for index in 0..count {
            // Beyond two octets too.
            let asn = 4_200_000_000 + u32::try_from(index).unwrap();
            self.router(asn, 1);
        }
        self.random_edges(count);
    }

    /// ASes of several routers, each with each inside, some joined outside.
    fn internal_groups(&mut self) {
        for group in 0..7 {
            let first = self.wanted.len();
            for _ in 0..2 + self.network.rng.below(3) {
                self.router(65000 + group, 1);
            }
            self.full_mesh(first..self.wanted.len());
        }
        let count = self.wanted.len();
        self.random_edges(count);
    }

    fn router(&mut self, asn: u32, prefixes: usize) -> usize {
        let number = self.wanted.len();
        let addresses = [format!("10.0.0.{}", number + 1), format!("fd00::{:x}", number + 1)];
        let node =
            self.network.add(&format!("r{number}"), asn, &[addresses[0].as_str(), addresses[1].as_str()]);
        self.network.nodes[node].config.hold_time_secs = 15;
        let mut wanted = Originations::new();
        for index in 0..prefixes {
            wanted.insert(format!("10.{}.{index}.0/24", number + 1).parse().unwrap(), Origination::default());
            wanted.insert(
                format!("fd00:{:x}:{index}::/64", number + 1).parse().unwrap(),
                Origination::default(),
            );
        }
        self.wanted.push(wanted);
        number
    }

    fn full_mesh(&mut self, nodes: Range<usize>) {
        for a in nodes.clone() {
            self.edges.extend((a + 1..nodes.end).map(|b| (a, b)));
        }
    }

    fn random_edges(&mut self, count: usize) {
        let mut known: BTreeSet<(usize, usize)> = self.edges.iter().copied().collect();
        for b in 1..count {
            for a in [self.network.rng.below(b), self.network.rng.below(b)] {
                if known.insert((a, b)) {
                    self.edges.push((a, b));
                }
            }
        }
    }

    fn start(&mut self) {
        // Only a router that others depend on carries their traffic.
        for node in 0..self.wanted.len() {
            let is_leaf = self.network.seed % 4 == 1 && self.network.nodes[node].config.asn >= 65000;
            if is_leaf {
                for neighbor in &mut self.network.nodes[node].config.neighbors {
                    neighbor.export = ExportPolicy::OriginatedOnly;
                }
            }
        }
        for node in 0..self.wanted.len() {
            self.boot(node, RestartMode::Fresh);
            self.network.run(Duration::from_millis(50));
        }
    }

    fn boot(&mut self, node: usize, mode: RestartMode) {
        self.network.start_unsynced(node, mode);
        self.network.input(node, Input::Originate(self.wanted[node].clone()));
        self.network.input(node, Input::LocalSourcesSynced);
    }

    fn disturb(&mut self) {
        let node = self.network.rng.below(self.wanted.len());
        let edge = self.network.rng.below(self.edges.len());
        let (a, b) = self.edges[edge];
        match self.network.rng.below(9) {
            0 => self.network.crash(node),
            1 => self.network.stop(node, Stop::Silent),
            2 => self.network.stop(node, Stop::Cease { text: "maintenance".to_owned() }),
            3 => self.network.block(a, b),
            4 => self.network.unblock(a, b),
            5 => self.network.reset_connections(a, b),
            6 => self.flip_origination(node),
            7 => self.configure(node),
            _ => {
                let is_congested = self.network.rng.below(2) == 0;
                self.network.set_congested(a, b, is_congested);
            }
        }
        let pause = self.network.rng.below(3000);
        self.network.run(Duration::from_millis(pause as u64));
        // Somebody starts the dead again.
        if self.network.rng.below(2) == 0 {
            self.revive_one();
        }
    }

    fn revive_one(&mut self) {
        let dead = self.network.nodes.iter().position(|node| node.speaker.is_none());
        if let Some(node) = dead {
            self.revive(node);
        }
    }

    fn revive(&mut self, node: usize) {
        match self.network.rng.below(3) {
            0 => {
                self.network.nodes[node].kernel.clear();
                self.boot(node, RestartMode::Fresh);
            }
            1 => {
                self.network.nodes[node].kernel.clear();
                self.boot(node, RestartMode::Restarting { preserved_families: Vec::new() });
            }
            _ => self.boot(node, RestartMode::Restarting { preserved_families: Family::ALL.to_vec() }),
        }
    }

    fn flip_origination(&mut self, node: usize) {
        let prefix: IpNetwork = format!("10.200.{node}.0/24").parse().unwrap();
        if self.wanted[node].remove(&prefix).is_none() {
            self.wanted[node].insert(prefix, Origination::default());
        }
        self.network.input(node, Input::Originate(self.wanted[node].clone()));
    }

    /// A change that resets sessions, or one that does not.
    fn configure(&mut self, node: usize) {
        let config = &mut self.network.nodes[node].config;
        if config.hold_time_secs == 15 {
            config.hold_time_secs = 12;
        } else {
            config.multipath_max = 65 + config.neighbors.len();
        }
        let config = config.clone();
        self.network.input(node, Input::Configure(config));
    }

    fn come_to_rest(&mut self) {
        for (a, b) in self.edges.clone() {
            self.network.unblock(a, b);
            self.network.set_congested(a, b, false);
        }
        for node in 0..self.wanted.len() {
            if self.network.nodes[node].speaker.is_none() {
                self.revive(node);
            }
        }
        // The last disturbances arrive: a reset that is on its way to a network at rest would end its rest.
        self.network.run_secs(2);
        let reference = Reference::of(self).tables();
        let limit = self.network.now + Duration::from_secs(REST_SECS_MAX);
        while !self.is_at_rest(&reference) && self.network.now < limit {
            self.network.run(Duration::from_millis(500));
        }
        self.check(&reference);
        let flaps = self.flaps();
        self.network.run_secs(20);
        self.check(&reference);
        assert_eq!(self.flaps(), flaps, "seed {}: sessions stay up at rest", self.network.seed);
    }

    fn is_at_rest(&self, reference: &[Table]) -> bool {
        let mut nodes = self.network.nodes.iter().zip(reference);
        nodes.all(|(node, table)| node.is_synced && node.kernel == *table)
            && self.neighbors().all(|(_, neighbor)| neighbor.state == SessionState::Established)
    }

    fn flaps(&self) -> u64 {
        self.neighbors().map(|(_, neighbor)| neighbor.flaps).sum()
    }

    /// Every end of every session, with the name of its node.
    fn neighbors(&self) -> impl Iterator<Item = (&str, NeighborStatus)> {
        self.network.nodes.iter().flat_map(|node| {
            let status = node.speaker.as_ref().map(|speaker| speaker.status(self.network.now));
            let neighbors = status.map(|status| status.neighbors).unwrap_or_default();
            neighbors.into_iter().map(|neighbor| (node.name.as_str(), neighbor))
        })
    }

    fn check(&self, reference: &[Table]) {
        let seed = self.network.seed;
        for (node, table) in self.network.nodes.iter().zip(reference) {
            assert!(node.is_synced, "seed {seed}: the table of {} was never complete", node.name);
            for (prefix, next_hops) in table {
                let found = node.kernel.get(prefix);
                assert_eq!(found, Some(next_hops), "seed {seed}: {prefix} at {}", node.name);
            }
            let extra: Vec<&IpNetwork> =
                node.kernel.keys().filter(|prefix| !table.contains_key(prefix)).collect();
            assert!(extra.is_empty(), "seed {seed}: {} has {extra:?} too", node.name);
        }
        for (name, neighbor) in self.neighbors() {
            let stale: usize = neighbor.families.iter().map(|family| family.stale).sum();
            let is_up = neighbor.state == SessionState::Established;
            assert!(is_up, "seed {seed}: {name} has no session: {neighbor:?}");
            let is_watched = neighbor.stale_routes_go_secs.is_some() || stale == 0;
            assert!(is_watched, "seed {seed}: {name} keeps stale routes for ever: {neighbor:?}");
        }
    }
}

/// What a router would choose for one prefix, kept as plain as possible.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Choice {
    /// Compared first to last: shorter AS path, external before internal.
    as_path: Vec<u32>,
    is_internal: bool,
    gateway: Option<IpAddr>,
    from: Option<usize>,
}

/// The stable state of the path-vector protocol, by rounds in which everybody hears everybody.
struct Reference<'a> {
    mesh: &'a Mesh,
}

impl<'a> Reference<'a> {
    fn of(mesh: &'a Mesh) -> Self {
        Self { mesh }
    }

    fn tables(&self) -> Vec<Table> {
        let mut tables = vec![Table::new(); self.mesh.wanted.len()];
        let prefixes: BTreeSet<IpNetwork> =
            self.mesh.wanted.iter().flat_map(|wanted| wanted.keys().copied()).collect();
        for prefix in prefixes {
            for (node, next_hops) in self.next_hops(prefix).into_iter().enumerate() {
                if !next_hops.is_empty() {
                    tables[node].insert(prefix, next_hops);
                }
            }
        }
        tables
    }

    fn next_hops(&self, prefix: IpNetwork) -> Vec<BTreeSet<FibNextHop>> {
        let count = self.mesh.wanted.len();
        let mut best: Vec<Option<Choice>> = vec![None; count];
        for _ in 0..count * 4 {
            let next: Vec<Option<Choice>> = (0..count).map(|node| self.choose(node, prefix, &best)).collect();
            if next == best {
                return (0..count).map(|node| self.equals(node, prefix, &best)).collect();
            }
            best = next;
        }
        panic!("seed {}: the reference for {prefix} does not settle", self.mesh.network.seed);
    }

    fn choose(&self, node: usize, prefix: IpNetwork, best: &[Option<Choice>]) -> Option<Choice> {
        if self.mesh.wanted[node].contains_key(&prefix) {
            return Some(Choice { as_path: Vec::new(), is_internal: false, gateway: None, from: None });
        }
        // Router IDs and addresses both ascend with the number.
        let offers = self.offers(node, prefix, best);
        offers.into_iter().min_by_key(|offer| (offer.as_path.len(), offer.is_internal, offer.from))
    }

    fn equals(&self, node: usize, prefix: IpNetwork, best: &[Option<Choice>]) -> BTreeSet<FibNextHop> {
        let Some(chosen) = best[node].as_ref().filter(|chosen| chosen.from.is_some()) else {
            return BTreeSet::new();
        };
        let is_equal = |offer: &Choice| {
            (offer.as_path.len(), offer.is_internal) == (chosen.as_path.len(), chosen.is_internal)
        };
        let equals = self.offers(node, prefix, best).into_iter().filter(is_equal);
        equals.filter_map(|offer| Some(FibNextHop { gateway: offer.gateway?, interface: None })).collect()
    }

    /// What the neighbors of a node tell it.
    fn offers(&self, node: usize, prefix: IpNetwork, best: &[Option<Choice>]) -> Vec<Choice> {
        let nodes = &self.mesh.network.nodes;
        let edges = self.mesh.edges.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
        let mut offers = Vec::new();
        for (_, peer) in edges.filter(|(to, _)| *to == node) {
            let Some(choice) = best[peer].as_ref().filter(|choice| choice.from != Some(node)) else {
                continue;
            };
            let (asn, peer_asn) = (nodes[node].config.asn, nodes[peer].config.asn);
            let is_internal = asn == peer_asn;
            let is_leaf =
                nodes[peer].config.neighbors.iter().any(|n| n.export == ExportPolicy::OriginatedOnly);
            let is_learned = choice.from.is_some();
            if is_learned && (is_leaf || (is_internal && choice.is_internal)) {
                continue;
            }
            let mut as_path = choice.as_path.clone();
            if !is_internal {
                as_path.insert(0, peer_asn);
            }
            let own = nodes[peer].addresses.iter().find(|address| address.is_ipv4() == prefix.is_ipv4());
            let gateway = if is_internal && is_learned { choice.gateway } else { own.copied() };
            if !as_path.contains(&asn) {
                offers.push(Choice { as_path, is_internal, gateway, from: Some(peer) });
            }
        }
        offers
    }
}

#[test]
fn the_reference_knows_a_network_worked_out_by_hand() {
    // r0 - r1 - r3 and r0 - r2 - r3: two ways of equal length, one of them through an AS of four octets.
    let mut mesh =
        Mesh { network: Network::new(0), wanted: Vec::new(), edges: vec![(0, 1), (0, 2), (1, 3), (2, 3)] };
    for (asn, prefixes) in [(64512, 1), (64513, 0), (4_200_000_000, 0), (64515, 0)] {
        mesh.router(asn, prefixes);
    }
    let tables = Reference::of(&mesh).tables();
    let gateways = |node: usize, prefix: &str| -> Vec<String> {
        let hops = tables[node].get(&prefix.parse().unwrap());
        hops.into_iter().flatten().map(|hop| hop.gateway.to_string()).collect()
    };
    assert_eq!(gateways(0, "10.1.0.0/24"), Vec::<String>::new(), "the originator has no route of BGP");
    assert_eq!(gateways(1, "10.1.0.0/24"), ["10.0.0.1"]);
    assert_eq!(gateways(3, "10.1.0.0/24"), ["10.0.0.2", "10.0.0.3"]);
    assert_eq!(gateways(3, "fd00:1:0::/64"), ["fd00::2", "fd00::3"]);
}
