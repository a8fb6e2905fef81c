//! Sessions that are signed (RFC 2385), bound to a distance (RFC 5082), limited (RFC 4486) or shut down (RFC 9003),
//! with BIRD.

#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[allow(dead_code, reason = "no test here stops its router")]
mod lab;

use std::time::Duration;

use bgp::config::{Hold, MaxPrefixes, MaxPrefixesAction, NeighborConfig, Password, SpeakerConfig};
use bgp::speaker::{RestartMode, SessionEventKind};
use lab::bird::Bird;
use lab::{Router, isolated};

/// BIRD as 10.0.0.2 with these options of the session.
fn bird_config(options: &str) -> String {
    format!(
        "
log stderr all;
router id 10.0.0.2;
protocol device {{ scan time 1; }}
protocol static static4 {{ ipv4; route 10.2.0.0/24 blackhole; }}
protocol bgp tortie {{
    local 10.0.0.2 as 65002;
    neighbor 10.0.0.1 as 65001;
    connect retry time 1;
    connect delay time 1;
    error wait time 1, 2;
    {options}
    ipv4 {{ import all; export where source = RTS_STATIC; }};
}}
"
    )
}

fn config(change: impl FnOnce(&mut NeighborConfig)) -> SpeakerConfig {
    let mut neighbor = NeighborConfig::new("bird", "10.0.0.2".parse().unwrap(), 65002);
    change(&mut neighbor);
    lab::config(65001, ["10.0.0.1", "fd00::1"], neighbor)
}

fn with_password(password: &str) -> SpeakerConfig {
    config(|neighbor| neighbor.password = Some(Password::new(password)))
}

/// The reason why there is no session.
async fn reason(router: &Router) -> String {
    let status = router.handle.status().await.unwrap();
    status.neighbors[0].last_down.as_ref().map(|error| error.reason.clone()).unwrap_or_default()
}

async fn until_reason(router: &mut Router, text: &'static str) {
    let is_said = |router: &Router| {
        router.events.iter().any(|event| matches!(&event.kind, SessionEventKind::NotEstablished { reason, .. } if reason.contains(text)))
    };
    router.until(text, is_said).await;
    let reason = reason(router).await;
    assert!(reason.contains(text), "{reason}");
}

/// Waits until the kernel has dropped a segment for its TTL.
async fn until_dropped() {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let wait = async {
        while dropped_for_ttl() == 0 {
            tick.tick().await;
        }
    };
    tokio::time::timeout(lab::LIMIT, wait).await.expect("the kernel drops what comes from too far");
}

fn dropped_for_ttl() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut counters = names.split(' ').zip(values.split(' '));
    let (_, value) = counters.find(|(name, _)| *name == "TCPMinTTLDrop").expect("the kernel counts it");
    value.parse().unwrap()
}

#[test]
fn a_signed_session_comes_up_whoever_dials() {
    // (why, BIRD's options, whether we only wait)
    for (why, options, passive) in
        [("we-dial", "password \"secret\"; passive on;", false), ("bird-dials", "password \"secret\";", true)]
    {
        isolated(&[], move || async move {
            let _bird = Bird::start(why, &bird_config(options));
            let mut config = with_password("secret");
            config.neighbors[0].passive = passive;
            let mut router = Router::start(config, RestartMode::Fresh, "10.0.0.1").await;
            router.until_established().await;
            router.until("routes", |router| router.table.len() == 1).await;
        });
    }
}

#[test]
fn a_wrong_password_is_a_silence_that_is_explained() {
    isolated(&[], || async {
        let bird = Bird::start("wrong", &bird_config("password \"secret\";"));
        let mut router = Router::start(with_password("other"), RestartMode::Fresh, "10.0.0.1").await;
        until_reason(&mut router, "a wrong TCP MD5 password looks like this").await;
        assert!(!bird.ask("show protocols tortie").contains("Established"));
        // The right one is taken without a restart.
        router.handle.configure(with_password("secret")).await.unwrap();
        router.until_established().await;
    });
}

