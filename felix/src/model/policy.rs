//! Network policy, checked and resolved: what remains means something.

use std::collections::BTreeMap;
use std::fmt;

use api::selector::Selector;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::{Namespace, ObjectKey, Pod, Protocol};

/// One network policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Namespace and name.
    pub key: ObjectKey,
    /// Which pods of its namespace it isolates.
    pub pod_selector: Selector,
    /// What may reach them; `None` if the policy does not speak of ingress, empty if nothing may.
    pub ingress: Option<Vec<PolicyRule>>,
    /// What they may reach; `None` if the policy does not speak of egress, empty if nothing.
    pub egress: Option<Vec<PolicyRule>>,
    /// Why the object was not understood, if so: then it isolates what it selects and allows nothing.
    pub error: Option<String>,
}

impl Policy {
    /// The rules of one direction.
    pub fn rules(&self, direction: Direction) -> Option<&[PolicyRule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// The same selection in the same directions, which allows nothing because of `error`.
    #[must_use]
    pub fn failed_closed(&self, error: String) -> Self {
        let nothing = |rules: &Option<Vec<PolicyRule>>| rules.as_ref().map(|_| Vec::new());
        Self {
            key: self.key.clone(),
            pod_selector: self.pod_selector.clone(),
            ingress: nothing(&self.ingress),
            egress: nothing(&self.egress),
            error: Some(error),
        }
    }
}

/// To a pod or from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the pod.
    Ingress,
    /// From the pod.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// Allows what has one of the peers on the other side and goes to one of the ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// The other side; empty for anyone.
    pub peers: Vec<Peer>,
    /// The destination's ports; empty for any protocol and port.
    pub ports: Vec<PortMatch>,
}

/// The other side of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    /// Pods, by their labels and their namespace's.
    Pods(PodTerm),
    /// Addresses.
    Block {
        /// Inside this.
        cidr: IpNetwork,
        /// And outside all of these, each of which lies in `cidr`.
        except: Vec<IpNetwork>,
    },
}

/// Pods by their labels and their namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodTerm {
    /// The namespaces.
    pub namespaces: NamespaceMatch,
    /// The pods in them.
    pub pods: Selector,
}

/// Which namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceMatch {
    /// The one of this name.
    Named(String),
    /// Those with these labels.
    Selected(Selector),
    /// Every one, known or not; no policy object says so, but "a named port of anyone" means it.
    Any,
}

/// Ports of one protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortMatch {
    /// The protocol.
    pub protocol: Protocol,
    /// Which of its ports.
    pub ports: Ports,
}

impl PortMatch {
    /// Whether it means more than one port of every destination.
    pub fn is_range(&self) -> bool {
        match self.ports {
            Ports::Any => true,
            Ports::Range(first, last) => first != last,
            Ports::Named(_) => false,
        }
    }

    /// Whether the number is the destination's to say.
    pub fn is_named(&self) -> bool {
        matches!(self.ports, Ports::Named(_))
    }
}

/// Which ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Ports {
    /// All.
    Any,
    /// From the first to the second, both included.
    Range(u16, u16),
    /// What the destination pod calls so; each pod may give the name another number.
    Named(String),
}

impl PodTerm {
    /// Whether the term selects the pod. A pod of a namespace that is not known is selected by no
    /// namespace selector, not even by one that selects all.
    pub fn selects(&self, pod: &Pod, namespaces: &BTreeMap<String, Namespace>) -> bool {
        let in_namespace = match &self.namespaces {
            NamespaceMatch::Named(name) => *name == pod.key.namespace,
            NamespaceMatch::Selected(selector) => {
                namespaces.get(&pod.key.namespace).is_some_and(|it| selector.matches(&it.labels))
            }
            NamespaceMatch::Any => true,
        };
        in_namespace && self.pods.matches(&pod.labels)
    }
}

impl fmt::Display for PodTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespaces {
            NamespaceMatch::Named(name) => write!(f, "pods {} in namespace {name}", self.pods),
            NamespaceMatch::Selected(selector) => write!(f, "pods {} in namespaces {selector}", self.pods),
            NamespaceMatch::Any => write!(f, "pods {} anywhere", self.pods),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pods(term) => term.fmt(f),
            Self::Block { cidr, except } if except.is_empty() => write!(f, "{cidr}"),
            Self::Block { cidr, except } => {
                let except: Vec<String> = except.iter().map(ToString::to_string).collect();
                write!(f, "{cidr} except {}", except.join(" and "))
            }
        }
    }
}

impl fmt::Display for PortMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ports {
            Ports::Any => write!(f, "any {} port", self.protocol),
            Ports::Range(first, last) if first == last => write!(f, "{} {first}", self.protocol),
            Ports::Range(first, last) => write!(f, "{} {first}-{last}", self.protocol),
            Ports::Named(name) => write!(f, "{} port named {name}", self.protocol),
        }
    }
}

impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |texts: Vec<String>, none: &str| {
            if texts.is_empty() { none.to_owned() } else { texts.join(", ") }
        };
        let peers = joined(self.peers.iter().map(ToString::to_string).collect(), "anyone");
        let ports = joined(self.ports.iter().map(ToString::to_string).collect(), "any protocol");
        write!(f, "{peers}; {ports}")
    }
}
