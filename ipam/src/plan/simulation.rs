//! Seeded simulation of the service, its nodes and an API server, with crashes, partitions, lost
//! objects, leaders that overlap, and backups that are restored: no address serves two nodes.
//!
//! In the strict half of the runs no node sees what others advertise: the epoch alone must do. In
//! the other half Node objects are deleted, nodes are cut off and lose their disks' memory of
//! the API; there the paths of other nodes in the RIB are the last guard, as designed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::fixture::{Api, at};
use super::*;
use crate::local::{COOLDOWN_MILLIS, Endpoint, Local, Memory, NodeIdentity};
use crate::owner::Owner;
use crate::view::Objects;

const NODES: [&str; 5] = ["n0", "n1", "n2", "n3", "n4"];
/// Twice so many clusters live for so many steps: about ten seconds without optimisation.
const SEEDS: u64 = 60;
const STEPS: usize = 400;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn one_in(&mut self, limit: usize) -> bool {
        self.below(limit) == 0
    }
}

/// One machine: what outlives its daemon, and the daemon.
struct Machine {
    name: &'static str,
    pods: BTreeMap<u64, Vec<IpAddr>>,
    blackholes: BTreeSet<IpNetwork>,
    disk: (Memory, Objects),
    daemon: Option<Local>,
    is_cut_off: bool,
}

impl Machine {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            pods: BTreeMap::new(),
            blackholes: BTreeSet::new(),
            disk: (Memory::default(), Objects::default()),
            daemon: None,
            is_cut_off: false,
        }
    }

    fn owner(pod: u64) -> Owner {
        Owner::new(format!("pod-{pod}"), format!("sandbox-{pod}"), "eth0", "")
    }

    fn start(&mut self, now: Moment, api: &Api) {
        let mut local = Local::new(self.disk.0.clone(), COOLDOWN_MILLIS);
        let objects = if self.is_cut_off { self.disk.1.clone() } else { api.objects() };
        local.set_node(self.identity(&objects));
        let endpoints: Vec<_> = self
            .pods
            .iter()
            .map(|(pod, addresses)| Endpoint { owner: Self::owner(*pod), addresses: addresses.clone() })
            .collect();
        let blackholes: Vec<_> = self.blackholes.iter().copied().collect();
        assert!(local.restore(now, &endpoints, &blackholes).is_empty(), "{}", self.name);
        self.daemon = Some(local);
    }

    fn identity(&self, objects: &Objects) -> NodeIdentity {
        let node = objects.nodes.iter().find(|node| node.metadata.name.as_deref() == Some(self.name));
        let uid = node.and_then(|node| node.metadata.uid.clone()).unwrap_or_default();
        let labels = node.and_then(|node| node.metadata.labels.clone()).unwrap_or_default();
        NodeIdentity { name: self.name.to_owned(), uid, labels }
    }

    /// Takes what the API says, and writes in the order that is asked of a daemon: kernel,
    /// disk, statuses. It may crash after each.
    fn sync(&mut self, now: Moment, api: &mut Api, claims: BTreeMap<IpNetwork, String>, random: &mut Random) {
        let objects = if self.is_cut_off { self.disk.1.clone() } else { api.objects() };
        let identity = self.identity(&objects);
        let Some(local) = &mut self.daemon else { return };
        if !identity.uid.is_empty() {
            local.set_node(identity);
        }
        local.set_claims(claims);
        local.set_pools(&objects.pools);
        local.set_blocks(now, &objects.blocks);
        let alive: BTreeSet<String> = self.pods.keys().map(|pod| format!("pod-{pod}")).collect();
        local.release_where(now, |owner| !alive.contains(&owner.pod_uid));
        local.cleaned(&local.to_clean());
        self.blackholes = local.advertised().into_iter().collect();
        if random.one_in(30) {
            self.daemon = None;
            return;
        }
        self.disk = (local.memory().clone(), objects);
        if self.is_cut_off || random.one_in(30) {
            return;
        }
        self.write(api, random);
    }

    fn write(&self, api: &mut Api, random: &mut Random) {
        let Some(local) = &self.daemon else { return };
        for (name, status) in local.status_writes() {
            if random.one_in(20) {
                return;
            }
            let cidr = api.blocks.get(&name).map(|block| block.spec.cidr.clone());
            if let Some(cidr) = cidr {
                api.edit_block(&cidr, |block| block.status = Some(status.clone()));
            }
        }
        let held = local.held_blocks();
        let held: Vec<&str> = held.iter().map(String::as_str).collect();
        let uid = self.identity(&self.disk.1).uid;
        api.echo(self.name, &uid, local.epoch(), &held);
    }

    fn add_pod(&mut self, now: Moment, pod: u64) {
        let Some(local) = &mut self.daemon else { return };
        if let Ok(addresses) = local.assign(now, &Self::owner(pod)) {
            self.pods.insert(pod, addresses);
        }
    }

    fn delete_pod(&mut self, now: Moment, index: usize) {
        let Some(local) = &mut self.daemon else { return };
        let Some(pod) = self.pods.keys().nth(index % self.pods.len().max(1)).copied() else { return };
        local.release(now, &Self::owner(pod));
        self.pods.remove(&pod);
    }
}

