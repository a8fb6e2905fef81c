//! Two or more speakers in memory: sessions, routes, configuration, one topic at a time.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod network;

use std::collections::BTreeMap;
use std::time::Duration;

use bgp::config::{ExportPolicy, Origination};
use bgp::speaker::{Input, RestartMode, SessionEventKind, Stop};
use bgp::status::{PathVerdict, RouteStatus, SessionState, SpeakerStatus};
use bgp::wire::Community;
use network::Network;

fn pair(seed: u64, asns: (u32, u32)) -> Network {
    let mut network = Network::new(seed);
    let a = network.add("a", asns.0, &["10.0.0.1", "fd00::1"]);
    let b = network.add("b", asns.1, &["10.0.0.2", "fd00::2"]);
    network.join(a, b);
    network
}

/// A node (0) of its own AS with two `ToRs` (1, 2) of one AS.
fn rack(seed: u64) -> Network {
    let mut network = Network::new(seed);
    let node = network.add("node", 65101, &["10.0.0.1", "fd00::1"]);
    for (name, address) in [("tor-1", ["10.0.0.2", "fd00::2"]), ("tor-2", ["10.0.0.3", "fd00::3"])] {
        let tor = network.add(name, 64601, &address);
        network.join(node, tor);
    }
    network
}

fn start_all(network: &mut Network, prefixes: &[&[&str]]) {
    for (node, prefixes) in prefixes.iter().enumerate() {
        network.start(node, RestartMode::Fresh, prefixes);
    }
}

fn settle(network: &mut Network) {
    network.run_until("all sessions are up", 30, |network| {
        (0..network.nodes.len()).all(|node| {
            let status = network.nodes[node].speaker.as_ref().unwrap().status(network.now);
            status.neighbors.iter().all(|neighbor| neighbor.state == SessionState::Established)
        })
    });
    network.run_secs(1);
}

#[test]
fn two_speakers_exchange_both_families_on_one_session() {
    for (why, asns) in [("external", (64512, 4_200_000_001)), ("internal", (64512, 64512))] {
        let mut network = pair(1, asns);
        start_all(&mut network, &[&["10.1.0.0/24", "fd00:1::/64"], &["10.2.0.0/24", "fd00:2::/64"]]);
        network.run_until("both sides see the other's routes", 5, |network| {
            network.gateways(0, "10.2.0.0/24") == ["10.0.0.2"]
                && network.gateways(0, "fd00:2::/64") == ["fd00::2"]
                && network.gateways(1, "10.1.0.0/24") == ["10.0.0.1"]
                && network.gateways(1, "fd00:1::/64") == ["fd00::1"]
        });
        network.run_secs(60);
        assert!(network.is_established(0, 1), "{why}");
        let status = network.status(0, 1);
        assert_eq!(status.flaps, 0, "{why}: keepalives hold the session");
        let counts: Vec<_> =
            status.families.iter().map(|f| (f.received, f.accepted, f.advertised, f.stale)).collect();
        assert_eq!(counts, [(1, 1, 1, 0), (1, 1, 1, 0)], "{why}");
        assert!(network.nodes.iter().all(|node| node.is_synced), "{why}");
    }
}

#[test]
fn when_both_dial_one_connection_stays() {
    for seed in 0..50 {
        // Equal latencies make both OPENs cross; the greater router ID is b's.
        let mut network = pair(seed, (64512, 64512));
        start_all(&mut network, &[&[], &[]]);
        network.run_secs(3);
        assert!(network.is_established(0, 1), "seed {seed}");
        assert_eq!(network.connections(), 1, "seed {seed}: the other connection is closed");
        network.run_secs(30);
        for (node, peer) in [(0, 1), (1, 0)] {
            assert_eq!(network.status(node, peer).flaps, 0, "seed {seed}");
            let events = network.take_events(node);
            let downs =
                events.iter().filter(|event| matches!(event, SessionEventKind::NotEstablished { .. }));
            assert_eq!(downs.count(), 0, "seed {seed}: a lost collision is no error: {events:?}");
        }
    }
}

