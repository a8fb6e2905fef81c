//! Programs in the kernel, with `nft` as the oracle, in network namespaces of their own.
#![cfg(feature = "io")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod lab;

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use felix::kernel::nft::{NftError, Owner};
use felix::program::*;
use lab::{Writer, as_nft_writes, everything, in_namespace, interface, listed, nft, v4};

#[test]
fn nft_prints_what_it_would_have_written_itself() {
    in_namespace(|| {
        let writer = Writer::start(Owner::Writer);
        writer.replace(&everything()).unwrap();
        let (ours, nfts) = (listed(), as_nft_writes(&everything()));
        let (ours, nfts) = (ours["nftables"].as_array().unwrap(), nfts["nftables"].as_array().unwrap());
        for (ours, nfts) in ours.iter().zip(nfts) {
            assert_eq!(ours, nfts, "\nours: {ours:#}\nnft's: {nfts:#}");
        }
        assert_eq!(ours.len(), nfts.len());
    });
}

/// Programs between which deltas lead.
fn versions() -> Vec<(&'static str, Program)> {
    let full = everything();
    let mut less = full.clone();
    less.chains.remove(&Name::from("pod/a.b"));
    less.chains.get_mut(&Name::from("input")).unwrap().rules.clear();
    let map = less.maps.get_mut(&Name::from("from-pod")).unwrap();
    map.elements.retain(|_, verdict| verdict.chain().is_none());
    for set in ["nets4", "nets6"] {
        less.sets.get_mut(&Name::from(set)).unwrap().elements.pop_first();
    }
    for set in ["hairpin", "v6-ports", "hash-ports"] {
        less.sets.remove(&Name::from(set));
    }
    let mut other = full.clone();
    let map = other.maps.get_mut(&Name::from("from-pod")).unwrap();
    map.elements.insert(interface("tort0"), Verdict::Drop);
    map.elements.insert(interface("tort9"), Verdict::Jump("empty".into()));
    let nets = other.sets.get_mut(&Name::from("nets4")).unwrap();
    nets.elements.remove(&Element::V4(v4("10.0.0.0", "10.0.0.255")));
    nets.elements
        .extend([Element::V4(v4("10.0.0.0", "10.0.0.127")), Element::V4(v4("10.0.0.200", "10.0.2.0"))]);
    other.chains.get_mut(&Name::from("output")).unwrap().rules =
        vec![Rule::new(vec![], Action::Verdict(Verdict::Accept))];
    vec![("full", full), ("less", less), ("other", other), ("empty", Program::default())]
}

#[test]
fn deltas_lead_from_each_program_to_each() {
    for (from_name, from) in versions() {
        for (to_name, to) in versions() {
            in_namespace(|| {
                let writer = Writer::start(Owner::Writer);
                writer.replace(&from).unwrap();
                let before = writer.writer.status();
                writer.apply(Delta::between(&from, &to)).unwrap();
                let why = format!("{from_name} to {to_name}");
                assert_eq!(writer.writer.status().comparisons, before.comparisons, "{why}: at once");
                assert_eq!(listed(), as_nft_writes(&to), "{why}");
            });
        }
    }
}

/// Handles of all objects: they change when an object is made anew.
fn handles() -> String {
    nft("-a list table inet tortie", "").unwrap()
}

#[test]
fn a_restart_on_an_equal_program_writes_nothing() {
    for owner in [Owner::Writer, Owner::Anybody] {
        in_namespace(|| {
            let first = Writer::start(owner);
            first.replace(&everything()).unwrap();
            let before = handles();
            drop(first);
            let second = Writer::start(owner);
            second.replace(&everything()).unwrap();
            second.replace(&everything()).unwrap();
            assert_eq!(handles(), before, "{owner:?}");
            let status = second.writer.status();
            // Adoption of the table is a transaction, but changes nothing in it.
            let adoptions = u64::from(owner == Owner::Writer);
            assert_eq!((status.transactions, status.comparisons), (adoptions, 2), "{owner:?}");
        });
    }
}

