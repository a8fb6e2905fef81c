use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::wire::{
    Capability, Family, GracefulFamily, GracefulRestart, RouteRefresh, RouteRefreshKind, RouterId,
};

const LOCAL_AS: u32 = 64512;
const REMOTE_AS: u32 = 4_200_000_001;

#[expect(clippy::disallowed_methods, reason = "an arbitrary beginning of the virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn open_message(asn: u32, hold_time_secs: u16, capabilities: Vec<Capability>) -> Open {
    let router_id = RouterId::new(asn).unwrap();
    Open { asn, hold_time_secs, router_id, capabilities }
}

fn both_families() -> Vec<Capability> {
    Family::ALL.map(Capability::MultiProtocol).to_vec()
}

fn terms() -> Terms {
    Terms { open: open_message(LOCAL_AS, 9, both_families()), remote_asn: REMOTE_AS }
}

fn peer_open() -> Open {
    open_message(REMOTE_AS, 30, both_families())
}

/// A session that was brought into this state, and the time.
fn session_in(state: State) -> (Session, Instant) {
    let (now, mut effects) = (start(), Vec::new());
    let mut session = Session::open(now, Arc::new(terms()), Jitter::new(1), &mut effects);
    let steps = [
        (State::OpenConfirm, Event::Message(Message::Open(peer_open()), now)),
        (State::Established, Event::Message(Message::Keepalive, now)),
        (State::Closed, Event::TransportClosed("reset".to_owned())),
    ];
    for (reached, event) in steps {
        if session.state() < state {
            session.handle(now, event, &mut effects);
            assert_eq!(session.state(), reached);
        }
    }
    (session, now)
}

