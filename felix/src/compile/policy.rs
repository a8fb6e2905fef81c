//! One policy to one chain for each direction. Pure: it sees the policy alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::selector::Selector;

use super::clause::{Clause, PeerSet, Peers, PortSet, Term, clauses};
use super::fold::fold;
use super::members::{MemberSpec, MemberTerm, Scope};
use super::named::{SetUse, hashed};
use super::spans::{self, Spans};
use crate::model::{Direction, NamespaceMatch, ObjectKey, PodTerm, Policy, PortMatch};
use crate::program::{Action, Element, Field, Match, Name, Rule, Set, SetKey, Value, Verdict};

/// A policy's chains; none for a direction that it does not speak of.
#[derive(Clone, Debug)]
pub(super) struct CompiledPolicy {
    /// Which pods of its namespace it isolates.
    pub(super) selector: Selector,
    ingress: Option<CompiledChain>,
    egress: Option<CompiledChain>,
}

/// A chain that accepts what the policy allows and returns on all else.
#[derive(Clone, Debug)]
pub(super) struct CompiledChain {
    pub(super) name: Name,
    /// Namespace and name of the policy.
    pub(super) policy: String,
    pub(super) rules: Vec<Rule>,
    pub(super) sets: Vec<SetUse>,
}

impl CompiledPolicy {
    pub(super) fn chain(&self, direction: Direction) -> Option<&CompiledChain> {
        match direction {
            Direction::Ingress => self.ingress.as_ref(),
            Direction::Egress => self.egress.as_ref(),
        }
    }

    pub(super) fn chains(&self) -> impl Iterator<Item = &CompiledChain> {
        self.ingress.iter().chain(&self.egress)
    }
}

/// The policy's chains.
pub(super) fn compile(policy: &Policy) -> CompiledPolicy {
    let chain = |direction| Some(Writer::new(direction, policy).chain(policy.rules(direction)?));
    CompiledPolicy {
        selector: policy.pod_selector.clone(),
        ingress: chain(Direction::Ingress),
        egress: chain(Direction::Egress),
    }
}

/// The name of the policy's chain. Namespace and name have no `/` and no `_`, so no two policies meet;
/// a name that is too long ends in a hash of the whole.
fn chain_name(direction: Direction, key: &ObjectKey) -> Name {
    let whole = format!("{direction}/{key}");
    if whole.len() <= Name::MAX {
        return Name::new(&whole);
    }
    let head: String = whole.chars().take(Name::MAX - 25).collect();
    hashed(&format!("{head}_"), &whole)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// Writes the chain of one policy and direction.
struct Writer<'a> {
    direction: Direction,
    policy: &'a Policy,
    rules: Vec<Rule>,
    sets: BTreeMap<Name, SetUse>,
}

impl<'a> Writer<'a> {
    fn new(direction: Direction, policy: &'a Policy) -> Self {
        Self { direction, policy, rules: Vec::new(), sets: BTreeMap::new() }
    }

    fn chain(mut self, rules: &[crate::model::PolicyRule]) -> CompiledChain {
        let folded = fold(self.direction, clauses(rules));
        for clause in &folded.rest {
            let comment = self.comment(clause.rules.iter());
            self.numbered(clause, &comment);
            self.named(clause, &comment);
        }
        let comment = self.comment(folded.rules.iter());
        for terms in [folded.points, folded.ranges] {
            if !terms.is_empty() {
                let spec = self.members(terms, Scope::Cluster);
                self.accept(vec![self.in_set(service_fields(self.peer(Family::V4)), &spec.v4)], &comment);
                self.accept(vec![self.in_set(service_fields(self.peer(Family::V6)), &spec.v6)], &comment);
            }
        }
        for (family, key, elements) in
            [(Family::V4, SetKey::V4Ports, folded.v4), (Family::V6, SetKey::V6Ports, folded.v6)]
        {
            if !elements.is_empty() {
                let set = self.fixed("nets-ports-", Set { elements, ..Set::interval(key, &comment) });
                self.accept(vec![self.in_set(service_fields(self.peer(family)), &set)], &comment);
            }
        }
        CompiledChain {
            name: chain_name(self.direction, &self.policy.key),
            policy: self.policy.key.to_string(),
            rules: self.rules,
            sets: self.sets.into_values().collect(),
        }
    }