#[test]
fn a_passive_neighbor_waits_to_be_dialed() {
    let mut network = pair(3, (64512, 64513));
    network.nodes[0].config.neighbors[0].passive = true;
    start_all(&mut network, &[&[], &[]]);
    settle(&mut network);
    let mut both = pair(3, (64512, 64513));
    for node in &mut both.nodes {
        node.config.neighbors[0].passive = true;
    }
    start_all(&mut both, &[&[], &[]]);
    both.run_secs(30);
    assert_eq!(both.status(0, 1).state, SessionState::Active, "nobody dials");
}

#[test]
fn strangers_are_turned_away() {
    let mut network = pair(4, (64512, 64513));
    network.nodes[1].config.neighbors.clear();
    start_all(&mut network, &[&[], &[]]);
    network.run_secs(5);
    let refused = network.take_events(1).into_iter().any(|event| {
        matches!(event, SessionEventKind::ConnectionRefused { reason } if reason.contains("10.0.0.1"))
    });
    assert!(refused);
    assert_eq!(network.connections(), 0);
}

#[test]
fn a_wrong_as_is_refused_with_growing_pauses_and_named_on_both_sides() {
    let mut network = pair(5, (64512, 64513));
    network.nodes[0].config.neighbors[0].remote_asn = 64999;
    start_all(&mut network, &[&[], &[]]);
    network.run_secs(120);
    let sent = network.status(0, 1).last_error_sent.unwrap().reason;
    assert!(sent.contains("AS 64513") && sent.contains("AS 64999"), "{sent}");
    let received = network.status(1, 0).last_error_received.unwrap().reason;
    assert!(received.contains("Bad Peer AS"), "{received}");
    let is_attempt = |event: &SessionEventKind| matches!(event, SessionEventKind::NotEstablished { .. });
    let attempts = network.take_events(0).into_iter().filter(is_attempt).count();
    assert!((5..15).contains(&attempts), "the pauses grow: {attempts} attempts in two minutes");
}

#[test]
fn silence_ends_the_session_after_the_hold_time() {
    let mut network = pair(6, (64512, 64513));
    for node in &mut network.nodes {
        node.config.graceful_restart = None;
    }
    start_all(&mut network, &[&["10.1.0.0/24"], &["10.2.0.0/24"]]);
    settle(&mut network);
    network.block(0, 1);
    network.run_secs(5);
    assert!(network.is_established(0, 1), "the hold time is 9 s");
    network.run_secs(5);
    assert_eq!(network.gateways(0, "10.2.0.0/24"), Vec::<String>::new());
    let status = network.status(0, 1);
    assert!(status.last_down.unwrap().reason.contains("Hold Timer Expired"), "{:?}", status.last_error_sent);
    network.unblock(0, 1);
    network.run_until("the session is back", 30, |network| network.is_established(0, 1));
    assert_eq!(network.status(0, 1).flaps, 1);
}

#[test]
fn a_node_uses_both_tors_and_carries_no_traffic_between_them() {
    let mut network = rack(7);
    for neighbor in &mut network.nodes[0].config.neighbors {
        neighbor.export = ExportPolicy::OriginatedOnly;
        neighbor.import_default_routes = Some(true);
    }
    // Not in the rack's AS, or the loop check would hide what the node must not tell.
    network.nodes[2].config.asn = 64602;
    network.nodes[0].config.neighbors[1].remote_asn = 64602;
    start_all(&mut network, &[&["10.244.0.0/26"], &["0.0.0.0/0", "10.8.0.0/24"], &["0.0.0.0/0"]]);
    settle(&mut network);
    assert_eq!(network.gateways(0, "0.0.0.0/0"), ["10.0.0.2", "10.0.0.3"]);
    assert_eq!(network.gateways(0, "10.8.0.0/24"), ["10.0.0.2"]);
    assert_eq!(network.gateways(1, "10.244.0.0/26"), ["10.0.0.1"]);
    assert_eq!(network.gateways(2, "10.8.0.0/24"), Vec::<String>::new(), "learnt from one ToR, told to none");
    // One ToR fails: what is left is used.
    network.stop(1, Stop::Cease { text: "maintenance".to_owned() });
    network.run_secs(1);
    assert_eq!(network.gateways(0, "0.0.0.0/0"), ["10.0.0.3"]);
    let reason = network.status(0, 1).last_error_received.unwrap().reason;
    assert!(reason.contains("Hard Reset"), "{reason}");
}

