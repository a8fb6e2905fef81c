//! UPDATE messages that are as they should be.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::*;

const IPV4_ROUTE: &str = "40 01 01 00 40 02 06 02 01 0000fde9 40 03 04 0a000001";

fn networks(texts: &[&str]) -> Vec<IpNetwork> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn end_of_rib() {
    let ipv6_only = SessionContext { families: vec![Family::Ipv6Unicast], ..external() };
    // (why, peer, withdrawn, attributes, nlri, family)
    let rows = [
        ("IPv4: an UPDATE of 23 octets", external(), "", "", "", Some(Family::Ipv4Unicast)),
        ("IPv4, in MP_UNREACH_NLRI", external(), "", "80 0f 03 0001 01", "", Some(Family::Ipv4Unicast)),
        ("IPv6", external(), "", "80 0f 03 0002 01", "", Some(Family::Ipv6Unicast)),
        (
            "IPv6, with an extended length",
            external(),
            "",
            "90 0f 0003 0002 01",
            "",
            Some(Family::Ipv6Unicast),
        ),
        ("another family", external(), "", "80 0f 03 4004 47", "", None),
        ("IPv4 where it is not in use", ipv6_only, "", "", "", None),
        ("not with a withdrawn prefix", external(), "18 c00002", "", "", None),
        ("not with one in MP_UNREACH_NLRI", external(), "", "80 0f 08 0002 01 20 20010db8", "", None),
        ("not beside withdrawn IPv4", external(), "18 c00002", "80 0f 03 0002 01", "", None),
        ("not beside an attribute", external(), "", "80 0f 03 0002 01 40 01 01 00", "", None),
        ("not beside a route", external(), "", IPV4_ROUTE, "18 c00002", None),
    ];
    for (why, context, withdrawn, attributes, nlri, family) in rows {
        let message = update_message(&hex(withdrawn), &hex(attributes), &hex(nlri));
        assert_eq!(decoded_update(&message, &context, why).end_of_rib, family, "{why}");
    }
}

#[test]
fn prefixes() {
    let rows = [
        ("the default route", "00", &["0.0.0.0/0"][..]),
        ("host bits are cleared", "14 c0000f 09 0aff", &["192.0.0.0/20", "10.128.0.0/9"]),
        ("a host", "20 c0000201", &["192.0.2.1/32"]),
        ("several, also twice", "18 c00002 18 c00002", &["192.0.2.0/24", "192.0.2.0/24"]),
        ("all of class D and above is no multicast group", "03 e0", &["224.0.0.0/3"]),
        ("multicast is passed over", "04 e0 20 e0000001 18 c00002", &["192.0.2.0/24"]),
    ];
    for (why, nlri, expected) in rows {
        let message = update_message(&[], &hex(IPV4_ROUTE), &hex(nlri));
        let update = decoded_update(&message, &external(), why);
        assert_eq!(update.announced[0].prefixes, networks(expected), "{why}");
    }
}

#[test]
fn next_hops() {
    let global = "20010db8000000000000000000000001";
    let link_local = "fe800000000000000000000000000002";
    let none = "00000000000000000000000000000000";
    let with_ipv6_next_hops = SessionContext { extended_next_hop: true, ..external() };
    // (why, peer, AFI, next hop, prefix, address, link-local)
    let rows = [
        ("global", external(), "0002", global.to_owned(), "2001:db8::1", None),
        (
            "global and link-local",
            external(),
            "0002",
            format!("{global}{link_local}"),
            "2001:db8::1",
            Some("fe80::2"),
        ),
        ("link-local alone", external(), "0002", link_local.to_owned(), "fe80::2", Some("fe80::2")),
        (
            "link-local twice",
            external(),
            "0002",
            format!("{link_local}{link_local}"),
            "fe80::2",
            Some("fe80::2"),
        ),
        (
            "link-local behind nothing",
            external(),
            "0002",
            format!("{none}{link_local}"),
            "fe80::2",
            Some("fe80::2"),
        ),
        ("IPv4 in MP_REACH_NLRI", external(), "0001", "0a000001".to_owned(), "10.0.0.1", None),
        ("IPv4 over IPv6 (RFC 8950)", with_ipv6_next_hops, "0001", global.to_owned(), "2001:db8::1", None),
    ];
    for (why, context, afi, next_hop, address, link_local) in rows {
        let value = hex(&format!("{afi} 01 {:02x} {next_hop} 00 10 2001", next_hop.len() / 2));
        let mut attributes = vec![0x80, 14, u8::try_from(value.len()).unwrap()];
        attributes.extend(value);
        attributes.extend(hex("40 01 01 00 40 02 06 02 01 0000fde9"));
        let update = decoded_update(&update_message(&[], &attributes, &[]), &context, why);
        let expected = NextHop {
            address: address.parse().unwrap(),
            link_local: link_local.map(|text| text.parse::<Ipv6Addr>().unwrap()),
        };
        assert_eq!(update.announced[0].next_hop, expected, "{why}");
    }
}

