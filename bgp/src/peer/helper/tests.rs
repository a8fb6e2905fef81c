use std::sync::Arc;

use super::*;
use crate::fsm::PathFailure;
use crate::fsm::Terms;
use crate::wire::{Capability, GracefulFamily, GracefulRestart, Notification, Open, RouterId};

const V4: Family = Family::Ipv4Unicast;
const V6: Family = Family::Ipv6Unicast;
const LIMITS: GracefulRestartConfig =
    GracefulRestartConfig { restart_time_secs: 60, stale_time_secs: 180, deferral_time_secs: 60 };

#[expect(clippy::disallowed_methods, reason = "an arbitrary beginning of the virtual time")]
fn start() -> Instant {
    Instant::now()
}

/// Restart time in seconds, N bit, families with their F bits.
type Promise<'a> = (u16, bool, &'a [(Family, bool)]);

/// The terms of a session whose peer promises this.
fn terms(promise: Option<Promise<'_>>) -> Arc<Negotiated> {
    let restart = |(restart_time_secs, notification, families): Promise<'_>| {
        let families = families
            .iter()
            .map(|(family, forwarding)| GracefulFamily { family: *family, forwarding: *forwarding });
        let families = families.collect();
        Capability::GracefulRestart(GracefulRestart {
            restarting: false,
            notification,
            restart_time_secs,
            families,
        })
    };
    let open = |router_id: u32, promise: Option<Capability>| Open {
        asn: 64512,
        hold_time_secs: 9,
        router_id: RouterId::new(router_id).unwrap(),
        capabilities: Family::ALL.map(Capability::MultiProtocol).into_iter().chain(promise).collect(),
    };
    let ours = open(1, Some(restart((60, true, &[(V4, true), (V6, true)]))));
    Arc::new(Terms { open: ours, remote_asn: 64512 }.negotiate(open(2, promise.map(restart))).unwrap())
}

fn sent(notification: Notification) -> Down {
    Down::Sent { notification, reason: String::new() }
}

fn path_failed(is_peer_independent: bool) -> Down {
    let failure = PathFailure { reason: "control detection time expired".to_owned(), is_peer_independent };
    Down::PathFailed(failure, Notification::bfd_down())
}

#[test]
fn whoever_is_silent_is_used_only_where_no_other_is_left() {
    let promise: Option<Promise<'_>> = Some((30, true, &[(V4, true)]));
    // (why, how it ended, whether the neighbor was silent)
    let cases = [
        ("BFD heard nothing", path_failed(false), true),
        ("nothing came for the hold time", sent(Notification::hold_timer_expired()), true),
        ("a restart", Down::Transport("reset".to_owned()), false),
    ];
    for (why, down, is_silent) in cases {
        let loss = Helper::None.on_loss(start(), (&terms(promise), &down), Some(&LIMITS));
        assert_eq!(loss.is_silent, is_silent, "{why}");
    }
}

#[test]
fn what_stays_when_a_session_ends() {
    let both: &[(Family, bool)] = &[(V4, true), (V6, true)];
    let closed = Down::Transport("reset".to_owned());
    let shutdown = Notification::admin_shutdown("");
    // (why, the peer's promise, how it ended, families that stay, seconds)
    let cases = [
        ("a closed connection", Some((30, false, both)), closed.clone(), vec![V4, V6], 30),
        ("no longer than we grant", Some((4095, false, both)), closed.clone(), vec![V4, V6], 60),
        ("only the promised family", Some((30, false, &both[..1])), closed.clone(), vec![V4], 30),
        (
            "a promise without forwarding bits counts too",
            Some((30, false, &[(V4, false)])),
            closed.clone(),
            vec![V4],
            30,
        ),
        ("no capability", None, closed.clone(), vec![], 0),
        ("restart time 0", Some((0, true, both)), closed, vec![], 0),
        ("NOTIFICATION without N", Some((30, false, both)), Down::Received(shutdown.clone()), vec![], 0),
        ("NOTIFICATION with N", Some((30, true, both)), Down::Received(shutdown.clone()), vec![V4, V6], 30),
        (
            "hold timer with N",
            Some((30, true, both)),
            sent(Notification::hold_timer_expired()),
            vec![V4, V6],
            30,
        ),
        (
            "hold timer without N",
            Some((30, false, both)),
            sent(Notification::hold_timer_expired()),
            vec![],
            0,
        ),
        (
            "Hard Reset",
            Some((30, true, both)),
            Down::Received(Notification::hard_reset(&shutdown)),
            vec![],
            0,
        ),
        (
            "BFD of the peer, with N",
            Some((30, true, both)),
            Down::Received(Notification::bfd_down()),
            vec![],
            0,
        ),
        ("BFD that may have restarted too", Some((30, false, both)), path_failed(false), vec![V4, V6], 30),
        ("BFD that outlives a restart", Some((30, true, both)), path_failed(true), vec![], 0),
    ];
    for (why, promise, down, retained, secs) in cases {
        let (now, mut helper) = (start(), Helper::None);
        let loss = helper.on_loss(now, (&terms(promise), &down), Some(&LIMITS));
        assert_eq!(loss.retained, retained, "{why}");
        let expected = (secs > 0).then(|| now + Duration::from_secs(secs));
        assert_eq!(helper.deadline(), expected, "{why}");
        let mut off = Helper::None;
        assert_eq!(off.on_loss(now, (&terms(promise), &down), None), Loss::default(), "{why}, switched off");
    }
}

