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
    /// Pods with the single ports that they may be reached at, or for ingress may reach.
    pub(super) points: Vec<MemberTerm>,
    /// Pods with ranges of such ports.
    pub(super) ranges: Vec<MemberTerm>,
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
        points: Vec::new(),
        ranges: Vec::new(),
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
        // A name is the destination's: for egress the peer's own, for ingress the selected pod's.
        let (foldable, kept): (BTreeSet<_>, BTreeSet<_>) =
            matches.iter().cloned().partition(|it| direction == Direction::Egress || !it.is_named());
        fold_pods(peers, &foldable, &mut folded);
        let numeric: Vec<PortMatch> = foldable.iter().filter(|it| !it.is_named()).cloned().collect();
        if !peers.blocks.is_empty() && !numeric.is_empty() {
            blocks.push((peers.blocks.clone(), numeric));
        }
        folded.rest.extend(remainder(&clause, peers, matches, kept));
        folded.rules.extend(&clause.rules);
    }
    folded.v4 = rectangles(&blocks, true);
    folded.v6 = rectangles(&blocks, false);
    folded
}

/// Single ports and names go to one set, ranges to another: only the first can be a hash set, in which
/// a change of one pod costs microseconds however many there are.
fn fold_pods(peers: &PeerSet, ports: &BTreeSet<PortMatch>, folded: &mut Folded) {
    let (ranges, points): (Vec<PortMatch>, Vec<PortMatch>) =
        ports.iter().cloned().partition(PortMatch::is_range);
    for term in &peers.pods {
        if !points.is_empty() {
            folded.points.push(MemberTerm::new(term.term.clone(), points.clone()));
        }
        if !ranges.is_empty() {
            folded.ranges.push(MemberTerm::new(term.term.clone(), ranges.clone()));
        }
    }
}

/// What folding leaves of a clause: named ports of ingress, and named ports of address blocks.
fn remainder(
    clause: &Clause,
    peers: &PeerSet,
    matches: &BTreeSet<PortMatch>,
    kept: BTreeSet<PortMatch>,
) -> Option<Clause> {
    if !kept.is_empty() {
        return Some(Clause { ports: PortSet::Of(kept), ..clause.clone() });
    }
    let named: BTreeSet<PortMatch> = matches.iter().filter(|it| it.is_named()).cloned().collect();
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
