//! Routes to UPDATE messages, as many as their length asks for. What is in `MP_REACH_NLRI` or
//! `MP_UNREACH_NLRI` stands first, so that damage behind it cannot hide it (RFC 7606 section 5.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, Bytes, BytesMut};
use ipnetwork::IpNetwork;

use super::{Announcement, AttributesTooLarge, NextHop, Update};
use crate::wire::attribute::{self, MP_FLAGS, code, put_attribute};
use crate::wire::header::{HEADER_LEN, MessageType, frame};
use crate::wire::{Encoding, Family, nlri};

/// Header and the two length fields.
const EMPTY_UPDATE_LEN: usize = HEADER_LEN + 4;
/// Flags, type and an extended length: what an attribute needs beside its value, at most.
const ATTRIBUTE_HEAD_LEN: usize = 4;
/// AFI and SAFI.
const FAMILY_LEN: usize = 3;

impl Update {
    pub(in crate::wire) fn encode(&self, encoding: Encoding) -> Result<Vec<Bytes>, AttributesTooLarge> {
        let mut messages = encode_withdrawn(&self.withdrawn, encoding);
        for announcement in &self.announced {
            messages.extend(announcement.encode(encoding)?);
        }
        messages.extend(self.end_of_rib.map(encode_end_of_rib));
        Ok(messages)
    }
}

impl Announcement {
    /// The messages that announce these routes; none if there is no prefix.
    ///
    /// IPv4 routes with an IPv4 next hop are written as RFC 4271 does, all others in `MP_REACH_NLRI`.
    ///
    /// # Errors
    /// The attributes leave no room for a prefix.
    pub fn encode(&self, encoding: Encoding) -> Result<Vec<Bytes>, AttributesTooLarge> {
        match (self.family, self.next_hop.address) {
            (Family::Ipv4Unicast, IpAddr::V4(next_hop)) => self.encode_classic(next_hop, encoding),
            _ => self.encode_multi_protocol(encoding),
        }
    }

    fn encode_classic(
        &self,
        next_hop: Ipv4Addr,
        encoding: Encoding,
    ) -> Result<Vec<Bytes>, AttributesTooLarge> {
        let attributes = attribute::encode(&self.attributes, Some(next_hop), encoding);
        let room = self.room(EMPTY_UPDATE_LEN + attributes.len(), encoding)?;
        Ok(chunks(&self.prefixes, room).map(|prefixes| update(&[], &attributes, prefixes)).collect())
    }

    fn encode_multi_protocol(&self, encoding: Encoding) -> Result<Vec<Bytes>, AttributesTooLarge> {
        let attributes = attribute::encode(&self.attributes, None, encoding);
        let mut head = family_codes(self.family);
        put_next_hop(&self.next_hop, &mut head);
        let fixed = EMPTY_UPDATE_LEN + attributes.len() + ATTRIBUTE_HEAD_LEN + head.len();
        let room = self.room(fixed, encoding)?;
        let message = |prefixes| {
            let mut list = multi_protocol(code::MP_REACH_NLRI, &head, prefixes);
            list.put_slice(&attributes);
            update(&[], &list, &[])
        };
        Ok(chunks(&self.prefixes, room).map(message).collect())
    }

    /// How many octets of prefixes fit beside this much.
    fn room(&self, fixed: usize, encoding: Encoding) -> Result<usize, AttributesTooLarge> {
        let longest = self.prefixes.iter().map(nlri::encoded_len).max().unwrap_or(0);
        let message_len_max = encoding.message_len_max;
        message_len_max
            .checked_sub(fixed)
            .filter(|room| *room >= longest)
            .ok_or(AttributesTooLarge { needed: fixed + longest, message_len_max })
    }
}