/// One replica that believes to lead.
struct Replica {
    ledger: Ledger,
    /// What it planned and has not yet written.
    pending: Vec<Action>,
    objects: Objects,
}

impl Replica {
    /// Old as its view may be, what the API answered to its own creations is in it.
    fn created(&mut self, api: &Api, cidr: IpNetwork) {
        let name = api::prefix::object_name(cidr);
        self.objects.blocks.retain(|block| block.metadata.name.as_deref() != Some(&name));
        let Some(block) = api.blocks.get(&name) else { return };
        self.ledger.created(cidr, block.metadata.uid.clone().unwrap_or_default());
        self.objects.blocks.push(block.clone());
    }
}

struct World {
    random: Random,
    strict: bool,
    now: u64,
    api: Api,
    backup: Option<Api>,
    machines: Vec<Machine>,
    leader: Option<Replica>,
    /// A former leader whose last requests are still under way.
    former: Vec<Action>,
    pods: u64,
}

impl World {
    fn new(seed: u64, strict: bool) -> Self {
        let mut api = Api::default();
        api.add_pool("v4", "10.0.0.0/26", 29);
        for (n, name) in NODES.iter().enumerate() {
            api.add_node(name, if n < 2 { "a" } else { "b" }, 10);
        }
        Self {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            strict,
            now: 0,
            api,
            backup: None,
            machines: NODES.map(Machine::new).into(),
            leader: None,
            former: Vec::new(),
            pods: 0,
        }
    }

    fn now(&self) -> Moment {
        at(self.now)
    }

    fn step(&mut self) {
        self.now += self.random.next() % 3_000;
        let machine = self.random.below(self.machines.len());
        match self.random.below(100) {
            0..30 => self.sync(machine),
            30..45 => {
                self.pods += 1;
                let now = self.now();
                self.machines[machine].add_pod(now, self.pods);
            }
            45..57 => {
                let (now, index) = (self.now(), self.random.below(64));
                self.machines[machine].delete_pod(now, index);
            }
            57..78 => self.lead(),
            78..80 => self.select_other_nodes(),
            80..86 => self.machines[machine].daemon = None,
            86..88 => self.leader_changes(),
            88..90 => self.former_acts(),
            90 => self.force_delete(),
            91..93 => self.backup = Some(self.api.clone()),
            93 => self.restore_backup(),
            94 => self.reboot(machine),
            _ if self.strict => {}
            95..97 => self.machines[machine].is_cut_off ^= true,
            97 => self.replace_node(machine),
            _ => self.delete_node(machine),
        }
        // The kubelet's view: a node that is cut off is not Ready.
        for machine in &self.machines {
            self.api.set_ready(machine.name, !machine.is_cut_off);
        }
    }

