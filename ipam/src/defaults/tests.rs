use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<Defaults, Vec<InvalidValue>> {
    Defaults::read(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn values_that_are_used() {
    // (why, data, pools as name, range and block size, AS number, label)
    type Row<'a> =
        (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str, Option<u8>)], u32, Option<&'a str>);
    let cases: [Row; 4] = [
        (
            "both families",
            &[("podCIDRs", "10.244.0.0/16,fd00:10:244::/56"), ("asn", "64600")],
            &[("default-ipv4", "10.244.0.0/16", None), ("default-ipv6", "fd00:10:244::/56", None)],
            64600,
            None,
        ),
        (
            "spaces, other order, default AS number",
            &[("podCIDRs", " fd00:10:244::/56 , 10.244.0.0/16 ")],
            &[("default-ipv4", "10.244.0.0/16", None), ("default-ipv6", "fd00:10:244::/56", None)],
            64512,
            None,
        ),
        (
            "a range smaller than a block is one block",
            &[("podCIDRs", "10.244.0.0/28")],
            &[("default-ipv4", "10.244.0.0/28", Some(28))],
            64512,
            None,
        ),
        (
            "AS number by label, 4 octets",
            &[("podCIDRs", "10.0.0.0/8"), ("asn", "4294967295"), ("asnNodeLabel", "example.com/asn")],
            &[("default-ipv4", "10.0.0.0/8", None)],
            4_294_967_295,
            Some("example.com/asn"),
        ),
    ];
    for (why, data, pools, asn, label) in cases {
        let defaults = read(data).unwrap();
        let names = defaults.pools.iter().map(|pool| {
            assert!(pool.spec.nat_outgoing, "{why}");
            (pool.metadata.name.as_deref().unwrap(), pool.spec.cidr.as_str(), pool.spec.block_size)
        });
        assert_eq!(names.collect::<Vec<_>>(), pools, "{why}");
        assert_eq!(defaults.bgp.spec.as_number, asn, "{why}");
        assert_eq!(defaults.bgp.spec.as_number_label.as_deref(), label, "{why}");
    }
}

#[test]
fn values_that_are_not_name_key_and_remedy() {
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cidr = ("podCIDRs", "10.244.0.0/16");
    // (why, data, problems)
    let cases: [Row; 7] = [
        (
            "nothing",
            &[],
            &["podCIDRs: no range is given; write the ranges of pods, like 10.244.0.0/16,fd00:10:244::/56"],
        ),
        (
            "host bits",
            &[("podCIDRs", "10.244.0.1/16")],
            &["podCIDRs: `10.244.0.1/16` is not the first address of its prefix; write `10.244.0.0/16`"],
        ),
        (
            "two of a family",
            &[("podCIDRs", "10.1.0.0/16,10.2.0.0/16")],
            &[
                "podCIDRs: `10.1.0.0/16,10.2.0.0/16` has two IPv4 ranges; write one and create an IPPool for the other",
            ],
        ),
        (
            "AS number 0",
            &[cidr, ("asn", "0")],
            &["asn: `0` is not an AS number; write one of 1 to 4294967295, like 64512"],
        ),
        (
            "label",
            &[cidr, ("asnNodeLabel", "my label")],
            &["asnNodeLabel: `my label` is not the key of a Node label; write one like example.com/asn"],
        ),
        (
            "router",
            &[cidr, ("torPeers", "rack-1: as x")],
            &[
                "torPeers: line 1, `rack-1: as x`: `as x` is not the routers' AS number, 1 to 4294967295; write a line like `rack-1: as 64601, 10.10.1.251, 10.10.1.252`",
            ],
        ),
        (
            "all problems at once",
            &[("podCIDRs", "pods"), ("asn", "x")],
            &[
                "podCIDRs: `pods` is not a prefix like 10.244.0.0/16 or fd00:10:244::/56",
                "asn: `x` is not an AS number; write one of 1 to 4294967295, like 64512",
            ],
        ),
    ];
    for (why, data, expected) in cases {
        let problems: Vec<String> = read(data).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(problems, expected, "{why}");
    }
}

#[test]
fn nodes_of_one_as_hear_of_each_other_from_their_routers() {
    let common = [("podCIDRs", "10.244.0.0/16"), ("torPeers", "rack-1: as 64601, 10.10.1.251, 10.10.1.252")];
    // (why, label of the nodes' own numbers, how often theirs may be in the path)
    let cases = [("one number for all", "", 1), ("each its own", "example.com/asn", 0)];
    for (why, label, expected) in cases {
        let data = [common[0], common[1], ("asnNodeLabel", label)];
        let peers = read(&data).unwrap().peers;
        let allowed: Vec<u8> = peers.iter().map(|peer| peer.spec.allowed_local_as_numbers).collect();
        assert_eq!(allowed, [expected; 2], "{why}");
    }
}

#[test]
fn nodes_peer_with_each_other_unless_routers_are_given() {
    let cidr = ("podCIDRs", "10.244.0.0/16");
    // (why, routers, mesh, number of peers)
    let cases = [
        ("none", None, true, 0),
        ("comment alone", Some("# rack-1: as 64601, 10.10.1.251"), true, 0),
        ("two", Some("rack-1: as 64601, 10.10.1.251, 10.10.1.252"), false, 2),
    ];
    for (why, routers, mesh, peers) in cases {
        let defaults = match routers {
            Some(routers) => read(&[cidr, ("torPeers", routers)]),
            None => read(&[cidr]),
        };
        let defaults = defaults.unwrap();
        assert_eq!(defaults.bgp.spec.node_to_node_mesh_enabled, mesh, "{why}");
        assert_eq!(defaults.peers.len(), peers, "{why}");
    }
}
