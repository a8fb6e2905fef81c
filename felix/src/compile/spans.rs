//! Arithmetic on ranges of addresses and ports.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use crate::program::{Element, Span};

/// Sorted spans, no two of which overlap or touch.
pub(super) type Spans = Vec<Span<u128>>;

/// The addresses that some of the blocks allow, by family.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Blocks {
    pub(super) v4: Spans,
    pub(super) v6: Spans,
}

impl Blocks {
    /// All addresses inside `cidr` and outside all of `except`.
    pub(super) fn of(cidr: IpNetwork, except: &[IpNetwork]) -> Self {
        let holes = except.iter().filter(|it| it.is_ipv4() == cidr.is_ipv4()).map(|it| span_of(*it));
        let spans = subtract(span_of(cidr), &merge(holes.collect()));
        match cidr {
            IpNetwork::V4(_) => Self { v4: spans, v6: Vec::new() },
            IpNetwork::V6(_) => Self { v4: Vec::new(), v6: spans },
        }
    }

    /// The addresses of both.
    pub(super) fn union(mut self, other: Self) -> Self {
        self.v4.extend(other.v4);
        self.v6.extend(other.v6);
        Self { v4: merge(self.v4), v6: merge(self.v6) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// The span of a prefix.
pub(super) fn span_of(prefix: IpNetwork) -> Span<u128> {
    match prefix {
        IpNetwork::V4(it) => {
            Span { first: u32::from(it.network()).into(), last: u32::from(it.broadcast()).into() }
        }
        IpNetwork::V6(it) => Span { first: it.network().into(), last: it.broadcast().into() },
    }
}

/// The same values in the fewest spans. The kernel refuses elements of an interval set that overlap.
pub(super) fn merge(mut spans: Vec<Span<u128>>) -> Spans {
    spans.sort_unstable();
    let mut merged: Spans = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.first <= last.last.saturating_add(1) => last.last = last.last.max(span.last),
            _ => merged.push(span),
        }
    }
    merged
}

/// What remains of the span without the holes.
fn subtract(span: Span<u128>, holes: &Spans) -> Spans {
    let mut rest = Vec::new();
    let mut next = Some(span.first);
    for hole in holes {
        let Some(first) = next else { break };
        if hole.first > first {
            rest.push(Span { first, last: hole.first - 1 });
        }
        next = hole.last.checked_add(1).filter(|it| *it <= span.last);
    }
    rest.extend(next.map(|first| Span { first, last: span.last }));
    rest
}

/// The span as IPv4 addresses.
pub(super) fn v4(span: Span<u128>) -> Span<Ipv4Addr> {
    let address =
        |value| Ipv4Addr::from(u32::try_from(value).expect("spans of IPv4 prefixes stay below 2^32"));
    Span { first: address(span.first), last: address(span.last) }
}

/// The span as IPv6 addresses.
pub(super) fn v6(span: Span<u128>) -> Span<Ipv6Addr> {
    Span { first: Ipv6Addr::from(span.first), last: Ipv6Addr::from(span.last) }
}

/// The span as ports.
pub(super) fn ports(span: Span<u128>) -> Span<u16> {
    let port = |value| u16::try_from(value).expect("spans of ports stay below 2^16");
    Span { first: port(span.first), last: port(span.last) }
}

/// The spans as elements of a set of IPv4 or IPv6 addresses.
pub(super) fn elements(spans: &Spans, is_v4: bool) -> impl Iterator<Item = Element> + '_ {
    spans.iter().map(move |span| if is_v4 { Element::V4(v4(*span)) } else { Element::V6(v6(*span)) })
}

#[cfg(test)]
mod tests;
