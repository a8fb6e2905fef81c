//! The snapshot for people and metrics.

use std::net::IpAddr;
use std::time::Instant;

use ipnetwork::IpNetwork;

use super::Speaker;
use super::restart::Phase;
use crate::fsm::Negotiated;
use crate::peer::Peer;
use crate::rib::{Candidate, Destination, Path, Source, Verdict};
use crate::status::{
    FamilyStatus, NeighborStatus, PathFrom, PathStatus, PathVerdict, RestartStatus, RouteStatus,
    SessionStatus, SpeakerStatus,
};
use crate::wire::{Capability, Family};

impl Speaker {
    /// The state of all sessions.
    pub fn status(&self, now: Instant) -> SpeakerStatus {
        SpeakerStatus {
            asn: self.config.asn,
            router_id: self.config.router_id,
            restart: self.restart_status(now),
            originated: self.rib.originated(),
            neighbors: self
                .peers
                .iter()
                .map(|(address, peer)| self.neighbor_status(now, *address, peer))
                .collect(),
        }
    }

    /// All prefixes in order, with all paths and why each is used or not.
    pub fn routes(&self) -> Vec<RouteStatus> {
        let destinations = self.rib.destinations().iter().filter(|(_, route)| !route.candidates().is_empty());
        destinations.map(|(prefix, destination)| self.route_status(*prefix, destination)).collect()
    }

    fn restart_status(&self, now: Instant) -> RestartStatus {
        let deadline_secs = self.restart.deferral_until().saturating_duration_since(now).as_secs();
        let awaited = self.restart.waiting_for(now);
        let waiting_for = awaited.into_iter().flatten().map(|address| self.name(address)).collect();
        match self.restart.phase() {
            Phase::Selecting => RestartStatus::Selecting { waiting_for, deadline_secs },
            Phase::Settling => RestartStatus::Settling { waiting_for, deadline_secs },
            Phase::Done => RestartStatus::Done,
        }
    }

    fn neighbor_status(&self, now: Instant, address: IpAddr, peer: &Peer) -> NeighborStatus {
        let record = peer.record();
        let from_now = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(now).as_secs());
        let session = peer.session();
        let families = session.map_or(&peer.config().families[..], |(terms, _)| terms.families());
        NeighborStatus {
            name: peer.config().name.clone(),
            address,
            remote_asn: peer.config().remote_asn,
            state: peer.state(),
            state_secs: now.saturating_duration_since(record.since()).as_secs(),
            families: families.iter().map(|family| self.family_status(address, *family)).collect(),
            session: session.map(|(terms, local)| session_status(terms, local)),
            bfd: peer.bfd(),
            flaps: record.flaps(),
            dials_failed: peer.dials_failed(),
            last_error_sent: record.last_error_sent(now),
            last_error_received: record.last_error_received(now),
            last_down: record.last_down(now),
            next_dial_secs: from_now(peer.next_dial()),
            stale_routes_go_secs: from_now(peer.stale_deadline()),
        }
    }

    fn family_status(&self, address: IpAddr, family: Family) -> FamilyStatus {
        let counts = self.rib.counts(address, family);
        FamilyStatus {
            family,
            received: counts.received,
            accepted: counts.accepted,
            stale: counts.stale,
            advertised: self.groups.advertised(address, family),
        }
    }

    fn route_status(&self, prefix: IpNetwork, destination: &Destination) -> RouteStatus {
        let mut candidates: Vec<&Candidate> = destination.candidates().iter().collect();
        candidates.sort_by_key(|candidate| candidate.verdict != Verdict::Best);
        let paths = candidates.into_iter().map(|candidate| self.path_status(&prefix, candidate)).collect();
        RouteStatus { prefix, next_hops: destination.next_hops(), paths }
    }

    fn path_status(&self, prefix: &IpNetwork, candidate: &Candidate) -> PathStatus {
        let path: &Path = &candidate.path;
        let attributes = &path.attributes;
        PathStatus {
            from: match &path.source {
                Source::Local => PathFrom::Local,
                Source::Peer(source) => {
                    PathFrom::Neighbor { name: self.name(source.address), address: source.address }
                }
            },
            verdict: match candidate.verdict {
                Verdict::Pending => PathVerdict::Pending,
                Verdict::Best => PathVerdict::Best,
                Verdict::Multipath => PathVerdict::Multipath,
                Verdict::Lost(step) => PathVerdict::Lost(step.to_string()),
                Verdict::Rejected(rejection) => PathVerdict::Rejected(rejection.to_string()),
            },
            next_hop: path.next_hop.map(|next_hop| next_hop.address),
            origin: attributes.origin,
            as_path: attributes.as_path.to_string(),
            local_pref: Some(path.local_pref()),
            med: attributes.med,
            communities: attributes.communities.clone(),
            extended_communities: attributes.extended_communities.clone(),
            large_communities: attributes.large_communities.clone(),
            is_stale: path.peer().is_some_and(|peer| self.rib.is_stale(peer, prefix)),
        }
    }

    fn name(&self, address: IpAddr) -> String {
        self.peers.get(&address).map_or_else(|| address.to_string(), |peer| peer.config().name.clone())
    }
}

fn session_status(terms: &Negotiated, local_address: IpAddr) -> SessionStatus {
    let keepalive_secs = terms.keepalive_interval().map_or(0, |interval| interval.as_secs());
    SessionStatus {
        remote_router_id: terms.router_id,
        local_address,
        hold_time_secs: terms.hold_time_secs(),
        keepalive_secs: u16::try_from(keepalive_secs).unwrap_or(u16::MAX),
        capabilities: terms.capabilities.iter().map(describe).collect(),
        graceful_restart: terms.graceful_restart.is_some(),
    }
}

/// A capability in words.
fn describe(capability: &Capability) -> String {
    match capability {
        Capability::MultiProtocol(family) => family.to_string(),
        Capability::MultiProtocolOther { afi, safi } => format!("afi {afi} safi {safi}"),
        Capability::RouteRefresh => "route-refresh".to_owned(),
        Capability::ExtendedNextHop(_) => "extended-next-hop".to_owned(),
        Capability::ExtendedMessage => "extended-message".to_owned(),
        Capability::GracefulRestart(restart) => {
            let restarting = if restart.restarting { ", restarting" } else { "" };
            let notification = if restart.notification { ", notification" } else { "" };
            format!("graceful-restart {} s{restarting}{notification}", restart.restart_time_secs)
        }
        Capability::FourOctetAs(_) => "four-octet-as".to_owned(),
        Capability::EnhancedRouteRefresh => "enhanced-route-refresh".to_owned(),
        Capability::Unknown { code, .. } => format!("code {code}"),
    }
}
