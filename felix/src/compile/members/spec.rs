//! What a set of pods' addresses holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Member, Namespaces};
use crate::compile::clause::numbers;
use crate::compile::named::hashed;
use crate::compile::spans::{self, Spans};
use crate::model::{PodTerm, PortMatch, Ports};
use crate::program::{Element, Name, Set, SetKey, Span};

/// Whose addresses a set may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::compile) enum Scope {
    /// Pods of all nodes.
    Cluster,
    /// Pods of this node alone: a set of destinations that only this node's chains deliver to.
    Local,
}

/// Pods, and the ports of theirs that count.
#[derive(Clone, Debug)]
pub(in crate::compile) struct MemberTerm {
    pub(in crate::compile) term: PodTerm,
    /// Empty in a set of addresses alone.
    ports: Vec<PortMatch>,
}

impl MemberTerm {
    pub(in crate::compile) fn new(term: PodTerm, ports: Vec<PortMatch>) -> Self {
        Self { term, ports }
    }

    fn text(&self) -> String {
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        if ports.is_empty() { self.term.to_string() } else { format!("{}: {}", self.term, ports.join(", ")) }
    }
}

/// A set of addresses of pods that any of the terms selects, as a pair of one set for each family.
#[derive(Clone, Debug)]
pub(in crate::compile) struct MemberSpec {
    /// Equal for equal terms and scope; no set has this name itself.
    pub(in crate::compile) id: Name,
    pub(in crate::compile) v4: Name,
    pub(in crate::compile) v6: Name,
    text: String,
    pub(super) terms: Vec<MemberTerm>,
    scope: Scope,
    with_ports: bool,
    interval: bool,
}

impl MemberSpec {
    /// The set of what the terms select; either all of them have ports or none.
    pub(in crate::compile) fn new(mut terms: Vec<MemberTerm>, scope: Scope) -> Self {
        terms.sort_by_cached_key(MemberTerm::text);
        let texts: BTreeSet<String> = terms.iter().map(MemberTerm::text).collect();
        let mut text = texts.into_iter().collect::<Vec<_>>().join(" or ");
        if scope == Scope::Local {
            text.push_str(" on this node");
        }
        let with_ports = terms.iter().any(|term| !term.ports.is_empty());
        let interval = terms.iter().flat_map(|term| &term.ports).any(PortMatch::is_range);
        Self {
            id: hashed("pods-", &text),
            v4: hashed("pods4-", &text),
            v6: hashed("pods6-", &text),
            text,
            terms,
            scope,
            with_ports,
            interval,
        }
    }

    /// The set for the address's family.
    pub(super) fn name_for(&self, address: IpAddr) -> &Name {
        if address.is_ipv4() { &self.v4 } else { &self.v6 }
    }

    pub(super) fn empty_sets(&self) -> [Set; 2] {
        let keys =
            if self.with_ports { [SetKey::V4Ports, SetKey::V6Ports] } else { [SetKey::V4, SetKey::V6] };
        keys.map(|key| Set { interval: self.interval, ..Set::hash(key, &self.text) })
    }

    /// Whether the pod has anything in the set.
    pub(super) fn selects(&self, member: &Member, namespaces: &Namespaces) -> bool {
        self.matching(member, namespaces).next().is_some()
    }

    fn matching<'a>(
        &'a self,
        member: &'a Member,
        namespaces: &'a Namespaces,
    ) -> impl Iterator<Item = &'a MemberTerm> {
        let in_scope = self.scope == Scope::Cluster || member.is_local;
        self.terms.iter().filter(move |it| in_scope && it.term.selects(&member.pod, namespaces))
    }

    /// The lowest and the highest element that the address can have.
    pub(super) fn bounds(&self, address: IpAddr) -> (Element, Element) {
        let low = self.element(address, 0, Span { first: 0, last: 0 });
        let high = self.element(address, u8::MAX, Span { first: u16::MAX, last: u16::MAX });
        (low, high)
    }

    fn element(&self, address: IpAddr, protocol: u8, ports: Span<u16>) -> Element {
        match (address, self.with_ports) {
            (IpAddr::V4(it), false) => Element::V4(Span::single(it)),
            (IpAddr::V6(it), false) => Element::V6(Span::single(it)),
            (IpAddr::V4(it), true) => Element::V4Ports(Span::single(it), protocol, ports),
            (IpAddr::V6(it), true) => Element::V6Ports(Span::single(it), protocol, ports),
        }
    }

    /// What the set holds for the address, which all of `holders` have.
    pub(super) fn elements<'a>(
        &self,
        address: IpAddr,
        holders: impl Iterator<Item = &'a Member>,
        namespaces: &Namespaces,
    ) -> BTreeSet<Element> {
        let mut all: BTreeMap<u8, Spans> = BTreeMap::new();
        for member in holders {
            for term in self.matching(member, namespaces) {
                if !self.with_ports {
                    return BTreeSet::from([self.element(address, 0, Span::single(0))]);
                }
                add_ports(&term.ports, member, &mut all);
            }
        }
        let spans = all.into_iter().flat_map(|(protocol, spans)| {
            // A hash set cannot hold the range that neighbouring ports would merge into.
            let spans = if self.interval { spans::merge(spans) } else { spans };
            spans.into_iter().map(move |span| (protocol, spans::ports(span)))
        });
        spans.map(|(protocol, ports)| self.element(address, protocol, ports)).collect()
    }
}

fn add_ports(ports: &[PortMatch], member: &Member, all: &mut BTreeMap<u8, Spans>) {
    for port in ports {
        let spans: Spans = match &port.ports {
            Ports::Named(name) => {
                member.pod.numbers_of(name, port.protocol).map(|it| Span::single(u128::from(it))).collect()
            }
            Ports::Any | Ports::Range(..) => numbers([port]).into_values().flatten().collect(),
        };
        all.entry(port.protocol.number()).or_default().extend(spans);
    }
}
