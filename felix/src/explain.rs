//! (model, packet) to verdict, with the rule that gave it.
//!
//! Reads the model, not the program: it says what the objects mean, so that it can also be the
//! second opinion that tests hold the compiler against. It looks at one packet at a time and may be slow.

use std::fmt;
use std::net::IpAddr;

use api::control::{DirectionStatus, PodPolicyStatus, PolicyRulesStatus};

use crate::compile::HostAccess;
use crate::model::{
    Direction, Endpoint, Model, ObjectKey, Peer, Pod, PodTerm, Policy, PolicyRule, PortMatch, Ports,
};
use crate::program::InterfaceName;

/// Where a packet comes from or goes to, as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The host side of a pod of this node.
    Workload(InterfaceName),
    /// This node itself.
    Node,
    /// Any other interface: other nodes, their pods, the world.
    Fabric,
}

/// The first packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where it arrives.
    pub from: Place,
    /// Where it leaves.
    pub to: Place,
    /// Source address.
    pub source: IpAddr,
    /// Destination address, after translation of Services.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port; 0 for protocols without.
    pub destination_port: u16,
}

/// What becomes of a packet, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Whether it passes this node.
    pub allowed: bool,
    /// The reasons in the order in which they applied; the last one decided.
    pub reasons: Vec<Reason>,
}

/// Why a packet passed or ended at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its source is not an address of the pod that sent it.
    ForgedSource,
    /// The interface serves no pod that is known.
    UnknownPod(Direction),
    /// A pod reaches itself by way of a Service.
    ToItself,
    /// The node reaches its own pods.
    FromNode,
    /// No policy isolates the pod in this direction.
    NotIsolated(Direction, ObjectKey),
    /// This rule allows it.
    Allowed {
        /// The direction.
        direction: Direction,
        /// The policy.
        policy: ObjectKey,
        /// Place of the rule in the policy, from 0.
        rule: usize,
    },
    /// These policies isolate the pod and none of them allows it.
    Denied {
        /// The direction.
        direction: Direction,
        /// The policies.
        policies: Vec<ObjectKey>,
    },
    /// Pods may not reach their node, by configuration.
    HostAccess,
    /// No pod of this node takes part.
    NotOurs,
}

impl Reason {
    fn allows(&self) -> bool {
        match self {
            Self::ForgedSource | Self::UnknownPod(_) | Self::Denied { .. } | Self::HostAccess => false,
            Self::ToItself
            | Self::FromNode
            | Self::NotIsolated(..)
            | Self::Allowed { .. }
            | Self::NotOurs => true,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForgedSource => f.write_str("the source is no address of the pod that sent it"),
            Self::UnknownPod(direction) => {
                write!(f, "{direction}: the pod behind the interface is not known")
            }
            Self::ToItself => f.write_str("a pod may always reach itself"),
            Self::FromNode => f.write_str("a node may always reach its own pods"),
            Self::NotIsolated(direction, pod) => write!(f, "{direction}: no policy isolates {pod}"),
            Self::Allowed { direction, policy, rule } => {
                write!(f, "{direction}: allowed by rule {rule} of NetworkPolicy {policy}")
            }
            Self::Denied { direction, policies } => {
                let policies: Vec<String> = policies.iter().map(ToString::to_string).collect();
                write!(f, "{direction}: no rule of NetworkPolicy {} allows it", policies.join(", "))
            }
            Self::HostAccess => f.write_str("pods may not reach their node by configuration"),
            Self::NotOurs => f.write_str("no pod of this node takes part"),
        }
    }
}

/// What becomes of the first packet of a flow, and why.
pub fn explain(model: &Model, host_access: HostAccess, packet: &Packet) -> Explanation {
    let mut reasons = Vec::new();
    let allowed = decide(model, host_access, packet, &mut reasons);
    if reasons.is_empty() {
        reasons.push(Reason::NotOurs);
    }
    Explanation { allowed, reasons }
}

fn decide(model: &Model, host_access: HostAccess, packet: &Packet, reasons: &mut Vec<Reason>) -> bool {
    let mut note = |reason: Reason| {
        let allows = reason.allows();
        reasons.push(reason);
        allows
    };
    if let Place::Workload(interface) = packet.from {
        let endpoint = model.endpoints.get(&interface);
        if !endpoint.is_some_and(|it| it.addresses.contains(&packet.source)) {
            return note(Reason::ForgedSource);
        }
        if packet.from == packet.to {
            return note(Reason::ToItself);
        }
        if !note(judge(model, Direction::Egress, interface, packet)) {
            return false;
        }
    }
    match (packet.from, packet.to) {
        (Place::Node, Place::Workload(_)) => note(Reason::FromNode),
        (_, Place::Workload(interface)) => note(judge(model, Direction::Ingress, interface, packet)),
        (Place::Workload(_), Place::Node) if host_access == HostAccess::Drop => note(Reason::HostAccess),
        _ => true,
    }
}

fn judge(model: &Model, direction: Direction, interface: InterfaceName, packet: &Packet) -> Reason {
    let pod = model.endpoints.get(&interface).and_then(|endpoint| model.pod_of(endpoint));
    let Some(pod) = pod else { return Reason::UnknownPod(direction) };
    let policies: Vec<&Policy> = isolating(model, direction, pod).collect();
    if policies.is_empty() {
        return Reason::NotIsolated(direction, pod.key.clone());
    }
    for policy in &policies {
        let rules = policy.rules(direction).unwrap_or_default();
        if let Some(rule) = rules.iter().position(|rule| allows(model, direction, policy, rule, packet)) {
            return Reason::Allowed { direction, policy: policy.key.clone(), rule };
        }
    }
    Reason::Denied { direction, policies: policies.iter().map(|policy| policy.key.clone()).collect() }
}

