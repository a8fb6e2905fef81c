//! The speaker's status in the words of the control protocol.

use api::control::{FamilyStatus, PathStatus, PeerStatus, RouteStatus};
use bgp::status::{ErrorStatus, NeighborStatus, PathFrom, PathVerdict, SessionState, SpeakerStatus};

/// The state of a session that exchanges routes.
pub const ESTABLISHED: &str = "Established";

/// Every session.
pub fn peers(status: &SpeakerStatus) -> Vec<PeerStatus> {
    status.neighbors.iter().map(peer).collect()
}

/// Every prefix with all its paths.
pub fn routes(routes: &[bgp::status::RouteStatus]) -> Vec<RouteStatus> {
    routes
        .iter()
        .map(|route| RouteStatus {
            prefix: route.prefix.to_string(),
            paths: route.paths.iter().map(path).collect(),
        })
        .collect()
}

fn peer(neighbor: &NeighborStatus) -> PeerStatus {
    let families = neighbor.families.iter().map(|family| FamilyStatus {
        family: family.family.to_string(),
        received: family.received,
        accepted: family.accepted,
        advertised: family.advertised,
    });
    let session = neighbor.session.as_ref();
    PeerStatus {
        name: neighbor.name.clone(),
        address: neighbor.address.to_string(),
        asn: neighbor.remote_asn,
        state: state(neighbor.state).to_owned(),
        since_secs: neighbor.state_secs,
        families: families.collect(),
        hold_time_secs: neighbor.session.as_ref().map(|session| session.hold_time_secs),
        bfd: neighbor.bfd.map(|state| state.to_string()),
        last_error_sent: error(neighbor.last_error_sent.as_ref()),
        last_error_received: error(neighbor.last_error_received.as_ref()),
        local_address: session.map(|session| session.local_address.to_string()),
        remote_router_id: session.map(|session| session.remote_router_id.to_string()),
        capabilities: session.map(|session| session.capabilities.clone()).unwrap_or_default(),
        next_dial_secs: neighbor.next_dial_secs,
        flaps: neighbor.flaps,
        last_error: neighbor.last_down.as_ref().map(|error| error.reason.clone()).unwrap_or_default(),
    }
}

fn error(error: Option<&ErrorStatus>) -> String {
    error.map(|error| format!("{} ({} s ago)", error.reason, error.age_secs)).unwrap_or_default()
}

/// The state's name in RFC 4271 section 8.2.2.
fn state(state: SessionState) -> &'static str {
    match state {
        SessionState::Idle => "Idle",
        SessionState::Connect => "Connect",
        SessionState::Active => "Active",
        SessionState::OpenSent => "OpenSent",
        SessionState::OpenConfirm => "OpenConfirm",
        SessionState::Established => ESTABLISHED,
    }
}

fn path(path: &bgp::status::PathStatus) -> PathStatus {
    let mut communities: Vec<String> = path.communities.iter().map(ToString::to_string).collect();
    communities.extend(path.large_communities.iter().map(ToString::to_string));
    communities.extend(path.extended_communities.iter().map(ToString::to_string));
    let reason = match &path.verdict {
        PathVerdict::Best => "best".to_owned(),
        PathVerdict::Multipath => "equal to the best".to_owned(),
        PathVerdict::Lost(step) => step.clone(),
        PathVerdict::Rejected(reason) => format!("rejected: {reason}"),
        PathVerdict::Pending => "not decided yet".to_owned(),
    };
    PathStatus {
        peer: match &path.from {
            PathFrom::Local => "local".to_owned(),
            PathFrom::Neighbor { name, .. } => name.clone(),
        },
        next_hop: path.next_hop.map(|next_hop| next_hop.to_string()).unwrap_or_default(),
        as_path: path.as_path.clone(),
        local_pref: path.local_pref,
        med: path.med,
        communities,
        best: path.verdict == PathVerdict::Best,
        multipath: path.verdict == PathVerdict::Multipath,
        stale: path.is_stale,
        reason,
    }
}
