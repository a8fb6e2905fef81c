//! Two connections with one peer: which one stays (RFC 4271 section 6.8, RFC 6286 section 2.3).

use std::time::{Duration, Instant};

use crate::fsm::Negotiated;
use crate::speaker::ConnectionId;
use crate::wire::RouterId;

/// A connection made this soon after the session came up was under way before: a collision, not a restart.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// Who dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Initiator {
    /// We did.
    Local,
    /// The peer did.
    Remote,
}

impl Initiator {
    /// Who dialed this connection.
    pub(crate) fn of(connection: ConnectionId) -> Self {
        match connection {
            ConnectionId::Dialed(_) => Self::Local,
            ConnectionId::Accepted(_) => Self::Remote,
        }
    }
}

/// One side of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) router_id: RouterId,
    pub(crate) asn: u32,
}

/// Whose connection stays: that of the greater identifier; between ASes that share it, of the greater AS.
pub(crate) fn winner(local: Identity, remote: Identity) -> Initiator {
    let local = (local.router_id.get(), local.asn);
    let remote = (remote.router_id.get(), remote.asn);
    if local < remote { Initiator::Remote } else { Initiator::Local }
}

/// Whether a new connection beside an established one means that the peer restarted
/// and the old connection is dead (RFC 4724 section 5).
pub(crate) fn is_restart(established: (&Negotiated, Instant), new: (&Negotiated, Instant)) -> bool {
    let (old_terms, established_at) = established;
    let (new_terms, connected_at) = new;
    old_terms.graceful_restart.is_some()
        && new_terms.graceful_restart.as_ref().is_some_and(|restart| restart.restarting)
        && connected_at > established_at + SETTLE_TIME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greater_identifier_keeps_its_connection() {
        let identity = |router_id: u32, asn| Identity { router_id: RouterId::new(router_id).unwrap(), asn };
        // (why, local, remote, winner)
        let cases = [
            ("local greater", identity(2, 1), identity(1, 1), Initiator::Local),
            ("remote greater", identity(1, 1), identity(2, 1), Initiator::Remote),
            ("unsigned comparison", identity(0x7fff_ffff, 1), identity(0x8000_0000, 1), Initiator::Remote),
            ("equal, local AS greater", identity(1, 9), identity(1, 8), Initiator::Local),
            ("equal, remote AS greater", identity(1, 8), identity(1, 9), Initiator::Remote),
            ("the identifier comes before the AS", identity(2, 1), identity(1, 9), Initiator::Local),
        ];
        for (why, local, remote, expected) in cases {
            assert_eq!(winner(local, remote), expected, "{why}");
            let mirrored = if expected == Initiator::Local { Initiator::Remote } else { Initiator::Local };
            assert_eq!(winner(remote, local), mirrored, "{why}, seen from the other side");
        }
    }
}