#[test]
fn multipath_has_a_limit_and_default_routes_need_a_word() {
    let mut network = rack(8);
    network.nodes[0].config.multipath_max = 1;
    start_all(&mut network, &[&[], &["0.0.0.0/0", "10.8.0.0/24"], &["0.0.0.0/0", "10.8.0.0/24"]]);
    settle(&mut network);
    assert_eq!(network.gateways(0, "10.8.0.0/24"), ["10.0.0.2"], "the lower router ID");
    assert_eq!(network.gateways(0, "0.0.0.0/0"), Vec::<String>::new());
    let routes = network.nodes[0].speaker.as_ref().unwrap().routes();
    let verdicts = |prefix: &str| -> Vec<PathVerdict> {
        let route = routes.iter().find(|route| route.prefix == prefix.parse().unwrap()).unwrap();
        route.paths.iter().map(|path| path.verdict.clone()).collect()
    };
    assert_eq!(verdicts("10.8.0.0/24"), [PathVerdict::Best, PathVerdict::Lost("router-id".to_owned())]);
    assert!(matches!(&verdicts("0.0.0.0/0")[0], PathVerdict::Rejected(reason) if reason.contains("default")));

    // Both can be changed with the sessions up.
    let mut config = network.nodes[0].config.clone();
    config.multipath_max = 8;
    config.import_default_routes = true;
    network.input(0, Input::Configure(config));
    network.run_secs(1);
    for prefix in ["10.8.0.0/24", "0.0.0.0/0"] {
        assert_eq!(network.gateways(0, prefix), ["10.0.0.2", "10.0.0.3"], "{prefix}");
    }
    let report = network.nodes[0].reports.pop().unwrap().unwrap();
    assert_eq!((report.updated.len(), report.reset.len()), (2, 0));
    assert_eq!(network.status(0, 1).flaps + network.status(0, 2).flaps, 0);
}

#[test]
fn a_configuration_resets_only_the_sessions_that_must() {
    let mut network = rack(9);
    start_all(&mut network, &[&["10.1.0.0/24"], &["10.2.0.0/24"], &["10.3.0.0/24"]]);
    settle(&mut network);
    network.take_changes(0);
    let mut config = network.nodes[0].config.clone();
    config.neighbors[0].hold_time_secs = Some(30);
    config.neighbors[1].connect_retry_secs = 7;
    network.input(0, Input::Configure(config.clone()));
    let report = network.nodes[0].reports.pop().unwrap().unwrap();
    assert_eq!(report.updated, ["tor-2"]);
    let reset: Vec<_> =
        report.reset.iter().map(|reset| (reset.neighbor.as_str(), reset.because.clone())).collect();
    assert_eq!(reset, [("tor-1", vec!["hold_time_secs".to_owned()])]);
    settle(&mut network);
    assert_eq!((network.status(0, 1).flaps, network.status(0, 2).flaps), (1, 0));
    assert!(network.take_changes(0).is_empty(), "graceful restart carries routes over the reset");

    config.neighbors.remove(0);
    network.input(0, Input::Configure(config.clone()));
    network.run_secs(1);
    assert_eq!(network.nodes[0].reports.pop().unwrap().unwrap().removed, ["tor-1"]);
    assert_eq!(network.gateways(0, "10.2.0.0/24"), Vec::<String>::new(), "gone with its neighbor");
    assert_eq!(
        network.gateways(1, "10.1.0.0/24"),
        Vec::<String>::new(),
        "the other side was told to forget us"
    );
    assert!(network.is_established(0, 2));

    config.neighbors[0].remote_asn = 0;
    network.input(0, Input::Configure(config));
    let errors = network.nodes[0].reports.pop().unwrap().unwrap_err();
    assert!(errors.to_string().contains("neighbors.tor-2.remote_asn"), "{errors}");
    assert!(network.is_established(0, 2), "a refused configuration changes nothing");
}

