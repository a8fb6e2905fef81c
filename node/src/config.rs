//! From cluster objects to the speaker's configuration: one pure function, errors as a list.
//!
//! An object that cannot be obeyed is a [`Problem`] and is left out; it never disturbs another session.

mod mesh;
mod passwords;
mod peers;

pub use passwords::Passwords;

use std::collections::BTreeMap;

use api::{BGPConfigurationSpec, selector::Selector};
use bgp::{
    config::{GracefulRestartConfig, SpeakerConfig},
    wire::{Family, RouterId},
};
use k8s_openapi::api::core::v1::Node;

use crate::addresses::NodeAddresses;

#[cfg(test)]
mod tests;

/// What the configuration of a node depends on.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    /// All Nodes by name.
    pub nodes: BTreeMap<String, NodeFacts>,
    /// All `BGPConfiguration`s by name.
    pub configurations: BTreeMap<String, BGPConfigurationSpec>,
    /// All `BGPPeer`s by name.
    pub peers: BTreeMap<String, api::BGPPeerSpec>,
    /// The Secret with passwords, by its name; none if it is absent.
    pub passwords: BTreeMap<String, Passwords>,
}

/// What a Node says that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// UID of the object.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its addresses.
    pub addresses: NodeAddresses,
}

impl NodeFacts {
    /// The facts of this object.
    pub fn of(node: &Node) -> Self {
        Self {
            uid: node.metadata.uid.clone().unwrap_or_default(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            addresses: NodeAddresses::of(node),
        }
    }
}

/// An object, the field that cannot be obeyed, why, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{object}: {message}")]
pub struct Problem {
    /// Kind and name of the object.
    pub object: String,
    /// Field, cause and remedy.
    pub message: String,
}

impl Problem {
    /// A problem of the object of this kind and name.
    pub fn new(kind: &str, name: &str, message: impl Into<String>) -> Self {
        Self { object: format!("{kind} {name}"), message: message.into() }
    }

    /// A problem of a `BGPPeer`.
    pub fn of_peer(name: &str, message: impl Into<String>) -> Self {
        Self::new("BGPPeer", name, message)
    }

    /// A problem of a `BGPConfiguration`.
    pub fn of_configuration(name: &str, message: impl Into<String>) -> Self {
        Self::new("BGPConfiguration", name, message)
    }
}

/// What the speaker of this node shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The speaker's configuration.
    pub speaker: SpeakerConfig,
    /// TCP port to listen on.
    pub listen_port: u16,
    /// The node's addresses.
    pub addresses: NodeAddresses,
    /// What was left out, and why.
    pub problems: Vec<Problem>,
}

/// The configuration of the node of this name.
///
/// # Errors
/// Why the node cannot speak BGP at all: no Node object, or no address in it.
pub fn desired(view: &ClusterView, node_name: &str) -> Result<Desired, Problem> {
    let node = view
        .nodes
        .get(node_name)
        .ok_or_else(|| Problem::new("Node", node_name, "there is no such object; check --node-name"))?;
    if node.addresses.primary().is_none() {
        return Err(Problem::new(
            "Node",
            node_name,
            "status.addresses has no InternalIP; set the kubelet's --node-ip",
        ));
    }
    let mut problems = Vec::new();
    let settings = configuration_of(view, node, &mut problems);
    let mut speaker = SpeakerConfig::new(asn(&settings, node_name, node, &mut problems), router_id(node));
    speaker.hold_time_secs = settings.hold_time_seconds;
    speaker.graceful_restart = graceful_restart(&settings);
    speaker.multipath_max = usize::from(settings.multipath_max_paths);
    speaker.import_default_routes = settings.import_default_routes;
    speaker.neighbors = peers::neighbors(view, node, speaker.asn, &mut problems);
    if settings.node_to_node_mesh_enabled {
        mesh::add_neighbors(view, node_name, &settings, &mut speaker, &mut problems);
    }
    problems.sort();
    problems.dedup();
    Ok(Desired { speaker, listen_port: settings.listen_port, addresses: node.addresses.clone(), problems })
}

/// Of the configurations that select the node, the one of lowest precedence, then of the first name; the defaults
/// where there is none.
fn configuration_of(
    view: &ClusterView,
    node: &NodeFacts,
    problems: &mut Vec<Problem>,
) -> BGPConfigurationSpec {
    let mut selecting: Vec<(&String, &BGPConfigurationSpec)> = Vec::new();
    for (name, spec) in &view.configurations {
        match Selector::parse(&spec.node_selector) {
            Ok(selector) if selector.matches(&node.labels) => selecting.push((name, spec)),
            Ok(_) => {}
            Err(error) => {
                problems.push(Problem::of_configuration(name, format!("spec.nodeSelector: {error}")));
            }
        }
    }
    let first = selecting.into_iter().min_by_key(|(name, spec)| (spec.precedence, *name));
    first.map(|(_, spec)| spec.clone()).unwrap_or_default()
}

/// The node's AS number: its label's where the configuration names one and it is a number.
fn asn(settings: &BGPConfigurationSpec, name: &str, node: &NodeFacts, problems: &mut Vec<Problem>) -> u32 {
    let Some(label) = &settings.as_number_label else { return settings.as_number };
    let Some(text) = node.labels.get(label) else { return settings.as_number };
    match text.parse() {
        Ok(asn) if asn != 0 => asn,
        _ => {
            let message = format!("label {label}: `{text}` is no AS number from 1 to 4294967295");
            problems.push(Problem::new("Node", name, message));
            settings.as_number
        }
    }
}

/// The IPv4 address; for a node without one a hash of its UID, which is as unique (RFC 6286).
fn router_id(node: &NodeFacts) -> RouterId {
    let ipv4 = node.addresses.ipv4.as_ref().map(|chosen| u32::from(chosen.address));
    let number = ipv4.filter(|number| *number != 0).unwrap_or_else(|| fnv1a(node.uid.as_bytes()).max(1));
    RouterId::new(number).expect("neither branch gives 0")
}

/// FNV-1a: the same on every machine and in every release, as an identifier must be.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn graceful_restart(settings: &BGPConfigurationSpec) -> Option<GracefulRestartConfig> {
    let restart_time_secs = settings.graceful_restart_seconds;
    (restart_time_secs > 0)
        .then(|| GracefulRestartConfig { restart_time_secs, ..GracefulRestartConfig::default() })
}

/// The families that a node with these addresses can speak.
fn families(addresses: &NodeAddresses) -> Vec<Family> {
    let ipv4 = addresses.ipv4.as_ref().map(|_| Family::Ipv4Unicast);
    let ipv6 = addresses.ipv6.as_ref().map(|_| Family::Ipv6Unicast);
    ipv4.into_iter().chain(ipv6).collect()
}
