//! The part of the program that is there before any object: hooks, connection tracking, the fixed sets.
//!
//! ```text
//! from a pod to others   prerouting: source is the pod's -> forward-egress -> forward-ingress -> postrouting
//! from a pod to its node prerouting: source is the pod's -> input-egress -> input-host
//! from the node to a pod nothing of ours: kubelet's probes and the node's own clients always reach it
//! ```
//! Things that hold for good:
//!
//! - `accept` ends one base chain alone; egress and ingress are therefore two base chains of the same hook,
//!   at neighbouring priorities, and a packet between two pods of this node passes both.
//! - Destination NAT of Services happens in prerouting and output, before these chains: policy sees the pod
//!   that serves, at the port that it serves on, as Kubernetes demands. Source NAT happens in postrouting, after
//!   them: policy sees the client's own address, unless another node has already masqueraded it.
//! - A pod that reaches itself by way of a Service comes back by the interface it left from. No policy
//!   can forbid a pod to reach itself, so the pair of equal interfaces is accepted in both directions.
//! - What belongs to an established flow passes before anything else, so that a policy acts on new flows and
//!   replies need no rule. Errors that belong to a flow (`related`) pass with it.
//! - There is no output chain. Replies of a pod to its node are established flows in `input`.
//! - An accept of ours is not final for other tables; a drop of ours is.

use crate::model::Direction;
use crate::program::{
    Action, Base, Chain, ConntrackStates, Element, Field, Hook, HookKind, Match, Name, Program, Rule, Set,
    SetKey, Value, Verdict, VerdictMap, WORKLOAD_PREFIX,
};

/// Before connection tracking (-200), after defragmentation (-400): `raw`.
const PRIORITY_RAW: i32 = -300;
/// A little before the customary `filter` (0), so that what is denied does no work there.
const PRIORITY_FIRST: i32 = -10;
/// Right after the first.
const PRIORITY_SECOND: i32 = PRIORITY_FIRST + 1;
/// Just before the customary `srcnat` (100): the first to translate a flow wins.
const PRIORITY_SOURCE_NAT: i32 = 99;

const ICMP_DESTINATION_UNREACHABLE: u8 = 3;
const ICMP_FRAGMENTATION_NEEDED: u8 = 4;
const ICMPV6_PACKET_TOO_BIG: u8 = 2;
/// MLD query, report, done (130 to 132) and router solicitation (133).
const ICMPV6_MLD_AND_SOLICITATION: (u8, u8) = (130, 133);
/// What a pod may send of those: all but the query.
const ICMPV6_MLD_REPORT_AND_SOLICITATION: (u8, u8) = (131, 133);
/// Neighbour solicitation and advertisement.
const ICMPV6_NEIGHBOUR: (u8, u8) = (135, 136);
const ICMPV6_MLD2_REPORT: u8 = 143;

/// Settings of the whole node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What pods may send to their own node, beyond what egress policy forbids them.
    pub host_access: HostAccess,
}

/// What becomes of packets from a pod to its own node after egress policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostAccess {
    /// They pass.
    #[default]
    Accept,
    /// New flows are dropped.
    Drop,
}

/// The map from interface name to the verdict of the direction.
pub(super) fn dispatch_map(direction: Direction) -> Name {
    Name::new(match direction {
        Direction::Egress => "from-pod",
        Direction::Ingress => "to-pod",
    })
}

/// The set of all pools.
pub(super) fn pools_set(is_v4: bool) -> Name {
    Name::new(if is_v4 { "pools4" } else { "pools6" })
}

/// The set of pools whose pods' packets to the outside are translated.
pub(super) fn translated_set(is_v4: bool) -> Name {
    Name::new(if is_v4 { "translated4" } else { "translated6" })
}

/// The set that this element of an endpoint belongs to.
pub(super) fn own_set(element: &Element) -> Name {
    Name::new(match element {
        Element::InterfaceV4(..) => "local4",
        Element::InterfaceV6(..) => "local6",
        _ => "hairpin",
    })
}

