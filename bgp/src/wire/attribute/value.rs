//! The values of the single attributes: bytes to a value, or what RFC 7606 section 7 says to do instead.

use std::net::Ipv4Addr;

use super::FaultAction::{self, Discard, Withdraw};
use super::{Aggregator, Origin};
use crate::wire::{AsPath, Community, ExtendedCommunity, LargeCommunity, RouterId, SessionContext};

/// A value, or the treatment of the message and what was wrong.
pub(super) type Parsed<T> = Result<T, (FaultAction, &'static str)>;

pub(super) fn origin(value: &[u8]) -> Parsed<Origin> {
    match value {
        [0] => Ok(Origin::Igp),
        [1] => Ok(Origin::Egp),
        [2] => Ok(Origin::Incomplete),
        [_] => Err((Withdraw, "ORIGIN is above 2")),
        _ => Err((Withdraw, "ORIGIN has not one octet")),
    }
}

pub(super) fn as_path(value: &[u8], context: &SessionContext) -> Parsed<AsPath> {
    let path = AsPath::decode(value, context.four_octet_as).map_err(|reason| (Withdraw, reason))?;
    if !context.is_ebgp {
        return Ok(path);
    }
    if path.segments.iter().any(|segment| segment.kind.is_confed()) {
        return Err((Withdraw, "a confederation segment from outside"));
    }
    if path.is_empty() {
        return Err((Withdraw, "an empty AS_PATH from an external peer"));
    }
    if context.enforce_first_as && path.neighbor_as() != Some(context.peer_asn) {
        return Err((Withdraw, "AS_PATH does not begin with the peer's AS"));
    }
    Ok(path)
}

pub(super) fn as4_path(value: &[u8]) -> Parsed<AsPath> {
    AsPath::decode(value, true).map_err(|reason| (Discard, reason))
}

pub(super) fn next_hop(value: &[u8]) -> Parsed<Ipv4Addr> {
    let octets: [u8; 4] = value.try_into().map_err(|_| (Withdraw, "NEXT_HOP has not four octets"))?;
    let address = Ipv4Addr::from(octets);
    if is_ipv4_host(address) { Ok(address) } else { Err((Withdraw, "NEXT_HOP is no host's address")) }
}

/// Whether a host on a network can have the address.
pub(in crate::wire) fn is_ipv4_host(address: Ipv4Addr) -> bool {
    let is_this_network = address.octets()[0] == 0;
    !(is_this_network || address.is_loopback() || address.is_multicast() || address.is_broadcast())
}

pub(super) fn word(value: &[u8], reason: &'static str) -> Parsed<u32> {
    value.try_into().map(u32::from_be_bytes).map_err(|_| (Withdraw, reason))
}

pub(super) fn atomic_aggregate(value: &[u8]) -> Parsed<bool> {
    if value.is_empty() { Ok(true) } else { Err((Discard, "ATOMIC_AGGREGATE has content")) }
}

pub(super) fn aggregator(value: &[u8], four_octet_as: bool) -> Parsed<Aggregator> {
    let wrong_length = (Discard, "an aggregator of the wrong length");
    let (asn, router_id) = value.split_last_chunk::<4>().ok_or(wrong_length)?;
    let asn = match *asn {
        [a, b, c, d] if four_octet_as => u32::from_be_bytes([a, b, c, d]),
        [a, b] if !four_octet_as => u32::from(u16::from_be_bytes([a, b])),
        _ => return Err(wrong_length),
    };
    let router_id = u32::from_be_bytes(*router_id);
    if asn == 0 { Err((Discard, "an aggregator in AS 0")) } else { Ok(Aggregator { asn, router_id }) }
}

pub(super) fn originator_id(value: &[u8]) -> Parsed<RouterId> {
    let id = word(value, "ORIGINATOR_ID has not four octets")?;
    RouterId::new(id).ok_or((Withdraw, "ORIGINATOR_ID is 0"))
}

pub(super) fn cluster_list(value: &[u8]) -> Parsed<Vec<u32>> {
    let ids = chunks::<4>(value, "CLUSTER_LIST is no list of four octets each")?;
    Ok(ids.iter().map(|id| u32::from_be_bytes(*id)).collect())
}

pub(super) fn communities(value: &[u8]) -> Parsed<Vec<Community>> {
    let words = chunks::<4>(value, "COMMUNITIES is no list of four octets each")?;
    Ok(sorted(words.iter().map(|word| Community(u32::from_be_bytes(*word)))))
}

pub(super) fn extended_communities(value: &[u8]) -> Parsed<Vec<ExtendedCommunity>> {
    let words = chunks::<8>(value, "EXTENDED COMMUNITIES is no list of eight octets each")?;
    Ok(sorted(words.iter().map(|word| ExtendedCommunity(*word))))
}

pub(super) fn large_communities(value: &[u8]) -> Parsed<Vec<LargeCommunity>> {
    let words = chunks::<12>(value, "LARGE_COMMUNITY is no list of twelve octets each")?;
    let large = |words: &[u8; 12]| {
        let word = |at: usize| u32::from_be_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
        LargeCommunity { global: word(0), local1: word(4), local2: word(8) }
    };
    Ok(sorted(words.iter().map(large)))
}

/// What is wrong with a list of IPv6 address specific extended communities (RFC 5701), if anything.
pub(super) fn ipv6_extended_communities(value: &[u8]) -> Parsed<()> {
    chunks::<20>(value, "IPv6 EXTENDED COMMUNITIES is no list of 20 octets each").map(|_| ())
}

/// The elements of a list that must not be empty.
fn chunks<'a, const N: usize>(value: &'a [u8], reason: &'static str) -> Parsed<&'a [[u8; N]]> {
    match value.as_chunks::<N>() {
        (elements, []) if !elements.is_empty() => Ok(elements),
        _ => Err((Withdraw, reason)),
    }
}

fn sorted<T: Ord>(elements: impl Iterator<Item = T>) -> Vec<T> {
    let mut elements: Vec<T> = elements.collect();
    elements.sort_unstable();
    elements.dedup();
    elements
}