    fn sync(&mut self, index: usize) {
        let now = self.now();
        let claims = if self.strict { BTreeMap::new() } else { self.claims(index) };
        let machine = &mut self.machines[index];
        if machine.daemon.is_none() {
            machine.start(now, &self.api);
        }
        machine.sync(now, &mut self.api, claims, &mut self.random);
    }

    /// What the others advertise at this moment.
    fn claims(&self, index: usize) -> BTreeMap<IpNetwork, String> {
        let others = self.machines.iter().enumerate().filter(|(other, _)| *other != index);
        others
            .flat_map(|(_, machine)| machine.blackholes.iter().map(|cidr| (*cidr, machine.name.to_owned())))
            .collect()
    }

    fn lead(&mut self) {
        let now = self.now();
        // The DaemonSet's controller binds a Pod to every node, and anew after a backup is restored.
        let daemons = NODES.map(str::to_owned).into();
        let objects = Objects { daemons, ..self.api.objects() };
        let replica = if let Some(mut replica) = self.leader.take() {
            // Its view may be old, its last plan not yet carried out.
            if !self.random.one_in(4) {
                replica.objects = objects;
            }
            replica
        } else {
            let ledger = Ledger::new(now, &View::read(now, &objects));
            Replica { ledger, pending: Vec::new(), objects }
        };
        self.leader = Some(self.turn(now, replica));
    }

    fn turn(&mut self, now: Moment, mut replica: Replica) -> Replica {
        if replica.pending.is_empty() {
            let view = View::read(now, &replica.objects);
            replica.ledger.observe(now, &view);
            let plan = plan(now, &view, &replica.ledger);
            for pool in &plan.publish {
                self.api.publish(pool, replica.ledger.epoch());
            }
            replica.pending = plan.actions;
            replica.pending.reverse();
        }
        for _ in 0..=self.random.below(8) {
            let Some(action) = replica.pending.pop() else { break };
            if let Action::Delete { block, .. } = &action {
                replica.ledger.deleting(now, block);
            }
            match (&action, self.api.apply(&action)) {
                // The API server ended before it answered.
                (Action::Create { cidr, .. }, _) if self.random.one_in(20) => {
                    replica.ledger.not_answered(*cidr);
                }
                (Action::Create { cidr, .. }, true) => replica.created(&self.api, *cidr),
                (Action::Delete { block, .. }, false) => replica.ledger.not_deleted(block),
                _ => {}
            }
        }
        replica
    }

    fn leader_changes(&mut self) {
        if let Some(replica) = self.leader.take() {
            self.former = replica.pending;
        }
    }

    fn former_acts(&mut self) {
        if let Some(action) = self.former.pop() {
            self.api.apply(&action);
        }
    }

    /// Blocks of nodes that the pool no longer selects are drained, and come back to others.
    fn select_other_nodes(&mut self) {
        let selectors = ["all()", "topology.kubernetes.io/rack == 'a'", "topology.kubernetes.io/rack != 'a'"];
        let selector = selectors[self.random.below(selectors.len())];
        self.api.pools.get_mut("v4").unwrap().spec.node_selector = selector.to_owned();
    }

    fn force_delete(&mut self) {
        let index = self.random.below(self.api.blocks.len().max(1));
        let name = self.api.blocks.keys().nth(index).cloned();
        name.and_then(|name| self.api.blocks.remove(&name));
    }

    fn restore_backup(&mut self) {
        if let Some(backup) = self.backup.take() {
            let counter = self.api.counter;
            self.api = Api { counter, ..backup };
            // The lease is as old as the rest: its holder loses it or not.
            if self.random.one_in(2) {
                self.leader_changes();
                self.former.clear();
            }
        }
    }