#[test]
fn a_restart_repairs_what_was_changed_meanwhile() {
    let wanted = as_nft_writes(&everything());
    // (what happened, whether the untouched rest keeps its handles)
    let cases = [
        ("flush chain inet tortie pod/a.b", true),
        ("insert rule inet tortie forward accept", true),
        ("add rule inet tortie empty drop", true),
        ("add chain inet tortie foreign", true),
        ("add element inet tortie nets4 { 192.0.2.0/24 }", true),
        ("delete element inet tortie peers4 { 10.9.0.1 }", true),
        ("add element inet tortie from-pod { \"tort8\" : accept }", true),
        ("add set inet tortie foreign { type ipv4_addr; }", true),
        ("add set inet tortie foreign { type mark; }", true),
        (
            "flush chain inet tortie pod/a.b; delete set inet tortie local6; add set inet tortie local6 { type mark; }",
            false,
        ),
        ("add chain inet tortie foreign { type filter hook input priority 5; policy drop; }", true),
        ("delete table inet tortie", false),
    ];
    for (damage, keeps) in cases {
        in_namespace(|| {
            let first = Writer::start(Owner::Writer);
            first.replace(&everything()).unwrap();
            // The table itself is made anew only if there is no other way.
            let handle = |text: &str| text.split(" progname").next().unwrap().to_owned();
            let before = handle(&handles());
            drop(first);
            nft("-f -", damage).unwrap();
            let second = Writer::start(Owner::Writer);
            second.replace(&everything()).unwrap();
            assert_eq!(listed(), wanted, "{damage}");
            assert_eq!(handle(&handles()) == before, keeps, "{damage}");
        });
    }
}

#[test]
fn others_cannot_touch_an_owned_table() {
    in_namespace(|| {
        let writer = Writer::start(Owner::Writer);
        writer.replace(&everything()).unwrap();
        writer.until("it owns the table", |status| status.is_owned);
        let before = handles();
        nft("flush ruleset", "").unwrap();
        assert!(nft("-f -", "flush chain inet tortie forward").is_err());
        assert_eq!(handles(), before);
        drop(writer);
        assert_eq!(handles().replace(" flags persist;", ""), handles(), "it outlives its writer");
    });
}

#[test]
fn what_others_change_is_repaired() {
    let wanted = as_nft_writes(&everything());
    for damage in [
        "flush ruleset",
        "flush chain inet tortie forward",
        "delete element inet tortie peers4 { 10.9.0.1 }",
        "insert rule inet tortie forward accept",
    ] {
        in_namespace(|| {
            let writer = Writer::start(Owner::Anybody);
            writer.replace(&everything()).unwrap();
            nft("-f -", damage).unwrap();
            writer.until(damage, |status| status.repairs == 1 && status.is_current);
            assert_eq!(listed(), wanted, "{damage}");
        });
    }
}

#[test]
fn changes_in_other_tables_are_nobodys_business() {
    in_namespace(|| {
        let writer = Writer::start(Owner::Anybody);
        writer.replace(&everything()).unwrap();
        nft("-f -", "add table inet other\nadd chain inet other forward").unwrap();
        nft("-f -", "add table ip tortie\nadd chain ip tortie forward").unwrap();
        // Orders are answered after events that came before them.
        writer.apply(Delta::default()).unwrap();
        writer.apply(Delta::default()).unwrap();
        assert_eq!(writer.writer.status().comparisons, 1);
        nft("-f -", "delete table ip tortie").unwrap();
        writer.replace(&Program::default()).unwrap();
        assert!(nft("list table inet other", "").is_ok());
    });
}