    /// Names the policy and the places of its rules, which is what a counter stands for.
    fn comment<'b>(&self, rules: impl Iterator<Item = &'b usize>) -> String {
        let rules: Vec<String> = rules.map(ToString::to_string).collect();
        format!("{}[{}] of {}", self.direction, rules.join(","), self.policy.key)
    }

    /// The rules for ports that are numbers, and for any port.
    fn numbered(&mut self, clause: &Clause, comment: &str) {
        let ports = match &clause.ports {
            PortSet::Any => vec![],
            PortSet::Of(_) => {
                let numbers = clause.ports.numbers();
                if numbers.is_empty() {
                    return;
                }
                self.ports(&numbers)
            }
        };
        for peers in self.peers(&clause.peers) {
            self.accept(peers.into_iter().chain(ports.clone()).collect(), comment);
        }
    }

    /// The conditions of the other side, one of which must hold.
    fn peers(&mut self, peers: &Peers) -> Vec<Vec<Match>> {
        match peers {
            Peers::Any => vec![vec![]],
            Peers::Of(set) => {
                let families = [Family::V4, Family::V6];
                families.iter().flat_map(|family| self.addresses(set, *family)).map(|it| vec![it]).collect()
            }
        }
    }

    fn addresses(&mut self, peers: &PeerSet, family: Family) -> Vec<Match> {
        let mut alternatives = Vec::new();
        if !peers.pods.is_empty() {
            let terms = peers.pods.iter().map(|it| MemberTerm::new(it.term.clone(), Vec::new()));
            let spec = self.members(terms.collect(), Scope::Cluster);
            let set = if family == Family::V4 { &spec.v4 } else { &spec.v6 };
            alternatives.push(self.in_set(vec![self.peer(family)], set));
        }
        alternatives.extend(self.nets(peers, family));
        alternatives
    }

    fn nets(&mut self, peers: &PeerSet, family: Family) -> Option<Match> {
        let (key, spans) = match family {
            Family::V4 => (SetKey::V4, &peers.blocks.v4),
            Family::V6 => (SetKey::V6, &peers.blocks.v6),
        };
        if spans.is_empty() {
            return None;
        }
        let elements = spans::elements(spans, family == Family::V4).collect();
        let set = self.fixed("nets-", Set { elements, ..Set::interval(key, "") });
        Some(self.in_set(vec![self.peer(family)], &set))
    }

    /// The rules for ports that are names: a name means what the destination pod says, so they look
    /// for (destination, protocol, port) in a set of pods that have such a port.
    fn named(&mut self, clause: &Clause, comment: &str) {
        let ports = clause.ports.named();
        if ports.is_empty() {
            return;
        }
        match (self.direction, &clause.peers) {
            (Direction::Ingress, peers) => self.named_here(peers, &ports, comment),
            (Direction::Egress, Peers::Any) => {
                self.named_there(&[Term::new(all_pods())], &ports, None, comment);
            }
            (Direction::Egress, Peers::Of(set)) => {
                let terms: Vec<Term> = set.pods.iter().cloned().collect();
                if !terms.is_empty() {
                    self.named_there(&terms, &ports, None, comment);
                }
                if !set.blocks.is_empty() {
                    self.named_there(&[Term::new(all_pods())], &ports, Some(set), comment);
                }
            }
        }
    }

    /// Ingress: the destinations are the pods that the policy selects.
    fn named_here(&mut self, peers: &Peers, ports: &[PortMatch], comment: &str) {
        let own = PodTerm {
            namespaces: NamespaceMatch::Named(self.policy.key.namespace.clone()),
            pods: self.policy.pod_selector.clone(),
        };
        let spec = self.members(vec![MemberTerm::new(own, ports.to_vec())], Scope::Local);
        for family in [Family::V4, Family::V6] {
            let destination = self.service(&spec, family);
            let sources = match peers {
                Peers::Any => vec![vec![]],
                Peers::Of(set) => self.addresses(set, family).into_iter().map(|it| vec![it]).collect(),
            };
            for source in sources {
                self.accept(source.into_iter().chain([destination.clone()]).collect(), comment);
            }
        }
    }

    /// Egress: the destinations are the peers, further limited to `within` these blocks.
    fn named_there(&mut self, terms: &[Term], ports: &[PortMatch], within: Option<&PeerSet>, comment: &str) {
        let terms = terms.iter().map(|it| MemberTerm::new(it.term.clone(), ports.to_vec()));
        let spec = self.members(terms.collect(), Scope::Cluster);
        for family in [Family::V4, Family::V6] {
            let nets = within.map(|peers| self.nets(peers, family));
            if nets != Some(None) {
                let service = self.service(&spec, family);
                self.accept(nets.flatten().into_iter().chain([service]).collect(), comment);
            }
        }
    }

    fn service(&self, spec: &MemberSpec, family: Family) -> Match {
        match family {
            Family::V4 => self.in_set(service_fields(Field::V4Destination), &spec.v4),
            Family::V6 => self.in_set(service_fields(Field::V6Destination), &spec.v6),
        }
    }

    /// The address of the other side.
    fn peer(&self, family: Family) -> Field {
        match (self.direction, family) {
            (Direction::Ingress, Family::V4) => Field::V4Source,
            (Direction::Ingress, Family::V6) => Field::V6Source,
            (Direction::Egress, Family::V4) => Field::V4Destination,
            (Direction::Egress, Family::V6) => Field::V6Destination,
        }
    }

    /// One range stays in the rule, more become a set.
    fn ports(&mut self, numbers: &BTreeMap<u8, Spans>) -> Vec<Match> {
        let all = numbers.iter().flat_map(|(protocol, spans)| spans.iter().map(move |it| (*protocol, *it)));
        let all: Vec<_> = all.map(|(protocol, span)| (protocol, spans::ports(span))).collect();
        let [(protocol, ports)] = all.as_slice() else {
            let elements: std::collections::BTreeSet<Element> =
                all.iter().map(|(protocol, ports)| Element::Ports(*protocol, *ports)).collect();
            let interval = elements.iter().any(Element::is_interval);
            let set = self.fixed("ports-", Set { interval, elements, ..Set::hash(SetKey::Ports, "") });
            return vec![self.in_set(vec![Field::Protocol, Field::DestinationPort], &set)];
        };
        let mut matches = vec![Match::Equals(Field::Protocol, Value::Byte(*protocol))];
        if ports.is_single() {
            matches.push(Match::Equals(Field::DestinationPort, Value::Port(ports.first)));
        } else if (ports.first, ports.last) != (0, u16::MAX) {
            let (first, last) = (Value::Port(ports.first), Value::Port(ports.last));
            matches.push(Match::Between(Field::DestinationPort, first, last));
        }
        matches
    }

    #[expect(clippy::unused_self, reason = "reads beside its neighbours, which need it")]
    fn in_set(&self, fields: Vec<Field>, set: &Name) -> Match {
        Match::InSet { fields, set: set.clone(), negated: false }
    }

    fn accept(&mut self, matches: Vec<Match>, comment: &str) {
        self.rules.push(Rule::new(matches, Action::Verdict(Verdict::Accept)).counted(comment));
    }

    fn members(&mut self, terms: Vec<MemberTerm>, scope: Scope) -> Arc<MemberSpec> {
        let spec = Arc::new(MemberSpec::new(terms, scope));
        self.sets.insert(spec.id.clone(), SetUse::Members(Arc::clone(&spec)));
        spec
    }

    /// A set named after its content, so that equal ones are shared and no set ever changes.
    fn fixed(&mut self, prefix: &str, set: Set) -> Name {
        let text: Vec<String> = set.elements.iter().map(ToString::to_string).collect();
        let name = hashed(prefix, &format!("{} {}", set.key, text.join(", ")));
        // The comment would be that of the first user: who shares it must not make a difference.
        let set = Set { comment: String::new(), ..set };
        self.sets.insert(name.clone(), SetUse::Fixed(name.clone(), set));
        name
    }
}

fn service_fields(address: Field) -> Vec<Field> {
    vec![address, Field::Protocol, Field::DestinationPort]
}

fn all_pods() -> PodTerm {
    PodTerm { namespaces: NamespaceMatch::Any, pods: Selector::All }
}