    fn reboot(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        machine.daemon = None;
        machine.pods.clear();
        machine.blackholes.clear();
    }

    fn replace_node(&mut self, index: usize) {
        self.api.add_node(NODES[index], "c", 10);
    }

    fn delete_node(&mut self, index: usize) {
        if self.api.nodes.remove(NODES[index]).is_none() {
            self.replace_node(index);
        }
        if self.random.one_in(3) {
            self.now += crate::ledger::RECLAIM_AFTER_MILLIS;
        }
    }

    fn check(&self) -> Result<(), String> {
        let mut users: BTreeMap<IpAddr, &str> = BTreeMap::new();
        for machine in &self.machines {
            for address in machine.pods.values().flatten() {
                if let Some(other) = users.insert(*address, machine.name) {
                    return Err(format!("{address} serves pods of {other} and {}", machine.name));
                }
            }
        }
        for (index, machine) in self.machines.iter().enumerate() {
            for cidr in &machine.blackholes {
                let other = self.machines[..index].iter().find(|other| other.blackholes.contains(cidr));
                if let Some(other) = other {
                    return Err(format!("{cidr} is advertised by {} and {}", other.name, machine.name));
                }
            }
        }
        Ok(())
    }

    /// Everything works again: does everybody have addresses after a while?
    fn heal(&mut self) -> Result<(), String> {
        self.former.clear();
        self.api.pools.get_mut("v4").unwrap().spec.node_selector = "all()".to_owned();
        for (index, name) in NODES.iter().enumerate() {
            self.machines[index].is_cut_off = false;
            if !self.api.nodes.contains_key(*name) {
                self.replace_node(index);
            }
            self.api.set_ready(name, true);
        }
        for machine in &mut self.machines {
            machine.start(at(self.now), &self.api);
            while !machine.pods.is_empty() {
                machine.delete_pod(at(self.now), 0);
            }
        }
        for _ in 0..60 {
            self.now += 2_000;
            for index in 0..NODES.len() {
                self.sync(index);
            }
            self.lead();
            self.check()?;
        }
        (0..NODES.len()).try_for_each(|index| self.has_an_address(index))
    }
}

impl World {
    fn has_an_address(&mut self, index: usize) -> Result<(), String> {
        self.sync(index);
        let Some(local) = &mut self.machines[index].daemon else { return Ok(()) };
        local.cleaned(&local.to_clean());
        let after_cooldown = at(self.now).plus_millis(COOLDOWN_MILLIS);
        let given = local.assign(after_cooldown, &Machine::owner(u64::MAX));
        given.map(drop).map_err(|error| format!("{} has no address after all healed: {error}", NODES[index]))
    }
}

fn simulate(seed: u64, strict: bool) {
    let mut world = World::new(seed, strict);
    for step in 0..STEPS {
        world.step();
        if let Err(problem) = world.check() {
            panic!("seed {seed}, strict {strict}, step {step}: {problem}");
        }
    }
    if let Err(problem) = world.heal() {
        panic!("seed {seed}, strict {strict}, at the end: {problem}");
    }
}

/// `IPAM_SEEDS=7..8` repeats one cluster, or takes others.
fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("IPAM_SEEDS") else { return 1..1 + SEEDS };
    let (first, end) = text.split_once("..").expect("IPAM_SEEDS is a range such as 3..8");
    first.parse().unwrap()..end.parse().unwrap()
}

fn simulate_all(how: &str, strict: bool) {
    seeds().for_each(|seed| simulate(seed, strict));
    eprintln!("measured: {} clusters {how}, {STEPS} steps each", seeds().count());
}

#[test]
fn no_address_is_given_twice_by_epochs_alone() {
    simulate_all("by epochs alone", true);
}

#[test]
fn no_address_is_given_twice_with_nodes_cut_off_and_replaced() {
    simulate_all("with nodes cut off and replaced", false);
}
