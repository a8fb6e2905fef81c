//! Routing from end to end: sessions, routes, failing routers, NAT; foreign tools say what is so.
//!
//! The same tests with our own routers and with BIRD. Needs root, BIRD 2, iproute2, tcpdump and nsenter.

#![allow(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]
#![allow(clippy::print_stderr, reason = "what was measured is printed beside the verdict")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use api::{IPBlock, NodeReport};
use integration::lab::oracle::{self, Running};
use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::{RouterKind, Shape, Space};
use integration::probe::{Endpoint, Family, Protocol, Question};
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;

const LAB: &str = env!("CARGO_BIN_EXE_lab");
const PORT: u16 = 8080;
const ROUTERS: [RouterKind; 2] = [RouterKind::Own, RouterKind::Bird];
/// A dead router is noticed by its hold time (3 s here); the rest is for a machine under load.
const DETECTION_LIMIT: Duration = Duration::from_secs(9);

async fn start(shape: Shape, pods: &[(&str, &str)]) -> TestLab {
    let lab = TestLab::start(LAB, shape).await.unwrap();
    lab.apply("{apiVersion: v1, kind: Namespace, metadata: {name: app}}").await.unwrap();
    for (name, node) in pods {
        lab.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: app}},
               spec: {{nodeName: {node}, containers: [{{name: server, image: lab, ports: [
                 {{containerPort: {PORT}}}, {{containerPort: {PORT}, protocol: UDP}}]}}]}}}}"
        ))
        .await
        .unwrap();
    }
    lab.pods_ready("app").await.unwrap();
    lab
}

fn pod(name: &str) -> Endpoint {
    Endpoint::Pod { namespace: "app".into(), name: name.into() }
}

fn address(lab: &TestLab, name: &str, family: Family) -> IpAddr {
    let (_, _, addresses) = lab.pods().into_iter().find(|(endpoint, ..)| *endpoint == pod(name)).unwrap();
    addresses.into_iter().find(|address| Family::of(*address) == family).unwrap()
}

fn process(lab: &TestLab, space: &Space) -> u32 {
    lab.underlay().holder(space).unwrap()
}

fn node(name: &str) -> Space {
    Space::Node(name.into())
}

fn router(name: &str) -> Space {
    Space::Router(name.into())
}

async fn await_sessions(lab: &TestLab, name: &str, expected: &[&str]) {
    let what = format!("sessions of {name} with {expected:?}");
    let found = lab.until(&what, LIMIT, async || {
        let peers = lab.peers(&Endpoint::Node(name.into())).await.ok()?;
        let is_up = |peer: &api::control::PeerStatus| {
            let families: BTreeSet<&str> =
                peer.families.iter().map(|family| family.family.as_str()).collect();
            peer.state == "Established" && families == BTreeSet::from(["ipv4-unicast", "ipv6-unicast"])
        };
        let up: Vec<&str> = peers.iter().filter(|peer| is_up(peer)).map(|peer| peer.name.as_str()).collect();
        (up == expected && peers.len() == expected.len()).then_some(())
    });
    found.await.unwrap();
}

/// The gateways of a route as `ip -j` tells them; none if no such route was learnt.
fn gateways(process: u32, prefix: &str) -> BTreeSet<String> {
    let family = if prefix.contains(':') { "-6" } else { "-4" };
    let prefix = if prefix == "::/0" { "default" } else { prefix };
    let routes = oracle::json(process, "ip", &["-j", family, "route", "show", prefix]).unwrap();
    let mut found = BTreeSet::new();
    for route in routes.as_array().into_iter().flatten() {
        let hops = route["nexthops"].as_array().into_iter().flatten().chain([route]);
        // A hop whose link is gone stays in a route of the kernel, which gives it no packet.
        let is_alive =
            |hop: &&Value| !hop["flags"].as_array().into_iter().flatten().any(|flag| flag == "dead");
        found.extend(hops.filter(is_alive).filter_map(|hop| Some(hop["gateway"].as_str()?.to_owned())));
    }
    found
}

