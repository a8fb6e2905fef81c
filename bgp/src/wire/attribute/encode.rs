//! Attributes to bytes.

use std::net::Ipv4Addr;

use bytes::{BufMut, BytesMut};

use super::kind::{EXTENDED_LENGTH, OPTIONAL, PARTIAL, TRANSITIVE, code};
use super::{Attributes, Origin};
use crate::wire::Encoding;
use crate::wire::as_path::put_asn;

/// The flags of `MP_REACH_NLRI` and `MP_UNREACH_NLRI`.
pub(in crate::wire) const MP_FLAGS: u8 = OPTIONAL;

/// Appends one attribute. A value too long for the length field makes a message that is too
/// long for any peer, which the caller finds by its length.
pub(in crate::wire) fn put_attribute(flags: u8, code: u8, value: &[u8], out: &mut BytesMut) {
    if let Ok(length) = u8::try_from(value.len()) {
        out.put_slice(&[flags, code, length]);
    } else {
        out.put_slice(&[flags | EXTENDED_LENGTH, code]);
        out.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
    }
    out.put_slice(value);
}

/// The attributes in the order of their codes, the unknown ones last; `NEXT_HOP` among them if it is given.
pub(in crate::wire) fn encode(
    attributes: &Attributes,
    next_hop: Option<Ipv4Addr>,
    encoding: Encoding,
) -> BytesMut {
    let mut writer = Writer { out: BytesMut::new(), four_octet_as: encoding.four_octet_as };
    writer.well_known(attributes, next_hop);
    writer.lists(attributes);
    writer.as4(attributes);
    for unknown in &attributes.unknown {
        // RFC 4271 section 5: whoever passes on what it does not know says so.
        put_attribute(OPTIONAL | TRANSITIVE | PARTIAL, unknown.code, &unknown.value, &mut writer.out);
    }
    writer.out
}

struct Writer {
    out: BytesMut,
    four_octet_as: bool,
}

impl Writer {
    fn put(&mut self, flags: u8, code: u8, value: &[u8]) {
        put_attribute(flags, code, value, &mut self.out);
    }

    fn well_known(&mut self, attributes: &Attributes, next_hop: Option<Ipv4Addr>) {
        let origin = match attributes.origin {
            Origin::Igp => 0,
            Origin::Egp => 1,
            Origin::Incomplete => 2,
        };
        self.put(TRANSITIVE, code::ORIGIN, &[origin]);
        let mut path = BytesMut::new();
        attributes.as_path.encode(self.four_octet_as, &mut path);
        self.put(TRANSITIVE, code::AS_PATH, &path);
        if let Some(next_hop) = next_hop {
            self.put(TRANSITIVE, code::NEXT_HOP, &next_hop.octets());
        }
        if let Some(med) = attributes.med {
            self.put(OPTIONAL, code::MULTI_EXIT_DISC, &med.to_be_bytes());
        }
        if let Some(local_pref) = attributes.local_pref {
            self.put(TRANSITIVE, code::LOCAL_PREF, &local_pref.to_be_bytes());
        }
        if attributes.atomic_aggregate {
            self.put(TRANSITIVE, code::ATOMIC_AGGREGATE, &[]);
        }
        if let Some(aggregator) = attributes.aggregator {
            let mut value = BytesMut::new();
            put_asn(aggregator.asn, self.four_octet_as, &mut value);
            value.put_u32(aggregator.router_id);
            self.put(OPTIONAL | TRANSITIVE, code::AGGREGATOR, &value);
        }
    }

    fn lists(&mut self, attributes: &Attributes) {
        let communities = attributes.communities.iter().flat_map(|community| community.0.to_be_bytes());
        self.put_list(OPTIONAL | TRANSITIVE, code::COMMUNITIES, communities);
        if let Some(originator_id) = attributes.originator_id {
            self.put(OPTIONAL, code::ORIGINATOR_ID, &originator_id.get().to_be_bytes());
        }
        let clusters = attributes.cluster_list.iter().flat_map(|id| id.to_be_bytes());
        self.put_list(OPTIONAL, code::CLUSTER_LIST, clusters);
        let extended = attributes.extended_communities.iter().flat_map(|community| community.0);
        self.put_list(OPTIONAL | TRANSITIVE, code::EXTENDED_COMMUNITIES, extended);
        let words = attributes
            .large_communities
            .iter()
            .flat_map(|community| [community.global, community.local1, community.local2]);
        let large = words.flat_map(u32::to_be_bytes);
        self.put_list(OPTIONAL | TRANSITIVE, code::LARGE_COMMUNITY, large);
    }

    /// An empty list is malformed (RFC 7606), so it is not written.
    fn put_list(&mut self, flags: u8, code: u8, octets: impl Iterator<Item = u8>) {
        let value: Vec<u8> = octets.collect();
        if !value.is_empty() {
            self.put(flags, code, &value);
        }
    }

    /// What two octets could not say (RFC 6793 section 4.2.2).
    fn as4(&mut self, attributes: &Attributes) {
        if self.four_octet_as {
            return;
        }
        if attributes.as_path.needs_four_octets() {
            let mut path = BytesMut::new();
            attributes.as_path.without_confed().encode(true, &mut path);
            self.put(OPTIONAL | TRANSITIVE, code::AS4_PATH, &path);
        }
        if let Some(aggregator) = attributes.aggregator.filter(|agg| u16::try_from(agg.asn).is_err()) {
            let mut value = BytesMut::new();
            put_asn(aggregator.asn, true, &mut value);
            value.put_u32(aggregator.router_id);
            self.put(OPTIONAL | TRANSITIVE, code::AS4_AGGREGATOR, &value);
        }
    }
}
