//! A program that uses every type once: its text, and deltas between its parts.

use std::net::Ipv4Addr;

use super::*;

fn interface(name: &str) -> InterfaceName {
    InterfaceName::new(name).unwrap()
}

/// Says everything that the types can say, so that text and encoders can be tried on one value.
fn everything() -> Program {
    let mut program = Program::default();
    let v4 = Span { first: Ipv4Addr::new(10, 0, 0, 0), last: Ipv4Addr::new(10, 0, 0, 255) };
    let odd = Span { first: Ipv4Addr::new(10, 0, 1, 1), last: Ipv4Addr::new(10, 0, 1, 6) };
    let v6 = Span { first: "fd00::".parse().unwrap(), last: "fd00::ffff".parse().unwrap() };
    let one6 = Span::single("fd00::1".parse().unwrap());
    let ports = Span { first: 8000, last: 8010 };
    let sets: [(&str, bool, Vec<Element>); 8] = [
        ("v4", true, vec![Element::V4(v4), Element::V4(odd)]),
        ("v6", false, vec![Element::V6(one6)]),
        ("ports", true, vec![Element::Ports(6, ports), Element::Ports(17, Span::single(53))]),
        ("v4-ports", true, vec![Element::V4Ports(odd, 6, ports)]),
        ("v6-ports", true, vec![Element::V6Ports(v6, 132, Span::single(80))]),
        ("local4", false, vec![Element::InterfaceV4(interface("tort0"), Ipv4Addr::new(10, 0, 0, 1))]),
        ("local6", false, vec![Element::InterfaceV6(interface("tort0"), one6.first)]),
        ("hairpin", false, vec![Element::Interfaces(interface("tort0"), interface("tort0"))]),
    ];
    for (name, interval, elements) in sets {
        let key = elements[0].key();
        let comment = format!("for {name}");
        let set = if interval { Set::interval(key, &comment) } else { Set::hash(key, &comment) };
        program.sets.insert(name.into(), Set { elements: elements.into_iter().collect(), ..set });
    }
    let verdicts = [("tort0", Verdict::Goto("pod/a.b".into())), ("tort1", Verdict::Accept)];
    let elements = verdicts.map(|(name, verdict)| (interface(name), verdict)).into();
    program.maps.insert("from-pod".into(), VerdictMap { elements });
    program.chains.insert("pod/a.b".into(), Chain { base: None, rules: pod_rules() });
    for (name, kind, hook, rules) in base_chains() {
        let base = Some(Base { kind, hook, priority: -10 });
        program.chains.insert(name.into(), Chain { base, rules });
    }
    program
}

fn pod_rules() -> Vec<Rule> {
    use Field::*;
    let in_set =
        |fields: &[Field], set: &str| Match::InSet { fields: fields.into(), set: set.into(), negated: false };
    let accept = || Action::Verdict(Verdict::Accept);
    vec![
        Rule::new(vec![in_set(&[V4Source], "v4"), in_set(&[Protocol, DestinationPort], "ports")], accept())
            .counted("default/web ingress \"0\""),
        Rule::new(vec![in_set(&[V6Destination], "v6")], accept()),
        Rule::new(vec![in_set(&[V4Destination, Protocol, DestinationPort], "v4-ports")], accept()),
        Rule::new(vec![in_set(&[V6Source, Protocol, DestinationPort], "v6-ports")], accept()),
        Rule::new(vec![in_set(&[InInterface, V4Source], "local4")], Action::Verdict(Verdict::Return)),
        Rule::new(vec![in_set(&[InInterface, V6Source], "local6")], Action::Verdict(Verdict::Return)),
        Rule::new(vec![in_set(&[InInterface, OutInterface], "hairpin")], accept()),
        Rule::new(
            vec![
                Match::Equals(Protocol, Value::Byte(6)),
                Match::Between(DestinationPort, Value::Port(1), Value::Port(9)),
            ],
            accept(),
        ),
        Rule::new(
            vec![Match::Equals(IcmpType, Value::Byte(3)), Match::Equals(IcmpCode, Value::Byte(4))],
            accept(),
        ),
        Rule::new(vec![], Action::Verdict(Verdict::Drop)).counted("denied"),
    ]
}

fn base_chains() -> Vec<(&'static str, HookKind, Hook, Vec<Rule>)> {
    let link_local = Value::V6("fe80::".parse().unwrap());
    let workload = |field, negated| Match::NameStartsWith { field, prefix: WORKLOAD_PREFIX, negated };
    let states = ConntrackStates { established: true, related: true, invalid: false };
    let nd = vec![
        Match::Prefix(Field::V6Source, link_local, 10),
        Match::Between(Field::Icmpv6Type, Value::Byte(135), Value::Byte(136)),
    ];
    let outside = Match::InSet { fields: vec![Field::V4Destination], set: "v4".into(), negated: true };
    let jump = Action::Verdict(Verdict::Jump("pod/a.b".into()));
    vec![
        (
            "prerouting",
            HookKind::Filter,
            Hook::Prerouting,
            vec![Rule::new(nd, Action::Verdict(Verdict::Accept))],
        ),
        (
            "input",
            HookKind::Filter,
            Hook::Input,
            vec![Rule::new(vec![workload(Field::InInterface, true)], jump)],
        ),
        (
            "forward",
            HookKind::Filter,
            Hook::Forward,
            vec![
                Rule::new(vec![Match::Conntrack(states)], Action::Verdict(Verdict::Accept)),
                Rule::new(vec![], Action::Dispatch(Field::InInterface, "from-pod".into())),
                Rule::new(vec![workload(Field::OutInterface, false)], Action::Verdict(Verdict::Drop)),
            ],
        ),
        ("output", HookKind::Filter, Hook::Output, vec![]),
        ("postrouting", HookKind::Nat, Hook::Postrouting, vec![Rule::new(vec![outside], Action::Masquerade)]),
    ]
}

#[test]
fn prints_as_nft_reads() {
    let text = everything().to_string();
    if std::env::var_os("UPDATE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/program/everything.nft");
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, include_str!("everything.nft"), "UPDATE=1 rewrites it");
}

#[test]
fn delta_leads_from_any_program_to_any() {
    let (empty, full) = (Program::default(), everything());
    let mut less = full.clone();
    less.chains.remove(&Name::from("pod/a.b"));
    less.maps.get_mut(&Name::from("from-pod")).unwrap().elements.clear();
    less.sets.get_mut(&Name::from("v4")).unwrap().elements.pop_first();
    less.sets.remove(&Name::from("hairpin"));
    let mut other = full.clone();
    other.maps.get_mut(&Name::from("from-pod")).unwrap().elements.insert(interface("tort0"), Verdict::Drop);
    for (why, from, to) in [
        ("all is new", &empty, &full),
        ("all goes", &full, &empty),
        ("some goes", &full, &less),
        ("some comes", &less, &full),
        ("a verdict changes", &full, &other),
    ] {
        let mut program = from.clone();
        program.apply(&Delta::between(from, to));
        assert_eq!(&program, to, "{why}");
    }
    assert!(Delta::between(&full, &full).is_empty());
}

#[test]
fn interface_names_are_checked() {
    for (why, text, ok) in [
        ("usual", "tort0123456789a", true),
        ("too long", "tort0123456789ab", false),
        ("empty", "", false),
        ("wildcard", "tort*", false),
        ("path", "a/b", false),
        ("blank", "a b", false),
    ] {
        assert_eq!(InterfaceName::new(text).is_ok(), ok, "{why}");
    }
    assert!(interface("tort1").is_workload() && !interface("eth0").is_workload());
}
