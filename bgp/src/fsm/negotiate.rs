//! What both OPENs settle (RFC 4271 section 6.2, RFC 5492, RFC 6286, RFC 6793).

use std::time::Duration;

use crate::wire::{
    Capability, DecodeError, Family, GracefulRestart, Notification, Open, RouterId, SessionContext,
};

/// Our side of a session: what we say, and what we demand of the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Our OPEN.
    pub(crate) open: Open,
    /// The AS that the peer must be in.
    pub(crate) remote_asn: u32,
}

/// The settled terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Negotiated {
    /// The peer's BGP Identifier.
    pub(crate) router_id: RouterId,
    /// The lesser of both hold times; none if one side proposed 0.
    pub(crate) hold_time: Option<Duration>,
    /// How messages are decoded and encoded; its families are those in use.
    pub(crate) context: SessionContext,
    /// The peer's promise about its restart, if it made one.
    pub(crate) graceful_restart: Option<GracefulRestart>,
    /// Whether a NOTIFICATION counts as a restart: both sides have the N bit (RFC 8538).
    pub(crate) notification_restart: bool,
    /// Whether the peer takes ROUTE-REFRESH (RFC 2918).
    pub(crate) route_refresh: bool,
    /// What the peer said it can do.
    pub(crate) capabilities: Vec<Capability>,
}

impl Negotiated {
    /// A third of the hold time (RFC 4271 section 4.4).
    pub(crate) fn keepalive_interval(&self) -> Option<Duration> {
        self.hold_time.map(|hold_time| hold_time / 3)
    }

    /// The hold time in whole seconds, as in the OPEN; 0 means none.
    pub(crate) fn hold_time_secs(&self) -> u16 {
        let secs = self.hold_time.map_or(0, |hold_time| hold_time.as_secs());
        u16::try_from(secs).unwrap_or(u16::MAX)
    }

    /// The families in use.
    pub(crate) fn families(&self) -> &[Family] {
        &self.context.families
    }
}

impl Terms {
    /// Whether the session would be internal.
    pub(crate) fn is_ebgp(&self) -> bool {
        self.remote_asn != self.open.asn
    }

    /// What the peer's OPEN and ours settle; the error refuses it.
    pub(crate) fn negotiate(&self, open: Open) -> Result<Negotiated, DecodeError> {
        self.check_identity(&open)?;
        let families = self.common_families(&open.capabilities)?;
        let theirs = graceful_restart(&open.capabilities).cloned();
        let ours = graceful_restart(&self.open.capabilities);
        let hold_time_secs = open.hold_time_secs.min(self.open.hold_time_secs);
        let has_both = |wanted: fn(&Capability) -> bool| {
            open.capabilities.iter().any(wanted) && self.open.capabilities.iter().any(wanted)
        };
        Ok(Negotiated {
            router_id: open.router_id,
            hold_time: (hold_time_secs != 0).then(|| Duration::from_secs(u64::from(hold_time_secs))),
            context: SessionContext {
                four_octet_as: has_both(|capability| matches!(capability, Capability::FourOctetAs(_))),
                is_ebgp: self.is_ebgp(),
                peer_asn: self.remote_asn,
                enforce_first_as: self.is_ebgp(),
                families,
                extended_message: has_both(|capability| matches!(capability, Capability::ExtendedMessage)),
                extended_next_hop: false,
            },
            notification_restart: ours.is_some_and(|ours| ours.notification)
                && theirs.as_ref().is_some_and(|theirs| theirs.notification),
            graceful_restart: theirs.filter(|_| ours.is_some()),
            route_refresh: open.capabilities.contains(&Capability::RouteRefresh),
            capabilities: open.capabilities,
        })
    }

    fn check_identity(&self, open: &Open) -> Result<(), DecodeError> {
        if open.asn != self.remote_asn {
            let reason = format!("the peer is in AS {} and AS {} is configured", open.asn, self.remote_asn);
            return Err(DecodeError { notification: Notification::bad_peer_as(), reason });
        }
        // Between ASes equal identifiers are legal (RFC 6286 section 2.1).
        if !self.is_ebgp() && open.router_id == self.open.router_id {
            let reason = format!("the peer has our own router ID {}", open.router_id);
            return Err(DecodeError { notification: Notification::bad_bgp_identifier(), reason });
        }
        if (1..3).contains(&open.hold_time_secs) {
            let reason = format!("hold time {} is forbidden", open.hold_time_secs);
            return Err(DecodeError { notification: Notification::unacceptable_hold_time(), reason });
        }
        Ok(())
    }

    /// A peer that says nothing about families means IPv4 unicast (RFC 4760 section 8).
    fn common_families(&self, theirs: &[Capability]) -> Result<Vec<Family>, DecodeError> {
        let says_families = theirs.iter().any(|capability| {
            matches!(capability, Capability::MultiProtocol(_) | Capability::MultiProtocolOther { .. })
        });
        let has = |family: Family| {
            theirs.contains(&Capability::MultiProtocol(family))
                || (!says_families && family == Family::Ipv4Unicast)
        };
        let ours = families_of(&self.open.capabilities);
        let common: Vec<Family> = ours.iter().copied().filter(|family| has(*family)).collect();
        if common.is_empty() {
            let needed: Vec<Capability> =
                ours.iter().map(|family| Capability::MultiProtocol(*family)).collect();
            let reason = "the peer offers none of our address families".to_owned();
            return Err(DecodeError { notification: Notification::unsupported_capability(&needed), reason });
        }
        Ok(common)
    }
}

fn families_of(capabilities: &[Capability]) -> Vec<Family> {
    capabilities
        .iter()
        .filter_map(|capability| match capability {
            Capability::MultiProtocol(family) => Some(*family),
            _ => None,
        })
        .collect()
}

fn graceful_restart(capabilities: &[Capability]) -> Option<&GracefulRestart> {
    capabilities.iter().find_map(|capability| match capability {
        Capability::GracefulRestart(restart) => Some(restart),
        _ => None,
    })
}
