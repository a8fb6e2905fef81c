//! The program depends on the last state alone: sequences of states, replayed reversed, split, squashed and with
//! everything gone in between, and random changes. After every single change the delta is taken by a kernel
//! that refuses what the real one would.

#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "tests panic, and tables are long")]

mod world;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use felix::compile::{Change, Compiler, HostAccess, Listing, Settings};
use felix::explain::{Packet, Place, explain};
use felix::model::Model;
use felix::program::{Delta, InterfaceName, Program};
use proptest::prelude::*;
use world::interpreter::{Frame, check, passes};
use world::kernel::Kernel;

/// A compiler and the kernel that takes its deltas.
struct Node {
    compiler: Compiler,
    kernel: Kernel,
}

impl Node {
    fn new() -> Self {
        let compiler = Compiler::new(Settings::default());
        let mut kernel = Kernel::default();
        kernel.take(&Delta::between(&Program::default(), compiler.program())).unwrap();
        Self { compiler, kernel }
    }

    fn take(&mut self, delta: &Delta) {
        if let Err(reason) = self.kernel.take(delta) {
            panic!("{reason}");
        }
        assert_eq!(self.kernel.program, *self.compiler.program(), "the delta leads to the program");
        check(self.compiler.program());
    }

    fn apply(&mut self, change: Change) {
        let again = change.clone();
        let outcome = self.compiler.apply(change);
        self.take(&outcome.delta);
        let outcome = self.compiler.apply(again.clone());
        assert!(outcome.delta.is_empty(), "the same again does something: {again:?} {:?}", outcome.delta);
    }

    /// Goes to the state by one list for each kind.
    fn reset(&mut self, state: &[Change], order: &[usize; 5]) {
        for kind in order {
            let outcome = self.compiler.reset(listing(*kind, state));
            self.take(&outcome.delta);
        }
    }
}

fn listing(kind: usize, state: &[Change]) -> Listing {
    macro_rules! all {
        ($variant:ident) => {
            state
                .iter()
                .filter_map(|it| if let Change::$variant(it) = it { Some(it.clone()) } else { None })
                .collect()
        };
    }
    match kind {
        0 => Listing::Namespaces(all!(Namespace)),
        1 => Listing::Pods(all!(Pod)),
        2 => Listing::Policies(all!(Policy)),
        3 => Listing::Endpoints(all!(Endpoint)),
        _ => Listing::Pools(all!(Pool)),
    }
}

fn from_scratch(state: &[Change]) -> Program {
    let mut node = Node::new();
    for change in state {
        node.apply(change.clone());
    }
    node.compiler.program().clone()
}

