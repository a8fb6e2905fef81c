//! Graceful restart in both roles (RFC 4724, RFC 8538), between speakers in memory.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod network;

use bgp::speaker::{Input, RestartMode, SessionEventKind, Stop};
use bgp::status::RestartStatus;
use bgp::wire::Family;
use network::Network;

const PRESERVED: [Family; 2] = Family::ALL;

fn restarting(preserved: &[Family]) -> RestartMode {
    RestartMode::Restarting { preserved_families: preserved.to_vec() }
}

/// A node (0) between two `ToRs` (1, 2), which both tell the same prefix; everything is up.
fn rack(seed: u64) -> Network {
    let mut network = Network::new(seed);
    let node = network.add("node", 65101, &["10.0.0.1", "fd00::1"]);
    for (name, address) in [("tor-1", ["10.0.0.2", "fd00::2"]), ("tor-2", ["10.0.0.3", "fd00::3"])] {
        let tor = network.add(name, 64601, &address);
        network.join(node, tor);
    }
    network.start(0, RestartMode::Fresh, &["10.1.0.0/24", "fd00:1::/64", "10.1.1.0/24"]);
    for tor in [1, 2] {
        network.start(tor, RestartMode::Fresh, &["10.8.0.0/16", "fd00:8::/48"]);
    }
    settle(&mut network);
    network
}

fn settle(network: &mut Network) {
    network.run_until("everything is up and complete", 60, |network| {
        network.nodes.iter().all(|node| node.is_synced)
            && [1, 2].iter().all(|tor| network.is_established(0, *tor))
    });
    network.run_secs(1);
    for node in 0..network.nodes.len() {
        network.take_changes(node);
        network.take_events(node);
    }
}

#[test]
fn a_restart_changes_no_kernel_route_on_either_side() {
    for seed in 0..20 {
        let mut network = rack(seed);
        let kernel = network.nodes[0].kernel.clone();
        assert_eq!(kernel.len(), 2);
        if seed % 2 == 0 {
            network.crash(0);
        } else {
            network.stop(0, Stop::Silent);
        }
        network.run_secs(2 + seed);
        network.start(0, restarting(&PRESERVED), &["10.1.0.0/24", "fd00:1::/64", "10.1.1.0/24"]);
        network.run_until("the restart is over", 30, |network| network.nodes[0].is_synced);
        network.run_secs(200);
        for (_, prefix, next_hops) in network.take_changes(0) {
            assert_eq!(kernel.get(&prefix), Some(&next_hops), "seed {seed}: {prefix} is said as it was");
        }
        assert_eq!(network.nodes[0].kernel, kernel, "seed {seed}");
        for tor in [1, 2] {
            assert!(network.take_changes(tor).is_empty(), "seed {seed}: the helper's routes stay");
            assert_eq!(network.status(tor, 0).families[0].stale, 0, "seed {seed}");
            assert_eq!(network.status(tor, 0).flaps, 1, "seed {seed}");
        }
    }
}

#[test]
fn only_the_first_sessions_after_a_restart_are_called_one() {
    let said = |network: &Network| {
        let session = network.status(1, 0).session.unwrap();
        session
            .capabilities
            .into_iter()
            .find(|capability| capability.starts_with("graceful-restart"))
            .unwrap()
    };
    let mut network = rack(99);
    assert_eq!(said(&network), "graceful-restart 60 s, notification");
    network.crash(0);
    network.start(0, restarting(&PRESERVED), &["10.1.0.0/24", "fd00:1::/64", "10.1.1.0/24"]);
    settle(&mut network);
    assert_eq!(said(&network), "graceful-restart 60 s, restarting, notification");
    network.reset_connections(0, 1);
    network.run_secs(1);
    settle(&mut network);
    assert_eq!(said(&network), "graceful-restart 60 s, notification");
    assert!(network.take_changes(1).is_empty(), "and forwarding went on: the F bits are there");
}

