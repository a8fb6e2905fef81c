//! What happens to sessions, as log lines.

use bgp::speaker::{SessionEvent, SessionEventKind};
use tracing::{info, warn};

/// Logs the event: a warning if somebody may have to do something about it.
pub(crate) fn log(event: &SessionEvent) {
    let peer = event.neighbor.as_str();
    let address = event.address.map(|address| address.to_string()).unwrap_or_default();
    let (is_good, what) = describe(&event.kind);
    if is_good {
        info!(peer, address, "{what}");
    } else {
        warn!(peer, address, "{what}");
    }
}

/// Whether all is well, and what happened in words.
fn describe(kind: &SessionEventKind) -> (bool, String) {
    match kind {
        SessionEventKind::Established { families, hold_time_secs } => {
            let families: Vec<String> = families.iter().map(ToString::to_string).collect();
            (
                true,
                format!("session established for {}, hold time {hold_time_secs} s", families.join(" and ")),
            )
        }
        SessionEventKind::Down { reason, retained } if retained.is_empty() => {
            (false, format!("session down: {reason}"))
        }
        SessionEventKind::Down { reason, .. } => {
            (false, format!("session down: {reason}; its routes stay for its restart"))
        }
        SessionEventKind::NotEstablished { reason, retry_millis: 0 } => {
            (false, format!("no session: {reason}"))
        }
        SessionEventKind::NotEstablished { reason, retry_millis } => {
            (false, format!("no session: {reason}; trying again in {retry_millis} ms"))
        }
        SessionEventKind::ConnectionRefused { reason } => (false, format!("connection refused: {reason}")),
        SessionEventKind::MalformedAttributes { faults, updates_total } => {
            (false, format!("malformed attributes, {updates_total} UPDATEs so far: {}", faults.join(", ")))
        }
        SessionEventKind::TooManyPrefixes { reason } => (false, format!("too many prefixes: {reason}")),
        SessionEventKind::StaleRoutesRemoved { count, reason } => {
            (true, format!("{count} stale routes removed: {reason}"))
        }
        SessionEventKind::NextHopMissing { family } => {
            let remedy =
                format!("set next_hop_{} of this neighbor", family.to_string().replace("-unicast", ""));
            (false, format!("{family} routes are not told, for no address of ours is known; {remedy}"))
        }
        SessionEventKind::AttributesTooLarge { prefix } => {
            (false, format!("{prefix} is not told: its attributes do not fit into a message"))
        }
        SessionEventKind::RoutesSelected { reason } => (true, format!("routes are chosen: {reason}")),
        SessionEventKind::FibSynced { reason } => {
            (true, format!("the forwarding table is complete: {reason}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bgp::wire::Family;

    #[test]
    fn a_missing_next_hop_names_the_field_to_set() {
        let (is_good, what) = describe(&SessionEventKind::NextHopMissing { family: Family::Ipv6Unicast });
        assert!(!is_good);
        assert!(what.ends_with("set next_hop_ipv6 of this neighbor"), "{what}");
    }
}
