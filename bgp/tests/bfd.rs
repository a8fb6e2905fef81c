//! BFD with BIRD as the neighbour: over one hop and several, both families, failures and planned stops.

#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[allow(dead_code, reason = "BGP is not needed here")]
mod lab;

use std::collections::BTreeMap;
use std::num::NonZeroU8;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bgp::bfd::driver::{self, Changes, Handle};
use bgp::bfd::{Change, Diagnostic, SessionKey, State, Timers};
use lab::bird::Bird;
use lab::{LIMIT, isolated};
use tokio::time::timeout;

const CONFIG: &str = "
log stderr all;
router id 10.0.0.2;
protocol device { scan time 1; }
protocol bfd {
    interface \"there\" { interval 200 ms; idle tx interval 1 s; multiplier 3; };
    multihop { interval 200 ms; multiplier 3; };
    neighbor 10.0.0.1 dev \"there\";
    neighbor fd00::1 dev \"there\";
    neighbor 10.0.9.1 local 10.0.0.2 multihop on;
}
";

fn timers() -> Timers {
    let interval = Duration::from_millis(200);
    Timers { min_transmit: interval, min_receive: interval, multiplier: NonZeroU8::new(3).unwrap() }
}

fn key(remote: &str) -> SessionKey {
    SessionKey { remote: remote.parse().unwrap(), local: None, scope: 0, is_multihop: false }
}

fn far() -> SessionKey {
    SessionKey { local: Some("10.0.9.1".parse().unwrap()), is_multihop: true, ..key("10.0.0.2") }
}

/// The speaker's BFD, and what it has told.
struct Speaker {
    handle: Handle,
    changes: Arc<Changes>,
    thread: std::thread::JoinHandle<()>,
}

impl Speaker {
    async fn start(keys: &[SessionKey]) -> Self {
        let (handle, changes, thread) = driver::start(7).unwrap();
        let this = Self { handle, changes, thread };
        this.configure(keys).await;
        this
    }

    async fn configure(&self, keys: &[SessionKey]) {
        let desired: BTreeMap<_, _> = keys.iter().map(|key| (key.clone(), timers())).collect();
        self.handle.configure(desired).await.unwrap().unwrap();
    }

    /// Waits until every one of these sessions has come into the state; the last changes.
    async fn until(&self, keys: &[SessionKey], state: State) -> BTreeMap<SessionKey, Change> {
        let mut last = BTreeMap::new();
        let wait = async {
            while !keys.iter().all(|key| last.get(key).is_some_and(|change: &Change| change.to == state)) {
                last.extend(self.changes.take().await.unwrap());
            }
        };
        assert!(
            timeout(LIMIT, wait).await.is_ok(),
            "{keys:?} do not come into {state}: {last:?} {:?}",
            self.handle.status().await
        );
        last
    }

    fn end(self) {
        drop(self.handle);
        self.thread.join().unwrap();
    }
}

fn nft(command: &str) {
    let status = Command::new("nft").arg(command).status().unwrap();
    assert!(status.success(), "{command}");
}

async fn until_up_at_bird(bird: &Bird, sessions: usize) {
    let wait =
        async { while bird.until("show bfd sessions", &["Up"]).await.matches(" Up ").count() != sessions {} };
    assert!(timeout(LIMIT, wait).await.is_ok(), "{}\n{}", bird.ask("show bfd sessions"), bird.log());
}

