//! What RFC 4271 calls Idle, Connect and Active: each with each event.

use super::*;
use crate::speaker::Output;
use crate::wire::{Capability, Open, RouterId};

const DIALED: ConnectionId = ConnectionId::Dialed(1);
const ACCEPTED: ConnectionId = ConnectionId::Accepted(1);

#[expect(clippy::disallowed_methods, reason = "an arbitrary beginning of the virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn local() -> IpAddr {
    IpAddr::from([10, 0, 0, 1])
}

fn open(asn: u32) -> Open {
    let router_id = RouterId::new(asn).unwrap();
    Open {
        asn,
        hold_time_secs: 9,
        router_id,
        capabilities: Family::ALL.map(Capability::MultiProtocol).to_vec(),
    }
}

/// A peer, the time, and the count of its dials.
struct Stage {
    now: Instant,
    peer: Peer,
    dials: u64,
}

impl Stage {
    fn new(is_passive: bool) -> Self {
        let mut config = NeighborConfig::new("peer", IpAddr::from([10, 0, 0, 2]), 64601);
        config.passive = is_passive;
        let terms = Terms { open: open(64512), remote_asn: 64601 };
        let now = start();
        Self { now, peer: Peer::new(now, Arc::new(config), Arc::new(terms), Jitter::new(1)), dials: 0 }
    }

