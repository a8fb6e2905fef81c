//! `NetworkPolicy` scenarios with truth tables written by hand: `explain` and the compiled program must both agree
//! with them, for both families.

#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "tests panic, and tables are long")]

mod world;

use std::net::IpAddr;

use felix::compile::{Change, Compiler, HostAccess, Settings};
use felix::explain::{Packet, Place, explain};
use felix::program::InterfaceName;
use serde::Deserialize;
use serde_json::{Value, json};
use world::interpreter::{Frame, check, passes};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    why: String,
    probe: String,
    #[serde(default = "both_families")]
    families: Vec<u8>,
    policies: Vec<NamedSpec>,
    expect: Vec<String>,
}

#[derive(Deserialize)]
struct NamedSpec {
    #[serde(rename = "in")]
    key: String,
    spec: Value,
}

fn both_families() -> Vec<u8> {
    vec![4, 6]
}

/// Name, interface here, addresses.
const PLACES: [(&str, Option<&str>, [&str; 2]); 8] = [
    ("x/a", Some("tortxa"), ["10.1.0.11", "fd00:1::11"]),
    ("x/b", Some("tortxb"), ["10.1.0.12", "fd00:1::12"]),
    ("y/a", Some("tortya"), ["10.1.0.21", "fd00:1::21"]),
    ("y/b", None, ["10.1.1.22", "fd00:1::1:22"]),
    ("z/a", None, ["10.1.1.31", "fd00:1::1:31"]),
    ("node", None, ["192.0.2.1", "2001:db8::1"]),
    ("ext1", None, ["203.0.113.9", "2001:db8:9::9"]),
    ("ext2", None, ["203.0.113.200", "2001:db8:9::8009"]),
];

fn place(name: &str, interface: Option<&str>) -> Place {
    match interface {
        Some(interface) => Place::Workload(InterfaceName::new(interface).unwrap()),
        None if name == "node" => Place::Node,
        None => Place::Fabric,
    }
}

fn compiler(scenario: &Scenario) -> Compiler {
    let mut compiler = Compiler::new(Settings::default());
    let text = std::fs::read_to_string(world::cases().join("world.yaml")).unwrap();
    for change in world::changes(&text) {
        compiler.apply(change);
    }
    for policy in &scenario.policies {
        let (namespace, name) = policy.key.split_once('/').unwrap();
        let metadata = json!({"namespace": namespace, "name": name});
        let change: Change =
            world::change(&json!({"kind": "NetworkPolicy", "metadata": metadata, "spec": policy.spec}));
        let outcome = compiler.apply(change);
        assert!(outcome.faults.is_empty(), "{}", scenario.why);
    }
    check(compiler.program());
    compiler
}

/// Protocol number and port of `TCP 80`.
fn probe(text: &str, family: u8) -> (u8, u16) {
    let (protocol, port) = text.split_once(' ').unwrap();
    let number = match (protocol, family) {
        ("TCP", _) => 6,
        ("UDP", _) => 17,
        ("SCTP", _) => 132,
        ("ICMP", 4) => 1,
        ("ICMP", _) => 58,
        other => panic!("no protocol {other:?}"),
    };
    (number, port.parse().unwrap())
}

/// What the table says.
fn expected(lines: &[String], from: &str, to: &str) -> bool {
    let is_local = |name: &str| PLACES.iter().any(|(it, interface, _)| *it == name && interface.is_some());
    if from == to || (from == "node" && is_local(to)) {
        return true;
    }
    let fits = |pattern: &str, name: &str| {
        let prefix = pattern.strip_suffix('*');
        prefix.map_or(pattern == name, |prefix| name.starts_with(prefix))
    };
    let mut allowed = true;
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [verdict @ ("allow" | "deny"), one, "->", other] = words[..] else {
            panic!("cannot read {line:?}")
        };
        if fits(one, from) && fits(other, to) {
            allowed = verdict == "allow";
        }
    }
    allowed
}

#[test]
fn truth_tables() {
    let text = std::fs::read_to_string(world::cases().join("scenarios.yaml")).unwrap();
    let scenarios: Vec<Scenario> = serde_yaml_ng::from_str(&text).unwrap();
    assert!(scenarios.len() >= 60, "only {} scenarios were read", scenarios.len());
    let mut wrong = Vec::new();
    for scenario in &scenarios {
        let compiler = compiler(scenario);
        for family in &scenario.families {
            for from in PLACES {
                for to in PLACES {
                    wrong.extend(judge(scenario, &compiler, *family, from, to));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong verdicts:\n{}", wrong.len(), wrong.join("\n"));
}

type NamedPlace = (&'static str, Option<&'static str>, [&'static str; 2]);

fn judge(
    scenario: &Scenario,
    compiler: &Compiler,
    family: u8,
    from: NamedPlace,
    to: NamedPlace,
) -> Vec<String> {
    // What no pod of this node takes part in does not come here.
    if from.1.is_none() && to.1.is_none() {
        return Vec::new();
    }
    let address = |place: NamedPlace| -> IpAddr { place.2[usize::from(family == 6)].parse().unwrap() };
    let (protocol, destination_port) = probe(&scenario.probe, family);
    let packet = Packet {
        from: place(from.0, from.1),
        to: place(to.0, to.1),
        source: address(from),
        destination: address(to),
        protocol,
        destination_port,
    };
    let wanted = expected(&scenario.expect, from.0, to.0);
    let explained = explain(compiler.model(), HostAccess::Accept, &packet);
    let frame = Frame { icmp: (if family == 4 { 8 } else { 128 }, 0), ..Frame::new(&packet) };
    let filtered = passes(compiler.program(), &frame);
    let head = format!("{} (IPv{family}): {} -> {} should be {wanted}", scenario.why, from.0, to.0);
    let mut wrong = Vec::new();
    if explained.allowed != wanted {
        wrong.push(format!("{head}, explain says {:?}", explained.reasons));
    }
    if filtered.is_ok() != wanted {
        wrong.push(format!("{head}, the program says {filtered:?}"));
    }
    wrong
}
