//! `MP_REACH_NLRI` and `MP_UNREACH_NLRI` (RFC 4760), with the next hops of RFC 2545 and RFC 8950.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use nom::IResult;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16};

use super::NextHop;
use crate::wire::attribute::{RawAttribute, is_ipv4_host};
use crate::wire::{DecodeError, Family, Notification, SessionContext, nlri};

/// The routes of an `MP_REACH_NLRI`.
#[derive(Debug)]
pub(super) struct Reach {
    pub(super) family: Family,
    /// None if it is no host's address.
    pub(super) next_hop: Option<NextHop>,
    pub(super) prefixes: Vec<IpNetwork>,
}

/// The routes of an `MP_UNREACH_NLRI`; the end of the family's dump if there are none and nothing else.
#[derive(Debug)]
pub(super) struct Unreach {
    pub(super) family: Family,
    pub(super) prefixes: Vec<IpNetwork>,
}

/// The attribute's content; none for a family that is not in use, which is passed over unread.
///
/// # Errors
/// It is malformed: which prefixes were meant cannot be told (RFC 7606 section 7.11), so the session ends.
pub(super) fn reach(raw: &RawAttribute<'_>, context: &SessionContext) -> Result<Option<Reach>, DecodeError> {
    let malformed = |what: &str| malformed(raw, &format!("MP_REACH_NLRI: {what}"));
    let (rest, (afi, safi)) = family_codes(raw.value).map_err(|_| malformed("cut short"))?;
    let Some(family) = in_use(afi, safi, context) else {
        return Ok(None);
    };
    let (field, next_hop) = next_hop_field(rest).map_err(|_| malformed("next hop overruns"))?;
    let next_hop =
        next_hop_of(family, next_hop, context).ok_or_else(|| malformed("next hop of the wrong length"))?;
    let prefixes = nlri::decode(family, field).ok_or_else(|| malformed("a prefix cannot be read"))?;
    Ok(Some(Reach { family, next_hop: next_hop.usable(), prefixes }))
}

/// As [`reach`], for withdrawn routes.
pub(super) fn unreach(
    raw: &RawAttribute<'_>,
    context: &SessionContext,
) -> Result<Option<Unreach>, DecodeError> {
    let malformed = |what: &str| malformed(raw, &format!("MP_UNREACH_NLRI: {what}"));
    let (field, (afi, safi)) = family_codes(raw.value).map_err(|_| malformed("cut short"))?;
    let Some(family) = in_use(afi, safi, context) else {
        return Ok(None);
    };
    let prefixes = nlri::decode(family, field).ok_or_else(|| malformed("a prefix cannot be read"))?;
    Ok(Some(Unreach { family, prefixes }))
}

fn malformed(raw: &RawAttribute<'_>, reason: &str) -> DecodeError {
    DecodeError::new(Notification::optional_attribute_error(raw.whole), reason)
}

fn in_use(afi: u16, safi: u8, context: &SessionContext) -> Option<Family> {
    Family::from_codes(afi, safi).filter(|family| context.families.contains(family))
}

fn family_codes(input: &[u8]) -> IResult<&[u8], (u16, u8)> {
    let (rest, afi) = be_u16(input)?;
    let (rest, safi) = be_u8(rest)?;
    Ok((rest, (afi, safi)))
}

/// The next hop's octets; what is left begins after the reserved octet.
fn next_hop_field(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let (rest, length) = be_u8(input)?;
    let (rest, next_hop) = take(length)(rest)?;
    let (rest, _reserved) = be_u8(rest)?;
    Ok((rest, next_hop))
}

/// The next hop, if the family can have one of this length on this session (RFC 8950 section 4).
fn next_hop_of(family: Family, octets: &[u8], context: &SessionContext) -> Option<NextHop> {
    let takes_ipv6 = family == Family::Ipv6Unicast || context.extended_next_hop;
    if let (Family::Ipv4Unicast, Ok(octets)) = (family, <[u8; 4]>::try_from(octets)) {
        return Some(NextHop::new(IpAddr::V4(Ipv4Addr::from(octets))));
    }
    let (addresses, rest) = octets.as_chunks::<16>();
    match addresses {
        _ if !takes_ipv6 || !rest.is_empty() => None,
        [only] => Some(ipv6(Ipv6Addr::from(*only), None)),
        [global, link_local] => Some(ipv6(Ipv6Addr::from(*global), Some(Ipv6Addr::from(*link_local)))),
        _ => None,
    }
}

/// Speakers without a global address write their link-local one alone, twice, or behind
/// an unspecified one; all three mean the same.
fn ipv6(first: Ipv6Addr, second: Option<Ipv6Addr>) -> NextHop {
    let is_link_local = |address: &Ipv6Addr| address.is_unicast_link_local();
    let link_local = second.filter(is_link_local).or(Some(first).filter(is_link_local));
    match link_local {
        Some(link_local) if first.is_unspecified() => {
            NextHop { address: IpAddr::V6(link_local), link_local: Some(link_local) }
        }
        _ => NextHop { address: IpAddr::V6(first), link_local },
    }
}

impl NextHop {
    /// The next hop, if a host can have its address.
    fn usable(self) -> Option<Self> {
        let is_host = match self.address {
            IpAddr::V4(address) => is_ipv4_host(address),
            IpAddr::V6(address) => {
                !(address.is_unspecified() || address.is_loopback() || address.is_multicast())
            }
        };
        is_host.then_some(self)
    }
}
