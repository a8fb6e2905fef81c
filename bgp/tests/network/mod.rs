//! Speakers joined in memory under virtual time: a small network with its own notion of TCP.
//!
//! Every node keeps a "kernel" table, as the consumer of `Output::Fib` and `Output::FibSynced` would.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp::config::{NeighborConfig, Origination, SpeakerConfig};
use bgp::fib::FibNextHop;
use bgp::speaker::{ConnectionId, Input, Output, RestartMode, SessionEvent, SessionEventKind, Speaker, Stop};
use bgp::status::{NeighborStatus, SessionState};
use bgp::wire::{RouterId, SessionContext, decode};
use ipnetwork::IpNetwork;

/// A reproducible source of choices.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct End {
    node: usize,
    /// Which start of the node: a new process counts its connections anew.
    start: u64,
    connection: ConnectionId,
}

enum Event {
    Dialed { from: End, to: IpAddr },
    Bytes { to: End, bytes: bytes::Bytes },
    Reset { to: End },
}

/// One router.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) config: SpeakerConfig,
    pub(crate) speaker: Option<Speaker>,
    /// What the kernel holds; survives the speaker.
    pub(crate) kernel: BTreeMap<IpNetwork, BTreeSet<FibNextHop>>,
    /// Every change that was asked of the kernel, with its time.
    pub(crate) changes: Vec<(Duration, IpNetwork, BTreeSet<FibNextHop>)>,
    pub(crate) is_synced: bool,
    pub(crate) events: Vec<SessionEvent>,
    pub(crate) reports: Vec<Result<bgp::config::ConfigureReport, bgp::config::ConfigErrors>>,
    /// UPDATEs, KEEPALIVEs and all other messages that were sent.
    pub(crate) messages_sent: usize,
    heard: BTreeSet<IpNetwork>,
    accepted: u64,
    contexts: HashMap<ConnectionId, SessionContext>,
    deadline: Option<Instant>,
    starts: u64,
}

/// The network.
pub(crate) struct Network {
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    pub(crate) rng: Rng,
    pub(crate) seed: u64,
    queue: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    /// Both directions of every connection.
    other_end: BTreeMap<End, End>,
    /// When the last bytes towards an end arrive: TCP keeps the order.
    last_arrival: BTreeMap<End, Instant>,
    /// Pairs of nodes between which everything is lost.
    blocked: BTreeSet<(usize, usize)>,
    lost: BTreeSet<(usize, usize)>,
    /// Dials that were given up before they were answered.
    aborted: BTreeSet<End>,
}

/// More calls than this without time passing is a speaker that asks for the same deadline for ever.
const CALLS_AT_ONCE_MAX: usize = 10_000;