/// Named states: the world of the scenarios, and variations of it.
fn states() -> BTreeMap<&'static str, Vec<Change>> {
    let world = std::fs::read_to_string(world::cases().join("world.yaml")).unwrap();
    let golden = |name: &str| {
        let text = std::fs::read_to_string(world::cases().join(name)).unwrap();
        world::changes(&text)
    };
    let with = |more: &str| {
        let mut state = world::changes(&world);
        for change in world::changes(more) {
            // A later object of the same name takes the place of the earlier.
            state.retain(|it| {
                std::mem::discriminant(it) != std::mem::discriminant(&change) || key(it) != key(&change)
            });
            state.push(change);
        }
        state
    };
    let policy = "{kind: NetworkPolicy, metadata: {namespace: x, name: p}, spec: ";
    BTreeMap::from([
        ("empty", vec![]),
        ("world", with("")),
        ("denied", with(&format!("{policy} {{podSelector: {{}}, policyTypes: [Ingress, Egress]}}}}"))),
        ("denied in part", with(&format!("{policy} {{podSelector: {{matchLabels: {{pod: a}}}}}}}}"))),
        (
            "by namespace",
            with(&format!(
                "{policy} {{podSelector: {{}}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{team: blue}}}}}}]}}]}}}}"
            )),
        ),
        (
            "namespace relabelled",
            with(&format!(
                "{policy} {{podSelector: {{}}, ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{team: blue}}}}}}]}}]}}}}\n---\n\
                 {{kind: Namespace, metadata: {{name: y, labels: {{team: green}}}}}}"
            )),
        ),
        (
            "pod relabelled",
            with(
                "{kind: Pod, metadata: {namespace: x, name: a, uid: uid-a, labels: {pod: b}}, status: {podIP: 10.1.0.11}}",
            ),
        ),
        (
            "pod ended",
            with(
                "{kind: Pod, metadata: {namespace: y, name: b, uid: uid-b}, status: {phase: Failed, podIP: 10.1.1.22}}",
            ),
        ),
        (
            "address moved",
            with(
                "{kind: Pod, metadata: {namespace: z, name: a, uid: uid-a, labels: {pod: a}}, status: {podIP: 10.1.1.22}}",
            ),
        ),
        (
            "other pod of the name",
            with(
                "{kind: Pod, metadata: {namespace: x, name: a, uid: uid-new, labels: {pod: a}}, status: {}}",
            ),
        ),
        (
            "interface changed hands",
            with(
                "{kind: Endpoint, interface: tortxa, namespace: y, pod: a, addresses: [10.1.0.99, \"fd00:1::99\"]}",
            ),
        ),
        ("named ports", golden("named-ports.yaml")),
        ("many rules", golden("many-rules.yaml")),
        ("blocks", golden("blocks.yaml")),
        ("shared", golden("shared.yaml")),
        ("fails closed", golden("fails-closed.yaml")),
        ("nat", golden("nat.yaml")),
    ])
}

fn key(change: &Change) -> String {
    match change {
        Change::Namespace(it) => it.name.clone(),
        Change::Pod(it) => it.key.to_string(),
        Change::PodGone(key) => key.to_string(),
        Change::Policy(it) => it.key.to_string(),
        Change::Endpoint(it) => it.interface.to_string(),
        Change::Pool(it) => it.name.clone(),
        other => format!("{other:?}"),
    }
}

const FORWARD: [usize; 5] = [0, 1, 2, 3, 4];
const BACKWARD: [usize; 5] = [4, 3, 2, 1, 0];

#[test]
fn every_state_follows_every_other() {
    let states = states();
    let scratch: BTreeMap<_, _> = states.iter().map(|(name, state)| (*name, from_scratch(state))).collect();
    for (first, one) in &states {
        for (second, two) in &states {
            for (order, kinds) in [("lists", FORWARD), ("lists, kinds reversed", BACKWARD)] {
                let mut node = Node::new();
                node.reset(one, &FORWARD);
                node.reset(two, &kinds);
                assert_eq!(node.compiler.program(), &scratch[second], "{first} then {second} by {order}");
            }
        }
    }
}

#[test]
fn order_inside_a_state_does_not_matter() {
    for (name, state) in &states() {
        let expected = from_scratch(state);
        let mut reversed = state.clone();
        reversed.reverse();
        assert_eq!(from_scratch(&reversed), expected, "{name} reversed");
        let (even, odd): (Vec<_>, Vec<_>) =
            state.iter().cloned().enumerate().partition(|(index, _)| index % 2 == 0);
        let split: Vec<Change> = odd.into_iter().chain(even).map(|(_, change)| change).collect();
        assert_eq!(from_scratch(&split), expected, "{name} split");
    }
}

#[test]
fn all_states_in_a_row_with_and_without_empty_ones_between() {
    let states = states();
    let orders: [Vec<_>; 2] = [states.iter().collect(), states.iter().rev().collect()];
    for order in orders {
        for with_empties in [false, true] {
            let mut node = Node::new();
            for (name, state) in &order {
                node.reset(state, &BACKWARD);
                assert_eq!(*node.compiler.program(), from_scratch(state), "{name}");
                if with_empties {
                    node.reset(&[], &FORWARD);
                    assert_eq!(*node.compiler.program(), from_scratch(&[]), "nothing is left after {name}");
                }
            }
        }
    }
}

