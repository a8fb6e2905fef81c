//! `BGPPeer` objects as neighbours.

use std::net::IpAddr;

use api::{
    BGPPeerSpec,
    bgp_peer::{self, MaxPrefixesSpec, SourceAddress},
    selector::Selector,
};
use bgp::config::{BfdConfig, ExportPolicy, Hold, MaxPrefixes, MaxPrefixesAction, NeighborConfig};

use super::{ClusterView, NodeFacts, Problem, families, passwords};

/// A neighbour for each `BGPPeer` that selects the node; of two with one address the first by name.
pub(super) fn neighbors(
    view: &ClusterView,
    node: &NodeFacts,
    asn: u32,
    problems: &mut Vec<Problem>,
) -> Vec<NeighborConfig> {
    let mut neighbors: Vec<NeighborConfig> = Vec::new();
    for (name, spec) in &view.peers {
        let mut neighbor = match neighbor(name, spec, node, asn) {
            Ok(Some(neighbor)) => neighbor,
            Ok(None) => continue,
            Err(message) => {
                problems.push(Problem::of_peer(name, message));
                continue;
            }
        };
        if let Some(other) = neighbors.iter().find(|other| other.address == neighbor.address) {
            let message = format!(
                "spec.peerIP: {} is the address of BGPPeer {} already; keep one of the two for this node",
                neighbor.address, other.name
            );
            problems.push(Problem::of_peer(name, message));
            continue;
        }
        protect(view, spec, &mut neighbor, problems);
        neighbors.push(neighbor);
    }
    neighbors
}

/// The neighbour that the object means, if it selects the node.
fn neighbor(
    name: &str,
    spec: &BGPPeerSpec,
    node: &NodeFacts,
    asn: u32,
) -> Result<Option<NeighborConfig>, String> {
    let selector =
        Selector::parse(&spec.node_selector).map_err(|error| format!("spec.nodeSelector: {error}"))?;
    if !selector.matches(&node.labels) {
        return Ok(None);
    }
    let address: IpAddr = spec
        .peer_ip
        .parse()
        .map_err(|_| format!("spec.peerIP: `{}` is no IPv4 or IPv6 address", spec.peer_ip))?;
    check_address(address, node)?;
    if spec.as_number == 0 {
        return Err("spec.asNumber: 0 is reserved (RFC 7607); use 1 to 4294967295".to_owned());
    }
    let mut neighbor = NeighborConfig::new(name, address, spec.as_number);
    neighbor.port = spec.port;
    neighbor.hold_time_secs = spec.hold_time_seconds;
    neighbor.passive = spec.passive;
    neighbor.bfd = spec.bfd.map(|bfd| BfdConfig {
        transmit_interval_millis: bfd.transmit_interval_millis,
        receive_interval_millis: bfd.receive_interval_millis,
        detect_multiplier: bfd.detect_multiplier,
    });
    neighbor.families = families(&node.addresses);
    neighbor.next_hop_ipv4 = node.addresses.ipv4.as_ref().map(|chosen| chosen.address);
    neighbor.next_hop_ipv6 = node.addresses.ipv6.as_ref().map(|chosen| chosen.address);
    // What one ToR told us is never told to the other: a node is not a way through the fabric.
    neighbor.export = ExportPolicy::OriginatedOnly;
    neighbor.ttl_security_hops = spec.ttl_security;
    neighbor.ebgp_multihop = spec.ebgp_multihop;
    if spec.source_address == SourceAddress::UseNodeIP {
        neighbor.local_address = Some(own_address(address, node)?);
    }
    neighbor.allow_as_in = spec.allowed_local_as_numbers;
    neighbor.max_prefixes = spec.max_prefixes.map(max_prefixes);
    neighbor.hold = spec.shutdown.clone().map(Hold::Shutdown);
    neighbor.check(asn).map_err(|errors| errors.to_string())?;
    Ok(Some(neighbor))
}

fn max_prefixes(spec: MaxPrefixesSpec) -> MaxPrefixes {
    MaxPrefixes {
        // What no number of this machine can count is no limit.
        limit: usize::try_from(spec.limit).unwrap_or(usize::MAX),
        action: match spec.action {
            bgp_peer::MaxPrefixesAction::Shutdown => MaxPrefixesAction::Shutdown,
            bgp_peer::MaxPrefixesAction::Discard => MaxPrefixesAction::Discard,
            bgp_peer::MaxPrefixesAction::Warn => MaxPrefixesAction::Warn,
        },
        restart_secs: spec.restart_seconds,
    }
}

/// Gives the session its password, or holds it down until there is one that works.
fn protect(
    view: &ClusterView,
    spec: &BGPPeerSpec,
    neighbor: &mut NeighborConfig,
    problems: &mut Vec<Problem>,
) {
    let Some(key) = &spec.password_key else { return };
    let missing = match passwords::password(view, key) {
        Ok(password) => {
            neighbor.password = Some(password);
            match neighbor.check_password() {
                Ok(()) => return,
                Err(error) => Hold::Missing(error.to_string()),
            }
        }
        Err(hold) => hold,
    };
    neighbor.password = None;
    let message = format!("spec.passwordKey: {missing}; the session stays down");
    problems.push(Problem::of_peer(&neighbor.name, message));
    // What an operator wants has the first word.
    neighbor.hold.get_or_insert(missing);
}

/// The node's address of the router's family.
fn own_address(router: IpAddr, node: &NodeFacts) -> Result<IpAddr, String> {
    let own = match router {
        IpAddr::V4(_) => node.addresses.ipv4.as_ref().map(|chosen| IpAddr::V4(chosen.address)),
        IpAddr::V6(_) => node.addresses.ipv6.as_ref().map(|chosen| IpAddr::V6(chosen.address)),
    };
    own.ok_or_else(|| {
        "spec.sourceAddress: the node has no address of the router's family; use None".to_owned()
    })
}

fn check_address(address: IpAddr, node: &NodeFacts) -> Result<(), String> {
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
        return Err(format!("spec.peerIP: {address} is not the address of a router"));
    }
    let own_ipv4 = node.addresses.ipv4.as_ref().map(|chosen| IpAddr::V4(chosen.address));
    let own_ipv6 = node.addresses.ipv6.as_ref().map(|chosen| IpAddr::V6(chosen.address));
    if [own_ipv4, own_ipv6].contains(&Some(address)) {
        return Err(format!("spec.peerIP: {address} is this node itself; exclude it by spec.nodeSelector"));
    }
    Ok(())
}