async fn await_gateways(lab: &TestLab, space: &Space, prefix: &str, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|gateway| (*gateway).to_owned()).collect();
    let mut found = BTreeSet::new();
    let waited = lab.until(prefix, LIMIT, async || {
        found = gateways(process(lab, space), prefix);
        (found == expected).then_some(())
    });
    let waited = waited.await;
    assert!(waited.is_ok(), "{prefix} in {space:?}: {found:?}, expected {expected:?}");
}

/// The prefixes of a node's blocks, once it has some of both families.
async fn blocks(lab: &TestLab, node: &str) -> Vec<String> {
    let blocks: Api<IPBlock> = Api::all(lab.client());
    lab.until(&format!("blocks of {node}"), LIMIT, async || {
        let blocks = blocks.list(&ListParams::default()).await.ok()?.into_iter();
        let blocks: Vec<String> =
            blocks.filter(|block| block.spec.node == node).map(|block| block.spec.cidr).collect();
        let has_both = blocks.iter().any(|it| it.contains(':')) && blocks.iter().any(|it| it.contains('.'));
        has_both.then_some(blocks)
    })
    .await
    .unwrap()
}

fn question(from: Endpoint, to: Endpoint, family: Family) -> Question {
    Question { family: Some(family), ..Question::new(from, to, PORT) }
}

