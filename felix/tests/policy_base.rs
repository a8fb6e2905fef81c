//! What holds whatever the policies say: sources, connection tracking, neighbour discovery, path MTU, the node, NAT.
//!
//! The world of the scenarios with x/a and x/b isolated in both directions; y/a is not isolated.

#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "tests panic, and tables are long")]

mod world;

use std::net::IpAddr;

use felix::compile::{Compiler, HostAccess, Settings};
use felix::explain::Place;
use felix::program::InterfaceName;
use world::interpreter::{Frame, State, masquerades, passes};

const DENY: &str = "{kind: NetworkPolicy, metadata: {namespace: x, name: deny}, \
                    spec: {podSelector: {}, policyTypes: [Ingress, Egress]}}";

fn compiler(host_access: HostAccess) -> Compiler {
    let mut compiler = Compiler::new(Settings { host_access });
    let world = std::fs::read_to_string(world::cases().join("world.yaml")).unwrap();
    for change in world::changes(&world).into_iter().chain(world::changes(DENY)) {
        compiler.apply(change);
    }
    compiler
}

fn pod(interface: &str) -> Place {
    Place::Workload(InterfaceName::new(interface).unwrap())
}

fn frame(from: Place, to: Place, source: &str, destination: &str, protocol: u8) -> Frame {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    let packet = felix::explain::Packet {
        from,
        to,
        source: address(source),
        destination: address(destination),
        protocol,
        destination_port: 80,
    };
    Frame::new(&packet)
}

fn icmp(frame: Frame, kind: u8, code: u8) -> Frame {
    Frame { icmp: (kind, code), ..frame }
}

fn state(frame: Frame, state: State) -> Frame {
    Frame { state, ..frame }
}

fn check(cases: Vec<(&str, Frame, bool)>) {
    let compiler = compiler(HostAccess::Accept);
    for (why, frame, passing) in cases {
        assert_eq!(passes(compiler.program(), &frame).is_ok(), passing, "{why}: {frame:?}");
    }
}

const EXTERNAL: &str = "203.0.113.9";
const EXTERNAL6: &str = "2001:db8:9::9";
const NODE: &str = "192.0.2.1";

#[test]
fn sources_are_the_pods_own() {
    let (ya, out) = (pod("tortya"), Place::Fabric);
    check(vec![
        ("its own IPv4 address", frame(ya, out, "10.1.0.21", EXTERNAL, 6), true),
        ("its own IPv6 address", frame(ya, out, "fd00:1::21", EXTERNAL6, 6), true),
        ("the address of another pod here", frame(ya, out, "10.1.0.11", EXTERNAL, 6), false),
        ("the address of another pod here, IPv6", frame(ya, out, "fd00:1::11", EXTERNAL6, 6), false),
        ("an address of nobody", frame(ya, out, "198.51.100.1", EXTERNAL, 6), false),
        (
            "a forged packet of an established flow of another pod",
            state(frame(ya, pod("tortxa"), "10.1.0.12", "10.1.0.11", 17), State::Established),
            false,
        ),
        ("the node's own address", frame(ya, Place::Node, NODE, NODE, 6), false),
        ("DHCP", frame(ya, Place::Node, "0.0.0.0", "255.255.255.255", 17), false),
        ("the node may use any source", frame(Place::Fabric, pod("tortya"), EXTERNAL, "10.1.0.21", 6), true),
        ("an interface of ours without endpoint", frame(pod("tortzz"), out, "10.1.0.77", EXTERNAL, 6), false),
    ]);
}

#[test]
fn link_local_sources_do_neighbour_discovery_alone() {
    let from = |source: &str, destination: &str| frame(pod("tortxa"), Place::Node, source, destination, 58);
    let untracked = |it: Frame, kind: u8| state(icmp(it, kind, 0), State::Untracked);
    check(vec![
        ("duplicate address detection", untracked(from("::", "ff02::1:ff00:11"), 135), true),
        ("router solicitation without an address", untracked(from("::", "ff02::2"), 133), true),
        ("MLDv2 report without an address", untracked(from("::", "ff02::16"), 143), true),
        ("neighbour solicitation", untracked(from("fe80::1", "ff02::1:ff00:11"), 135), true),
        ("neighbour advertisement", untracked(from("fe80::1", "fe80::2"), 136), true),
        ("router solicitation", untracked(from("fe80::1", "ff02::2"), 133), true),
        ("MLDv1 report", untracked(from("fe80::1", "ff02::1:ff00:11"), 131), true),
        ("MLDv1 done", untracked(from("fe80::1", "ff02::2"), 132), true),
        ("a pod is no router", untracked(from("fe80::1", "ff02::1"), 134), false),
        ("a pod redirects nobody", untracked(from("fe80::1", "fe80::2"), 137), false),
        ("a pod asks no MLD questions", untracked(from("fe80::1", "ff02::1"), 130), false),
        ("no ping from a link-local address", icmp(from("fe80::1", "fe80::2"), 128, 0), false),
        (
            "no TCP from a link-local address",
            frame(pod("tortxa"), Place::Node, "fe80::1", "fe80::2", 6),
            false,
        ),
        ("no TCP from no address", frame(pod("tortxa"), Place::Node, "::", "fe80::2", 6), false),
        ("solicitation from its own address", untracked(from("fd00:1::11", "fe80::2"), 135), true),
        ("advertisement from its own address", untracked(from("fd00:1::11", "fe80::2"), 136), true),
        ("solicitation from another's address", untracked(from("fd00:1::12", "fe80::2"), 135), false),
    ]);
}