/// Effects in short words, so that the table can be read.
fn words(effects: &[Effect]) -> String {
    let word = |effect: &Effect| match effect {
        Effect::Send(Message::Open(_)) => "open".to_owned(),
        Effect::Send(Message::Keepalive) => "keepalive".to_owned(),
        Effect::Send(Message::Notification(sent)) => format!("notify {}/{}", sent.code, sent.subcode),
        Effect::Send(other) => format!("{other:?}"),
        Effect::Opened(_) => "opened".to_owned(),
        Effect::Established => "established".to_owned(),
        Effect::Update(_) => "update".to_owned(),
        Effect::Refresh(_) => "refresh".to_owned(),
        Effect::Down(Down::Sent { .. }) => "down".to_owned(),
        Effect::Down(Down::Received(_)) => "down by peer".to_owned(),
        Effect::Down(Down::Transport(_)) => "down by transport".to_owned(),
        Effect::Down(Down::PathFailed(..)) => "down by BFD".to_owned(),
    };
    effects.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn events(now: Instant) -> [(&'static str, Event); 11] {
    let message = |message| Event::Message(message, now);
    let malformed = DecodeError { notification: Notification::bad_message_length(5), reason: String::new() };
    [
        ("OPEN", message(Message::Open(peer_open()))),
        ("OPEN of another AS", message(Message::Open(open_message(65000, 30, both_families())))),
        ("KEEPALIVE", message(Message::Keepalive)),
        ("UPDATE", message(Message::Update(Box::default()))),
        ("NOTIFICATION", message(Message::Notification(Notification::admin_reset("")))),
        (
            "ROUTE-REFRESH",
            message(Message::RouteRefresh(RouteRefresh::new(Family::Ipv4Unicast, RouteRefreshKind::Request))),
        ),
        ("malformed", Event::Malformed(malformed)),
        ("transport closed", Event::TransportClosed("reset".to_owned())),
        ("deadline", Event::DeadlinePassed),
        ("stop", Event::Stop(Notification::configuration_change())),
        ("path failed", Event::PathFailed(PathFailure { reason: String::new(), is_peer_independent: false })),
    ]
}

#[test]
fn the_whole_transition_table() {
    use State::{Closed, Established, OpenConfirm, OpenSent};
    // For each event in the order of `events`: (next state, effects).
    let table: [(State, [(State, &str); 11]); 4] = [
        (
            OpenSent,
            [
                (OpenConfirm, "opened, keepalive"),
                (Closed, "notify 2/2, down"),
                (Closed, "notify 5/1, down"),
                (Closed, "notify 5/1, down"),
                (Closed, "down by peer"),
                (Closed, "notify 5/1, down"),
                (Closed, "notify 1/2, down"),
                (Closed, "down by transport"),
                (Closed, "notify 4/0, down"),
                (Closed, "notify 6/6, down"),
                (Closed, "notify 6/10, down by BFD"),
            ],
        ),
        (
            OpenConfirm,
            [
                (Closed, "notify 5/2, down"),
                (Closed, "notify 5/2, down"),
                (Established, "established"),
                (Closed, "notify 5/2, down"),
                (Closed, "down by peer"),
                (Closed, "notify 5/2, down"),
                (Closed, "notify 1/2, down"),
                (Closed, "down by transport"),
                (Closed, "notify 4/0, down"),
                (Closed, "notify 6/6, down"),
                (Closed, "notify 6/10, down by BFD"),
            ],
        ),
        (
            Established,
            [
                (Closed, "notify 5/3, down"),
                (Closed, "notify 5/3, down"),
                (Established, ""),
                (Established, "update"),
                (Closed, "down by peer"),
                (Established, "refresh"),
                (Closed, "notify 1/2, down"),
                (Closed, "down by transport"),
                (Closed, "notify 4/0, down"),
                (Closed, "notify 6/6, down"),
                (Closed, "notify 6/10, down by BFD"),
            ],
        ),
        (Closed, [(Closed, ""); 11]),
    ];
    for (state, row) in table {
        for (index, (next, expected)) in row.into_iter().enumerate() {
            let (mut session, now) = session_in(state);
            let (name, event) = events(now).into_iter().nth(index).unwrap();
            // Later than any timer, for the event that needs it.
            let now = if name == "deadline" { now + OPEN_HOLD_TIME } else { now };
            let mut effects = Vec::new();
            session.handle(now, event, &mut effects);
            assert_eq!((session.state(), words(&effects).as_str()), (next, expected), "{name} in {state:?}");
            assert_eq!(session.next_deadline().is_none(), next == Closed, "timers after {name} in {state:?}");
        }
    }
}

#[test]
fn a_connection_begins_with_our_open_and_a_long_hold_time() {
    let (now, mut effects) = (start(), Vec::new());
    let session = Session::open(now, Arc::new(terms()), Jitter::new(1), &mut effects);
    assert_eq!(words(&effects), "open");
    assert_eq!(session.next_deadline(), Some(now + OPEN_HOLD_TIME));
}

#[test]
fn keepalives_go_out_every_third_of_the_hold_time_with_jitter() {
    let (mut session, mut now) = session_in(State::Established);
    for _ in 0..100 {
        let due = session.next_deadline().unwrap();
        let interval = due - now;
        assert!(interval > Duration::from_millis(2250) && interval <= Duration::from_secs(3), "{interval:?}");
        now = due;
        session.handle(now, Event::Message(Message::Keepalive, now), &mut Vec::new());
        let mut effects = Vec::new();
        session.handle(now, Event::DeadlinePassed, &mut effects);
        assert_eq!(words(&effects), "keepalive");
    }
}

#[test]
fn the_hold_time_counts_from_when_the_message_was_read() {
    let (mut session, now) = session_in(State::Established);
    let read_at = now + Duration::from_secs(8);
    // Handled late: the queue was long.
    let handled_at = now + Duration::from_secs(10);
    session.handle(handled_at, Event::Message(Message::Keepalive, read_at), &mut Vec::new());
    // An older message must not shorten the time again.
    session.handle(handled_at, Event::Message(Message::Keepalive, now), &mut Vec::new());
    let mut effects = Vec::new();
    session.handle(read_at + Duration::from_millis(8999), Event::DeadlinePassed, &mut effects);
    assert_eq!(session.state(), State::Established);
    session.handle(read_at + Duration::from_secs(9), Event::DeadlinePassed, &mut effects);
    assert_eq!(session.state(), State::Closed);
}

#[test]
fn a_hold_time_of_zero_means_no_timers() {
    let (mut session, now) = session_in(State::OpenSent);
    let open = open_message(REMOTE_AS, 0, both_families());
    session.handle(now, Event::Message(Message::Open(open), now), &mut Vec::new());
    session.handle(now, Event::Message(Message::Keepalive, now), &mut Vec::new());
    assert_eq!((session.state(), session.next_deadline()), (State::Established, None));
}

#[test]
fn opens_that_are_refused() {
    let other_family = Capability::MultiProtocolOther { afi: 25, safi: 70 };
    // (why, our AS equal to the peer's, the peer's OPEN, code, subcode)
    let cases = [
        ("another AS", false, open_message(65000, 9, both_families()), 2, 2),
        ("our own identifier inside the AS", true, open_message(LOCAL_AS, 9, both_families()), 2, 3),
        ("hold time 1", false, open_message(REMOTE_AS, 1, both_families()), 2, 6),
        ("hold time 2", false, open_message(REMOTE_AS, 2, both_families()), 2, 6),
        ("no family in common", false, open_message(REMOTE_AS, 9, vec![other_family]), 2, 7),
    ];
    for (why, is_internal, open, code, subcode) in cases {
        let mut terms = terms();
        if is_internal {
            terms.remote_asn = LOCAL_AS;
        }
        let notification = terms.negotiate(open).unwrap_err().notification;
        assert_eq!((notification.code, notification.subcode), (code, subcode), "{why}");
    }
}

#[test]
fn what_two_opens_settle() {
    let restart = |notification| GracefulRestart {
        restarting: true,
        notification,
        restart_time_secs: 120,
        families: vec![GracefulFamily { family: Family::Ipv4Unicast, forwarding: true }],
    };
    let with = |capabilities: &[Capability]| open_message(REMOTE_AS, 30, capabilities.to_vec());
    let v6 = Capability::MultiProtocol(Family::Ipv6Unicast);
    let four = Capability::FourOctetAs(1);
    let graceful = |notification| Capability::GracefulRestart(restart(notification));

    let plain = terms().negotiate(with(&[])).unwrap();
    assert_eq!(plain.families(), [Family::Ipv4Unicast], "a peer without capabilities means IPv4");
    assert_eq!(plain.hold_time, Some(Duration::from_secs(9)), "the lesser hold time");
    assert!(!plain.context.four_octet_as && !plain.route_refresh && plain.context.is_ebgp);

    let only_v6 = terms().negotiate(with(&[v6])).unwrap();
    assert_eq!(only_v6.families(), [Family::Ipv6Unicast], "the intersection");

    let theirs_alone = terms().negotiate(with(&[four.clone(), graceful(true)])).unwrap();
    assert!(!theirs_alone.context.four_octet_as, "both sides must say it");
    assert_eq!(theirs_alone.graceful_restart, None, "we do not help if we do not say so");

    let mut ours = terms();
    ours.open.capabilities.extend([four.clone(), graceful(true)]);
    let both = ours.negotiate(with(&[four, graceful(true)])).unwrap();
    assert!(both.context.four_octet_as && both.notification_restart);
    assert_eq!(both.graceful_restart, Some(restart(true)));
    let without_n = ours.negotiate(with(&[graceful(false)])).unwrap();
    assert!(!without_n.notification_restart, "the N bit of both is needed");
}

#[test]
fn reasons_for_people() {
    let shutdown = Notification::admin_shutdown("rack 7 moves");
    let hard = Notification::hard_reset(&shutdown);
    let nested = Notification::hard_reset(&Notification::hard_reset(&shutdown));
    let stopped = Down::stopped(Notification::collision());
    let refused =
        Down::Sent { notification: Notification::bad_peer_as(), reason: "AS 1 and not AS 2".to_owned() };
    // (how it ended, in words)
    let cases = [
        (Down::Received(shutdown), "the peer sent Cease / Administrative Shutdown: rack 7 moves"),
        (
            Down::Received(hard),
            "the peer sent Cease / Hard Reset: Cease / Administrative Shutdown: rack 7 moves",
        ),
        (Down::Received(nested), "the peer sent Cease / Hard Reset"),
        (stopped, "we sent Cease / Connection Collision Resolution"),
        (refused, "we sent OPEN Message Error / Bad Peer AS: AS 1 and not AS 2"),
        (Down::Transport("reset".to_owned()), "the connection ended: reset"),
    ];
    for (down, expected) in cases {
        assert_eq!(down.reason(), expected);
    }
}