#[test]
fn a_new_password_resets_nothing() {
    isolated(&[], || async {
        let bird = Bird::start("rotated", &bird_config("password \"one\";"));
        let mut router = Router::start(with_password("one"), RestartMode::Fresh, "10.0.0.1").await;
        router.until_established().await;
        let report = router.handle.configure(with_password("two")).await.unwrap();
        assert_eq!((report.reset, report.updated), (vec![], vec!["bird".to_owned()]));
        // BIRD cannot change the key of a running session, so that what we send now is not heard there ...
        router.originate(&["10.1.0.0/24"]).await;
        // ... and with the former key it is: the kernel repeats it, signed anew.
        router.handle.configure(with_password("one")).await.unwrap();
        bird.until("show route protocol tortie", &["10.1.0.0/24"]).await;
        let flaps = router.handle.status().await.unwrap().neighbors[0].flaps;
        assert_eq!(flaps, 0, "it is the session of before");

        // A key for a session that had none is another connection.
        let report = router.handle.configure(config(|_| {})).await.unwrap();
        assert_eq!(report.reset[0].because, ["password"]);
    });
}

#[test]
fn distance_is_enforced_both_ways() {
    // (why, BIRD's options, ours, whether it comes up)
    let cases: [(&str, &str, u8, bool); 2] = [
        ("same-link", "ttl security on; multihop 1;", 1, true),
        ("bird-without", "multihop 3; ttl security off; passive on;", 1, false),
    ];
    for (why, options, hops, comes_up) in cases {
        isolated(&[], move || async move {
            let _bird = Bird::start(why, &bird_config(options));
            let config = config(|neighbor| neighbor.ttl_security_hops = Some(hops));
            let mut router = Router::start(config, RestartMode::Fresh, "10.0.0.1").await;
            if comes_up {
                router.until_established().await;
            } else {
                until_dropped().await;
                assert!(!router.is_established());
            }
        });
    }
}

#[test]
fn a_shutdown_is_told_and_heard() {
    isolated(&[], || async {
        let bird = Bird::start("shutdown", &bird_config(""));
        let mut router = Router::start(config(|_| {}), RestartMode::Fresh, "10.0.0.1").await;
        router.until_established().await;
        let held = config(|neighbor| neighbor.hold = Some(Hold::Shutdown("new cables".to_owned())));
        router.handle.configure(held).await.unwrap();
        bird.until("show protocols all tortie", &["new cables"]).await;
        assert_eq!(reason(&router).await, "shut down by configuration: new cables");
        router.handle.configure(config(|_| {})).await.unwrap();
        router
            .until("another session", |router| {
                let is_up = |kind: &SessionEventKind| matches!(kind, SessionEventKind::Established { .. });
                router.events.iter().filter(|event| is_up(&event.kind)).count() == 2
            })
            .await;
        bird.ask("disable tortie \"BIRD sleeps\"");
        router.until("the loss", |router| !router.is_established()).await;
        let reason = reason(&router).await;
        assert!(reason.contains("the peer sent") && reason.contains("BIRD sleeps"), "{reason}");
    });
}

#[test]
fn too_many_prefixes_end_the_session_or_are_not_taken() {
    // (why, what happens beyond one prefix)
    for (why, action) in
        [("max-shutdown", MaxPrefixesAction::Shutdown), ("max-discard", MaxPrefixesAction::Discard)]
    {
        isolated(&[], move || async move {
            let one = "route 10.2.0.0/24 blackhole;";
            let two = format!("{one} route 10.3.0.0/24 blackhole;");
            let bird = Bird::start(why, &bird_config("").replace(one, &two));
            let limit = MaxPrefixes { limit: 1, action, restart_secs: None };
            let config = config(|neighbor| neighbor.max_prefixes = Some(limit));
            let mut router = Router::start(config, RestartMode::Fresh, "10.0.0.1").await;
            let is_said = |router: &Router| {
                let is_it =
                    |kind: &SessionEventKind| matches!(kind, SessionEventKind::TooManyPrefixes { .. });
                router.events.iter().any(|event| is_it(&event.kind))
            };
            router.until("the limit", is_said).await;
            if action == MaxPrefixesAction::Discard {
                router.until("the first route", |router| router.table.len() == 1).await;
                assert!(router.is_established());
            } else {
                bird.until("show protocols all tortie", &["Maximum number of prefixes reached"]).await;
                assert!(reason(&router).await.contains("max_prefixes.limit 1"), "{}", reason(&router).await);
            }
        });
    }
}