    /// What the driver has to do, in short words.
    fn act(&mut self, act: impl FnOnce(&mut Peer, &mut Turn<'_>)) -> String {
        let mut turn = Turn::new(self.now, &mut self.dials);
        act(&mut self.peer, &mut turn);
        let word = |effect: &PeerEffect| match effect {
            PeerEffect::Output(Output::Dial(_)) => Some("dial"),
            PeerEffect::Output(Output::Close { .. }) => Some("close"),
            PeerEffect::Output(Output::Admit { .. }) => Some("admit"),
            PeerEffect::Output(Output::Send { .. }) => Some("send"),
            PeerEffect::Up { .. } => Some("up"),
            PeerEffect::Lost(_) => Some("lost"),
            _ => None,
        };
        turn.effects.iter().filter_map(word).collect::<Vec<_>>().join(", ")
    }

    /// Brings a new peer into a state.
    fn reach(&mut self, state: SessionState) {
        let now = self.now;
        let message = |message| {
            move |peer: &mut Peer, turn: &mut Turn<'_>| peer.received(turn, DIALED, Ok(message), now)
        };
        match state {
            SessionState::Active => {}
            SessionState::Connect => drop(self.act(Peer::deadline_passed)),
            SessionState::OpenSent => {
                self.reach(SessionState::Connect);
                self.act(|peer, turn| peer.connected(turn, DIALED, local()));
            }
            SessionState::OpenConfirm => {
                self.reach(SessionState::OpenSent);
                self.act(message(Message::Open(open(64601))));
            }
            SessionState::Established => {
                self.reach(SessionState::OpenConfirm);
                self.act(message(Message::Keepalive));
            }
            SessionState::Idle => {
                self.reach(SessionState::Established);
                self.act(message(Message::Open(open(64601))));
            }
        }
        assert_eq!(self.peer.state(), state);
    }

    fn event(&mut self, event: &str) -> String {
        match event {
            "deadline" => {
                self.now = self.peer.next_deadline().unwrap_or(self.now);
                self.act(Peer::deadline_passed)
            }
            "connected" => self.act(|peer, turn| peer.connected(turn, DIALED, local())),
            "dial failed" => self.act(|peer, turn| peer.dial_failed(turn, DIALED, "refused")),
            "accepted" => self.act(|peer, turn| peer.accepted(turn, ACCEPTED, local())),
            "closed" => self.act(|peer, turn| peer.closed(turn, DIALED, "reset")),
            "reset" => self.act(|peer, turn| peer.reset(turn, &Notification::configuration_change())),
            "stop" => self.act(|peer, turn| peer.stop(turn, &Notification::peer_deconfigured())),
            _ => panic!("no such event: {event}"),
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn the_states_before_and_around_a_connection() {
    use SessionState::{Active, Connect, Established, Idle, OpenConfirm, OpenSent};
    let events = ["deadline", "connected", "dial failed", "accepted", "closed", "reset", "stop"];
    // For each event: (next state, what the driver does). A connection that was not dialed is closed.
    let table: [(SessionState, [(SessionState, &str); 7]); 6] = [
        (
            Idle,
            [
                (Connect, "dial"),
                (Idle, "close"),
                (Idle, ""),
                (Idle, "close"),
                (Idle, ""),
                (Active, ""),
                (Idle, ""),
            ],
        ),
        (
            Connect,
            [
                (Active, "close"),
                (OpenSent, "send"),
                (Active, ""),
                (OpenSent, "admit, send"),
                (Active, ""),
                (Active, "close"),
                (Idle, "close"),
            ],
        ),
        (
            Active,
            [
                (Connect, "dial"),
                (Active, "close"),
                (Active, ""),
                (OpenSent, "admit, send"),
                (Active, ""),
                (Active, ""),
                (Idle, ""),
            ],
        ),
        (
            OpenSent,
            [
                (Idle, "send, close"),
                (OpenSent, "close"),
                (OpenSent, ""),
                (OpenSent, "admit, send"),
                (Active, "close"),
                (Active, "send, close"),
                (Idle, "send, close"),
            ],
        ),
        (
            OpenConfirm,
            [
                (OpenConfirm, "send"),
                (OpenConfirm, "close"),
                (OpenConfirm, ""),
                (OpenConfirm, "admit, send"),
                (Active, "close"),
                (Active, "send, close"),
                (Idle, "send, close"),
            ],
        ),
        (
            Established,
            [
                (Established, "send"),
                (Established, "close"),
                (Established, ""),
                (Established, "admit, send"),
                (Active, "close, lost"),
                (Active, "send, close, lost"),
                (Idle, "send, close, lost"),
            ],
        ),
    ];
    for (state, row) in table {
        for (event, (next, expected)) in events.into_iter().zip(row) {
            let mut stage = Stage::new(false);
            stage.reach(state);
            let done = stage.event(event);
            assert_eq!((stage.peer.state(), done.as_str()), (next, expected), "{event} in {state:?}");
        }
    }
}

#[test]
fn only_the_last_end_decides_whether_we_dial_again() {
    // (why, passive, event that ends the session, whether a dial follows)
    let cases = [
        ("a closed connection", false, "closed", true),
        ("a passive neighbor comes itself", true, "closed", false),
        ("a reset", false, "reset", true),
        ("a reset of a passive neighbor", true, "reset", false),
        ("the end for good", false, "stop", false),
    ];
    for (why, is_passive, event, dials) in cases {
        let mut stage = Stage::new(false);
        stage.reach(SessionState::Established);
        let config = NeighborConfig { passive: is_passive, ..(*stage.peer.config).clone() };
        stage.peer.config = Arc::new(config);
        stage.event(event);
        let pause = stage.peer.next_dial().map(|at| at - stage.now);
        assert_eq!(pause.is_some(), dials, "{why}");
        assert!(
            pause.is_none_or(|pause| pause <= Duration::from_secs(1)),
            "{why}: a restart must not take long"
        );
        let done = if stage.peer.next_deadline().is_some() { stage.event("deadline") } else { String::new() };
        assert_eq!(done == "dial", dials, "{why}");
    }
}

#[test]
fn a_neighbor_is_dialed_once_it_is_no_longer_passive() {
    for (before, after, dials) in [(true, false, true), (false, true, false), (false, false, true)] {
        let mut stage = Stage::new(before);
        let config = NeighborConfig { passive: after, ..(*stage.peer.config).clone() };
        let terms = Arc::clone(&stage.peer.terms);
        stage.peer.update(stage.now, Arc::new(config), terms, None);
        assert_eq!(stage.peer.next_dial().is_some(), dials, "passive {before}, then {after}");
    }
}

#[test]
fn a_silent_stop_says_nothing() {
    let mut stage = Stage::new(false);
    stage.reach(SessionState::Established);
    assert_eq!(stage.act(Peer::stop_silently), "close");
}

#[test]
fn bfd_ends_a_session_only_when_the_way_failed() {
    use bfd::State::{AdminDown, Down, Init, Up};
    // (why, from, to, the neighbor's administrator, whether the session ends)
    let cases = [
        ("the way failed", Up, Down, false, true),
        ("the neighbor's administrator", Up, Down, true, false),
        ("ours", Up, AdminDown, false, false),
        ("it never came up", Init, Down, false, false),
        ("it comes up", Init, Up, false, false),
    ];
    for (why, from, to, is_neighbor_admin_down, ends) in cases {
        for is_watched in [true, false] {
            let mut stage = Stage::new(false);
            let bfd = is_watched.then(crate::config::BfdConfig::default);
            stage.peer.config = Arc::new(NeighborConfig { bfd, ..(*stage.peer.config).clone() });
            stage.reach(SessionState::Established);
            let change = bfd::Change {
                from,
                to,
                diagnostic: bfd::Diagnostic::TIME_EXPIRED,
                is_neighbor_admin_down,
                is_neighbor_independent: false,
            };
            let done = stage.act(|peer, turn| peer.bfd_changed(turn, change));
            let expected = if ends && is_watched { "send, close, lost" } else { "" };
            assert_eq!(done, expected, "{why}, watched: {is_watched}");
            assert_eq!(stage.peer.bfd(), is_watched.then_some(to), "{why}");
        }
    }
}