async fn await_answer(lab: &TestLab, question: &Question) {
    lab.until(&format!("{question:?}"), LIMIT, async || {
        lab.probe(question).await.ok()?.allowed.then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_and_defaults_are_learnt_by_both_routers_of_a_rack_and_one_is_enough() {
    for kind in ROUTERS {
        let shape = Shape { router: kind, hold_time_secs: 3, ..Shape::default() };
        let lab = start(shape, &[("near", "node-1"), ("far", "node-3")]).await;
        await_sessions(&lab, "node-1", &["tor-1-1", "tor-1-2"]).await;
        await_sessions(&lab, "node-3", &["tor-2-1", "tor-2-2"]).await;
        let both = [["10.10.1.251", "10.10.1.252"], ["fd00:10:1::251", "fd00:10:1::252"]];
        let mut prefixes = vec!["default".to_owned(), "::/0".into()];
        for other in ["node-2", "node-3", "node-4"] {
            prefixes.extend(blocks(&lab, other).await);
        }
        for prefix in &prefixes {
            // A ToR tells the nodes of its rack of each other, by their own addresses (RFC 4271 section 5.1.3).
            let is_of_rack = blocks(&lab, "node-2").await.contains(prefix);
            let is_ipv6 = prefix.contains(':');
            let expected = match (is_of_rack, is_ipv6) {
                (false, _) => both[usize::from(is_ipv6)].to_vec(),
                (true, _) => continue,
            };
            await_gateways(&lab, &node("node-1"), prefix, &expected).await;
        }
        for family in [Family::Ipv4, Family::Ipv6] {
            await_answer(&lab, &question(pod("near"), pod("far"), family)).await;
            await_answer(&lab, &question(pod("near"), Endpoint::External("internet".into()), family)).await;
        }
        foreign_words(&lab, kind).await;
        one_router_fails(&lab, kind, &prefixes).await;
        lab.end().await;
    }
}

/// The hold time alone would take longer than any of the waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_router_is_left_by_bfd_long_before_the_hold_time() {
    for kind in ROUTERS {
        let shape =
            Shape { router: kind, hold_time_secs: 180, bfd_interval_millis: Some(300), ..Shape::default() };
        let lab = start(shape, &[("near", "node-1"), ("far", "node-3")]).await;
        let prefixes = ["default".to_owned(), "::/0".to_owned()];
        for (name, peers) in [("node-1", ["tor-1-1", "tor-1-2"]), ("node-3", ["tor-2-1", "tor-2-2"])] {
            await_sessions(&lab, name, &peers).await;
            await_bfd(&lab, name).await;
        }
        let both = [["10.10.1.251", "10.10.1.252"], ["fd00:10:1::251", "fd00:10:1::252"]];
        for (prefix, gateways) in prefixes.iter().zip(both) {
            await_gateways(&lab, &node("node-1"), prefix, &gateways).await;
        }
        for family in [Family::Ipv4, Family::Ipv6] {
            await_answer(&lab, &question(pod("near"), pod("far"), family)).await;
        }
        one_router_fails(&lab, kind, &prefixes).await;
        let peers = lab.peers(&Endpoint::Node("node-1".into())).await.unwrap();
        let dead = peers.iter().find(|peer| peer.name == "tor-1-1").unwrap();
        // The dials that have failed since are the last error of all.
        assert!(dead.last_error_sent.starts_with("BFD: "), "{kind:?}: {dead:?}");
        lab.end().await;
    }
}

/// Waits until BFD has found every peer of the node.
async fn await_bfd(lab: &TestLab, name: &str) {
    lab.until(&format!("BFD of {name}"), LIMIT, async || {
        let peers = lab.peers(&Endpoint::Node(name.into())).await.ok()?;
        (!peers.is_empty() && peers.iter().all(|peer| peer.bfd.as_deref() == Some("Up"))).then_some(())
    })
    .await
    .unwrap();
}

/// What the router's own tools say of the nodes' sessions and routes.
async fn foreign_words(lab: &TestLab, kind: RouterKind) {
    let far = blocks(lab, "node-1").await;
    let tor = process(lab, &router("tor-1-1"));
    if kind == RouterKind::Bird {
        let socket = lab.underlay().router_socket("tor-1-1").display().to_string();
        let birdc =
            |arguments: &[&str]| oracle::text(tor, "birdc", &[&["-s", &socket], arguments].concat()).unwrap();
        let protocols = birdc(&["show", "protocols"]);
        for name in ["node_1", "node_2", "spine"] {
            let line = protocols.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            assert!(line.contains("Established"), "{name}: {protocols}");
        }
        for prefix in &far {
            let route = birdc(&["show", "route", "for", prefix, "protocol", "node_1", "all"]);
            let next_hop = if prefix.contains(':') { "fd00:10:1::11" } else { "10.10.1.11" };
            for words in [
                format!("via {next_hop} on rack0"),
                "BGP.as_path: 65101".into(),
                format!("BGP.next_hop: {next_hop}"),
            ] {
                assert!(route.contains(&words), "{words} is missing in {route}");
            }
        }
    }
    for prefix in &far {
        let (family, next_hop) =
            if prefix.contains(':') { ("-6", "fd00:10:1::11") } else { ("-4", "10.10.1.11") };
        let routes = oracle::json(tor, "ip", &["-j", family, "route", "show", prefix]).unwrap();
        assert_eq!(routes[0]["gateway"], next_hop, "{kind:?}: {prefix} in the ToR's kernel: {routes}");
    }
}

/// One of two routers dies under traffic: what it lost ends with the hold time, and then nothing is lost.
async fn one_router_fails(lab: &TestLab, kind: RouterKind, prefixes: &[String]) {
    let mut traffic = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let udp = Question { protocol: Protocol::Udp, ..question(pod("near"), pod("far"), family) };
        traffic.push(lab.start_traffic(&udp, 8, 10).await.unwrap());
    }
    lab.underlay().cut_power("tor-1-1").await.unwrap();
    for prefix in prefixes.iter().filter(|prefix| *prefix == "default" || *prefix == "::/0") {
        let left = if prefix.contains(':') { "fd00:10:1::252" } else { "10.10.1.252" };
        await_gateways(lab, &node("node-1"), prefix, &[left]).await;
    }
    for prefix in blocks(lab, "node-1").await {
        let left = if prefix.contains(':') { "fd00:20:2::2" } else { "10.20.2.2" };
        await_gateways(lab, &router("spine"), &prefix, &[left]).await;
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        await_answer(lab, &question(pod("far"), pod("near"), family)).await;
    }
    for traffic in traffic {
        let tally = traffic.stop().await.unwrap();
        eprintln!("{kind:?}, a ToR without power: {tally:?}");
        assert!(Duration::from_millis(tally.longest_gap_millis) < DETECTION_LIMIT, "{kind:?}: {tally:?}");
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let udp = Question { protocol: Protocol::Udp, ..question(pod("near"), pod("far"), family) };
        let traffic = lab.start_traffic(&udp, 8, 10).await.unwrap();
        for _ in 0..20 {
            assert!(lab.probe(&question(pod("near"), pod("far"), family)).await.unwrap().allowed);
        }
        let tally = traffic.stop().await.unwrap();
        assert!(tally.sent > 0 && tally.lost == 0, "{kind:?}, by the other ToR alone: {tally:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fabric_carries_pods_own_addresses_and_the_world_sees_the_nodes() {
    for kind in ROUTERS {
        let shape = Shape { router: kind, nodes: 2, ..Shape::default() };
        let lab = start(shape, &[("near", "node-1"), ("far", "node-2")]).await;
        lab.apply(
            "{apiVersion: tortie.dev/v1alpha1, kind: IPPool, metadata: {name: default-ipv4}, spec: {cidr: 10.244.0.0/16, natOutgoing: true}}\n---\n\
             {apiVersion: tortie.dev/v1alpha1, kind: IPPool, metadata: {name: default-ipv6}, spec: {cidr: 'fd00:10:244::/56', natOutgoing: true}}",
        )
        .await
        .unwrap();
        let internet = Endpoint::External("internet".into());
        for (family, node_address) in [(Family::Ipv4, "10.10.1.11"), (Family::Ipv6, "fd00:10:1::11")] {
            await_answer(&lab, &question(pod("near"), pod("far"), family)).await;
            let node_address: IpAddr = node_address.parse().unwrap();
            lab.until("the node's address outside", LIMIT, async || {
                let seen = lab.probe(&question(pod("near"), internet.clone(), family)).await.ok()?.seen_as?;
                (seen == node_address).then_some(())
            })
            .await
            .unwrap();
            let inside = lab.probe(&question(pod("near"), pod("far"), family)).await.unwrap();
            assert_eq!(
                inside.seen_as,
                Some(address(&lab, "near", family)),
                "{kind:?}: another pod sees the pod"
            );
            tcpdump(&lab, kind, family).await;
        }
        lab.end().await;
    }
}

/// On the other node's uplink a datagram is Ethernet, IP, UDP; between the pods' own addresses.
async fn tcpdump(lab: &TestLab, kind: RouterKind, family: Family) {
    let (near, far) = (address(lab, "near", family), address(lab, "far", family));
    let mut command = oracle::command(process(lab, &node("node-2")), "tcpdump");
    command.args(["-i", "eth0", "-n", "-e", "-l", "-Z", "root", "dst", "port", "8080", "and", "udp"]);
    let dump = Running::start(command).unwrap();
    lab.until("tcpdump", LIMIT, async || dump.text().ok()?.contains("listening on eth0").then_some(()))
        .await
        .unwrap();
    let udp = Question { protocol: Protocol::Udp, ..question(pod("near"), pod("far"), family) };
    let line = lab.until("a datagram in tcpdump", LIMIT, async || {
        lab.probe(&udp).await.ok()?;
        dump.text().ok()?.lines().find(|line| line.contains("UDP")).map(str::to_owned)
    });
    let line = line.await.unwrap();
    let (ethertype, ip) = match family {
        Family::Ipv4 => ("ethertype IPv4 (0x0800)", "length"),
        Family::Ipv6 => ("ethertype IPv6 (0x86dd)", "length"),
    };
    assert!(line.contains(ethertype) && line.contains(ip), "{kind:?}: {line}");
    let addresses = format!("{near}.");
    assert!(
        line.contains(&addresses) && line.contains(&format!("> {far}.{PORT}: UDP")),
        "{kind:?}: {near} {far}: {line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_in_a_mesh_tell_each_other_their_blocks() {
    let shape = Shape { racks: 1, nodes: 3, mesh: true, ..Shape::default() };
    let lab = start(shape, &[("one", "node-1"), ("two", "node-2"), ("three", "node-3")]).await;
    await_sessions(&lab, "node-1", &["node-2", "node-3"]).await;
    await_sessions(&lab, "node-3", &["node-1", "node-2"]).await;
    for (other, gateways) in
        [("node-2", ["10.10.1.12", "fd00:10:1::12"]), ("node-3", ["10.10.1.13", "fd00:10:1::13"])]
    {
        for prefix in blocks(&lab, other).await {
            await_gateways(&lab, &node("node-1"), &prefix, &[gateways[usize::from(prefix.contains(':'))]])
                .await;
        }
    }
    for (from, to) in [("one", "two"), ("two", "three"), ("three", "one")] {
        for family in [Family::Ipv4, Family::Ipv6] {
            await_answer(&lab, &question(pod(from), pod(to), family)).await;
        }
    }
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_cannot_be_is_told_and_disturbs_nobody() {
    let lab = start(Shape { racks: 1, nodes: 2, ..Shape::default() }, &[("a", "node-1")]).await;
    await_sessions(&lab, "node-1", &["tor-1-1", "tor-1-2"]).await;
    let peer = |name: &str, spec: &str| {
        format!(
            "{{apiVersion: tortie.dev/v1alpha1, kind: BGPPeer, metadata: {{name: {name}}}, spec: {spec}}}"
        )
    };
    let refused = lab
        .apply(&peer("no-address", "{peerIP: 10.10.1.256, asNumber: 64601}"))
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("spec.peerIP must be an IPv4 or IPv6 address"), "{refused}");

    // (name, spec, what the node must say)
    let cases = [
        ("myself", "{peerIP: 10.10.1.11, asNumber: 64601}", "10.10.1.11 is this node itself"),
        (
            "twice",
            "{peerIP: 10.10.1.251, asNumber: 64999}",
            "10.10.1.251 is the address of BGPPeer tor-1-1 already",
        ),
        ("nowhere", "{peerIP: 224.0.0.5, asNumber: 64601}", "224.0.0.5 is not the address of a router"),
        ("unselecting", "{peerIP: 10.10.1.99, asNumber: 64601, nodeSelector: 'rack ='}", "spec.nodeSelector"),
    ];
    for (name, spec, _) in cases {
        lab.apply(&peer(name, spec)).await.unwrap();
    }
    let reports: Api<NodeReport> = Api::all(lab.client());
    lab.until("conditions in the NodeReport", LIMIT, async || {
        let status = reports.get("node-1").await.ok()?.status?;
        let routing = status.conditions.into_iter().find(|condition| condition.type_ == "Routing")?;
        let tells = |(name, _, message): &(&str, &str, &str)| {
            routing.message.contains(message) && routing.message.contains(name)
        };
        cases.iter().all(tells).then_some(())
    })
    .await
    .unwrap();
    await_events(&lab, &cases.map(|(name, _, message)| (name, message))).await;
    let peers = lab.peers(&Endpoint::Node("node-1".into())).await.unwrap();
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names, ["tor-1-1", "tor-1-2"]);
    assert!(peers.iter().all(|peer| peer.state == "Established" && peer.flaps == 0), "{peers:?}");
    for (name, ..) in cases {
        lab.delete("tortie.dev/v1alpha1", "BGPPeer", None, name).await.unwrap();
    }
    lab.until("a report without complaints", LIMIT, async || {
        let status = reports.get("node-1").await.ok()?.status?;
        status.conditions.iter().all(|condition| condition.status == "True").then_some(())
    })
    .await
    .unwrap();
    lab.end().await;
}

/// Each problem is an Event of the object that has it.
async fn await_events(lab: &TestLab, expected: &[(&str, &str)]) {
    lab.until("events", LIMIT, async || {
        let mut events: Vec<Value> = Vec::new();
        for namespace in ["default", "kube-system"] {
            let list = lab
                .objects("events.k8s.io/v1", "Event", Some(namespace))
                .list(&ListParams::default())
                .await
                .ok()?;
            events.extend(list.items.into_iter().map(|event| event.data));
        }
        let is_told = |(name, message): &(&str, &str)| {
            events.iter().any(|event| {
                event["regarding"]["name"] == *name
                    && event["note"].as_str().is_some_and(|note| note.contains(message))
            })
        };
        expected.iter().all(is_told).then_some(())
    })
    .await
    .unwrap();
}
