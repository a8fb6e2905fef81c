//! The network under the cluster: namespaces, links, routers, probes; no Kubernetes yet.
//!
//! Needs root and BIRD 2.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use integration::lab::directory::Directory;
use integration::lab::programs::Programs;
use integration::lab::topology::{RouterKind, Shape, Space, Topology};
use integration::lab::underlay::Underlay;
use integration::probe::{Job, Outcome, Protocol};

const LAB: &str = env!("CARGO_BIN_EXE_lab");

async fn underlay(name: &str, shape: Shape) -> (Underlay, tempfile::TempDir) {
    let parent = tempfile::tempdir().unwrap();
    let directory = Directory::create(&parent.path().join(name), Path::new(LAB)).unwrap();
    let programs = Programs::beside(Path::new(LAB)).unwrap();
    (Underlay::build(Topology::new(shape).unwrap(), programs, directory).await.unwrap(), parent)
}

async fn outcome(lab: &Underlay, from: &Space, address: IpAddr, protocol: Protocol) -> Outcome {
    let job = Job { id: 7, address, port: 8080, protocol, timeout_millis: 500 };
    let answers = lab.ask(from, &[job]).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers.into_iter().next().unwrap().outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_answer_on_every_transport_and_strangers_do_not() {
    let shape = Shape { racks: 1, nodes: 2, tors_per_rack: 1, ..Shape::default() };
    let (lab, _parent) = underlay("neighbours", shape).await;
    let (one, two) = (Space::Node("node-1".into()), Space::Node("node-2".into()));
    let addresses: Vec<IpAddr> = vec!["10.10.1.12".parse().unwrap(), "fd00:10:1::12".parse().unwrap()];
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let port = integration::probe::server::Port { protocol, number: 8080 };
        lab.ensure_server(&two, "node:node-2", &addresses, port).await.unwrap();
        for (address, asker) in addresses.iter().zip(["10.10.1.11", "fd00:10:1::11"]) {
            let found = outcome(&lab, &one, *address, protocol).await;
            let expected =
                Outcome::Answered { by: "node:node-2".into(), seen_as: Some(asker.parse().unwrap()) };
            assert_eq!(found, expected, "{protocol:?} to {address}");
        }
    }
    let cases = [
        ("nobody listens", "10.10.1.11", Protocol::Tcp, Outcome::Refused),
        ("nobody listens", "fd00:10:1::11", Protocol::Udp, Outcome::Refused),
        ("no such host on the segment", "10.10.1.99", Protocol::Udp, Outcome::Silent),
    ];
    for (why, address, protocol, expected) in cases {
        assert_eq!(outcome(&lab, &two, address.parse().unwrap(), protocol).await, expected, "{why}");
    }
    let no_route = outcome(&lab, &one, "203.0.113.1".parse().unwrap(), Protocol::Tcp).await;
    assert!(matches!(no_route, Outcome::Unreachable(_)), "{no_route:?}");
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bird_carries_packets_between_racks_and_from_outside() {
    let shape = Shape { racks: 2, nodes: 2, router: RouterKind::Bird, hold_time_secs: 3, ..Shape::default() };
    let (lab, _parent) = underlay("bird", shape).await;
    lab.start_routers().await.unwrap();
    let (tor, outside) = (Space::Router("tor-1-1".into()), Space::External("internet".into()));
    let addresses = ["192.0.2.10", "2001:db8::10"].map(|address| address.parse().unwrap());
    let port = integration::probe::server::Port { protocol: Protocol::Tcp, number: 8080 };
    lab.ensure_server(&outside, "external:internet", &addresses, port).await.unwrap();
    // Nodes speak no BGP here, so that a ToR asks: it has a default route from the spine alone.
    for address in ["192.0.2.10", "2001:db8::10"] {
        await_answer(&lab, &tor, address).await;
    }
    lab.cut_power("tor-1-1").await.unwrap();
    let other = Space::Router("tor-1-2".into());
    await_answer(&lab, &other, "192.0.2.10").await;
    lab.end().await;
}

async fn await_answer(lab: &Underlay, from: &Space, address: &str) {
    let limit = Duration::from_mins(1);
    let asked = async {
        while !matches!(
            outcome(lab, from, address.parse().unwrap(), Protocol::Tcp).await,
            Outcome::Answered { .. }
        ) {}
    };
    if tokio::time::timeout(limit, asked).await.is_err() {
        let logs: Vec<String> = ["spine", "tor-1-1", "tor-1-2"]
            .map(|name| std::fs::read_to_string(lab.directory().file(&format!("{name}.log"))).unwrap())
            .into();
        panic!("{address} never answered {from:?}\n{}", logs.join("\n"));
    }
}

#[test]
fn nothing_is_left_when_the_owner_is_killed() {
    let parent = tempfile::tempdir().unwrap();
    let path: PathBuf = parent.path().join("swept");
    let directory = Directory::create(&path, Path::new(LAB)).unwrap();
    directory.log("lab").unwrap();
    assert!(path.join("lab.log").exists());
    drop(directory);
    assert!(!path.exists());
}