/// The program without any object.
pub(super) fn program(settings: &Settings) -> Program {
    let mut program = Program::default();
    let sets = [
        ("local4", Set::hash(SetKey::InterfaceV4, "addresses that a pod may send from")),
        ("local6", Set::hash(SetKey::InterfaceV6, "addresses that a pod may send from")),
        ("hairpin", Set::hash(SetKey::Interfaces, "pods that reach themselves through a Service")),
        ("pools4", Set::interval(SetKey::V4, "all pools")),
        ("pools6", Set::interval(SetKey::V6, "all pools")),
        ("translated4", Set::interval(SetKey::V4, "pools with natOutgoing")),
        ("translated6", Set::interval(SetKey::V6, "pools with natOutgoing")),
    ];
    program.sets.extend(sets.map(|(name, set)| (Name::new(name), set)));
    for direction in [Direction::Egress, Direction::Ingress] {
        program.maps.insert(dispatch_map(direction), VerdictMap::default());
    }
    let filter = HookKind::Filter;
    let mut add = |name: &str, base: Option<(HookKind, Hook, i32)>, rules: Vec<Rule>| {
        let base = base.map(|(kind, hook, priority)| Base { kind, hook, priority });
        program.chains.insert(Name::new(name), Chain { base, rules });
    };
    add("prerouting", Some((filter, Hook::Prerouting, PRIORITY_RAW)), prerouting());
    add("link-local", None, link_local());
    add("forward-egress", Some((filter, Hook::Forward, PRIORITY_FIRST)), forward(Direction::Egress));
    add("forward-ingress", Some((filter, Hook::Forward, PRIORITY_SECOND)), forward(Direction::Ingress));
    add("input-egress", Some((filter, Hook::Input, PRIORITY_FIRST)), input());
    if settings.host_access == HostAccess::Drop {
        add("input-host", Some((filter, Hook::Input, PRIORITY_SECOND)), input_host());
    }
    add("postrouting", Some((HookKind::Nat, Hook::Postrouting, PRIORITY_SOURCE_NAT)), postrouting());
    program
}

/// A pod's packets bear its own addresses. Checked before connection tracking: a forged packet must
/// not even be looked up, or it would pass as part of another pod's flow.
fn prerouting() -> Vec<Rule> {
    let local = |address, set: &str| in_set(vec![Field::InInterface, address], set, false);
    let link_local = Value::V6("fe80::".parse().expect("a constant"));
    let unspecified = Value::V6("::".parse().expect("a constant"));
    let exempt = || Action::Verdict(Verdict::Goto(Name::new("link-local")));
    vec![
        rule(vec![workload(Field::InInterface, true)], Verdict::Accept),
        rule(vec![local(Field::V4Source, "local4")], Verdict::Accept),
        rule(vec![local(Field::V6Source, "local6")], Verdict::Accept),
        Rule::new(vec![Match::Prefix(Field::V6Source, link_local, 10)], exempt()),
        Rule::new(vec![Match::Equals(Field::V6Source, unspecified)], exempt()),
        rule(vec![], Verdict::Drop).counted("source address is not the pod's"),
    ]
}

/// What a pod may send from `::` (duplicate address detection, RFC 4862) and from the link-local
/// address that its kernel gives itself: it keeps to the link, which ends at this host.
fn link_local() -> Vec<Rule> {
    vec![
        rule(vec![icmpv6(ICMPV6_MLD_REPORT_AND_SOLICITATION)], Verdict::Accept),
        rule(vec![icmpv6(ICMPV6_NEIGHBOUR)], Verdict::Accept),
        rule(vec![icmpv6((ICMPV6_MLD2_REPORT, ICMPV6_MLD2_REPORT))], Verdict::Accept),
        rule(vec![], Verdict::Drop).counted("link-local source with more than neighbour discovery"),
    ]
}

