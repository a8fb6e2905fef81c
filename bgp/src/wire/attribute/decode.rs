//! The attributes of one UPDATE, interpreted.

use std::net::Ipv4Addr;

use bytes::Bytes;

use super::kind::{self, TRANSITIVE, code};
use super::value::{self, Parsed};
use super::{Aggregator, AttributeFault, Attributes, FaultAction, Origin, RawAttribute, UnknownAttribute};
use crate::wire::{AS_TRANS, AsPath, Community, ExtendedCommunity, LargeCommunity, RouterId, SessionContext};

/// What was read of the attributes so far, `MP_REACH_NLRI` and `MP_UNREACH_NLRI` aside.
#[derive(Debug, Default)]
pub(in crate::wire) struct Draft {
    origin: Option<Origin>,
    as_path: Option<AsPath>,
    as4_path: Option<AsPath>,
    /// `NEXT_HOP`, for the routes in the NLRI field.
    pub(in crate::wire) next_hop: Option<Ipv4Addr>,
    med: Option<u32>,
    local_pref: Option<u32>,
    atomic_aggregate: bool,
    aggregator: Option<Aggregator>,
    as4_aggregator: Option<Aggregator>,
    communities: Vec<Community>,
    extended_communities: Vec<ExtendedCommunity>,
    large_communities: Vec<LargeCommunity>,
    originator_id: Option<RouterId>,
    cluster_list: Vec<u32>,
    unknown: Vec<UnknownAttribute>,
    /// What was wrong, in the order of the message.
    pub(in crate::wire) faults: Vec<AttributeFault>,
}

impl Draft {
    /// Takes one attribute; what is wrong with it is noted among the faults.
    pub(in crate::wire) fn take(&mut self, raw: &RawAttribute<'_>, context: &SessionContext) {
        if let Err((action, reason)) = self.interpret(raw, context) {
            self.fault(Some(raw.code), action, reason);
        }
    }

    /// Notes what is wrong with the flags of an attribute that is read elsewhere.
    pub(in crate::wire) fn check_flags(&mut self, raw: &RawAttribute<'_>) {
        if let Some(reason) = kind::flags_fault(raw.code, raw.flags) {
            self.fault(Some(raw.code), FaultAction::Withdraw, reason);
        }
    }

    /// Notes a fault.
    pub(in crate::wire) fn fault(
        &mut self,
        attribute: Option<u8>,
        action: FaultAction,
        reason: &'static str,
    ) {
        self.faults.push(AttributeFault { attribute, action, reason });
    }

    fn interpret(&mut self, raw: &RawAttribute<'_>, context: &SessionContext) -> Parsed<()> {
        if kind::is_out_of_place(raw.code, context) {
            return Err((FaultAction::Discard, "not to be sent by this peer"));
        }
        if let Some(reason) = kind::flags_fault(raw.code, raw.flags) {
            return Err((FaultAction::Withdraw, reason));
        }
        let value = raw.value;
        match raw.code {
            code::ORIGIN => self.origin = Some(value::origin(value)?),
            code::AS_PATH => self.as_path = Some(value::as_path(value, context)?),
            code::NEXT_HOP => self.next_hop = Some(value::next_hop(value)?),
            code::MULTI_EXIT_DISC => {
                self.med = Some(value::word(value, "MULTI_EXIT_DISC has not four octets")?);
            }
            code::LOCAL_PREF => {
                self.local_pref = Some(value::word(value, "LOCAL_PREF has not four octets")?);
            }
            code::ATOMIC_AGGREGATE => self.atomic_aggregate = value::atomic_aggregate(value)?,
            code::AGGREGATOR => self.aggregator = Some(value::aggregator(value, context.four_octet_as)?),
            code::COMMUNITIES => self.communities = value::communities(value)?,
            code::ORIGINATOR_ID => self.originator_id = Some(value::originator_id(value)?),
            code::CLUSTER_LIST => self.cluster_list = value::cluster_list(value)?,
            code::EXTENDED_COMMUNITIES => self.extended_communities = value::extended_communities(value)?,
            code::AS4_PATH => self.as4_path = Some(value::as4_path(value)?),
            code::AS4_AGGREGATOR => self.as4_aggregator = Some(value::aggregator(value, true)?),
            code::LARGE_COMMUNITY => self.large_communities = value::large_communities(value)?,
            _ => self.carry(raw)?,
        }
        Ok(())
    }

    /// Keeps an attribute whose meaning we do not use, if it is to be passed on.
    fn carry(&mut self, raw: &RawAttribute<'_>) -> Parsed<()> {
        match raw.code {
            code::IPV6_EXTENDED_COMMUNITIES => value::ipv6_extended_communities(raw.value)?,
            code::ONLY_TO_CUSTOMER if raw.value.len() != 4 => {
                return Err((FaultAction::Withdraw, "ONLY_TO_CUSTOMER has not four octets"));
            }
            code::ATTR_SET if raw.value.len() < 4 => {
                return Err((FaultAction::Withdraw, "ATTR_SET is shorter than its AS"));
            }
            _ => {}
        }
        if raw.flags & TRANSITIVE != 0 {
            // A copy: the routes live long, the message's buffer must not.
            let value = Bytes::copy_from_slice(raw.value);
            self.unknown.push(UnknownAttribute { code: raw.code, value });
        }
        Ok(())
    }

    /// Notes which of the attributes that announced routes must have are missing (RFC 7606 section 3d).
    pub(in crate::wire) fn require(&mut self, has_nlri: bool, context: &SessionContext) {
        let required = [
            (code::ORIGIN, self.origin.is_some()),
            (code::AS_PATH, self.as_path.is_some()),
            (code::NEXT_HOP, self.next_hop.is_some() || !has_nlri),
            (code::LOCAL_PREF, self.local_pref.is_some() || context.is_ebgp),
        ];
        for (code, is_there) in required {
            let is_known_bad = self.faults.iter().any(|fault| fault.attribute == Some(code));
            if !is_there && !is_known_bad {
                self.fault(Some(code), FaultAction::Withdraw, "missing");
            }
        }
    }

    /// The attributes as they are passed on; none if one that must be there is missing.
    pub(in crate::wire) fn finish(mut self) -> Option<Attributes> {
        let mut as_path = self.as_path.take()?;
        // RFC 6793 section 4.2.3: an AGGREGATOR that says its real AS shows that a speaker which
        // knows no AS4 attributes has changed the route since; they are out of date.
        let is_as4_current = self.aggregator.is_none_or(|aggregator| aggregator.asn == u32::from(AS_TRANS));
        if let Some(as4_path) = self.as4_path.take().filter(|_| is_as4_current) {
            as_path = as_path.merged_with(&as4_path);
        }
        let as4_aggregator = self.as4_aggregator.filter(|_| is_as4_current);
        self.unknown.sort_unstable();
        Some(Attributes {
            origin: self.origin?,
            as_path,
            med: self.med,
            local_pref: self.local_pref,
            atomic_aggregate: self.atomic_aggregate,
            aggregator: self.aggregator.map(|aggregator| as4_aggregator.unwrap_or(aggregator)),
            communities: self.communities,
            extended_communities: self.extended_communities,
            large_communities: self.large_communities,
            originator_id: self.originator_id,
            cluster_list: self.cluster_list,
            unknown: self.unknown,
        })
    }
}
