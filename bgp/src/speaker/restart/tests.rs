use std::sync::Arc;

use super::*;
use crate::fsm::Terms;
use crate::wire::{Capability, Open, RouterId};

const V4: Family = Family::Ipv4Unicast;
const V6: Family = Family::Ipv6Unicast;

#[expect(clippy::disallowed_methods, reason = "an arbitrary beginning of the virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn peer(number: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, number])
}

/// The peer's promise: none, or whether it restarts itself.
fn terms(is_restarting: Option<bool>) -> Arc<Negotiated> {
    let capability = |restarting| {
        let families = Family::ALL.map(|family| GracefulFamily { family, forwarding: true }).to_vec();
        Capability::GracefulRestart(GracefulRestart {
            restarting,
            notification: true,
            restart_time_secs: 60,
            families,
        })
    };
    let open = |router_id: u32, restart: Option<Capability>| Open {
        asn: 64512,
        hold_time_secs: 9,
        router_id: RouterId::new(router_id).unwrap(),
        capabilities: Family::ALL.map(Capability::MultiProtocol).into_iter().chain(restart).collect(),
    };
    let ours = open(1, Some(capability(true)));
    Arc::new(
        Terms { open: ours, remote_asn: 64512 }.negotiate(open(2, is_restarting.map(capability))).unwrap(),
    )
}

fn restart(now: Instant, mode: RestartMode, peers: &[u8]) -> Restart {
    let mut restart = Restart::new(now, mode, Duration::from_mins(1));
    restart.on_neighbors(now, &peers.iter().map(|number| peer(*number)).collect());
    restart.on_local_sources_synced();
    restart
}

fn restarting() -> RestartMode {
    RestartMode::Restarting { preserved_families: vec![V4] }
}

/// Goes on as far as possible.
fn advance(restart: &mut Restart, now: Instant) -> Phase {
    while restart.advance(now).is_some() {}
    restart.phase()
}

#[test]
fn who_is_waited_for() {
    // (why, the peer's promise, phase once its session is up, once it has told everything)
    let cases = [
        ("a peer that kept running", Some(false), Phase::Selecting, Phase::Done),
        ("a peer that restarts too is waited for only to complete", Some(true), Phase::Settling, Phase::Done),
        ("a peer that promises nothing", None, Phase::Settling, Phase::Settling),
    ];
    for (why, promise, at_first, at_last) in cases {
        let now = start();
        let mut restart = restart(now, restarting(), &[1]);
        assert_eq!(advance(&mut restart, now), Phase::Selecting, "{why}: it may come");
        restart.on_established(now, peer(1), &terms(promise));
        assert_eq!(advance(&mut restart, now), at_first, "{why}");
        restart.on_end_of_rib(peer(1), V4);
        assert_eq!(advance(&mut restart, now), at_first, "{why}: one family is not all");
        restart.on_end_of_rib(peer(1), V6);
        assert_eq!(advance(&mut restart, now), at_last, "{why}");
        assert_eq!(advance(&mut restart, now + QUIET_TIME), Phase::Done, "{why}: at last");
    }
}

#[test]
fn nobody_is_waited_for_for_ever() {
    let secs = Duration::from_secs;
    // (why, what happens, seconds until all is over)
    let cases: [(&str, fn(&mut Restart, Instant), u64); 6] = [
        ("nobody comes", |_, _| {}, 15),
        (
            "an End-of-RIB never comes",
            |restart, now| restart.on_established(now, peer(1), &terms(Some(false))),
            60,
        ),
        (
            "the session is lost again",
            |restart, now| {
                restart.on_established(now, peer(1), &terms(Some(false)));
                restart.on_lost(now, peer(1));
            },
            15,
        ),
        ("the neighbor is removed", |restart, now| restart.on_neighbors(now, &BTreeSet::new()), 0),
        (
            "a neighbor that comes late is not waited for",
            |restart, now| {
                restart.on_neighbors(now + Duration::from_secs(16), &[peer(1), peer(2)].into());
                restart.on_established(now, peer(1), &terms(Some(true)));
                restart.on_end_of_rib(peer(1), V4);
                restart.on_end_of_rib(peer(1), V6);
            },
            0,
        ),
        (
            "local sources never come",
            |restart, now| {
                restart.are_local_sources_synced = false;
                restart.on_established(now, peer(1), &terms(None));
            },
            30,
        ),
    ];
    for (why, act, expected) in cases {
        for mode in [restarting(), RestartMode::Fresh] {
            let now = start();
            let mut restart = restart(now, mode.clone(), &[1]);
            act(&mut restart, now);
            let mut at = now;
            while advance(&mut restart, at) != Phase::Done {
                let next = restart.next_deadline();
                assert!(next.is_some_and(|next| next > at), "{why}: a deadline moves on");
                at = next.unwrap_or(at);
            }
            assert_eq!(at - now, secs(expected), "{why}, {mode:?}");
            assert_eq!(restart.next_deadline(), None, "{why}");
        }
    }
}

#[test]
fn without_neighbors_some_may_still_be_configured() {
    let now = start();
    let mut restart = restart(now, RestartMode::Fresh, &[]);
    assert_eq!(advance(&mut restart, now + Duration::from_secs(14)), Phase::Settling);
    assert_eq!(advance(&mut restart, now + Duration::from_secs(15)), Phase::Done);
}

#[test]
fn what_the_open_says_in_each_phase() {
    let said = |restart: &Restart| {
        let capability = restart.capability(60, &[V4, V6]);
        (
            capability.restarting,
            capability.families.iter().map(|promise| promise.forwarding).collect::<Vec<_>>(),
        )
    };
    let now = start();
    let mut again = restart(now, restarting(), &[1]);
    assert_eq!(said(&again), (true, vec![true, false]), "R, and F of what was preserved");
    again.on_established(now, peer(1), &terms(Some(true)));
    advance(&mut again, now);
    assert_eq!((again.phase(), said(&again)), (Phase::Settling, (false, vec![true, false])));
    again.on_end_of_rib(peer(1), V4);
    again.on_end_of_rib(peer(1), V6);
    advance(&mut again, now);
    assert_eq!(said(&again), (false, vec![true, true]), "our forwarding is complete");
    assert_eq!(said(&restart(now, RestartMode::Fresh, &[1])), (false, vec![false, false]));
}

#[test]
fn end_of_rib_needs_all_that_we_have_to_tell() {
    let now = start();
    for (mode, with_sources) in [(RestartMode::Fresh, true), (restarting(), false)] {
        let mut restart = Restart::new(now, mode.clone(), Duration::from_mins(1));
        restart.on_neighbors(now, &[peer(1)].into());
        assert!(!restart.may_end_rib(now), "{mode:?}: sources are missing");
        restart.on_local_sources_synced();
        assert_eq!(restart.may_end_rib(now), with_sources, "{mode:?}: and after a restart the selection");
    }
}