#[test]
fn what_goes_when_the_session_is_back() {
    let both: &[(Family, bool)] = &[(V4, true), (V6, true)];
    // (why, the peer's new promise, families that go, families still awaited)
    let cases: [(&str, Option<Promise<'_>>, Vec<Family>, Vec<Family>); 4] = [
        ("kept forwarding", Some((30, true, both)), vec![], vec![V4, V6]),
        ("kept one", Some((30, true, &[(V4, true), (V6, false)])), vec![V6], vec![V4]),
        ("one is missing", Some((30, true, &[(V6, true)])), vec![V4], vec![V6]),
        ("no capability any more", None, vec![V4, V6], vec![]),
    ];
    for (why, promise, gone, awaited) in cases {
        let (now, mut helper) = (start(), Helper::None);
        let closed = Down::Transport("reset".to_owned());
        helper.on_loss(now, (&terms(Some((30, true, both))), &closed), Some(&LIMITS));
        let back_at = now + Duration::from_secs(5);
        assert_eq!(helper.on_established(back_at, &terms(promise), Some(&LIMITS)), gone, "{why}");
        let until = (!awaited.is_empty()).then(|| back_at + Duration::from_mins(3));
        assert_eq!(helper.deadline(), until, "{why}");
        for family in Family::ALL {
            assert_eq!(helper.on_end_of_rib(family), awaited.contains(&family), "{why}");
        }
        assert_eq!(helper, Helper::None, "{why}");
    }
}

#[test]
fn time_ends_either_wait() {
    let both: &[(Family, bool)] = &[(V4, true), (V6, true)];
    let terms = terms(Some((30, true, both)));
    let closed = Down::Transport("reset".to_owned());
    let (now, mut away) = (start(), Helper::None);
    away.on_loss(now, (&terms, &closed), Some(&LIMITS));
    assert!(away.on_deadline(now + Duration::from_secs(29)).is_empty());
    assert_eq!(away.on_deadline(now + Duration::from_secs(30)), [V4, V6]);
    assert_eq!(away, Helper::None);

    let mut back = Helper::None;
    back.on_loss(now, (&terms, &closed), Some(&LIMITS));
    back.on_established(now, &terms, Some(&LIMITS));
    assert!(back.on_end_of_rib(V4));
    assert_eq!(
        back.on_deadline(now + Duration::from_mins(3)),
        [V6],
        "the family that was confirmed is not named"
    );
}

#[test]
fn a_second_restart_does_not_prolong_the_first() {
    let both: &[(Family, bool)] = &[(V4, true), (V6, true)];
    let limits = GracefulRestartConfig { stale_time_secs: 20, ..LIMITS };
    let closed = Down::Transport("reset".to_owned());
    // (why, N bit, stale routes go, seconds after the second loss)
    for (why, has_n, drop_stale, secs) in [("with N", true, false, 15), ("without N", false, true, 30)] {
        let terms = terms(Some((30, has_n, both)));
        let (now, mut helper) = (start(), Helper::None);
        helper.on_loss(now, (&terms, &closed), Some(&limits));
        helper.on_established(now, &terms, Some(&limits));
        let again = now + Duration::from_secs(5);
        let loss = helper.on_loss(again, (&terms, &closed), Some(&limits));
        assert_eq!(loss.drop_stale, drop_stale, "{why}");
        assert_eq!(helper.deadline(), Some(again + Duration::from_secs(secs)), "{why}");
    }
}