impl Network {
    #[expect(clippy::disallowed_methods, reason = "an arbitrary beginning of the virtual time")]
    pub(crate) fn new(seed: u64) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            nodes: Vec::new(),
            rng: Rng::new(seed),
            seed,
            queue: BTreeMap::new(),
            sequence: 0,
            other_end: BTreeMap::new(),
            last_arrival: BTreeMap::new(),
            blocked: BTreeSet::new(),
            lost: BTreeSet::new(),
            aborted: BTreeSet::new(),
        }
    }

    /// A router with these addresses that is not started yet.
    pub(crate) fn add(&mut self, name: &str, asn: u32, addresses: &[&str]) -> usize {
        let number = u32::try_from(self.nodes.len() + 1).unwrap();
        let mut config = SpeakerConfig::new(asn, RouterId::new(0x0a00_0000 + number).unwrap());
        config.hold_time_secs = 9;
        self.nodes.push(Node {
            name: name.to_owned(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            config,
            speaker: None,
            kernel: BTreeMap::new(),
            changes: Vec::new(),
            is_synced: false,
            events: Vec::new(),
            reports: Vec::new(),
            messages_sent: 0,
            heard: BTreeSet::new(),
            accepted: 0,
            contexts: HashMap::new(),
            deadline: None,
            starts: 0,
        });
        self.nodes.len() - 1
    }

    /// Configures both as neighbors by their first addresses, with next hops from the others.
    pub(crate) fn join(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            let neighbor = self.neighbor(from, to);
            self.nodes[from].config.neighbors.push(neighbor);
        }
    }

    pub(crate) fn neighbor(&self, from: usize, to: usize) -> NeighborConfig {
        let (own, peer) = (&self.nodes[from], &self.nodes[to]);
        let mut neighbor = NeighborConfig::new(&peer.name, peer.addresses[0], peer.config.asn);
        for address in &own.addresses {
            match address {
                IpAddr::V4(address) => neighbor.next_hop_ipv4 = Some(*address),
                IpAddr::V6(address) => neighbor.next_hop_ipv6 = Some(*address),
            }
        }
        neighbor
    }

    /// Starts a router that originates these.
    pub(crate) fn start(&mut self, node: usize, mode: RestartMode, prefixes: &[&str]) {
        self.start_unsynced(node, mode);
        self.originate(node, prefixes);
        self.input(node, Input::LocalSourcesSynced);
    }

    pub(crate) fn start_unsynced(&mut self, node: usize, mode: RestartMode) {
        let state = &mut self.nodes[node];
        state.starts += 1;
        let seed = self.seed.wrapping_mul(1000).wrapping_add(node as u64 * 100 + state.starts);
        let speaker = Speaker::new(self.now, state.config.clone(), mode, seed).unwrap();
        state.deadline = speaker.next_deadline();
        state.speaker = Some(speaker);
        state.is_synced = false;
        state.heard.clear();
    }

    pub(crate) fn originate(&mut self, node: usize, prefixes: &[&str]) {
        let wanted = prefixes.iter().map(|text| (text.parse().unwrap(), Origination::default()));
        self.input(node, Input::Originate(wanted.collect()));
    }

    /// The process dies: its connections are reset, the kernel's table stays.
    pub(crate) fn crash(&mut self, node: usize) {
        self.nodes[node].speaker = None;
        self.nodes[node].deadline = None;
        self.nodes[node].contexts.clear();
        let ends: Vec<End> = self.other_end.keys().filter(|end| end.node == node).copied().collect();
        for end in ends {
            self.close(end);
        }
    }

    pub(crate) fn stop(&mut self, node: usize, stop: Stop) {
        self.input(node, Input::Stop(stop));
        self.crash(node);
    }

    /// Everything between the two is lost from now on, in silence.
    pub(crate) fn block(&mut self, a: usize, b: usize) {
        self.blocked.insert((a.min(b), a.max(b)));
    }

    /// The two reach each other again; connections that lost bytes are reset.
    pub(crate) fn unblock(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        self.blocked.remove(&pair);
        if self.lost.remove(&pair) {
            self.reset_connections(a, b);
        }
    }

    pub(crate) fn reset_connections(&mut self, a: usize, b: usize) {
        let between = |end: &End, other: &End| (end.node, other.node) == (a, b);
        let pairs = self.other_end.iter().filter(|(end, other)| between(end, other));
        let mut pairs: Vec<(End, End)> = pairs.map(|(end, other)| (*end, *other)).collect();
        pairs.sort_by_key(|(end, _)| end.connection);
        for (end, other) in pairs {
            self.schedule(Event::Reset { to: end });
            self.schedule(Event::Reset { to: other });
        }
    }

    /// How many connections there are in the whole network.
    pub(crate) fn connections(&self) -> usize {
        self.other_end.len() / 2
    }

    /// The queue of `node` towards `peer` is full, or has room again.
    pub(crate) fn set_congested(&mut self, node: usize, peer: usize, is_congested: bool) {
        let ends = self.other_end.iter().filter(|(end, other)| (end.node, other.node) == (node, peer));
        let mut connections: Vec<ConnectionId> = ends.map(|(end, _)| end.connection).collect();
        connections.sort_unstable();
        for connection in connections {
            self.input(node, Input::Congested { connection, is_congested });
        }
    }

    pub(crate) fn input(&mut self, node: usize, input: Input) {
        let Some(speaker) = &mut self.nodes[node].speaker else { return };
        let mut outputs = Vec::new();
        speaker.handle(self.now, input, &mut outputs);
        self.nodes[node].deadline = speaker.next_deadline();
        for output in outputs {
            self.output(node, output);
        }
    }

    /// Lets this much time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut calls = 0;
        while let Some((at, node)) = self.next_step().filter(|(at, _)| *at <= until) {
            calls = if at > self.now { 0 } else { calls + 1 };
            assert!(calls < CALLS_AT_ONCE_MAX, "seed {}: time stands still at node {node:?}", self.seed);
            self.now = self.now.max(at);
            if let Some(node) = node {
                self.input(node, Input::DeadlinePassed);
            } else if let Some((_, event)) = self.queue.pop_first() {
                self.deliver(event);
            }
        }
        self.now = until;
    }

    pub(crate) fn run_secs(&mut self, secs: u64) {
        self.run(Duration::from_secs(secs));
    }

    /// Lets time pass until the condition holds.
    pub(crate) fn run_until(&mut self, why: &str, limit_secs: u64, condition: impl Fn(&Self) -> bool) {
        let limit = self.now + Duration::from_secs(limit_secs);
        while !condition(self) {
            assert!(self.now < limit, "seed {}: not within {limit_secs} s: {why}", self.seed);
            self.run(Duration::from_millis(10));
        }
    }

    pub(crate) fn status(&self, node: usize, peer: usize) -> NeighborStatus {
        let address = self.nodes[peer].addresses[0];
        let status = self.nodes[node].speaker.as_ref().unwrap().status(self.now);
        status.neighbors.into_iter().find(|neighbor| neighbor.address == address).unwrap()
    }

    pub(crate) fn is_established(&self, a: usize, b: usize) -> bool {
        [(a, b), (b, a)].iter().all(|(from, to)| {
            self.nodes[*from].speaker.is_some() && self.status(*from, *to).state == SessionState::Established
        })
    }

    /// The gateways of a prefix in the kernel's table.
    pub(crate) fn gateways(&self, node: usize, prefix: &str) -> Vec<String> {
        let hops = self.nodes[node].kernel.get(&prefix.parse().unwrap());
        hops.into_iter().flatten().map(|hop| hop.gateway.to_string()).collect()
    }

    /// The kinds of events of a node since the last call.
    pub(crate) fn take_events(&mut self, node: usize) -> Vec<SessionEventKind> {
        std::mem::take(&mut self.nodes[node].events).into_iter().map(|event| event.kind).collect()
    }

    pub(crate) fn take_changes(&mut self, node: usize) -> Vec<(Duration, IpNetwork, BTreeSet<FibNextHop>)> {
        std::mem::take(&mut self.nodes[node].changes)
    }

    fn next_step(&self) -> Option<(Instant, Option<usize>)> {
        let event = self.queue.first_key_value().map(|((at, _), _)| (*at, None));
        let deadlines =
            self.nodes.iter().enumerate().filter_map(|(node, state)| Some((state.deadline?, Some(node))));
        event.into_iter().chain(deadlines).min_by_key(|(at, _)| *at)
    }

    fn schedule(&mut self, event: Event) {
        let latency = Duration::from_micros(200 + self.rng.next() % 3000);
        let mut at = self.now + latency;
        if let Event::Bytes { to, .. } | Event::Reset { to } = &event {
            let last = self.last_arrival.entry(*to).or_insert(at);
            at = at.max(*last);
            *last = at;
        }
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    fn output(&mut self, node: usize, output: Output) {
        match output {
            Output::Dial(dial) => {
                let from = self.end(node, dial.connection);
                self.schedule(Event::Dialed { from, to: dial.remote.ip() });
            }
            Output::Admit { .. } | Output::Rekey { .. } => {}
            Output::Negotiated { connection, context } => {
                self.nodes[node].contexts.insert(connection, context);
            }
            Output::Send { connection, bytes } => {
                self.nodes[node].messages_sent += 1;
                if let Some(to) = self.other_end.get(&self.end(node, connection)).copied() {
                    self.schedule(Event::Bytes { to, bytes });
                }
            }
            Output::Close { connection } => self.close(self.end(node, connection)),
            Output::Fib(change) => {
                let state = &mut self.nodes[node];
                state.heard.insert(change.prefix);
                state.changes.push((self.now - self.start, change.prefix, change.next_hops.clone()));
                if change.next_hops.is_empty() {
                    state.kernel.remove(&change.prefix);
                } else {
                    state.kernel.insert(change.prefix, change.next_hops);
                }
            }
            Output::FibSynced => {
                let state = &mut self.nodes[node];
                assert!(!state.is_synced, "FibSynced comes once");
                state.is_synced = true;
                state.kernel.retain(|prefix, _| state.heard.contains(prefix));
            }
            Output::Configured(report) => self.nodes[node].reports.push(report),
            Output::Event(event) => self.nodes[node].events.push(event),
        }
    }

    fn close(&mut self, end: End) {
        self.nodes[end.node].contexts.remove(&end.connection);
        match self.other_end.remove(&end) {
            Some(other) => self.schedule(Event::Reset { to: other }),
            None => drop(self.aborted.insert(end)),
        }
    }

    fn is_lost(&mut self, a: usize, b: usize) -> bool {
        let pair = (a.min(b), a.max(b));
        let is_lost = self.blocked.contains(&pair);
        if is_lost {
            self.lost.insert(pair);
        }
        is_lost
    }

    fn end(&self, node: usize, connection: ConnectionId) -> End {
        End { node, start: self.nodes[node].starts, connection }
    }

    fn deliver(&mut self, event: Event) {
        let (Event::Dialed { from: end, .. } | Event::Bytes { to: end, .. } | Event::Reset { to: end }) =
            &event;
        if end.start != self.nodes[end.node].starts {
            return;
        }
        match event {
            Event::Dialed { from, to } => self.connect(from, to),
            Event::Bytes { to, bytes } => {
                let Some(other) = self.other_end.get(&to).copied() else { return };
                if !self.is_lost(to.node, other.node) {
                    let before = SessionContext::before_open();
                    let context = self.nodes[to.node].contexts.get(&to.connection).unwrap_or(&before);
                    let message = decode(&bytes, context);
                    let input = Input::Received { connection: to.connection, read_at: self.now, message };
                    self.input(to.node, input);
                }
            }
            Event::Reset { to } => {
                let other = self.other_end.remove(&to);
                if other.is_some_and(|other| self.is_lost(to.node, other.node)) {
                    return;
                }
                self.nodes[to.node].contexts.remove(&to.connection);
                self.input(to.node, Input::Closed { connection: to.connection, reason: "reset".to_owned() });
            }
        }
    }

    fn connect(&mut self, from: End, to: IpAddr) {
        let target = self.nodes.iter().position(|node| node.addresses.contains(&to));
        let Some(target) = target else { panic!("nobody has {to}") };
        if self.is_lost(from.node, target) || self.aborted.remove(&from) {
            return;
        }
        if self.nodes[target].speaker.is_none() {
            let reason = "refused".to_owned();
            self.input(from.node, Input::DialFailed { connection: from.connection, reason });
            return;
        }
        let node = &mut self.nodes[target];
        node.accepted += 1;
        let accepted =
            End { node: target, start: node.starts, connection: ConnectionId::Accepted(node.accepted) };
        let source = self.nodes[from.node].addresses.iter().find(|address| address.is_ipv4() == to.is_ipv4());
        let remote = *source.expect("an address of the family");
        self.other_end.insert(from, accepted);
        self.other_end.insert(accepted, from);
        self.input(target, Input::Accepted { connection: accepted.connection, remote, local: to });
        self.input(from.node, Input::Connected { connection: from.connection, local: remote });
    }
}