#[test]
fn changed_policy_and_next_hop_reach_the_neighbor_without_a_reset() {
    let mut network = rack(10);
    network.nodes[2].config.asn = 64602;
    network.nodes[0].config.neighbors[1].remote_asn = 64602;
    start_all(&mut network, &[&["10.1.0.0/24"], &["10.2.0.0/24"], &[]]);
    settle(&mut network);
    assert_eq!(network.gateways(2, "10.2.0.0/24"), ["10.0.0.1"]);
    let mut config = network.nodes[0].config.clone();
    config.neighbors[1].export = ExportPolicy::OriginatedOnly;
    config.neighbors[1].next_hop_ipv4 = Some("10.0.0.9".parse().unwrap());
    network.input(0, Input::Configure(config));
    network.run_secs(1);
    assert_eq!(network.gateways(2, "10.2.0.0/24"), Vec::<String>::new());
    assert_eq!(network.gateways(2, "10.1.0.0/24"), ["10.0.0.9"]);
    assert_eq!(network.status(0, 2).flaps, 0);
}

#[test]
fn internal_neighbors_hear_external_routes_once_and_unchanged() {
    // 3 (external) - 0 = 1 = 2, a full mesh of one AS.
    let mut network = Network::new(11);
    for (number, asn) in [(1, 64512), (2, 64512), (3, 64512), (4, 65001)] {
        let addresses = [format!("10.0.0.{number}"), format!("fd00::{number}")];
        network.add(&format!("r{number}"), asn, &[&addresses[0], &addresses[1]]);
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2), (0, 3)] {
        network.join(a, b);
    }
    start_all(&mut network, &[&[], &["10.2.0.0/24"], &[], &["10.4.0.0/24", "fd00:4::/64"]]);
    settle(&mut network);
    assert_eq!(network.gateways(2, "10.4.0.0/24"), ["10.0.0.4"], "the next hop of the border stays");
    assert_eq!(network.gateways(2, "fd00:4::/64"), ["fd00::4"]);
    assert_eq!(network.gateways(3, "10.2.0.0/24"), ["10.0.0.1"], "our own towards another AS");
    let route = network.nodes[2].speaker.as_ref().unwrap().routes();
    let route = route.into_iter().find(|route| route.prefix == "10.4.0.0/24".parse().unwrap()).unwrap();
    assert_eq!(route.paths.len(), 1, "an internal neighbor does not repeat what another said");
    assert_eq!((route.paths[0].as_path.as_str(), route.paths[0].local_pref), ("65001", Some(100)));
}

#[test]
fn originations_carry_their_communities_and_change_in_place() {
    let mut network = pair(12, (64512, 64513));
    start_all(&mut network, &[&[], &[]]);
    settle(&mut network);
    let prefix = "10.1.0.0/24".parse().unwrap();
    let tagged = |text: &str| {
        let communities: Vec<Community> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let large_communities = vec!["64512:1:2".parse().unwrap()];
        let origination = Origination { communities, large_communities, ..Origination::default() };
        Input::Originate(BTreeMap::from([(prefix, origination)]))
    };
    network.input(0, tagged("64512:7 64512:3"));
    network.run_secs(1);
    let routes = network.nodes[1].speaker.as_ref().unwrap().routes();
    let communities: Vec<String> = routes[0].paths[0].communities.iter().map(Community::to_string).collect();
    assert_eq!(communities, ["64512:3", "64512:7"]);
    assert_eq!(routes[0].paths[0].large_communities[0].to_string(), "64512:1:2");
    network.take_changes(1);
    network.input(0, tagged("64512:8"));
    network.run_secs(1);
    assert!(network.take_changes(1).is_empty(), "another community is no other next hop");
    network.input(0, tagged("65535:65281"));
    network.run_secs(1);
    assert_eq!(network.gateways(1, "10.1.0.0/24"), Vec::<String>::new(), "NO_EXPORT");
}

#[test]
fn status_and_routes_go_through_json_unharmed() {
    let mut network = rack(16);
    network.start(0, RestartMode::Restarting { preserved_families: Vec::new() }, &["10.1.0.0/24"]);
    network.start(1, RestartMode::Fresh, &["10.8.0.0/24", "0.0.0.0/0", "fd00:8::/48"]);
    for secs in [0, 2, 20] {
        network.run_secs(secs);
        let speaker = network.nodes[0].speaker.as_ref().unwrap();
        let (status, routes) = (speaker.status(network.now), speaker.routes());
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<SpeakerStatus>(&text).unwrap(), status, "{text}");
        let text = serde_json::to_string(&routes).unwrap();
        assert_eq!(serde_json::from_str::<Vec<RouteStatus>>(&text).unwrap(), routes, "{text}");
        for event in network.take_events(0) {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<SessionEventKind>(&text).unwrap(), event, "{text}");
        }
    }
}