#[test]
fn flows_and_errors_under_default_deny() {
    let (xa, ya, out) = (pod("tortxa"), pod("tortya"), Place::Fabric);
    let leaving = || frame(xa, out, "10.1.0.11", EXTERNAL, 6);
    let coming = || frame(out, xa, EXTERNAL, "10.1.0.11", 6);
    let error4 = |kind, code| icmp(frame(out, xa, EXTERNAL, "10.1.0.11", 1), kind, code);
    let error6 = |kind| icmp(frame(out, xa, EXTERNAL6, "fd00:1::11", 58), kind, 0);
    check(vec![
        ("a new flow out", leaving(), false),
        ("a new flow in", coming(), false),
        ("an established flow out", state(leaving(), State::Established), true),
        ("an established flow in", state(coming(), State::Established), true),
        ("an error of a known flow", state(error4(3, 1), State::Related), true),
        ("an error of no flow", state(error4(3, 1), State::Invalid), false),
        ("fragmentation needed of no flow", state(error4(3, 4), State::Invalid), true),
        ("fragmentation needed", error4(3, 4), true),
        ("a ping", error4(8, 0), false),
        ("a ping with the code of fragmentation needed", error4(8, 4), false),
        ("Packet Too Big", error6(2), true),
        ("Packet Too Big of no flow", state(error6(2), State::Invalid), true),
        ("a ping, IPv6", error6(128), false),
        ("Packet Too Big from the pod", icmp(frame(xa, out, "fd00:1::11", EXTERNAL6, 58), 2, 0), true),
        (
            "invalid from a pod without policy",
            state(frame(ya, out, "10.1.0.21", EXTERNAL, 6), State::Invalid),
            false,
        ),
        (
            "invalid to a pod without policy",
            state(frame(out, ya, EXTERNAL, "10.1.0.21", 6), State::Invalid),
            false,
        ),
        (
            "invalid that is none of ours",
            state(frame(out, out, EXTERNAL, "192.0.2.7", 6), State::Invalid),
            true,
        ),
        ("what is none of ours", frame(out, out, EXTERNAL, "192.0.2.7", 6), true),
        ("a pod that reaches itself by a Service", frame(xa, xa, "10.1.0.11", "10.1.0.11", 6), true),
        (
            "to an interface of ours without endpoint",
            frame(out, pod("tortzz"), EXTERNAL, "10.1.0.77", 6),
            false,
        ),
    ]);
}

#[test]
fn the_node_and_its_pods() {
    let (xa, ya, node) = (pod("tortxa"), pod("tortya"), Place::Node);
    let deny = |name| frame(xa, node, "10.1.0.11", name, 6);
    check(vec![
        ("the node reaches an isolated pod", frame(node, xa, NODE, "10.1.0.11", 6), true),
        ("the pod answers", state(deny(NODE), State::Established), true),
        ("the pod begins nothing", deny(NODE), false),
        ("a pod that is not isolated may", frame(ya, node, "10.1.0.21", NODE, 6), true),
        ("invalid to the node", state(frame(ya, node, "10.1.0.21", NODE, 6), State::Invalid), false),
        ("an interface of ours without endpoint", frame(pod("tortzz"), node, "10.1.0.77", NODE, 6), false),
        ("others reach the node as without us", frame(Place::Fabric, node, EXTERNAL, NODE, 6), true),
        (
            "others' invalid packets too",
            state(frame(Place::Fabric, node, EXTERNAL, NODE, 6), State::Invalid),
            true,
        ),
    ]);
}

#[test]
fn access_to_the_node_can_be_closed() {
    let compiler = compiler(HostAccess::Drop);
    let (ya, node) = (pod("tortya"), Place::Node);
    let new = || frame(ya, node, "10.1.0.21", NODE, 6);
    let solicitation = icmp(frame(ya, node, "fd00:1::21", "fe80::2", 58), 135, 0);
    for (why, frame, passing) in [
        ("a new flow", new(), false),
        ("the answer to a probe", state(new(), State::Established), true),
        ("neighbour discovery", state(solicitation, State::Untracked), true),
        ("to others", frame(ya, Place::Fabric, "10.1.0.21", EXTERNAL, 6), true),
        ("others to the node", frame(Place::Fabric, node, EXTERNAL, NODE, 6), true),
    ] {
        assert_eq!(passes(compiler.program(), &frame).is_ok(), passing, "{why}");
    }
}

#[test]
fn what_leaves_the_pools_is_translated() {
    let mut compiler = compiler(HostAccess::Accept);
    let disabled =
        "{kind: IPPool, metadata: {name: old}, spec: {cidr: 10.9.0.0/16, natOutgoing: true, disabled: true}}";
    for change in world::changes(disabled) {
        compiler.apply(change);
    }
    let out = |source: &str, destination: &str| frame(pod("tortya"), Place::Fabric, source, destination, 6);
    for (why, frame, translated) in [
        ("to the world", out("10.1.0.21", EXTERNAL), true),
        ("to a pod of the same pool", out("10.1.0.21", "10.1.1.22"), false),
        ("to a pod of another pool", out("10.1.0.21", "10.9.0.1"), false),
        ("from a pool that gives no more addresses", out("10.9.0.1", EXTERNAL), true),
        ("from a pool without natOutgoing", out("fd00:1::21", EXTERNAL6), false),
        ("from no pool", frame(Place::Node, Place::Fabric, NODE, EXTERNAL, 6), false),
    ] {
        assert_eq!(masquerades(compiler.program(), &frame), translated, "{why}");
    }
}