/// The messages that withdraw these prefixes, of either family; none if there is none.
pub fn encode_withdrawn(prefixes: &[IpNetwork], encoding: Encoding) -> Vec<Bytes> {
    let (ipv4, ipv6): (Vec<IpNetwork>, Vec<IpNetwork>) = prefixes.iter().partition(|prefix| prefix.is_ipv4());
    let room = encoding.message_len_max - EMPTY_UPDATE_LEN;
    let classic = chunks(&ipv4, room).map(|prefixes| update(prefixes, &[], &[]));
    let head = family_codes(Family::Ipv6Unicast);
    let multi = chunks(&ipv6, room - ATTRIBUTE_HEAD_LEN - FAMILY_LEN)
        .map(|prefixes| update(&[], &multi_protocol(code::MP_UNREACH_NLRI, &head, prefixes), &[]));
    classic.chain(multi).collect()
}

/// The message that ends the first dump of a family (RFC 4724 section 2).
pub fn encode_end_of_rib(family: Family) -> Bytes {
    match family {
        Family::Ipv4Unicast => update(&[], &[], &[]),
        Family::Ipv6Unicast => {
            update(&[], &multi_protocol(code::MP_UNREACH_NLRI, &family_codes(family), &[]), &[])
        }
    }
}

/// The prefixes in runs of at most this many octets. Each run has at least one prefix:
/// the callers have made sure that the longest fits.
fn chunks(mut prefixes: &[IpNetwork], room: usize) -> impl Iterator<Item = &[IpNetwork]> {
    std::iter::from_fn(move || {
        let (chunk, rest) = nlri::split_to_fit(prefixes, room);
        prefixes = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

fn update(withdrawn: &[IpNetwork], attributes: &[u8], announced: &[IpNetwork]) -> Bytes {
    let withdrawn = encoded(withdrawn);
    let mut body = BytesMut::with_capacity(4 + withdrawn.len() + attributes.len());
    put_field(&withdrawn, &mut body);
    put_field(attributes, &mut body);
    body.put_slice(&encoded(announced));
    frame(MessageType::Update, &body)
}

/// Appends a field behind its length. The callers keep it within a message.
fn put_field(field: &[u8], out: &mut BytesMut) {
    out.put_u16(u16::try_from(field.len()).unwrap_or(u16::MAX));
    out.put_slice(field);
}

fn encoded(prefixes: &[IpNetwork]) -> BytesMut {
    let mut out = BytesMut::with_capacity(prefixes.iter().map(nlri::encoded_len).sum());
    for prefix in prefixes {
        nlri::encode(prefix, &mut out);
    }
    out
}

fn family_codes(family: Family) -> BytesMut {
    let mut out = BytesMut::with_capacity(FAMILY_LEN);
    out.put_u16(family.afi());
    out.put_u8(family.safi());
    out
}

fn multi_protocol(code: u8, head: &[u8], prefixes: &[IpNetwork]) -> BytesMut {
    let mut value = BytesMut::from(head);
    value.put_slice(&encoded(prefixes));
    let mut out = BytesMut::with_capacity(value.len() + ATTRIBUTE_HEAD_LEN);
    put_attribute(MP_FLAGS, code, &value, &mut out);
    out
}

/// Appends the next hop behind its length, and the reserved octet.
///
/// A link-local address alone is written twice, the form that most speakers take.
fn put_next_hop(next_hop: &NextHop, out: &mut BytesMut) {
    let put_ipv6 = |first: Ipv6Addr, second: Option<Ipv6Addr>, out: &mut BytesMut| {
        out.put_u8(if second.is_some() { 32 } else { 16 });
        out.put_slice(&first.octets());
        if let Some(second) = second {
            out.put_slice(&second.octets());
        }
    };
    match next_hop.address {
        // IPv6 routes over an IPv4 next hop: the address mapped into IPv6.
        IpAddr::V4(address) => put_ipv6(address.to_ipv6_mapped(), None, out),
        IpAddr::V6(address) if address.is_unicast_link_local() => put_ipv6(address, Some(address), out),
        IpAddr::V6(address) => put_ipv6(address, next_hop.link_local, out),
    }
    out.put_u8(0);
}