#[test]
fn both_kinds_of_routes_in_one_message() {
    let attributes =
        format!("80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8 {IPV4_ROUTE}");
    let message = update_message(&hex("18 c00003"), &hex(&attributes), &hex("18 c00002"));
    let update = decoded_update(&message, &external(), "both");
    assert_eq!(update.withdrawn, networks(&["192.0.3.0/24"]));
    let announced: Vec<_> = update
        .announced
        .iter()
        .map(|routes| (routes.family, routes.next_hop.to_string(), routes.prefixes.clone()))
        .collect();
    let expected = [
        (Family::Ipv4Unicast, "10.0.0.1".to_owned(), networks(&["192.0.2.0/24"])),
        (Family::Ipv6Unicast, "2001:db8::1".to_owned(), networks(&["2001:db8::/32"])),
    ];
    assert_eq!(announced, expected);
    assert!(Arc::ptr_eq(&update.announced[0].attributes, &update.announced[1].attributes));
}

#[test]
fn routes_of_a_family_that_is_not_in_use_are_passed_over() {
    let context = SessionContext { families: vec![Family::Ipv6Unicast], ..external() };
    let message = update_message(&hex("18 c00003"), &hex(IPV4_ROUTE), &hex("18 c00002"));
    assert_eq!(decoded_update(&message, &context, "IPv4"), Update::default());
}

#[test]
fn every_attribute() {
    let attributes = format!(
        "{IPV4_ROUTE} 80 04 04 00000007 40 05 04 00000064 40 06 00 c0 07 08 0000fde9 0a000002
         c0 08 08 fde90002 fde90001 80 09 04 0a000003 80 0a 08 00000001 00000002
         c0 10 08 0002fde900000064 c0 20 0c 0000fde9 00000001 00000002 c0 fe 02 abcd"
    );
    let message = update_message(&[], &hex(&attributes), &hex("18 c00002"));
    let update = decoded_update(&message, &internal(), "all of them");
    let expected = Attributes {
        med: Some(7),
        local_pref: Some(100),
        atomic_aggregate: true,
        aggregator: Some(Aggregator { asn: 65001, router_id: 0x0a00_0002 }),
        communities: vec!["65001:1".parse().unwrap(), "65001:2".parse().unwrap()],
        extended_communities: vec!["0002fde900000064".parse().unwrap()],
        large_communities: vec!["65001:1:2".parse().unwrap()],
        originator_id: Some("10.0.0.3".parse().unwrap()),
        cluster_list: vec![1, 2],
        unknown: vec![UnknownAttribute { code: 254, value: Bytes::from_static(&[0xab, 0xcd]) }],
        ..Attributes::new(Origin::Igp, AsPath::sequence([65001]))
    };
    assert_eq!(*update.announced[0].attributes, expected);
    assert_eq!(update.faults, []);
}

#[test]
fn what_is_passed_on_unknown_is_marked_partial() {
    let mut attributes = Attributes::new(Origin::Igp, AsPath::sequence([65001]));
    attributes.unknown = vec![UnknownAttribute { code: 254, value: Bytes::from_static(&[1]) }];
    let message = &announcement(attributes, &["192.0.2.0/24"]).encode(external().encoding()).unwrap()[0];
    assert!(message.windows(4).any(|window| window == [0xe0, 254, 1, 1]));
}

fn announcement(attributes: Attributes, prefixes: &[&str]) -> Announcement {
    let prefixes = networks(prefixes);
    let family = Family::of(&prefixes[0]);
    let next_hop = match family {
        Family::Ipv4Unicast => "10.0.0.1",
        Family::Ipv6Unicast => "2001:db8::1",
    };
    let next_hop = NextHop::new(next_hop.parse::<IpAddr>().unwrap());
    Announcement { family, next_hop, attributes: Arc::new(attributes), prefixes }
}

#[test]
fn four_octet_paths_through_two_octet_peers() {
    // (why, AS_PATH, AS4_PATH, AGGREGATOR, AS4_AGGREGATOR, path, aggregator)
    let sequence = |asns: &[u32]| AsPath::sequence(asns.iter().copied());
    let rows = [
        (
            "AS4_PATH replaces the end",
            sequence(&[1, 23456, 23456]),
            Some(sequence(&[400_000, 500_000])),
            "1 400000 500000",
        ),
        ("of equal length, all", sequence(&[23456]), Some(sequence(&[400_000])), "400000"),
        ("a longer AS4_PATH is ignored", sequence(&[23456]), Some(sequence(&[1, 400_000])), "23456"),
        ("none", sequence(&[1, 2]), None, "1 2"),
    ];
    for (why, as_path, as4_path, expected) in rows {
        let merged = match as4_path {
            Some(as4_path) => as_path.merged_with(&as4_path),
            None => as_path,
        };
        assert_eq!(merged.to_string(), expected, "{why}");
    }
}