/// The policies that isolate the pod in this direction.
fn isolating<'a>(model: &'a Model, direction: Direction, pod: &'a Pod) -> impl Iterator<Item = &'a Policy> {
    model.policies.values().filter(move |policy| {
        policy.key.namespace == pod.key.namespace
            && policy.rules(direction).is_some()
            && policy.pod_selector.matches(&pod.labels)
    })
}

fn allows(model: &Model, direction: Direction, policy: &Policy, rule: &PolicyRule, packet: &Packet) -> bool {
    let other = match direction {
        Direction::Ingress => packet.source,
        Direction::Egress => packet.destination,
    };
    let context = Context { model, direction, policy, packet };
    if rule.peers.is_empty() {
        return context.ports(rule, None);
    }
    rule.peers.iter().any(|peer| match peer {
        Peer::Block { cidr, except } => {
            cidr.contains(other) && !except.iter().any(|it| it.contains(other)) && context.ports(rule, None)
        }
        Peer::Pods(term) => context.pods_at(other, term).any(|pod| context.ports(rule, Some(pod))),
    })
}

struct Context<'a> {
    model: &'a Model,
    direction: Direction,
    policy: &'a Policy,
    packet: &'a Packet,
}

impl<'a> Context<'a> {
    fn pods_at(&self, address: IpAddr, term: &'a PodTerm) -> impl Iterator<Item = &'a Pod> {
        let model = self.model;
        let selected = model.pods.values().filter(move |pod| term.selects(pod, &model.namespaces));
        selected.filter(move |pod| model.addresses_of(pod).contains(&address)).map(AsRef::as_ref)
    }

    fn ports(&self, rule: &PolicyRule, peer: Option<&Pod>) -> bool {
        rule.ports.is_empty() || rule.ports.iter().any(|port| self.port(port, peer))
    }

    fn port(&self, port: &PortMatch, peer: Option<&Pod>) -> bool {
        if port.protocol.number() != self.packet.protocol {
            return false;
        }
        match &port.ports {
            Ports::Any => true,
            Ports::Range(first, last) => (*first..=*last).contains(&self.packet.destination_port),
            Ports::Named(name) => self.destinations(peer).any(|pod| {
                pod.numbers_of(name, port.protocol).any(|number| number == self.packet.destination_port)
            }),
        }
    }

    /// The pods whose names of ports count.
    fn destinations(&self, peer: Option<&'a Pod>) -> Box<dyn Iterator<Item = &'a Pod> + 'a> {
        let destination = self.packet.destination;
        let (model, policy) = (self.model, self.policy);
        let at = model.pods.values().map(AsRef::as_ref);
        let at = at.filter(move |pod: &&Pod| model.addresses_of(pod).contains(&destination));
        match (self.direction, peer) {
            (Direction::Egress, Some(peer)) => Box::new(std::iter::once(peer)),
            (Direction::Egress, None) => Box::new(at),
            // Only a pod that is attached here can be delivered to, whatever a status elsewhere claims.
            (Direction::Ingress, _) => Box::new(at.filter(move |pod| {
                pod.key.namespace == policy.key.namespace
                    && policy.pod_selector.matches(&pod.labels)
                    && model.endpoints_of(pod).next().is_some()
            })),
        }
    }
}

/// The attachment of the pod to this node; the first by interface name if it has several.
pub fn endpoint_of<'a>(model: &'a Model, pod: &ObjectKey) -> Option<&'a Endpoint> {
    model.endpoints.values().find(|endpoint| endpoint.pod == *pod)
}

/// What is in force for the pod behind the endpoint, as sentences.
pub fn policies_of(model: &Model, endpoint: &Endpoint) -> PodPolicyStatus {
    let pod = model.pod_of(endpoint);
    PodPolicyStatus {
        pod: endpoint.pod.to_string(),
        addresses: endpoint.addresses.iter().map(ToString::to_string).collect(),
        interface: endpoint.interface.to_string(),
        ingress: direction_status(model, Direction::Ingress, pod.map(AsRef::as_ref)),
        egress: direction_status(model, Direction::Egress, pod.map(AsRef::as_ref)),
    }
}

/// A pod that is not known is cut off: isolated without any policy that allows something.
fn direction_status(model: &Model, direction: Direction, pod: Option<&Pod>) -> DirectionStatus {
    let Some(pod) = pod else { return DirectionStatus { isolated: true, policies: Vec::new() } };
    let policies: Vec<PolicyRulesStatus> =
        isolating(model, direction, pod).map(|policy| rules_status(direction, policy)).collect();
    DirectionStatus { isolated: !policies.is_empty(), policies }
}

fn rules_status(direction: Direction, policy: &Policy) -> PolicyRulesStatus {
    let word = match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let rules = policy.rules(direction).unwrap_or_default().iter();
    PolicyRulesStatus {
        policy: policy.key.to_string(),
        rules: rules.map(|rule| format!("{word} {rule}")).collect(),
        error: policy.error.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
