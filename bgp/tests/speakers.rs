//! Two or more speakers in memory: sessions, routes, restarts, one topic at a time.

mod network;

use bgp::speaker::RestartMode;
use network::Network;

fn pair(seed: u64, asns: (u32, u32)) -> Network {
    let mut network = Network::new(seed);
    let a = network.add("a", asns.0, &["10.0.0.1", "fd00::1"]);
    let b = network.add("b", asns.1, &["10.0.0.2", "fd00::2"]);
    network.join(a, b);
    network
}

#[test]
fn two_speakers_exchange_both_families_on_one_session() {
    for (why, asns) in [("external", (64512, 64513)), ("internal", (64512, 64512))] {
        let mut network = pair(1, asns);
        network.start(0, RestartMode::Fresh, &["10.1.0.0/24", "fd00:1::/64"]);
        network.start(1, RestartMode::Fresh, &["10.2.0.0/24", "fd00:2::/64"]);
        network.run_until("both sides see the other's routes", 5, |network| {
            network.gateways(0, "10.2.0.0/24") == ["10.0.0.2"]
                && network.gateways(0, "fd00:2::/64") == ["fd00::2"]
                && network.gateways(1, "10.1.0.0/24") == ["10.0.0.1"]
                && network.gateways(1, "fd00:1::/64") == ["fd00::1"]
        });
        assert!(network.is_established(0, 1), "{why}");
        network.run_secs(60);
        assert_eq!(network.status(0, 1).flaps, 0, "{why}: keepalives hold the session");
        assert!(network.nodes.iter().all(|node| node.is_synced), "{why}");
    }
}