const NAMESPACES: [&str; 2] = ["x", "y"];
const NAMES: [&str; 2] = ["a", "b"];
const ADDRESSES: [&str; 4] = ["10.0.0.1", "10.0.0.2", "10.0.0.200", "fd00::1"];
const INTERFACES: [&str; 2] = ["tort1", "tort2"];
const LABELS: [&str; 3] = ["{}", "{k: a}", "{k: b, team: red}"];
const PORTS: [&str; 3] = ["[]", "[{name: web, containerPort: 80}]", "[{name: web, containerPort: 81}]"];
const PEERS: [&str; 8] = [
    "[]",
    "[{podSelector: {}}]",
    "[{podSelector: {matchLabels: {k: a}}}]",
    "[{namespaceSelector: {}}]",
    "[{namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchExpressions: [{key: k, operator: NotIn, values: [a]}]}}]",
    "[{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.2/32]}}]",
    "[{ipBlock: {cidr: 10.0.0.0/25}}, {ipBlock: {cidr: 'fd00::/64'}}, {podSelector: {matchExpressions: [{key: k, operator: In, values: [a, b]}]}}]",
    "[{ipBlock: {cidr: broken}}]",
];
const RULE_PORTS: [&str; 6] = [
    "[]",
    "[{port: 80}]",
    "[{port: web}]",
    "[{port: 80, endPort: 81}, {port: web}]",
    "[{protocol: UDP}, {port: 81}]",
    "[{port: 81}, {port: 80}, {port: 81, protocol: UDP}]",
];

fn pick<T: Copy + std::fmt::Debug + 'static>(from: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(from)
}

fn one(text: &str) -> Change {
    world::changes(text).pop().unwrap()
}

fn any_policy() -> impl Strategy<Value = Change> {
    let rules = prop::collection::vec((pick(&PEERS), pick(&RULE_PORTS)), 0..7);
    let types = pick(&["[]", "[Ingress]", "[Egress]", "[Ingress, Egress]"]);
    let selector = pick(&["{}", "{matchLabels: {k: a}}"]);
    (pick(&NAMESPACES), pick(&NAMES), selector, types, rules).prop_map(|(namespace, name, selector, types, rules)| {
        let side = |word: &str| {
            let rules = rules.iter().map(|(peers, ports)| format!("{{{word}: {peers}, ports: {ports}}}"));
            rules.collect::<Vec<_>>().join(", ")
        };
        one(&format!(
            "{{kind: NetworkPolicy, metadata: {{namespace: {namespace}, name: {name}}}, spec: {{podSelector: {selector}, \
             policyTypes: {types}, ingress: [{}], egress: [{}]}}}}",
            side("from"),
            side("to")
        ))
    })
}

fn any_pod() -> impl Strategy<Value = Change> {
    let addresses = prop::collection::btree_set(pick(&ADDRESSES), 0..3);
    (pick(&NAMESPACES), pick(&NAMES), pick(&LABELS), pick(&PORTS), addresses, pick(&["Running", "Running", "Failed"]))
        .prop_map(|(namespace, name, labels, ports, addresses, phase)| {
            let addresses: Vec<String> = addresses.iter().map(|it| format!("{{ip: '{it}'}}")).collect();
            one(&format!(
                "{{kind: Pod, metadata: {{namespace: {namespace}, name: {name}, uid: uid-{name}, labels: {labels}}}, \
                 spec: {{containers: [{{name: c, ports: {ports}}}]}}, status: {{phase: {phase}, podIPs: [{}]}}}}",
                addresses.join(", ")
            ))
        })
}