#[test]
fn sessions_of_all_kinds_come_up_and_stay() {
    isolated(&["10.0.9.1/32"], || async {
        let bird = Bird::start("bfd-kinds", CONFIG);
        bird.route("10.0.9.1/32", "10.0.0.1");
        let keys = [key("10.0.0.2"), key("fd00::2"), far()];
        let speaker = Speaker::start(&keys).await;
        speaker.until(&keys, State::Up).await;
        until_up_at_bird(&bird, keys.len()).await;
        for status in speaker.handle.status().await.unwrap() {
            assert_eq!(status.detection_time, Duration::from_millis(600), "{status:?}");
            assert_eq!(status.transmit_interval, Some(Duration::from_millis(200)), "{status:?}");
        }
        let shown = bird.ask("show bfd sessions");
        assert_eq!(shown.matches("0.200").count(), keys.len(), "intervals as BIRD sees them: {shown}");
        // Other timers do not disturb a session: what ends meanwhile would be told.
        let slower = Timers { min_transmit: Duration::from_millis(320), ..timers() };
        let desired = keys.iter().map(|key| (key.clone(), slower)).collect();
        speaker.handle.configure(desired).await.unwrap().unwrap();
        bird.until("show bfd sessions", &["0.960"]).await;
        let quiet = timeout(Duration::from_secs(1), speaker.changes.take()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        speaker.end();
    });
}

#[test]
fn a_dead_neighbor_is_noticed_by_silence() {
    isolated(&[], || async {
        let mut bird = Bird::start("bfd-dead", CONFIG);
        let keys = [key("10.0.0.2"), key("fd00::2")];
        let speaker = Speaker::start(&keys).await;
        speaker.until(&keys, State::Up).await;
        bird.kill();
        for (key, change) in speaker.until(&keys, State::Down).await {
            assert_eq!(change.diagnostic, Diagnostic::TIME_EXPIRED, "{key:?}");
            assert!(!change.is_neighbor_admin_down, "{key:?}");
        }
        bird.restart(false);
        speaker.until(&keys, State::Up).await;
        speaker.end();
    });
}

#[test]
fn a_way_that_fails_one_way_is_noticed_at_both_ends() {
    isolated(&[], || async {
        let bird = Bird::start("bfd-cut", CONFIG);
        let keys = [key("10.0.0.2")];
        let speaker = Speaker::start(&keys).await;
        speaker.until(&keys, State::Up).await;
        for command in [
            "add table inet cut",
            "add chain inet cut out { type filter hook output priority 0; }",
            "add rule inet cut out udp dport 3784 drop",
        ] {
            nft(command);
        }
        bird.until("show bfd sessions", &["10.0.0.1", "Down"]).await;
        // It hears that BIRD is down before its own detection time is over: BIRD's packets still come.
        let change = speaker.until(&keys, State::Down).await[&keys[0]];
        assert_eq!(change.diagnostic, Diagnostic::NEIGHBOR_SIGNALED);
        nft("delete table inet cut");
        speaker.until(&keys, State::Up).await;
        speaker.end();
    });
}

#[test]
fn a_planned_stop_is_told_as_one() {
    isolated(&[], || async {
        let bird = Bird::start("bfd-stop", CONFIG);
        let keys = [key("10.0.0.2"), key("fd00::2")];
        let speaker = Speaker::start(&keys).await;
        speaker.until(&keys, State::Up).await;
        until_up_at_bird(&bird, keys.len()).await;
        speaker.configure(&keys[..1]).await;
        bird.until("show bfd sessions", &["fd00::1", "Down"]).await;
        speaker.handle.disable().await.unwrap();
        let shown = bird.ask("show bfd sessions");
        assert_eq!(shown.matches(" Up ").count(), 0, "every neighbor has seen it: {shown}");
        speaker.end();
    });
}

#[test]
fn a_port_that_another_daemon_has_is_an_error() {
    isolated(&["10.0.0.1/32"], || async {
        let other = std::net::UdpSocket::bind("0.0.0.0:3784").unwrap();
        let (handle, _, thread) = driver::start(7).unwrap();
        let desired: BTreeMap<_, _> = [(key("10.0.0.2"), timers()), (key("fd00::2"), timers())].into();
        let refusal = handle.configure(desired.clone()).await.unwrap().unwrap_err();
        assert_eq!(refusal.kind(), std::io::ErrorKind::AddrInUse);
        let keys: Vec<_> = handle.status().await.unwrap().into_iter().map(|status| status.key).collect();
        assert_eq!(keys, [key("fd00::2")], "the session of the other port goes on");
        drop(other);
        handle.configure(desired).await.unwrap().unwrap();
        assert_eq!(handle.status().await.unwrap().len(), 2);
        drop(handle);
        thread.join().unwrap();
    });
}