#[test]
fn a_neighbor_without_our_address_of_a_family_is_not_told_of_it() {
    let mut network = pair(13, (64512, 64513));
    network.nodes[0].config.neighbors[0].next_hop_ipv6 = None;
    start_all(&mut network, &[&["10.1.0.0/24", "fd00:1::/64"], &[]]);
    settle(&mut network);
    assert_eq!(network.gateways(1, "10.1.0.0/24"), ["10.0.0.1"]);
    assert_eq!(network.gateways(1, "fd00:1::/64"), Vec::<String>::new());
    let is_said = |event: &SessionEventKind| matches!(event, SessionEventKind::NextHopMissing { .. });
    assert!(network.take_events(0).iter().any(is_said));
}

#[test]
fn a_congested_neighbor_is_told_the_outcome_and_not_every_step() {
    let mut network = pair(14, (64512, 64513));
    start_all(&mut network, &[&["10.1.0.0/24", "10.5.0.0/24"], &[]]);
    settle(&mut network);
    network.set_congested(0, 1, true);
    for step in 0..50 {
        let prefix = format!("10.2.{step}.0/24");
        network.originate(0, &["10.1.0.0/24", &prefix]);
        network.run(Duration::from_millis(20));
    }
    assert_eq!(network.gateways(1, "10.5.0.0/24"), ["10.0.0.1"], "nothing is told meanwhile");
    let before = network.nodes[0].messages_sent;
    network.set_congested(0, 1, false);
    network.run(Duration::from_millis(50));
    assert_eq!(network.gateways(1, "10.2.49.0/24"), ["10.0.0.1"]);
    assert_eq!(network.gateways(1, "10.5.0.0/24"), Vec::<String>::new());
    assert_eq!(network.nodes[1].kernel.len(), 2);
    assert!(network.nodes[0].messages_sent - before <= 2, "one withdrawal, one announcement");
}

#[test]
fn many_prefixes_go_out_in_few_messages() {
    let mut network = pair(15, (64512, 64513));
    start_all(&mut network, &[&[], &[]]);
    settle(&mut network);
    let before = network.nodes[0].messages_sent;
    let prefixes: Vec<String> = (0..2000).map(|n| format!("10.{}.{}.0/24", 1 + n / 250, n % 250)).collect();
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    network.originate(0, &prefixes);
    network.run_secs(1);
    assert_eq!(network.nodes[1].kernel.len(), 2000);
    let sent = network.nodes[0].messages_sent - before;
    assert!(sent <= 4, "{sent} messages for 2000 prefixes of 4 octets");
}

#[test]
fn nodes_of_one_as_hear_of_each_other_through_another_only_where_that_is_allowed() {
    // (why, how often our AS may be in the path, gateways of the other node's prefix)
    for (why, allow_as_in, expected) in [("a loop", 0, vec![]), ("allowed", 1, vec!["10.0.0.2"])] {
        let mut network = Network::new(7);
        let one = network.add("one", 64512, &["10.0.0.1", "fd00::1"]);
        let tor = network.add("tor", 64601, &["10.0.0.2", "fd00::2"]);
        let other = network.add("other", 64512, &["10.0.0.3", "fd00::3"]);
        network.join(one, tor);
        network.join(other, tor);
        for node in [one, other] {
            network.nodes[node].config.neighbors[0].allow_as_in = allow_as_in;
            network.nodes[node].config.neighbors[0].export = ExportPolicy::OriginatedOnly;
        }
        start_all(&mut network, &[&["10.1.0.0/24"], &[], &["10.3.0.0/24"]]);
        settle(&mut network);
        assert_eq!(network.gateways(one, "10.3.0.0/24"), expected, "{why}");
        // What comes back of one's own is never used.
        assert_eq!(network.gateways(one, "10.1.0.0/24"), Vec::<String>::new(), "{why}");
        network.originate(other, &[]);
        network.run_secs(2);
        assert_eq!(network.gateways(one, "10.3.0.0/24"), Vec::<String>::new(), "{why}: withdrawn");
    }
}