fn any_endpoint() -> impl Strategy<Value = Change> {
    let addresses = prop::collection::btree_set(pick(&ADDRESSES), 1..3);
    (pick(&INTERFACES), pick(&NAMESPACES), pick(&NAMES), addresses).prop_map(|(interface, namespace, name, addresses)| {
        let addresses: Vec<String> = addresses.iter().map(|it| format!("'{it}'")).collect();
        one(&format!(
            "{{kind: Endpoint, interface: {interface}, namespace: {namespace}, pod: {name}, addresses: [{}]}}",
            addresses.join(", ")
        ))
    })
}

fn any_removal() -> impl Strategy<Value = Change> {
    use felix::model::ObjectKey;
    let interface = |name: &str| InterfaceName::new(name).unwrap();
    prop_oneof![
        pick(&NAMESPACES).prop_map(|name| Change::NamespaceGone(name.to_owned())),
        (pick(&NAMESPACES), pick(&NAMES)).prop_map(|(x, y)| Change::PodGone(ObjectKey::new(x, y))),
        (pick(&NAMESPACES), pick(&NAMES)).prop_map(|(x, y)| Change::PolicyGone(ObjectKey::new(x, y))),
        pick(&INTERFACES).prop_map(move |name| Change::EndpointGone(interface(name))),
    ]
}

fn any_change() -> impl Strategy<Value = Change> {
    let namespace = (pick(&NAMESPACES), pick(&LABELS)).prop_map(|(name, labels)| {
        one(&format!("{{kind: Namespace, metadata: {{name: {name}, labels: {labels}}}}}"))
    });
    prop_oneof![
        2 => namespace,
        3 => any_pod(),
        4 => any_policy(),
        3 => any_endpoint(),
        2 => any_removal(),
    ]
}

/// The objects of the model, as changes.
fn objects(model: &Model) -> Vec<Change> {
    let namespaces = model.namespaces.values().cloned().map(Change::Namespace);
    let pods = model.pods.values().map(|it| Change::Pod(Arc::unwrap_or_clone(Arc::clone(it))));
    let policies = model.policies.values().cloned().map(Change::Policy);
    let endpoints = model.endpoints.values().cloned().map(Change::Endpoint);
    policies.chain(endpoints).chain(pods).chain(namespaces).collect()
}

/// Every packet between the few places there are.
fn packets() -> Vec<Packet> {
    let workload = |name: &str| Place::Workload(InterfaceName::new(name).unwrap());
    let places = [workload("tort1"), workload("tort2"), Place::Node, Place::Fabric];
    let addresses = ADDRESSES.map(|it| it.parse::<IpAddr>().unwrap());
    let mut packets = Vec::new();
    for (from, to) in places.iter().flat_map(|from| places.iter().map(move |to| (*from, *to))) {
        for (source, destination) in
            addresses.iter().flat_map(|one| addresses.iter().map(move |two| (*one, *two)))
        {
            let packet = |protocol, destination_port| Packet {
                from,
                to,
                source,
                destination,
                protocol,
                destination_port,
            };
            if source.is_ipv4() == destination.is_ipv4() && (from, to) != (Place::Node, Place::Node) {
                packets.extend([packet(6, 80), packet(6, 81), packet(17, 81), packet(132, 80)]);
            }
        }
    }
    packets
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_changes_end_where_their_objects_lead(changes in prop::collection::vec(any_change(), 1..40)) {
        let mut node = Node::new();
        for change in changes {
            node.apply(change);
        }
        let scratch = from_scratch(&objects(node.compiler.model()));
        prop_assert_eq!(node.compiler.program(), &scratch);
    }

    #[test]
    fn explain_and_the_program_agree(changes in prop::collection::vec(any_change(), 1..30)) {
        let mut node = Node::new();
        for change in changes {
            node.apply(change);
        }
        for packet in packets() {
            let explained = explain(node.compiler.model(), HostAccess::Accept, &packet);
            let compiled = passes(node.compiler.program(), &Frame::new(&packet));
            prop_assert_eq!(explained.allowed, compiled.is_ok(), "{:?}: {:?}, {:?}", packet, explained, compiled);
        }
    }
}