#[test]
fn what_is_not_told_again_goes_with_end_of_rib_and_not_before() {
    let mut network = rack(100);
    network.crash(0);
    network.run_secs(1);
    assert_eq!(network.status(1, 0).families[0].stale, 2);
    network.start_unsynced(0, restarting(&PRESERVED));
    network.originate(0, &["10.1.0.0/24", "fd00:1::/64"]);
    network.run_secs(10);
    assert_eq!(network.gateways(1, "10.1.1.0/24"), ["10.0.0.1"], "the originations are not complete");
    network.input(0, Input::LocalSourcesSynced);
    network.run_secs(1);
    assert_eq!(network.gateways(1, "10.1.1.0/24"), Vec::<String>::new());
    assert_eq!(network.gateways(1, "10.1.0.0/24"), ["10.0.0.1"]);
    assert_eq!(network.take_changes(1).len(), 1, "nothing else moved");
}

#[test]
fn local_sources_that_never_come_are_not_waited_for_for_ever() {
    let mut network = rack(101);
    network.crash(0);
    network.start_unsynced(0, restarting(&PRESERVED));
    network.originate(0, &["10.1.0.0/24"]);
    network.run_secs(29);
    assert!(!network.nodes[0].is_synced);
    network.run_secs(2);
    assert!(network.nodes[0].is_synced, "after 30 s");
}

#[test]
fn without_kept_forwarding_the_helper_drops_at_once() {
    let mut network = rack(102);
    network.crash(0);
    network.run_secs(1);
    assert_eq!(network.gateways(1, "10.1.0.0/24"), ["10.0.0.1"]);
    network.nodes[0].kernel.clear();
    network.start_unsynced(0, restarting(&[Family::Ipv6Unicast]));
    network.run_until("the session is back", 10, |network| network.is_established(0, 1));
    assert_eq!(network.gateways(1, "10.1.0.0/24"), Vec::<String>::new(), "F=0 for IPv4");
    assert_eq!(network.gateways(1, "fd00:1::/64"), ["fd00::1"], "F=1 for IPv6");
}

#[test]
fn a_neighbor_that_never_returns_loses_its_routes_after_the_restart_time() {
    let mut network = rack(103);
    network.crash(0);
    network.run_secs(58);
    assert_eq!(network.gateways(1, "10.1.0.0/24"), ["10.0.0.1"]);
    network.run_secs(3);
    assert_eq!(network.gateways(1, "10.1.0.0/24"), Vec::<String>::new());
    let events = network.take_events(1);
    let is_removal =
        |event: &SessionEventKind| matches!(event, SessionEventKind::StaleRoutesRemoved { count: 3, .. });
    assert!(events.iter().any(is_removal), "{events:?}");
}

#[test]
fn a_planned_end_makes_the_helper_forget_at_once() {
    let mut network = rack(104);
    network.stop(0, Stop::Cease { text: "node drained".to_owned() });
    network.run_secs(1);
    assert_eq!(network.gateways(1, "10.1.0.0/24"), Vec::<String>::new());
    let down = network.status(1, 0).last_error_received.unwrap().reason;
    assert!(down.contains("Hard Reset") && down.contains("node drained"), "{down}");
}

#[test]
fn silence_counts_as_a_restart_but_moves_traffic_where_there_is_another_way() {
    let mut network = rack(105);
    network.originate(1, &["10.8.0.0/16", "10.9.0.0/16"]);
    network.run_secs(1);
    network.block(0, 1);
    network.run_secs(12);
    assert_eq!(
        network.gateways(1, "10.1.0.0/24"),
        ["10.0.0.1"],
        "both sides have the N bit, and no other way"
    );
    assert_eq!(network.gateways(0, "10.9.0.0/16"), ["10.0.0.2"], "likewise");
    assert_eq!(network.gateways(0, "10.8.0.0/16"), ["10.0.0.3"], "the other ToR is alive");
    assert!(network.take_changes(1).is_empty());
    network.unblock(0, 1);
    network.run_until("the session is back", 60, |network| network.is_established(0, 1));
    network.run_secs(2);
    assert_eq!(network.gateways(0, "10.8.0.0/16"), ["10.0.0.2", "10.0.0.3"]);
    assert!(network.take_changes(1).is_empty() && network.take_changes(2).is_empty());
}

