//! Runs packets through a program as the kernel would.
//!
//! Written from nftables' documentation and independent of the compiler: tests compare its verdict with
//! what `explain` says of the objects and with tables written by hand.

use std::net::IpAddr;

use felix::explain::{Packet, Place};
use felix::program::{Action, Chain, Element, Field, Hook, Match, Name, Program, Rule, Span, Value, Verdict};

/// State of the packet's flow in connection tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    New,
    Established,
    Related,
    Invalid,
    Untracked,
}

/// A packet with all that a rule can look at.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) in_name: String,
    pub(crate) out_name: String,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// Destination port, or ICMP type and code.
    pub(crate) port: u16,
    pub(crate) icmp: (u8, u8),
    pub(crate) state: State,
    pub(crate) to: Place,
    pub(crate) from: Place,
}

impl Frame {
    /// The first packet of a flow.
    pub(crate) fn new(packet: &Packet) -> Self {
        let name = |place: Place| match place {
            Place::Workload(interface) => interface.to_string(),
            Place::Node => String::new(),
            Place::Fabric => "eth0".to_owned(),
        };
        Self {
            in_name: name(packet.from),
            out_name: name(packet.to),
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol,
            port: packet.destination_port,
            icmp: (0, 0),
            state: State::New,
            from: packet.from,
            to: packet.to,
        }
    }
}

/// Whether the packet passes all hooks on its way, and the comment of the rule that dropped it.
pub(crate) fn passes(program: &Program, frame: &Frame) -> Result<(), String> {
    let way: &[Hook] = match (frame.from, frame.to) {
        (Place::Node, _) => &[Hook::Output],
        (_, Place::Node) => &[Hook::Prerouting, Hook::Input],
        _ => &[Hook::Prerouting, Hook::Forward],
    };
    way.iter().try_for_each(|hook| run_hook(program, *hook, frame))
}

/// Whether the first packet of the flow is masqueraded.
pub(crate) fn masquerades(program: &Program, frame: &Frame) -> bool {
    let chains = hooked(program, Hook::Postrouting);
    chains.iter().flat_map(|chain| &chain.rules).any(|rule| {
        rule.action == Action::Masquerade && rule.matches.iter().all(|it| holds(program, it, frame))
    })
}

fn hooked(program: &Program, hook: Hook) -> Vec<&Chain> {
    let mut chains: Vec<&Chain> =
        program.chains.values().filter(|chain| chain.base.is_some_and(|base| base.hook == hook)).collect();
    chains.sort_by_key(|chain| chain.base.map(|base| base.priority));
    chains
}

fn run_hook(program: &Program, hook: Hook, frame: &Frame) -> Result<(), String> {
    for chain in hooked(program, hook) {
        if let Some((Verdict::Drop, comment)) = run_chain(program, chain, frame) {
            return Err(comment);
        }
    }
    Ok(())
}

/// Accept or drop if the chain comes to one.
fn run_chain(program: &Program, chain: &Chain, frame: &Frame) -> Option<(Verdict, String)> {
    for rule in &chain.rules {
        if !rule.matches.iter().all(|it| holds(program, it, frame)) {
            continue;
        }
        match verdict(program, rule, frame) {
            Some(Verdict::Return) => return None,
            Some(Verdict::Jump(name)) => {
                if let Some(end) = run_chain(program, &program.chains[&name], frame) {
                    return Some(end);
                }
            }
            Some(Verdict::Goto(name)) => return run_chain(program, &program.chains[&name], frame),
            Some(end) => return Some((end, rule.comment.clone())),
            None => {}
        }
    }
    None
}

fn verdict(program: &Program, rule: &Rule, frame: &Frame) -> Option<Verdict> {
    match &rule.action {
        Action::Verdict(verdict) => Some(verdict.clone()),
        Action::Dispatch(field, map) => {
            let Some(Value::Interface(name)) = value(*field, frame) else { return None };
            program.maps[map].elements.get(&name).cloned()
        }
        Action::Masquerade => None,
    }
}

fn name_of(field: Field, frame: &Frame) -> &str {
    match field {
        Field::InInterface => &frame.in_name,
        Field::OutInterface => &frame.out_name,
        other => panic!("{other} is no interface"),
    }
}

