//! The types of path attributes, the flags each must have, and from whom it is taken.

use crate::wire::SessionContext;

/// Type codes.
pub(in crate::wire) mod code {
    pub(in crate::wire) const RESERVED: u8 = 0;
    pub(in crate::wire) const ORIGIN: u8 = 1;
    pub(in crate::wire) const AS_PATH: u8 = 2;
    pub(in crate::wire) const NEXT_HOP: u8 = 3;
    pub(in crate::wire) const MULTI_EXIT_DISC: u8 = 4;
    pub(in crate::wire) const LOCAL_PREF: u8 = 5;
    pub(in crate::wire) const ATOMIC_AGGREGATE: u8 = 6;
    pub(in crate::wire) const AGGREGATOR: u8 = 7;
    pub(in crate::wire) const COMMUNITIES: u8 = 8;
    pub(in crate::wire) const ORIGINATOR_ID: u8 = 9;
    pub(in crate::wire) const CLUSTER_LIST: u8 = 10;
    pub(in crate::wire) const MP_REACH_NLRI: u8 = 14;
    pub(in crate::wire) const MP_UNREACH_NLRI: u8 = 15;
    pub(in crate::wire) const EXTENDED_COMMUNITIES: u8 = 16;
    pub(in crate::wire) const AS4_PATH: u8 = 17;
    pub(in crate::wire) const AS4_AGGREGATOR: u8 = 18;
    pub(in crate::wire) const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
    pub(in crate::wire) const LARGE_COMMUNITY: u8 = 32;
    pub(in crate::wire) const ONLY_TO_CUSTOMER: u8 = 35;
    pub(in crate::wire) const ATTR_SET: u8 = 128;
}

pub(super) const OPTIONAL: u8 = 0x80;
pub(super) const TRANSITIVE: u8 = 0x40;
pub(super) const PARTIAL: u8 = 0x20;
pub(super) const EXTENDED_LENGTH: u8 = 0x10;

/// Whether the attribute is passed over when it comes from this peer: it has no business
/// there, so that its content, however malformed, does not matter (RFC 7606 section 7, RFC 6793 section 4.1).
pub(super) fn is_out_of_place(code: u8, context: &SessionContext) -> bool {
    match code {
        code::RESERVED => true,
        code::LOCAL_PREF | code::ORIGINATOR_ID | code::CLUSTER_LIST => context.is_ebgp,
        code::AS4_PATH | code::AS4_AGGREGATOR => context.four_octet_as,
        _ => false,
    }
}

/// The Optional and Transitive bits that an attribute of this type must have; none if we do not know the type.
fn flags_of(code: u8) -> Option<u8> {
    match code {
        code::ORIGIN | code::AS_PATH | code::NEXT_HOP | code::LOCAL_PREF | code::ATOMIC_AGGREGATE => {
            Some(TRANSITIVE)
        }
        code::MULTI_EXIT_DISC
        | code::ORIGINATOR_ID
        | code::CLUSTER_LIST
        | code::MP_REACH_NLRI
        | code::MP_UNREACH_NLRI => Some(OPTIONAL),
        code::AGGREGATOR
        | code::COMMUNITIES
        | code::EXTENDED_COMMUNITIES
        | code::AS4_PATH
        | code::AS4_AGGREGATOR
        | code::IPV6_EXTENDED_COMMUNITIES
        | code::LARGE_COMMUNITY
        | code::ONLY_TO_CUSTOMER
        | code::ATTR_SET => Some(OPTIONAL | TRANSITIVE),
        _ => None,
    }
}

/// What is wrong with the flags of an attribute (RFC 7606 section 3c), if anything.
pub(super) fn flags_fault(code: u8, flags: u8) -> Option<&'static str> {
    match flags_of(code) {
        Some(expected) if flags & (OPTIONAL | TRANSITIVE) != expected => {
            Some("the Optional or Transitive flag does not fit the type")
        }
        Some(TRANSITIVE) if flags & PARTIAL != 0 => Some("a well-known attribute with the Partial flag"),
        None if flags & OPTIONAL == 0 => Some("a well-known attribute of unknown type"),
        _ => None,
    }
}
