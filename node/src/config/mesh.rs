//! The full mesh: every node a neighbour of every other.

use std::net::IpAddr;

use api::BGPConfigurationSpec;
use bgp::config::{ExportPolicy, NeighborConfig, SpeakerConfig};

use super::{ClusterView, NodeFacts, Problem, asn, configuration_of, families};

/// Hops that another node may be away: nodes are seldom on one link.
const MESH_HOPS_MAX: u8 = 255;

/// Adds a neighbour for each other node whose own configuration has the mesh too.
pub(super) fn add_neighbors(
    view: &ClusterView,
    node_name: &str,
    settings: &BGPConfigurationSpec,
    speaker: &mut SpeakerConfig,
    problems: &mut Vec<Problem>,
) {
    let own = &view.nodes[node_name];
    for (name, other) in view.nodes.iter().filter(|(name, _)| *name != node_name) {
        // What is wrong with another node's objects is that node's to report.
        let mut of_other = Vec::new();
        let others = configuration_of(view, other, &mut of_other);
        if !others.node_to_node_mesh_enabled {
            continue;
        }
        let Some((local, remote)) = session_addresses(own, other) else {
            let message = "no address of a family that this node has too; the mesh leaves it out";
            problems.push(Problem::new("Node", name, message));
            continue;
        };
        if speaker.neighbors.iter().any(|neighbor| neighbor.address == remote) {
            continue;
        }
        let remote_asn = asn(&others, name, other, &mut of_other);
        let mut neighbor = neighbor(name, local, remote, remote_asn, own);
        neighbor.port = others.listen_port;
        neighbor.hold_time_secs = Some(settings.hold_time_seconds);
        // Nodes of one AS are internal peers, whose distance nobody counts.
        neighbor.ebgp_multihop = (remote_asn != speaker.asn).then_some(MESH_HOPS_MAX);
        speaker.neighbors.push(neighbor);
    }
}

fn neighbor(name: &str, local: IpAddr, remote: IpAddr, remote_asn: u32, own: &NodeFacts) -> NeighborConfig {
    let mut neighbor = NeighborConfig::new(name, remote, remote_asn);
    neighbor.local_address = Some(local);
    neighbor.families = families(&own.addresses);
    neighbor.next_hop_ipv4 = own.addresses.ipv4.as_ref().map(|chosen| chosen.address);
    neighbor.next_hop_ipv6 = own.addresses.ipv6.as_ref().map(|chosen| chosen.address);
    neighbor.export = ExportPolicy::OriginatedOnly;
    neighbor.import_default_routes = Some(false);
    neighbor
}

/// Both ends, of IPv4 where both nodes have it.
fn session_addresses(own: &NodeFacts, other: &NodeFacts) -> Option<(IpAddr, IpAddr)> {
    let ipv4 = own.addresses.ipv4.as_ref().zip(other.addresses.ipv4.as_ref());
    let ipv6 = own.addresses.ipv6.as_ref().zip(other.addresses.ipv6.as_ref());
    ipv4.map(|(own, other)| (IpAddr::V4(own.address), IpAddr::V4(other.address)))
        .or(ipv6.map(|(own, other)| (IpAddr::V6(own.address), IpAddr::V6(other.address))))
}
