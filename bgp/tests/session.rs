//! Two drivers, or one and a peer made of bytes, over real TCP on the loopback of a namespace.

#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod lab;

use bgp::config::{ConfigErrors, NeighborConfig, SpeakerConfig};
use bgp::driver::ConfigureError;
use bgp::speaker::{RestartMode, SessionEventKind, Stop};
use bgp::wire::{self, Capability, Family, Message, Open, SessionContext};
use bytes::{Bytes, BytesMut};
use lab::{LIMIT, Router, config, isolated};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const ADDRESSES: &[&str] = &["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "fd00::1/128", "fd00::2/128"];

fn config_a() -> SpeakerConfig {
    config(65001, ["10.0.0.1", "fd00::1"], NeighborConfig::new("b", "10.0.0.2".parse().unwrap(), 65002))
}

fn config_b() -> SpeakerConfig {
    config(65002, ["10.0.0.2", "fd00::2"], NeighborConfig::new("a", "10.0.0.1".parse().unwrap(), 65001))
}

async fn pair() -> (Router, Router) {
    let mut a = Router::start(config_a(), RestartMode::Fresh, "10.0.0.1").await;
    let mut b = Router::start(config_b(), RestartMode::Fresh, "10.0.0.2").await;
    a.originate(&["10.1.0.0/24", "fd01::/64"]).await;
    b.originate(&["10.2.0.0/24", "fd02::/64"]).await;
    tokio::join!(a.until_established(), b.until_established());
    a.until("routes of b", |a| a.table.len() == 2).await;
    b.until("routes of a", |b| b.table.len() == 2).await;
    (a, b)
}

#[test]
fn routes_of_both_families_both_ways() {
    isolated(ADDRESSES, || async {
        let (a, mut b) = pair().await;
        assert_eq!(a.gateways("10.2.0.0/24"), ["10.0.0.2"]);
        assert_eq!(a.gateways("fd02::/64"), ["fd00::2"]);
        assert_eq!(b.gateways("10.1.0.0/24"), ["10.0.0.1"]);
        assert_eq!(b.gateways("fd01::/64"), ["fd00::1"]);
        let status = a.handle.status().await.unwrap();
        assert_eq!(status.neighbors[0].families.iter().map(|family| family.advertised).sum::<usize>(), 2);

        a.originate(&["10.1.0.0/24"]).await;
        b.until("a withdrawal", |b| b.gateways("fd01::/64").is_empty()).await;
        assert_eq!(b.gateways("10.1.0.0/24"), ["10.0.0.1"], "the other route stays");
        a.stop(Stop::Silent).await;
        b.stop(Stop::Silent).await;
    });
}

#[test]
fn a_silent_stop_keeps_the_routes_until_the_speaker_is_back() {
    isolated(ADDRESSES, || async {
        let (a, mut b) = pair().await;
        a.stop(Stop::Silent).await;
        b.until("the loss", |b| !b.is_established()).await;
        let restart = RestartMode::Restarting { preserved_families: Family::ALL.to_vec() };
        let mut a = Router::start(config_a(), restart, "10.0.0.1").await;
        a.originate(&["10.1.0.0/24"]).await;
        tokio::join!(a.until_established(), b.until_established());
        a.until("the end of the restart", |a| a.is_synced).await;
        assert_eq!(a.table.len(), 2, "both routes of b are there again");
        b.until("what did not come back to go", |b| !b.withdrawals.is_empty()).await;
        assert_eq!(b.withdrawals, [lab::network("fd01::/64")], "and nothing else went in between");
        assert_eq!(b.gateways("10.1.0.0/24"), ["10.0.0.1"]);
    });
}

#[test]
fn a_cease_withdraws_the_routes_and_says_why() {
    isolated(ADDRESSES, || async {
        let (a, mut b) = pair().await;
        a.stop(Stop::Cease { text: "maintenance until 9".to_owned() }).await;
        b.until("the withdrawals", |b| b.table.is_empty() && !b.is_established()).await;
        let reasons: Vec<String> = b.events.iter().map(|event| format!("{:?}", event.kind)).collect();
        assert!(reasons.iter().any(|reason| reason.contains("maintenance until 9")), "{reasons:#?}");
    });
}

#[test]
fn a_configuration_that_cannot_work_changes_nothing() {
    isolated(ADDRESSES, || async {
        let (a, b) = pair().await;
        let refused = a.handle.configure(SpeakerConfig { asn: 0, ..config_a() }).await;
        let Err(ConfigureError::Refused(ConfigErrors(errors))) = refused else { panic!("{refused:?}") };
        assert_eq!(errors[0].field, "asn");
        let report = a.handle.configure(config_a()).await.expect("the same again");
        assert_eq!(report.reset, []);
        assert!(b.is_established());
    });
}

/// A connection from 10.0.0.3 to speaker a.
async fn connect() -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // Little room: a peer that does not read is noticed soon.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind("10.0.0.3:0".parse().unwrap()).unwrap();
    socket.connect("10.0.0.1:179".parse().unwrap()).await.unwrap()
}

