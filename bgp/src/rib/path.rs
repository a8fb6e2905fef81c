//! One path to a prefix.

use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use crate::config::Origination;
use crate::policy::{ImportContext, Rejection, import};
use crate::wire::{AsPath, Attributes, Community, NextHop, Origin, RouterId};

/// The `LOCAL_PREF` of a path that has none.
pub(crate) const LOCAL_PREF_DEFAULT: u32 = 100;

/// The neighbor that told a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerSource {
    /// Its address.
    pub(crate) address: IpAddr,
    /// Its BGP Identifier.
    pub(crate) router_id: RouterId,
    /// Whether it is in another AS.
    pub(crate) is_ebgp: bool,
}

/// Where a path is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// We originate it.
    Local,
    /// A neighbor told it.
    Peer(Arc<PeerSource>),
}

/// One path to a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Where it is from.
    pub(crate) source: Source,
    /// Its attributes, as received.
    pub(crate) attributes: Arc<Attributes>,
    /// Its next hop; none if it is our own.
    pub(crate) next_hop: Option<NextHop>,
    /// Why it is not fit for the decision.
    pub(crate) rejection: Option<Rejection>,
    /// Whether its neighbor fell silent: it is kept for a restart but may lead nowhere.
    pub(crate) is_silent: bool,
}

impl Path {
    pub(super) fn local(attributes: Arc<Attributes>) -> Self {
        Self { source: Source::Local, attributes, next_hop: None, rejection: None, is_silent: false }
    }

    pub(super) fn received(
        source: &Arc<PeerSource>,
        context: &ImportContext<'_>,
        prefix: &IpNetwork,
        (next_hop, attributes): (NextHop, &Arc<Attributes>),
    ) -> Self {
        Self {
            source: Source::Peer(Arc::clone(source)),
            attributes: Arc::clone(attributes),
            next_hop: Some(next_hop),
            rejection: import(context, prefix, (&next_hop, attributes)),
            is_silent: false,
        }
    }

    /// The same path, judged anew.
    pub(super) fn judged(&self, context: &ImportContext<'_>, prefix: &IpNetwork) -> Self {
        let next_hop = self.next_hop.as_ref();
        let rejection = next_hop.and_then(|next_hop| import(context, prefix, (next_hop, &self.attributes)));
        Self { rejection, ..self.clone() }
    }

    /// The address of the neighbor that told it.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        match &self.source {
            Source::Local => None,
            Source::Peer(source) => Some(source.address),
        }
    }

    /// The preference within our AS. A path from outside has none of its own and gets the
    /// default, or 0 if its sender is about to shut down (RFC 8326 section 4).
    pub(crate) fn local_pref(&self) -> u32 {
        match &self.source {
            Source::Peer(source) if source.is_ebgp => {
                let is_leaving = self.attributes.communities.contains(&Community::GRACEFUL_SHUTDOWN);
                if is_leaving { 0 } else { LOCAL_PREF_DEFAULT }
            }
            Source::Local | Source::Peer(_) => self.attributes.local_pref.unwrap_or(LOCAL_PREF_DEFAULT),
        }
    }
}

/// The attributes of a route of our own: sorted, so that equal wishes are equal values.
pub(super) fn originated_attributes(origination: &Origination) -> Attributes {
    let mut attributes = Attributes::new(Origin::Igp, AsPath::default());
    attributes.communities.clone_from(&origination.communities);
    attributes.communities.sort_unstable();
    attributes.communities.dedup();
    attributes.large_communities.clone_from(&origination.large_communities);
    attributes.large_communities.sort_unstable();
    attributes.large_communities.dedup();
    attributes.local_pref = origination.local_pref;
    attributes.med = origination.med;
    attributes
}