fn value(field: Field, frame: &Frame) -> Option<Value> {
    let interface = |name: &str| felix::program::InterfaceName::new(name).ok().map(Value::Interface);
    let has_ports = matches!(frame.protocol, 6 | 17 | 132);
    match (field, frame.source, frame.destination) {
        (Field::InInterface | Field::OutInterface, ..) => interface(name_of(field, frame)),
        (Field::Protocol, ..) => Some(Value::Byte(frame.protocol)),
        (Field::V4Source, IpAddr::V4(it), _) | (Field::V4Destination, _, IpAddr::V4(it)) => {
            Some(Value::V4(it))
        }
        (Field::V6Source, IpAddr::V6(it), _) | (Field::V6Destination, _, IpAddr::V6(it)) => {
            Some(Value::V6(it))
        }
        (Field::DestinationPort, ..) if has_ports => Some(Value::Port(frame.port)),
        (Field::IcmpType, ..) if frame.protocol == 1 => Some(Value::Byte(frame.icmp.0)),
        (Field::IcmpCode, ..) if frame.protocol == 1 => Some(Value::Byte(frame.icmp.1)),
        (Field::Icmpv6Type, ..) if frame.protocol == 58 => Some(Value::Byte(frame.icmp.0)),
        _ => None,
    }
}

fn holds(program: &Program, condition: &Match, frame: &Frame) -> bool {
    match condition {
        Match::NameStartsWith { field, prefix, negated } => {
            name_of(*field, frame).starts_with(prefix) != *negated
        }
        Match::Equals(field, wanted) => value(*field, frame) == Some(*wanted),
        Match::Between(field, first, last) => {
            value(*field, frame).is_some_and(|it| (*first..=*last).contains(&it))
        }
        Match::Prefix(field, Value::V6(prefix), bits) => match value(*field, frame) {
            Some(Value::V6(it)) => (u128::from(it) ^ u128::from(*prefix)) >> (128 - bits) == 0,
            _ => false,
        },
        Match::Prefix(..) => panic!("prefixes are of IPv6 addresses"),
        Match::Conntrack(states) => match frame.state {
            State::Established => states.established,
            State::Related => states.related,
            State::Invalid => states.invalid,
            State::New | State::Untracked => false,
        },
        Match::InSet { fields, set, negated } => {
            let values: Option<Vec<Value>> = fields.iter().map(|field| value(*field, frame)).collect();
            values.is_some_and(|values| is_in(program, set, &values) != *negated)
        }
    }
}

fn is_in(program: &Program, set: &Name, values: &[Value]) -> bool {
    let set = &program.sets[set];
    set.elements.iter().any(|element| {
        assert_eq!(element.key(), set.key, "an element has the type of its set");
        let parts = element.parts();
        assert_eq!(parts.len(), values.len(), "a rule looks for what the set has");
        parts.iter().zip(values).all(|(part, value)| (part.first..=part.last).contains(value))
    })
}

/// What the kernel would refuse: references to nothing, ranges in hash sets, overlaps in interval sets.
pub(crate) fn check(program: &Program) {
    let check_chain = |name: &Name| assert!(program.chains.contains_key(name), "no chain {name}");
    for rule in program.chains.values().flat_map(|chain| &chain.rules) {
        match &rule.action {
            Action::Verdict(verdict) => verdict.chain().into_iter().for_each(check_chain),
            Action::Dispatch(_, map) => assert!(program.maps.contains_key(map), "no map {map}"),
            Action::Masquerade => {}
        }
        for condition in &rule.matches {
            if let Match::InSet { set, .. } = condition {
                assert!(program.sets.contains_key(set), "no set {set}");
            }
        }
    }
    for verdict in program.maps.values().flat_map(|map| map.elements.values()) {
        verdict.chain().into_iter().for_each(check_chain);
    }
    for (name, set) in &program.sets {
        let elements: Vec<&Element> = set.elements.iter().collect();
        if !set.interval {
            assert!(elements.iter().all(|it| !it.is_interval()), "a range in the hash set {name}");
            continue;
        }
        for (index, one) in elements.iter().enumerate() {
            for other in &elements[index + 1..] {
                assert!(!overlap(one, other), "{one} and {other} overlap in {name}");
            }
        }
    }
}

fn overlap(one: &Element, other: &Element) -> bool {
    let span = |part: &felix::program::Part| Span { first: part.first, last: part.last };
    let pairs = one.parts().into_iter().zip(other.parts());
    pairs.map(|(a, b)| (span(&a), span(&b))).all(|(a, b)| a.first <= b.last && b.first <= a.last)
}
