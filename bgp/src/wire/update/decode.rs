//! Bytes to an [`Update`]: every attribute is read before anything is decided, and the
//! strongest treatment that one of them asks for holds (RFC 7606 section 3).

use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use nom::IResult;
use nom::bytes::complete::take;
use nom::number::complete::be_u16;

use super::mp::{self, Reach, Unreach};
use super::{Announcement, NextHop, Update};
use crate::wire::attribute::{Draft, RawAttribute, code};
use crate::wire::{DecodeError, Family, FaultAction, Notification, SessionContext, nlri};

/// The three fields of an UPDATE.
struct Fields<'a> {
    withdrawn: &'a [u8],
    attributes: &'a [u8],
    nlri: &'a [u8],
}

/// All attributes of an UPDATE.
#[derive(Default)]
struct Contents {
    draft: Draft,
    reach: Option<Reach>,
    unreach: Option<Unreach>,
    /// Whether there is an `MP_REACH_NLRI`, of a family in use or not.
    has_reach: bool,
    /// How many attributes there are.
    count: usize,
}

impl Update {
    /// What the body of an UPDATE means.
    ///
    /// # Errors
    /// Its routes cannot be told apart from its damage: the session ends.
    pub(in crate::wire) fn decode(body: &[u8], context: &SessionContext) -> Result<Self, DecodeError> {
        let (_, fields) = fields(body).map_err(|_| bad_list("the lengths exceed the message"))?;
        let mut withdrawn = ipv4_prefixes(fields.withdrawn, context)?;
        let nlri = ipv4_prefixes(fields.nlri, context)?;
        let mut contents = Contents::decode(fields.attributes, context)?;

        let has_nlri = !fields.nlri.is_empty();
        let is_withdrawal = contents.is_treated_as_withdrawal(has_nlri, context)?;
        let end_of_rib = contents
            .end_of_rib(context)
            .filter(|_| !has_nlri && fields.withdrawn.is_empty() && contents.draft.faults.is_empty());
        withdrawn.extend(contents.unreach.take().into_iter().flat_map(|unreach| unreach.prefixes));
        let faults = std::mem::take(&mut contents.draft.faults);
        let announced = if is_withdrawal {
            withdrawn.extend(nlri);
            withdrawn.extend(contents.reach.into_iter().flat_map(|reach| reach.prefixes));
            Vec::new()
        } else {
            contents.announcements(nlri)
        };
        Ok(Self { withdrawn, announced, end_of_rib, faults })
    }
}

impl Contents {
    fn decode(list: &[u8], context: &SessionContext) -> Result<Self, DecodeError> {
        let (attributes, is_overrun) = RawAttribute::split(list);
        let mut contents = Self { count: attributes.len(), ..Self::default() };
        if is_overrun {
            contents.draft.fault(None, FaultAction::Withdraw, "the last attribute overruns the list");
        }
        let mut is_seen = [false; 256];
        for raw in &attributes {
            if std::mem::replace(&mut is_seen[usize::from(raw.code)], true) {
                contents.repeated(raw)?;
            } else {
                contents.take(raw, context)?;
            }
        }
        Ok(contents)
    }

    fn take(&mut self, raw: &RawAttribute<'_>, context: &SessionContext) -> Result<(), DecodeError> {
        match raw.code {
            code::MP_REACH_NLRI => {
                self.draft.check_flags(raw);
                self.reach = mp::reach(raw, context)?;
                self.has_reach = true;
                if self.reach.as_ref().is_some_and(|reach| reach.next_hop.is_none()) {
                    self.draft.fault(
                        Some(raw.code),
                        FaultAction::Withdraw,
                        "the next hop is no host's address",
                    );
                }
            }
            code::MP_UNREACH_NLRI => {
                self.draft.check_flags(raw);
                self.unreach = mp::unreach(raw, context)?;
            }
            _ => self.draft.take(raw, context),
        }
        Ok(())
    }