/// A peer made of bytes, AS 65003 at 10.0.0.3, with an established session.
async fn byte_peer() -> TcpStream {
    let mut stream = connect().await;
    let open = Message::Open(Open {
        asn: 65003,
        hold_time_secs: 0,
        router_id: "10.0.0.3".parse().unwrap(),
        capabilities: vec![Capability::MultiProtocol(Family::Ipv4Unicast), Capability::FourOctetAs(65003)],
    });
    for message in [open, Message::Keepalive] {
        let bytes = wire::encode(&message, SessionContext::before_open().encoding()).unwrap();
        stream.write_all(&bytes[0]).await.unwrap();
    }
    stream
}

fn config_with_byte_peer() -> SpeakerConfig {
    let mut config = config_a();
    config.hold_time_secs = 9;
    let mut peer = NeighborConfig::new("bytes", "10.0.0.3".parse().unwrap(), 65003);
    peer.passive = true;
    config.neighbors.push(peer);
    config
}

/// The next message of the stream.
async fn next(stream: &mut TcpStream, buffer: &mut BytesMut) -> Message {
    loop {
        if let Ok(Some(length)) = wire::frame_length(buffer, false)
            && buffer.len() >= length
        {
            let bytes: Bytes = buffer.split_to(length).freeze();
            return wire::decode(&bytes, &SessionContext::before_open()).expect("well-formed");
        }
        let read = timeout(LIMIT, stream.read_buf(buffer)).await.expect("in time").expect("a message");
        assert_ne!(read, 0, "closed without a word");
    }
}

#[test]
fn a_peer_that_does_not_read_delays_nobody() {
    isolated(ADDRESSES, || async {
        let mut a = Router::start(config_with_byte_peer(), RestartMode::Fresh, "10.0.0.1").await;
        a.originate(&[]).await;
        let stalled = byte_peer().await;
        let is_up = |kind: &SessionEventKind| matches!(kind, SessionEventKind::Established { .. });
        a.until("the byte peer", |a| {
            a.events.iter().any(|event| event.neighbor == "bytes" && is_up(&event.kind))
        })
        .await;
        // Far more than socket buffers and outbox hold.
        let many: Vec<String> = (0..100_000_u32)
            .map(|n| format!("10.{}.{}.{}/32", 100 + n / 65536, n / 256 % 256, n % 256))
            .collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        a.originate(&many).await;
        let mut b = Router::start(config_b(), RestartMode::Fresh, "10.0.0.2").await;
        b.until("all routes", |b| b.table.len() == 100_000).await;
        drop(stalled);
        a.stop(Stop::Silent).await;
    });
}

#[test]
fn bytes_that_are_no_message_are_answered_before_the_end() {
    // (why, what is sent in place of an OPEN, code and subcode of the answer)
    let rows: [(&str, Vec<u8>, (u8, u8)); 4] = [
        ("no marker", vec![0; 19], (1, 1)),
        ("too long", [vec![0xff; 16], vec![0xff, 0xff, 1]].concat(), (1, 2)),
        ("an unknown type", [vec![0xff; 16], vec![0, 19, 99]].concat(), (1, 3)),
        ("KEEPALIVE before OPEN", [vec![0xff; 16], vec![0, 19, 4]].concat(), (5, 1)),
    ];
    isolated(ADDRESSES, || async move {
        let mut config = config_with_byte_peer();
        config.neighbors.remove(0);
        for (why, sent, expected) in rows {
            let a = Router::start(config.clone(), RestartMode::Fresh, "10.0.0.1").await;
            let mut stream = connect().await;
            stream.write_all(&sent).await.unwrap();
            let mut buffer = BytesMut::new();
            let mut answer = next(&mut stream, &mut buffer).await;
            if matches!(answer, Message::Open(_)) {
                answer = next(&mut stream, &mut buffer).await;
            }
            let Message::Notification(notification) = answer else { panic!("{why}: {answer:?}") };
            assert_eq!((notification.code, notification.subcode), expected, "{why}");
            let read = timeout(LIMIT, stream.read_buf(&mut buffer)).await.expect("in time");
            assert!(matches!(read, Ok(0)), "{why}: closed in order, not reset: {read:?}");
            a.stop(Stop::Silent).await;
        }
    });
}

#[test]
fn a_stranger_is_turned_away() {
    isolated(ADDRESSES, || async {
        let mut a = Router::start(config_a(), RestartMode::Fresh, "10.0.0.1").await;
        let mut stranger = connect().await;
        let mut received = Vec::new();
        // Closed or reset, with or without a NOTIFICATION: but closed.
        let _ = timeout(LIMIT, stranger.read_to_end(&mut received)).await.expect("in time");
        a.until("a refusal", |a| {
            a.events.iter().any(|event| matches!(event.kind, SessionEventKind::ConnectionRefused { .. }))
        })
        .await;
    });
}

#[test]
fn an_address_that_is_not_ours_is_an_error_that_names_it() {
    isolated(&[], || async {
        let listen = vec!["10.9.9.9:179".parse().unwrap()];
        let error = bgp::driver::start(config_a(), RestartMode::Fresh, listen).await.expect_err("not ours");
        assert!(error.to_string().starts_with("listen on 10.9.9.9:179: "), "{error}");
    });
}
