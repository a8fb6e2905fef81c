//! The rules of one policy and direction, merged: as few clauses as say the same.

use std::collections::{BTreeMap, BTreeSet};

use super::spans::{Blocks, Spans, merge};
use crate::model::{Peer, PodTerm, PolicyRule, PortMatch, Ports};
use crate::program::Span;

/// Who is on the other side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Peers {
    /// Anyone.
    Any,
    /// Any of these.
    Of(PeerSet),
}

/// Pods and addresses, together.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PeerSet {
    pub(super) pods: BTreeSet<Term>,
    pub(super) blocks: Blocks,
}

/// A pod term that is ordered by its text.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) text: String,
    pub(super) term: PodTerm,
}

impl Term {
    pub(super) fn new(term: PodTerm) -> Self {
        Self { text: term.to_string(), term }
    }
}

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Term {}

impl PartialOrd for Term {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Term {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text.cmp(&other.text)
    }
}

/// Which destination ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PortSet {
    /// Any protocol and port.
    Any,
    /// Any of these.
    Of(BTreeSet<PortMatch>),
}

/// Allows what has these peers and goes to these ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    pub(super) peers: Peers,
    pub(super) ports: PortSet,
    /// Places in the policy of the rules that say so.
    pub(super) rules: BTreeSet<usize>,
}

/// The clauses of the rules: of equal ports the peers are joined, then of equal peers the ports.
pub(super) fn clauses(rules: &[PolicyRule]) -> Vec<Clause> {
    let mut by_ports: BTreeMap<PortSet, (Peers, BTreeSet<usize>)> = BTreeMap::new();
    for (index, rule) in rules.iter().enumerate() {
        let (ports, peers) = (ports_of(rule), peers_of(rule));
        let (joined, indexes) =
            by_ports.entry(ports).or_insert_with(|| (Peers::Of(PeerSet::default()), BTreeSet::new()));
        *joined = joined.clone().union(peers);
        indexes.insert(index);
    }
    let mut by_peers: BTreeMap<Peers, (PortSet, BTreeSet<usize>)> = BTreeMap::new();
    for (ports, (peers, rules)) in by_ports {
        let (joined, indexes) =
            by_peers.entry(peers).or_insert_with(|| (PortSet::Of(BTreeSet::new()), BTreeSet::new()));
        *joined = joined.clone().union(ports);
        indexes.extend(rules);
    }
    by_peers.into_iter().map(|(peers, (ports, rules))| Clause { peers, ports, rules }).collect()
}

fn peers_of(rule: &PolicyRule) -> Peers {
    if rule.peers.is_empty() {
        return Peers::Any;
    }
    let mut set = PeerSet::default();
    for peer in &rule.peers {
        match peer {
            Peer::Pods(term) => drop(set.pods.insert(Term::new(term.clone()))),
            Peer::Block { cidr, except } => set.blocks = set.blocks.union(Blocks::of(*cidr, except)),
        }
    }
    Peers::Of(set)
}

fn ports_of(rule: &PolicyRule) -> PortSet {
    if rule.ports.is_empty() { PortSet::Any } else { PortSet::Of(rule.ports.iter().cloned().collect()) }
}

impl Peers {
    fn union(self, other: Self) -> Self {
        match (self, other) {
            (Self::Of(mut one), Self::Of(other)) => {
                one.pods.extend(other.pods);
                one.blocks = one.blocks.union(other.blocks);
                Self::Of(one)
            }
            _ => Self::Any,
        }
    }
}

impl PortSet {
    fn union(self, other: Self) -> Self {
        match (self, other) {
            (Self::Of(one), Self::Of(other)) => Self::Of(one.into_iter().chain(other).collect()),
            _ => Self::Any,
        }
    }

    /// The ports that are numbers, by protocol number.
    pub(super) fn numbers(&self) -> BTreeMap<u8, Spans> {
        match self {
            Self::Any => BTreeMap::new(),
            Self::Of(ports) => numbers(ports),
        }
    }

    /// The ports that are names.
    pub(super) fn named(&self) -> Vec<PortMatch> {
        match self {
            Self::Any => Vec::new(),
            Self::Of(ports) => ports.iter().filter(|it| it.is_named()).cloned().collect(),
        }
    }
}

/// The ports that are numbers, by protocol number, in the fewest spans.
pub(super) fn numbers<'a>(ports: impl IntoIterator<Item = &'a PortMatch>) -> BTreeMap<u8, Spans> {
    let mut spans: BTreeMap<u8, Spans> = BTreeMap::new();
    for port in ports {
        let (first, last) = match port.ports {
            Ports::Any => (0, u16::MAX),
            Ports::Range(first, last) => (first, last),
            Ports::Named(_) => continue,
        };
        let span = Span { first: first.into(), last: last.into() };
        spans.entry(port.protocol.number()).or_default().push(span);
    }
    spans.into_iter().map(|(protocol, spans)| (protocol, merge(spans))).collect()
}