#[test]
fn equal_cost_routes_do_not_shrink_while_one_neighbor_is_late() {
    let mut network = rack(106);
    network.crash(0);
    network.block(0, 2);
    network.start(0, restarting(&PRESERVED), &["10.1.0.0/24", "fd00:1::/64", "10.1.1.0/24"]);
    network.run_secs(10);
    assert!(network.is_established(0, 1));
    assert!(network.take_changes(0).is_empty(), "the other neighbor may still come");
    let status = network.nodes[0].speaker.as_ref().unwrap().status(network.now);
    assert!(
        matches!(&status.restart, RestartStatus::Selecting { waiting_for, .. } if waiting_for[..] == ["tor-2"]),
        "{:?}",
        status.restart
    );
    network.run_secs(6);
    assert!(network.nodes[0].is_synced, "a neighbor that never comes holds up nobody after 15 s");
    assert_eq!(network.gateways(0, "10.8.0.0/16"), ["10.0.0.2"]);
}

#[test]
fn kernel_routes_that_nobody_tells_any_more_are_swept_at_the_end() {
    let mut network = rack(107);
    network.crash(0);
    network.originate(1, &["10.8.0.0/16"]);
    network.originate(2, &["10.8.0.0/16"]);
    network.start(0, restarting(&PRESERVED), &[]);
    assert_eq!(network.gateways(0, "fd00:8::/48").len(), 2, "still there");
    network.run_until("the restart is over", 30, |network| network.nodes[0].is_synced);
    assert_eq!(network.nodes[0].kernel.len(), 1, "swept");
}

#[test]
fn when_all_restart_at_once_nobody_waits_for_the_other() {
    let mut network = rack(108);
    let kernels: Vec<_> = network.nodes.iter().map(|node| node.kernel.clone()).collect();
    for node in 0..3 {
        network.crash(node);
    }
    network.run_secs(1);
    network.start(0, restarting(&PRESERVED), &["10.1.0.0/24", "fd00:1::/64", "10.1.1.0/24"]);
    for tor in [1, 2] {
        network.start(tor, restarting(&PRESERVED), &["10.8.0.0/16", "fd00:8::/48"]);
    }
    network.run_until("all restarts are over", 14, |network| network.nodes.iter().all(|node| node.is_synced));
    network.run_secs(5);
    for (node, kernel) in kernels.into_iter().enumerate() {
        for (_, prefix, next_hops) in network.take_changes(node) {
            assert_eq!(kernel.get(&prefix), Some(&next_hops), "{prefix} at {node}");
        }
        assert_eq!(network.nodes[node].kernel, kernel);
    }
}

#[test]
fn a_dead_connection_gives_way_to_that_of_the_restarted_neighbor() {
    let mut network = rack(109);
    // The machine vanishes without a word and is back before the hold time is over.
    network.block(0, 1);
    network.crash(0);
    network.run_secs(1);
    network.unblock(0, 1);
    network.run_secs(2);
    assert_eq!(network.status(1, 0).flaps, 0, "tor-1 knows nothing yet");
    network.start(0, restarting(&PRESERVED), &["10.1.0.0/24", "fd00:1::/64", "10.1.1.0/24"]);
    network.run_until("the session is back long before the hold time", 3, |network| {
        network.is_established(0, 1)
    });
    network.run_secs(1);
    assert_eq!(network.status(1, 0).flaps, 1);
    assert!(network.take_changes(1).is_empty(), "its routes stayed");
}

#[test]
fn a_neighbor_without_the_capability_neither_keeps_nor_is_waited_for() {
    let mut network = Network::new(110);
    let a = network.add("a", 64512, &["10.0.0.1", "fd00::1"]);
    let b = network.add("b", 64513, &["10.0.0.2", "fd00::2"]);
    network.join(a, b);
    network.nodes[b].config.graceful_restart = None;
    network.start(a, RestartMode::Fresh, &["10.1.0.0/24"]);
    network.start(b, RestartMode::Fresh, &["10.2.0.0/24"]);
    network.run_until("up", 10, |network| network.is_established(0, 1));
    network.run_secs(1);
    network.crash(a);
    network.run_secs(1);
    assert_eq!(network.gateways(b, "10.1.0.0/24"), Vec::<String>::new());
    network.start(a, restarting(&PRESERVED), &["10.1.0.0/24"]);
    network.run_until("not for long", 10, |network| network.nodes[0].is_synced);
    assert_eq!(network.gateways(a, "10.2.0.0/24"), ["10.0.0.2"], "its routes came before the sweep");
    assert_eq!(network.gateways(b, "10.1.0.0/24"), ["10.0.0.1"]);
    network.run_secs(60);
    assert!(network.is_established(a, b));
}