    /// The first of equal attributes counts (RFC 7606 section 3g), except where which of them is meant matters.
    fn repeated(&mut self, raw: &RawAttribute<'_>) -> Result<(), DecodeError> {
        if [code::MP_REACH_NLRI, code::MP_UNREACH_NLRI].contains(&raw.code) {
            return Err(bad_list("MP_REACH_NLRI or MP_UNREACH_NLRI twice"));
        }
        self.draft.fault(Some(raw.code), FaultAction::Discard, "repeated");
        Ok(())
    }

    /// Whether the routes count as withdrawn because of what was malformed.
    fn is_treated_as_withdrawal(
        &mut self,
        has_nlri: bool,
        context: &SessionContext,
    ) -> Result<bool, DecodeError> {
        let is_announcing = has_nlri || self.has_reach;
        if is_announcing {
            self.draft.require(has_nlri, context);
        }
        for fault in &mut self.draft.faults {
            // RFC 4760 section 3: beside MP_REACH_NLRI alone, NEXT_HOP is passed over.
            if fault.attribute == Some(code::NEXT_HOP) && self.has_reach && !has_nlri {
                fault.action = FaultAction::Discard;
            }
        }
        let strongest = self.draft.faults.iter().max_by_key(|fault| fault.action);
        match strongest {
            Some(fault) if fault.action == FaultAction::Withdraw && !is_announcing => {
                // RFC 7606 section 5.2: the damage may hide the very routes that would be withdrawn.
                Err(bad_list(&format!("{fault}, in an UPDATE that shows no announced route")))
            }
            Some(fault) => Ok(fault.action == FaultAction::Withdraw),
            None => Ok(false),
        }
    }

    /// The family whose dump ends here, as far as the attributes tell.
    fn end_of_rib(&self, context: &SessionContext) -> Option<Family> {
        match &self.unreach {
            Some(unreach) if self.count == 1 && unreach.prefixes.is_empty() => Some(unreach.family),
            None if self.count == 0 => {
                Some(Family::Ipv4Unicast).filter(|family| context.families.contains(family))
            }
            _ => None,
        }
    }

    /// The announced routes: those of the NLRI field, and those of `MP_REACH_NLRI`.
    fn announcements(self, nlri: Vec<IpNetwork>) -> Vec<Announcement> {
        let next_hop = self.draft.next_hop.map(|address| NextHop::new(IpAddr::V4(address)));
        let classic = (Family::Ipv4Unicast, next_hop, nlri);
        let multi = self.reach.map(|reach| (reach.family, reach.next_hop, reach.prefixes));
        let Some(attributes) = self.draft.finish().map(Arc::new) else {
            return Vec::new();
        };
        let announcement = |(family, next_hop, prefixes): (Family, Option<NextHop>, Vec<IpNetwork>)| {
            let attributes = Arc::clone(&attributes);
            let next_hop = next_hop.filter(|_| !prefixes.is_empty())?;
            Some(Announcement { family, next_hop, attributes, prefixes })
        };
        [Some(classic), multi].into_iter().flatten().filter_map(announcement).collect()
    }
}

fn bad_list(reason: &str) -> DecodeError {
    DecodeError::new(Notification::malformed_attribute_list(), reason)
}

fn fields(input: &[u8]) -> IResult<&[u8], Fields<'_>> {
    let (rest, length) = be_u16(input)?;
    let (rest, withdrawn) = take(length)(rest)?;
    let (rest, length) = be_u16(rest)?;
    let (nlri, attributes) = take(length)(rest)?;
    Ok((&[], Fields { withdrawn, attributes, nlri }))
}

/// The prefixes of a field of the message itself, which are IPv4; nothing if that family is not in use.
fn ipv4_prefixes(field: &[u8], context: &SessionContext) -> Result<Vec<IpNetwork>, DecodeError> {
    let prefixes = nlri::decode(Family::Ipv4Unicast, field)
        .ok_or_else(|| DecodeError::new(Notification::invalid_network_field(), "a prefix cannot be read"))?;
    let is_in_use = context.families.contains(&Family::Ipv4Unicast);
    Ok(if is_in_use { prefixes } else { Vec::new() })
}
