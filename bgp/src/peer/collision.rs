//! Two connections with one peer: which one stays (RFC 4271 section 6.8, RFC 6286 section 2.3).

use std::time::{Duration, Instant};

use crate::fsm::Negotiated;
use crate::wire::RouterId;

/// A connection made this soon after the session came up was under way before it did.
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
    fn other(self) -> Self {
        if self == Self::Local { Self::Remote } else { Self::Local }
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

/// How far the other connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RivalState {
    /// It waits for the peer's OPEN.
    OpenSent,
    /// The same, but for so long that nothing will come.
    Mute,
    /// It has the peer's OPEN too.
    OpenConfirm,
}

/// The peer's OPEN came on one of two connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contest {
    /// Who dialed the connection that the OPEN came on.
    pub(crate) initiator: Initiator,
    /// Whose connection is to stay.
    pub(crate) winner: Initiator,
    /// How far the other connection is.
    pub(crate) rival: RivalState,
}

impl Contest {
    /// Who dialed the connection to close now, if one must be.
    ///
    /// RFC 4271 waits until both connections have their OPEN. By then one side may have said
    /// KEEPALIVE on the one that the other is about to close, and a session comes up only to
    /// fall. So the winner of the comparison decides at the first OPEN, in favor of its own
    /// connection if that has sent an OPEN, and says KEEPALIVE on one connection alone; the
    /// other side waits for what comes, as the RFC has it.
    pub(crate) fn loser(self) -> Option<Initiator> {
        match self.rival {
            RivalState::Mute => Some(self.initiator.other()),
            RivalState::OpenSent if self.winner == Initiator::Remote => None,
            RivalState::OpenSent | RivalState::OpenConfirm => Some(self.winner.other()),
        }
    }
}

/// Whether an OPEN on a new connection beside an established one means that the peer restarted
/// and the old connection is dead (RFC 4724 section 5). Of each connection: its terms; when the
/// old one came up, and when the new one was connected.
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

    #[test]
    fn who_must_close_what_when_an_open_comes() {
        use Initiator::{Local, Remote};
        use RivalState::{Mute, OpenConfirm, OpenSent};
        // (why, OPEN on the connection dialed by, winner, the other connection, closed)
        let cases = [
            ("we decide for ours as soon as we can", Local, Local, OpenSent, Some(Remote)),
            ("ours has sent its OPEN: the peer will want it", Remote, Local, OpenSent, Some(Remote)),
            ("the peer decides: its own may win", Local, Remote, OpenSent, None),
            ("the peer decides: ours may win", Remote, Remote, OpenSent, None),
            ("both have an OPEN, ours wins", Local, Local, OpenConfirm, Some(Remote)),
            ("both have an OPEN, ours loses", Remote, Remote, OpenConfirm, Some(Local)),
            ("nothing will come on the other", Local, Remote, Mute, Some(Remote)),
            ("nothing will come on ours", Remote, Local, Mute, Some(Local)),
        ];
        for (why, initiator, winner, rival, expected) in cases {
            assert_eq!(Contest { initiator, winner, rival }.loser(), expected, "{why}");
        }
    }
}