#[test]
fn a_refused_delta_changes_nothing_and_names_the_culprit() {
    in_namespace(|| {
        let writer = Writer::start(Owner::Writer);
        writer.replace(&everything()).unwrap();
        let before = handles();
        let nowhere = Rule::new(vec![], Action::Verdict(Verdict::Jump("nowhere".into())));
        let delta = Delta {
            ops: vec![Op::AddChain("fresh".into(), None), Op::SetRules("output".into(), vec![nowhere])],
        };
        match writer.apply(delta) {
            Err(NftError::Refused { subject, refusal }) => {
                assert_eq!(subject, "rule 0 of chain output");
                assert_eq!(refusal.errno, libc_enoent());
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(handles(), before);
        assert!(!writer.writer.status().is_current);
        // Taken out again, the rest that was owed is written.
        let delta = Delta { ops: vec![Op::SetRules("output".into(), vec![])] };
        writer.apply(delta).unwrap();
        assert!(handles().contains("chain fresh"));
    });
}

fn libc_enoent() -> i32 {
    nix::errno::Errno::ENOENT as i32
}

#[test]
fn a_second_writer_waits_for_the_first() {
    in_namespace(|| {
        let first = Writer::start(Owner::Writer);
        first.replace(&everything()).unwrap();
        let second = Writer::start(Owner::Writer);
        assert_eq!(second.replace(&everything()), Err(NftError::Owned));
        drop(first);
        second.until("it adopts the table by itself", |status| status.is_current && status.is_owned);
    });
}

#[test]
fn a_delta_needs_a_program() {
    in_namespace(|| {
        let writer = Writer::start(Owner::Writer);
        assert_eq!(writer.apply(Delta::default()), Err(NftError::NoProgram));
        let handle = writer.writer.clone();
        drop(writer);
        assert_eq!(lab::wait(handle.replace(Program::default())), Err(NftError::Stopped));
    });
}

#[test]
fn large_sets_go_in_one_transaction_and_come_back() {
    in_namespace(|| {
        let mut program = Program::default();
        let hosts = (0..60_000_u32).map(|at| Element::V4(Span::single((0x0a00_0000 + 2 * at).into())));
        let set = Set { elements: hosts.collect(), ..Set::hash(SetKey::V4, "many") };
        program.sets.insert("hosts".into(), set);
        let nets = (0..5_000_u32).map(|at| {
            let first = 0x2000_0000 + (at << 12);
            Element::V4(Span { first: first.into(), last: (first + 0xff).into() })
        });
        let set = Set { elements: nets.collect(), ..Set::interval(SetKey::V4, "many") };
        program.sets.insert("nets".into(), set);
        for at in 0..200 {
            let rules = vec![Rule::new(vec![], Action::Verdict(Verdict::Drop)).counted("denied"); 20];
            program.chains.insert(Name::new(&format!("chain-{at}")), Chain { base: None, rules });
        }
        let first = Writer::start(Owner::Writer);
        first.replace(&program).unwrap();
        assert_eq!(first.writer.status().transactions, 1);
        drop(first);
        let second = Writer::start(Owner::Writer);
        second.replace(&program).unwrap();
        assert_eq!(second.writer.status().transactions, 1, "only the adoption");
    });
}

/// The next of a sequence that looks random and is always the same.
fn next(state: &mut u64) -> u32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    u32::try_from(*state >> 40).unwrap()
}

/// Some disjoint spans below 64, many of them touching each other.
fn spans(state: &mut u64) -> Vec<(u8, u8)> {
    let mut spans = Vec::new();
    let mut at = next(state) % 4;
    while at < 60 {
        let last = at + next(state) % 5;
        spans.push((u8::try_from(at).unwrap(), u8::try_from(last).unwrap()));
        at = last + 1 + next(state) % 3;
    }
    spans.retain(|_| !next(state).is_multiple_of(3));
    spans
}

fn interval_sets(state: &mut u64) -> Program {
    let span = |(first, last): (u8, u8)| Span {
        first: std::net::Ipv4Addr::new(10, 0, 0, first),
        last: std::net::Ipv4Addr::new(10, 0, 0, last),
    };
    let tree: Vec<Element> = spans(state).into_iter().map(|it| Element::V4(span(it))).collect();
    let ranges = spans(state).into_iter().map(|it| {
        let ports = Span { first: u16::from(it.0), last: u16::from(it.1) };
        Element::V4Ports(span(it), 6, ports)
    });
    let ranges: Vec<Element> = ranges.collect();
    let mut program = Program::default();
    let set = |key, elements: Vec<Element>| Set {
        elements: elements.into_iter().collect(),
        ..Set::interval(key, "")
    };
    program.sets.insert("tree".into(), set(SetKey::V4, tree));
    program.sets.insert("ranges".into(), set(SetKey::V4Ports, ranges));
    program
}

#[test]
fn intervals_change_into_any_others() {
    in_namespace(|| {
        let state = &mut 7;
        let writer = Writer::start(Owner::Anybody);
        let mut program = interval_sets(state);
        writer.replace(&program).unwrap();
        for step in 0..300 {
            let next = interval_sets(state);
            writer.apply(Delta::between(&program, &next)).unwrap();
            program = next;
            assert_eq!(writer.writer.status().comparisons, 1, "step {step} went at once");
        }
        let before = writer.writer.status().transactions;
        writer.replace(&program).unwrap();
        assert_eq!(writer.writer.status().transactions, before, "the kernel has what was ordered");
        assert_eq!(listed(), as_nft_writes(&program));
    });
}

/// Sends a datagram to a port of this namespace and says whether it arrived.
fn arrives(address: &str) -> bool {
    let receiver = UdpSocket::bind(address).unwrap();
    receiver.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let sender = UdpSocket::bind(if address.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" }).unwrap();
    // A drop in the output hook is an error here.
    let sent = sender.send_to(b"hello", address).is_ok();
    sent && receiver.recv(&mut [0; 16]).is_ok()
}

fn input_chain(rules: Vec<Rule>) -> Program {
    let base = Some(Base { kind: HookKind::Filter, hook: Hook::Input, priority: 0 });
    let mut program = Program::default();
    program.chains.insert("input".into(), Chain { base, rules });
    program
}

/// Whether a datagram to `destination` arrives where a rule with these conditions drops.
fn check(why: &str, element: Option<Element>, matches: Vec<Match>, destination: &str, expected: bool) {
    in_namespace(|| {
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        let mut program = input_chain(vec![Rule::new(matches, Action::Verdict(Verdict::Drop))]);
        if let Some(element) = element {
            let set = Set { elements: [element].into(), ..Set::interval(element.key(), "") };
            program.sets.insert("set".into(), set);
        }
        let writer = Writer::start(Owner::Writer);
        writer.replace(&program).unwrap();
        assert_eq!(arrives(destination), expected, "{why}\n{program}");
    });
}

#[test]
fn packets_obey_conditions() {
    let ports = || {
        let range = Match::Between(Field::DestinationPort, Value::Port(7001), Value::Port(7003));
        vec![Match::Equals(Field::Protocol, Value::Byte(17)), range]
    };
    let prefix = |text: &str| vec![Match::Prefix(Field::V6Source, Value::V6(text.parse().unwrap()), 10)];
    let from = |prefix, negated| vec![Match::NameStartsWith { field: Field::InInterface, prefix, negated }];
    // (why, conditions of a drop, destination, whether it arrives)
    let cases = [
        ("port below", ports(), "127.0.0.1:7000", true),
        ("first port", ports(), "127.0.0.1:7001", false),
        ("last port", ports(), "127.0.0.1:7003", false),
        ("port above", ports(), "127.0.0.1:7004", true),
        ("prefix of 10 bits, outside", prefix("fe80::"), "[::1]:7000", true),
        ("prefix of 10 bits, inside", prefix("::"), "[::1]:7000", false),
        ("prefix of another family", prefix("::"), "127.0.0.1:7000", true),
        ("interface", from("l", false), "127.0.0.1:7000", false),
        ("interface, negated", from("l", true), "127.0.0.1:7000", true),
        ("other interface", from("tort", false), "127.0.0.1:7000", true),
        ("other interface, negated", from("tort", true), "127.0.0.1:7000", false),
    ];
    for (why, matches, destination, expected) in cases {
        check(why, None, matches, destination, expected);
    }
}

#[test]
fn packets_obey_sets() {
    use Field::{DestinationPort, Protocol, V4Destination, V4Source, V6Source};
    let tree = Element::V4(v4("127.0.0.0", "127.255.255.255"));
    let ports = Span { first: 7000, last: 7009 };
    let ranges = |protocol| Element::V4Ports(v4("127.0.0.1", "127.0.0.9"), protocol, ports);
    let six = Element::V6Ports(Span::single("::1".parse().unwrap()), 17, ports);
    let source: &[Field] = &[V4Source];
    let to: &[Field] = &[V4Destination, Protocol, DestinationPort];
    let from6: &[Field] = &[V6Source, Protocol, DestinationPort];
    // (why, element of the set, fields, negated, destination, whether it arrives)
    let cases = [
        ("in the tree", tree, source, false, "127.0.0.1:7000", false),
        ("in the tree, negated", tree, source, true, "127.0.0.1:7000", true),
        ("other family", tree, source, false, "[::1]:7000", true),
        ("other family, negated", tree, source, true, "[::1]:7000", true),
        ("ranges", ranges(17), to, false, "127.0.0.9:7009", false),
        ("ranges, port beyond", ranges(17), to, false, "127.0.0.9:7010", true),
        ("ranges, address beyond", ranges(17), to, false, "127.0.0.10:7009", true),
        ("ranges, other protocol", ranges(6), to, false, "127.0.0.9:7009", true),
        ("IPv6 and port", six, from6, false, "[::1]:7009", false),
        ("IPv6 and port beyond", six, from6, false, "[::1]:7010", true),
    ];
    for (why, element, fields, negated, destination, expected) in cases {
        let condition = Match::InSet { fields: fields.into(), set: "set".into(), negated };
        check(why, Some(element), vec![condition], destination, expected);
    }
}

#[test]
fn verdict_maps_and_connections_obey() {
    in_namespace(|| {
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        let dispatch = Rule::new(vec![], Action::Dispatch(Field::InInterface, "from".into()));
        let mut program = input_chain(vec![dispatch]);
        program.maps.insert("from".into(), VerdictMap::default());
        program.chains.insert(
            "closed".into(),
            Chain {
                base: None,
                rules: vec![
                    Rule::new(
                        vec![Match::Conntrack(ConntrackStates {
                            established: true,
                            ..ConntrackStates::default()
                        })],
                        Action::Verdict(Verdict::Accept),
                    ),
                    Rule::new(vec![], Action::Verdict(Verdict::Drop)),
                ],
            },
        );
        let writer = Writer::start(Owner::Writer);
        writer.replace(&program).unwrap();
        let (server, client) =
            (UdpSocket::bind("127.0.0.1:7000").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        }
        let mut buffer = [0; 16];
        client.send_to(b"one", "127.0.0.1:7000").unwrap();
        let (_, back) = server.recv_from(&mut buffer).expect("no verdict: the next rule, then the policy");
        server.send_to(b"two", back).unwrap();
        client.recv(&mut buffer).unwrap();
        let close = |old, new| Delta {
            ops: vec![Op::SetVerdict { map: "from".into(), interface: interface("lo"), old, new }],
        };
        let closed = Verdict::Goto("closed".into());
        writer.apply(close(None, Some(closed.clone()))).unwrap();
        assert!(!arrives("127.0.0.1:7001"), "a new flow");
        client.send_to(b"three", "127.0.0.1:7000").unwrap();
        assert!(server.recv(&mut buffer).is_ok(), "the flow that was there");
        writer.apply(close(Some(closed), Some(Verdict::Accept))).unwrap();
        assert!(arrives("127.0.0.1:7001"), "another verdict in its place");
    });
}