fn forward(direction: Direction) -> Vec<Rule> {
    let side = match direction {
        Direction::Egress => Field::InInterface,
        Direction::Ingress => Field::OutInterface,
    };
    let mut rules = tracked(side);
    let hairpin = in_set(vec![Field::InInterface, Field::OutInterface], "hairpin", false);
    rules.push(rule(vec![hairpin], Verdict::Accept));
    rules.extend(dispatch(direction, side));
    rules
}

/// From a pod to its own node: egress policy decides, then the configuration.
fn input() -> Vec<Rule> {
    let mut rules = vec![rule(vec![workload(Field::InInterface, true)], Verdict::Accept)];
    rules.extend(neighbour_discovery());
    rules.extend(tracked(Field::InInterface));
    rules.extend(dispatch(Direction::Egress, Field::InInterface));
    rules
}

fn input_host() -> Vec<Rule> {
    let mut rules = vec![rule(vec![workload(Field::InInterface, true)], Verdict::Accept)];
    rules.extend(neighbour_discovery());
    rules.extend(tracked(Field::InInterface));
    rules.push(rule(vec![], Verdict::Drop).counted("pods may not reach this node by configuration"));
    rules
}

fn neighbour_discovery() -> [Rule; 3] {
    [ICMPV6_MLD_AND_SOLICITATION, ICMPV6_NEIGHBOUR, (ICMPV6_MLD2_REPORT, ICMPV6_MLD2_REPORT)]
        .map(|types| rule(vec![icmpv6(types)], Verdict::Accept))
}

/// Flows that passed before, and the errors that path MTU discovery lives by even where tracking
/// does not know the flow; then what tracking does not understand goes, of our interfaces alone.
fn tracked(side: Field) -> Vec<Rule> {
    let known = ConntrackStates { established: true, related: true, invalid: false };
    let invalid = ConntrackStates { invalid: true, ..ConntrackStates::default() };
    let byte = |field, value| Match::Equals(field, Value::Byte(value));
    vec![
        rule(vec![Match::Conntrack(known)], Verdict::Accept),
        rule(vec![byte(Field::Icmpv6Type, ICMPV6_PACKET_TOO_BIG)], Verdict::Accept),
        rule(
            vec![
                byte(Field::IcmpType, ICMP_DESTINATION_UNREACHABLE),
                byte(Field::IcmpCode, ICMP_FRAGMENTATION_NEEDED),
            ],
            Verdict::Accept,
        ),
        rule(vec![workload(side, false), Match::Conntrack(invalid)], Verdict::Drop).counted("invalid"),
    ]
}

/// One look-up, however many pods; an interface of ours without an element drops.
fn dispatch(direction: Direction, side: Field) -> [Rule; 2] {
    [
        Rule::new(vec![], Action::Dispatch(side, dispatch_map(direction))),
        rule(vec![workload(side, false)], Verdict::Drop).counted(&format!("{direction} of an unknown pod")),
    ]
}

/// Out of the pools under the node's address. Packets to this node itself never come here.
fn postrouting() -> Vec<Rule> {
    let masquerade = |source, destination, is_v4| {
        let translated = in_set(vec![source], translated_set(is_v4).as_str(), false);
        let outside = in_set(vec![destination], pools_set(is_v4).as_str(), true);
        Rule::new(vec![translated, outside], Action::Masquerade).counted("natOutgoing")
    };
    vec![
        masquerade(Field::V4Source, Field::V4Destination, true),
        masquerade(Field::V6Source, Field::V6Destination, false),
    ]
}

fn rule(matches: Vec<Match>, verdict: Verdict) -> Rule {
    Rule::new(matches, Action::Verdict(verdict))
}

fn workload(field: Field, negated: bool) -> Match {
    Match::NameStartsWith { field, prefix: WORKLOAD_PREFIX, negated }
}

fn in_set(fields: Vec<Field>, set: &str, negated: bool) -> Match {
    Match::InSet { fields, set: Name::new(set), negated }
}

fn icmpv6((first, last): (u8, u8)) -> Match {
    if first == last {
        return Match::Equals(Field::Icmpv6Type, Value::Byte(first));
    }
    Match::Between(Field::Icmpv6Type, Value::Byte(first), Value::Byte(last))
}