#[test]
fn a_set_counts_one_when_paths_are_merged() {
    let set = AsPathSegment { kind: SegmentKind::Set, asns: vec![7, 8] };
    let confed = AsPathSegment { kind: SegmentKind::ConfedSequence, asns: vec![9] };
    let last = AsPathSegment { kind: SegmentKind::Sequence, asns: vec![23456] };
    let path = AsPath { segments: vec![confed, set, last] };
    assert_eq!(path.merged_with(&AsPath::sequence([400_000])).to_string(), "(9) {7,8} 400000");
}

#[test]
fn aggregators_of_two_octets() {
    let route = "40 01 01 00 40 02 06 02 02 fde9 5ba0 40 03 04 0a000001 c0 11 06 02 01 00061a80";
    // (why, attributes, AS of the aggregator, path)
    let rows = [
        (
            "AS_TRANS stands for the other",
            "c0 07 06 5ba0 0a000001 c0 12 08 00061a80 0a000002",
            Some(400_000),
            "65001 400000",
        ),
        (
            "a real AS: the AS4 attributes are out of date",
            "c0 07 06 fde9 0a000001 c0 12 08 00061a80 0a000002",
            Some(65001),
            "65001 23456",
        ),
        ("AS_TRANS alone", "c0 07 06 5ba0 0a000001", Some(23456), "65001 400000"),
        ("none, but the other: ignored", "c0 12 08 00061a80 0a000002", None, "65001 400000"),
    ];
    for (why, attributes, asn, path) in rows {
        let message = update_message(&[], &hex(&format!("{route} {attributes}")), &hex("18 c00002"));
        let update = decoded_update(&message, &two_octet(), why);
        let found = &update.announced[0].attributes;
        assert_eq!(found.aggregator.map(|aggregator| aggregator.asn), asn, "{why}");
        assert_eq!(found.as_path.to_string(), path, "{why}");
    }
}

#[test]
fn paths_grow_at_the_front() {
    let full = AsPath::sequence(std::iter::repeat_n(7, 255));
    let after_set = AsPath { segments: vec![AsPathSegment { kind: SegmentKind::Set, asns: vec![7] }] };
    let rows = [
        ("an empty path gets a segment", AsPath::default(), 1, vec![1]),
        ("three times", AsPath::sequence([7]), 3, vec![4]),
        ("a full segment is left alone", full, 2, vec![2, 255]),
        ("a set is left alone", after_set, 1, vec![1, 1]),
        ("not at all", AsPath::default(), 0, vec![]),
    ];
    for (why, path, times, lengths) in rows {
        let grown = path.prepended(64512, times);
        let found: Vec<usize> = grown.segments.iter().map(|segment| segment.asns.len()).collect();
        assert_eq!(found, lengths, "{why}");
        assert_eq!(grown.occurrences(64512), times, "{why}");
    }
}

#[test]
fn routes_are_split_over_messages() {
    let prefixes: Vec<String> = (0..3000_u32).map(|n| format!("10.{}.{}.0/24", n / 256, n % 256)).collect();
    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    let routes = announcement(Attributes::new(Origin::Igp, AsPath::sequence([65001])), &prefixes);
    for (why, extended_message, count) in [("plain", false, 3), ("RFC 8654", true, 1)] {
        let context = SessionContext { extended_message, ..external() };
        let messages = routes.encode(context.encoding()).unwrap();
        assert_eq!(messages.len(), count, "{why}");
        let found: Vec<IpNetwork> = messages
            .iter()
            .flat_map(|message| decoded_update(message, &context, why).announced)
            .flat_map(|routes| routes.prefixes)
            .collect();
        assert_eq!(found, routes.prefixes, "{why}");
    }
}

#[test]
fn attributes_that_fill_a_message_leave_no_room() {
    let mut attributes = Attributes::new(Origin::Igp, AsPath::sequence([65001]));
    attributes.communities = (0..1100).map(Community).collect();
    for prefix in ["192.0.2.0/24", "2001:db8::/32"] {
        let routes = announcement(attributes.clone(), &[prefix]);
        let error = routes.encode(external().encoding()).expect_err("4400 octets of communities");
        assert_eq!(error.message_len_max, MESSAGE_LEN_MAX);
        let extended = SessionContext { extended_message: true, ..external() };
        assert_eq!(routes.encode(extended.encoding()).unwrap().len(), 1, "{prefix}");
    }
}

#[test]
fn multiprotocol_attributes_come_first() {
    let routes = announcement(Attributes::new(Origin::Igp, AsPath::sequence([65001])), &["2001:db8::/32"]);
    let message = &routes.encode(external().encoding()).unwrap()[0];
    assert_eq!(message[HEADER_LEN + 4..HEADER_LEN + 6], [0x80, 14]);
}
