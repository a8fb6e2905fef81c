//! Many clauses with peers and ports of their own become sets of (address, protocol, port).
//!
//! A rule list would be walked by every first packet; a set is looked up once, however many clauses it stands for.

use std::collections::{BTreeMap, BTreeSet};

use super::clause::{Clause, PeerSet, Peers, PortSet, numbers};
use super::members::MemberTerm;
use super::spans::{Blocks, Spans, merge, ports, v4, v6};
use crate::model::{Direction, PortMatch};
use crate::program::{Element, Span};

/// From so many clauses on they are folded: below, the rules are shorter than the sets.
const CLAUSES_MIN: usize = 5;

/// What was folded and what was not.
pub(super) struct Folded {
    /// Pods with the ports that they may be reached at, or for ingress may reach.
    pub(super) terms: Vec<MemberTerm>,
    /// Elements (addresses, protocol, ports) of IPv4 and of IPv6; none overlaps another.
    pub(super) v4: BTreeSet<Element>,
    pub(super) v6: BTreeSet<Element>,
    /// Places in the policy of the rules that were folded.
    pub(super) rules: BTreeSet<usize>,
    /// The clauses that remain.
    pub(super) rest: Vec<Clause>,
}

/// Folds what has both peers and ports.
pub(super) fn fold(direction: Direction, clauses: Vec<Clause>) -> Folded {
    let mut folded = Folded {
        terms: Vec::new(),
        v4: BTreeSet::new(),
        v6: BTreeSet::new(),
        rules: BTreeSet::new(),
        rest: Vec::new(),
    };
    if clauses.len() < CLAUSES_MIN {
        folded.rest = clauses;
        return folded;
    }
    let mut blocks: Vec<(Blocks, Vec<PortMatch>)> = Vec::new();
    for clause in clauses {
        let (Peers::Of(peers), PortSet::Of(matches)) = (&clause.peers, &clause.ports) else {
            folded.rest.push(clause);
            continue;
        };
        let is_named = |it: &PortMatch| matches!(it.ports, crate::model::Ports::Named(_));
        // A name is the destination's: for egress the peer's own, for ingress the selected pod's.
        let (foldable, kept): (BTreeSet<_>, BTreeSet<_>) =
            matches.iter().cloned().partition(|it| direction == Direction::Egress || !is_named(it));
        fold_pods(peers, &foldable, &mut folded.terms);
        let numeric: Vec<PortMatch> = foldable.iter().filter(|it| !is_named(it)).cloned().collect();
        if !peers.blocks.is_empty() && !numeric.is_empty() {
            blocks.push((peers.blocks.clone(), numeric));
        }
        folded.rest.extend(remainder(&clause, peers, matches, kept, is_named));
        folded.rules.extend(&clause.rules);
    }
    folded.v4 = rectangles(&blocks, true);
    folded.v6 = rectangles(&blocks, false);
    folded
}

fn fold_pods(peers: &PeerSet, ports: &BTreeSet<PortMatch>, terms: &mut Vec<MemberTerm>) {
    if ports.is_empty() {
        return;
    }
    let ports: Vec<PortMatch> = ports.iter().cloned().collect();
    terms.extend(peers.pods.iter().map(|term| MemberTerm::new(term.term.clone(), ports.clone())));
}

/// What folding leaves of a clause: named ports of ingress, and named ports of address blocks.
fn remainder(
    clause: &Clause,
    peers: &PeerSet,
    matches: &BTreeSet<PortMatch>,
    kept: BTreeSet<PortMatch>,
    is_named: impl Fn(&PortMatch) -> bool,
) -> Option<Clause> {
    if !kept.is_empty() {
        return Some(Clause { ports: PortSet::Of(kept), ..clause.clone() });
    }
    let named: BTreeSet<PortMatch> = matches.iter().filter(|it| is_named(it)).cloned().collect();
    if named.is_empty() || peers.blocks.is_empty() {
        return None;
    }
    let peers = PeerSet { pods: BTreeSet::new(), blocks: peers.blocks.clone() };
    Some(Clause { peers: Peers::Of(peers), ports: PortSet::Of(named), rules: clause.rules.clone() })
}

/// The union of all blocks x ports as elements that do not overlap: the address space is cut where
/// any block begins or ends, and each piece gets the ports of all blocks around it.
fn rectangles(blocks: &[(Blocks, Vec<PortMatch>)], is_v4: bool) -> BTreeSet<Element> {
    let mut cuts: BTreeSet<u128> = BTreeSet::new();
    for span in blocks.iter().flat_map(|(blocks, _)| spans_of(blocks, is_v4)) {
        cuts.insert(span.first);
        cuts.extend(span.last.checked_add(1));
    }
    let mut by_ports: BTreeMap<BTreeMap<u8, Spans>, Spans> = BTreeMap::new();
    let cuts: Vec<u128> = cuts.into_iter().collect();
    for (index, first) in cuts.iter().enumerate() {
        let last = cuts.get(index + 1).map_or(u128::MAX, |next| next - 1);
        let around = blocks
            .iter()
            .filter(|(blocks, _)| spans_of(blocks, is_v4).iter().any(|span| span.contains(first)))
            .flat_map(|(_, ports)| ports);
        let ports = numbers(around);
        if !ports.is_empty() {
            by_ports.entry(ports).or_default().push(Span { first: *first, last });
        }
    }
    by_ports.into_iter().flat_map(|(ports, spans)| products(&merge(spans), &ports, is_v4)).collect()
}

fn spans_of(blocks: &Blocks, is_v4: bool) -> &Spans {
    if is_v4 { &blocks.v4 } else { &blocks.v6 }
}

fn products(addresses: &Spans, numbers: &BTreeMap<u8, Spans>, is_v4: bool) -> Vec<Element> {
    let mut elements = Vec::new();
    for address in addresses {
        for (protocol, spans) in numbers {
            elements.extend(spans.iter().map(|span| {
                if is_v4 {
                    Element::V4Ports(v4(*address), *protocol, ports(*span))
                } else {
                    Element::V6Ports(v6(*address), *protocol, ports(*span))
                }
            }));
        }
    }
    elements
}
