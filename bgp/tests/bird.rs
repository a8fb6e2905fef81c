//! BIRD as the neighbor: sessions, routes both ways, and graceful restart in both roles.

#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod lab;

use bgp::config::{BfdConfig, NeighborConfig, SpeakerConfig};
use bgp::speaker::{RestartMode, SessionEvent, SessionEventKind, Stop};
use bgp::wire::Family;
use lab::bird::Bird;
use lab::{Router, isolated, network};

const CONFIG: &str = "
log stderr all;
router id 10.0.0.2;
protocol device { scan time 1; }
protocol static static4 { ipv4; route 10.2.0.0/24 blackhole; }
protocol static static6 { ipv6; route fd02::/64 blackhole; }
protocol bgp tortie {
    local 10.0.0.2 as 65002;
    neighbor 10.0.0.1 as 65001;
    graceful restart on;
    connect retry time 1;
    connect delay time 1;
    error wait time 1, 2;
    ipv4 { import all; export where source = RTS_STATIC; };
    ipv6 { import all; export where source = RTS_STATIC; next hop address fd00::2; };
}
";

fn config() -> SpeakerConfig {
    let neighbor = NeighborConfig::new("bird", "10.0.0.2".parse().unwrap(), 65002);
    lab::config(65001, ["10.0.0.1", "fd00::1"], neighbor)
}

async fn established(config: SpeakerConfig, restart: RestartMode, bird: &Bird) -> Router {
    let mut router = Router::start(config, restart, "10.0.0.1").await;
    router.originate(&["10.1.0.0/24", "fd01::/64"]).await;
    router.until_established().await;
    router.until("routes of BIRD", |router| router.table.len() == 2).await;
    bird.until("show protocols all tortie", &["Established"]).await;
    router
}

#[test]
fn routes_of_both_families_both_ways() {
    isolated(&[], || async {
        let bird = Bird::start("routes", CONFIG);
        let mut router = established(config(), RestartMode::Fresh, &bird).await;
        assert_eq!(router.gateways("10.2.0.0/24"), ["10.0.0.2"]);
        assert_eq!(router.gateways("fd02::/64"), ["fd00::2"]);
        bird.until("show route all 10.1.0.0/24", &["via 10.0.0.1 on there", "BGP.as_path: 65001"]).await;
        bird.until("show route all fd01::/64", &["via fd00::1 on there", "BGP.as_path: 65001"]).await;

        router.originate(&["10.1.0.0/24"]).await;
        bird.until("show route fd01::/64", &["Network not found"]).await;
        bird.ask("disable static6");
        router.until("a withdrawal", |router| router.gateways("fd02::/64").is_empty()).await;
        router.stop(Stop::Cease { text: "the test is over".to_owned() }).await;
        bird.until("show protocols all tortie", &["the test is over"]).await;
        assert_eq!(bird.ask("show route 10.1.0.0/24").matches("10.0.0.1").count(), 0);
    });
}

#[test]
fn bird_restarts_and_we_help() {
    isolated(&[], || async {
        let mut bird = Bird::start("helped", CONFIG);
        let mut router = established(config(), RestartMode::Fresh, &bird).await;
        bird.kill();
        router.until("the loss", |router| !router.is_established()).await;
        assert_eq!(router.table.len(), 2, "the routes stay");
        bird.restart(true);
        router.until_established().await;
        bird.until("show protocols all tortie", &["Established"]).await;
        // A route that is told after End-of-RIB: whatever the restart removed was removed before it.
        bird.until("show route protocol tortie", &["10.1.0.0/24", "fd01::/64"]).await;
        assert_eq!(router.withdrawals, [], "no route went, not for a moment");
    });
}

#[test]
fn we_restart_and_bird_helps() {
    isolated(&[], || async {
        let bird = Bird::start("helping", CONFIG);
        let router = established(config(), RestartMode::Fresh, &bird).await;
        bird.until("show route protocol tortie", &["10.1.0.0/24", "fd01::/64"]).await;
        router.stop(Stop::Silent).await;
        bird.until("show protocols all tortie", &["Neighbor graceful restart active"]).await;
        let kept = bird.ask("show route protocol tortie");
        assert!(kept.contains("10.1.0.0/24") && kept.contains("fd01::/64"), "BIRD keeps them: {kept}");

        let restart = RestartMode::Restarting { preserved_families: Family::ALL.to_vec() };
        let mut router = Router::start(config(), restart, "10.0.0.1").await;
        router.originate(&["10.1.0.0/24"]).await;
        router.until("the end of the restart", |router| router.is_synced).await;
        assert!(router.table.contains_key(&network("10.2.0.0/24")));
        bird.until("show route fd01::/64", &["Network not found"]).await;
        bird.until("show route 10.1.0.0/24", &["via 10.0.0.1 on there"]).await;
        assert!(!bird.log().contains("Error"), "{}", bird.log());
    });
}

/// The same BIRD with BFD for the session.
fn config_with_bfd() -> String {
    let bfd = "protocol bfd { interface \"there\" { interval 200 ms; multiplier 3; }; }\n";
    format!("{bfd}{}", CONFIG.replace("graceful restart on;", "graceful restart on; bfd graceful;"))
}

fn watched() -> SpeakerConfig {
    let mut config = config();
    let times =
        BfdConfig { transmit_interval_millis: 200, receive_interval_millis: 200, detect_multiplier: 3 };
    config.neighbors[0].bfd = Some(times);
    config
}

async fn watched_session(restart: RestartMode, bird: &Bird) -> Router {
    let router = established(watched(), restart, bird).await;
    bird.until("show bfd sessions", &["Up"]).await;
    router
}

#[test]
fn a_dead_neighbor_is_left_long_before_the_hold_time() {
    isolated(&[], || async {
        let mut bird = Bird::start("bfd-dead", &config_with_bfd());
        let mut router = watched_session(RestartMode::Fresh, &bird).await;
        // Frozen, not killed: its kernel answers TCP, and only silence tells.
        bird.freeze();
        router.until("the loss", |router| !router.is_established()).await;
        let is_told = |event: &SessionEvent| matches!(&event.kind, SessionEventKind::Down { reason, .. } if reason == "BFD: control detection time expired");
        assert!(router.events.iter().any(is_told), "{:?}", router.events);
    });
}

#[test]
fn a_planned_restart_is_no_failure_for_bfd() {
    isolated(&[], || async {
        let bird = Bird::start("bfd-planned", &config_with_bfd());
        let router = watched_session(RestartMode::Fresh, &bird).await;
        bird.until("show route protocol tortie", &["10.1.0.0/24", "fd01::/64"]).await;
        router.stop(Stop::Silent).await;
        bird.until("show protocols all tortie", &["Neighbor graceful restart active"]).await;
        let kept = bird.ask("show route protocol tortie");
        assert!(kept.contains("10.1.0.0/24") && kept.contains("fd01::/64"), "BIRD keeps them: {kept}");
        let restart = RestartMode::Restarting { preserved_families: Family::ALL.to_vec() };
        let mut router = watched_session(restart, &bird).await;
        router.until("the end of the restart", |router| router.is_synced).await;
        assert_eq!(router.withdrawals, [], "no route went, not for a moment");
    });
}
