use super::*;

fn shape(racks: u8, nodes: u8) -> Shape {
    Shape { racks, nodes, ..Shape::default() }
}

#[test]
fn shapes_that_cannot_be_are_refused_by_name() {
    let cases = [
        ("no rack", shape(0, 1), "racks is 0, must be 1 to 5"),
        ("too many racks", shape(6, 6), "racks is 6, must be 1 to 5"),
        ("no node", shape(1, 0), "nodes is 0, must be 1 to 30"),
        ("more nodes than places", shape(1, 31), "nodes is 31, must be 1 to 30"),
        ("three ToRs", Shape { tors_per_rack: 3, ..shape(1, 1) }, "ToRs per rack is 3, must be 1 to 2"),
        (
            "RFC 4271 refuses hold time 2",
            Shape { hold_time_secs: 2, ..shape(1, 1) },
            "hold time is 2, must be 3 to 65535",
        ),
        (
            "mesh across racks",
            Shape { mesh: true, ..shape(2, 2) },
            "mesh needs all nodes in one rack: use --racks 1, or leave --mesh out",
        ),
    ];
    for (why, shape, expected) in cases {
        assert_eq!(Topology::new(shape).unwrap_err().to_string(), expected, "{why}");
    }
}

#[test]
fn nodes_fill_racks_in_order_with_addresses_that_can_be_read_off() {
    let topology = Topology::new(shape(2, 3)).unwrap();
    let found: Vec<_> = topology
        .nodes
        .iter()
        .map(|n| format!("{} {} {} {} {} {}", n.name, rack_name(n.rack), n.asn, n.ipv4, n.ipv6, n.management))
        .collect();
    assert_eq!(
        found,
        [
            "node-1 rack-1 65101 10.10.1.11 fd00:10:1::11 172.31.0.11",
            "node-2 rack-1 65102 10.10.1.12 fd00:10:1::12 172.31.0.12",
            "node-3 rack-2 65201 10.10.2.11 fd00:10:2::11 172.31.0.13",
        ]
    );
}

#[test]
fn every_address_is_given_once_and_names_fit_the_kernel() {
    let topology = Topology::new(shape(5, 150)).unwrap();
    let ends: Vec<&End> = topology.cables.iter().flat_map(|Cable(a, b)| [a, b]).collect();
    let mut addresses: Vec<_> = ends.iter().flat_map(|end| &end.addresses).map(IpNetwork::ip).collect();
    let all = addresses.len();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), all);
    assert!(ends.iter().all(|end| end.name.len() < 16 && topology.spaces.contains(&end.space)));
}

#[test]
fn tors_peer_with_the_nodes_of_their_rack_and_the_spine_with_the_tors() {
    let topology = Topology::new(shape(2, 4)).unwrap();
    let found: Vec<_> = topology
        .routers
        .iter()
        .map(|r| {
            let names: Vec<_> = r.neighbors.iter().map(|n| format!("{}/{}", n.name, n.asn)).collect();
            format!("{} {}: {}", r.name, r.asn, names.join(" "))
        })
        .collect();
    assert_eq!(
        found,
        [
            "spine 64500: tor-1-1/64601 tor-1-2/64601 tor-2-1/64602 tor-2-2/64602",
            "tor-1-1 64601: spine/64500 node-1/65101 node-2/65102",
            "tor-1-2 64601: spine/64500 node-1/65101 node-2/65102",
            "tor-2-1 64602: spine/64500 node-3/65201 node-4/65202",
            "tor-2-2 64602: spine/64500 node-3/65201 node-4/65202",
        ]
    );
}

#[test]
fn a_mesh_has_one_as_static_defaults_and_no_sessions_with_the_tors() {
    let topology = Topology::new(Shape { mesh: true, ..shape(1, 2) }).unwrap();
    assert!(topology.nodes.iter().all(|node| node.asn == MESH_ASN));
    assert!(topology.tors(1).all(|tor| tor.neighbors.len() == 1));
    let node = Space::Node("node-1".into());
    assert_eq!(topology.routes.iter().filter(|route| route.space == node).count(), 2);
}
