//! Session events as log lines: one each, with peer, cause and what happens next.

use bgp::speaker::{SessionEvent, SessionEventKind};
use tracing::{info, warn};

/// Logs the event.
pub(super) fn log(event: &SessionEvent) {
    let peer = event.neighbor.as_str();
    let address = event.address.map(|address| address.to_string()).unwrap_or_default();
    match &event.kind {
        SessionEventKind::Established { families, hold_time_secs } => {
            info!(peer, address, ?families, hold_time_secs, "session established");
        }
        SessionEventKind::Down { reason, retained } => {
            warn!(peer, address, cause = %reason, ?retained, "session down");
        }
        SessionEventKind::NotEstablished { reason, retry_millis } => {
            warn!(peer, address, cause = %reason, retry_millis, "no session");
        }
        SessionEventKind::ConnectionRefused { reason } => {
            warn!(peer, address, cause = %reason, "connection refused");
        }
        SessionEventKind::MalformedAttributes { faults, updates_total } => {
            warn!(peer, address, ?faults, updates_total, "malformed attributes; handled by RFC 7606");
        }
        SessionEventKind::StaleRoutesRemoved { count, reason } => {
            info!(peer, address, count, cause = %reason, "stale routes removed");
        }
        SessionEventKind::NextHopMissing { family } => {
            warn!(
                peer,
                address,
                ?family,
                "routes are not told for lack of an address of ours in this family"
            );
        }
        SessionEventKind::AttributesTooLarge { prefix } => {
            warn!(peer, address, %prefix, "route is not told: its attributes do not fit into a message");
        }
        SessionEventKind::RoutesSelected { reason } => info!(cause = %reason, "routes are chosen"),
        SessionEventKind::FibSynced { reason } => info!(cause = %reason, "forwarding table is complete"),
    }
}
