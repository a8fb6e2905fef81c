use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::*;
use crate::config::ExportPolicy;
use crate::rib::{Path, PeerSource, Source};
use crate::wire::{
    AsPath, Attributes, Community, Encoding, ExtendedCommunity, Family, NextHop, Origin, RouterId,
};

const ASN: u32 = 64512;

fn network(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

fn plain() -> Attributes {
    Attributes::new(Origin::Igp, AsPath::sequence([65001]))
}

#[test]
fn what_is_fit_for_the_decision() {
    let own_addresses: BTreeSet<IpAddr> =
        BTreeSet::from(["10.0.0.9".parse().unwrap(), "fd00::9".parse().unwrap()]);
    let router_id = RouterId::new(7).unwrap();
    let with = |change: fn(&mut Attributes)| {
        let mut attributes = plain();
        change(&mut attributes);
        attributes
    };
    let looped = with(|attributes| attributes.as_path = AsPath::sequence([65001, ASN, 65002]));
    let originated = with(|attributes| attributes.originator_id = RouterId::new(7));
    let clustered = with(|attributes| attributes.cluster_list = vec![3, 7]);
    // (why, prefix, next hop, attributes, rejection)
    let cases = [
        ("plain", "10.1.0.0/16", "10.0.0.1", plain(), None),
        ("plain IPv6", "fd01::/64", "fd00::1", plain(), None),
        ("our AS in the path", "10.1.0.0/16", "10.0.0.1", looped, Some(Rejection::AsLoop)),
        ("we brought it in", "10.1.0.0/16", "10.0.0.1", originated, Some(Rejection::OriginatorLoop)),
        ("our cluster", "10.1.0.0/16", "10.0.0.1", clustered, Some(Rejection::ClusterLoop)),
        ("default route", "0.0.0.0/0", "10.0.0.1", plain(), Some(Rejection::DefaultRoute)),
        ("default route of IPv6", "::/0", "fd00::1", plain(), Some(Rejection::DefaultRoute)),
        ("half of everything is no default route", "0.0.0.0/1", "10.0.0.1", plain(), None),
        ("through ourselves", "10.1.0.0/16", "10.0.0.9", plain(), Some(Rejection::NextHopIsOurs)),
        ("through ourselves by IPv6", "fd01::/64", "fd00::9", plain(), Some(Rejection::NextHopIsOurs)),
        ("nowhere", "10.1.0.0/16", "0.0.0.0", plain(), Some(Rejection::NextHopUnusable)),
        ("loopback", "10.1.0.0/16", "127.0.0.1", plain(), Some(Rejection::NextHopUnusable)),
        ("multicast", "10.1.0.0/16", "224.0.0.5", plain(), Some(Rejection::NextHopUnusable)),
        ("broadcast", "10.1.0.0/16", "255.255.255.255", plain(), Some(Rejection::NextHopUnusable)),
        ("mapped", "fd01::/64", "::ffff:10.0.0.1", plain(), Some(Rejection::NextHopUnusable)),
        ("the other family", "10.1.0.0/16", "fd00::1", plain(), Some(Rejection::NextHopOfOtherFamily)),
        ("link-local", "fd01::/64", "fe80::1", plain(), Some(Rejection::NextHopLinkLocal)),
    ];
    for (why, prefix, next_hop, attributes, expected) in cases {
        let mut context = ImportContext {
            asn: ASN,
            router_id,
            import_default_routes: false,
            own_addresses: &own_addresses,
            own_asns_max: 0,
            prefixes_max: None,
        };
        let next_hop = NextHop::new(next_hop.parse().unwrap());
        assert_eq!(import(&context, &network(prefix), (&next_hop, &attributes)), expected, "{why}");
        context.own_asns_max = 1;
        let allowed = expected.filter(|rejection| *rejection != Rejection::AsLoop);
        assert_eq!(
            import(&context, &network(prefix), (&next_hop, &attributes)),
            allowed,
            "{why}, our AS may be there once"
        );
        context.own_asns_max = 0;
        context.import_default_routes = true;
        let expected = expected.filter(|rejection| *rejection != Rejection::DefaultRoute);
        assert_eq!(
            import(&context, &network(prefix), (&next_hop, &attributes)),
            expected,
            "{why}, configured"
        );
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Local,
    Internal,
    External,
}

fn path(from: From, attributes: Attributes) -> Path {
    let source = PeerSource {
        address: "10.0.0.1".parse().unwrap(),
        router_id: RouterId::new(1).unwrap(),
        is_ebgp: from == From::External,
    };
    let next_hop = NextHop::new("10.0.0.1".parse().unwrap());
    Path {
        source: if from == From::Local { Source::Local } else { Source::Peer(Arc::new(source)) },
        attributes: Arc::new(attributes),
        next_hop: (from != From::Local).then_some(next_hop),
        rejection: None,
        is_silent: false,
    }
}

fn context(is_ebgp: bool, policy: ExportPolicy) -> ExportContext {
    ExportContext {
        asn: ASN,
        is_ebgp,
        policy,
        families: vec![Family::Ipv4Unicast],
        next_hop_ipv4: Some("10.0.0.9".parse().unwrap()),
        next_hop_ipv6: Some("fd00::9".parse().unwrap()),
        encoding: Encoding { four_octet_as: true, message_len_max: 4096 },
    }
}

#[test]
fn who_hears_what_with_which_next_hop() {
    use ExportPolicy::{All, OriginatedOnly};
    let (ours, kept) = (Some("10.0.0.9"), Some("10.0.0.1"));
    // (from, towards another AS, policy, next hop or none)
    let cases = [
        (From::Local, false, All, ours),
        (From::Local, true, All, ours),
        (From::Internal, false, All, None),
        (From::Internal, true, All, ours),
        (From::External, false, All, kept),
        (From::External, true, All, ours),
        (From::Local, false, OriginatedOnly, ours),
        (From::Local, true, OriginatedOnly, ours),
        (From::Internal, true, OriginatedOnly, None),
        (From::External, false, OriginatedOnly, None),
        (From::External, true, OriginatedOnly, None),
    ];
    for (from, is_ebgp, policy, expected) in cases {
        let route = export(&context(is_ebgp, policy), &network("10.1.0.0/16"), &path(from, plain()));
        let next_hop = route.map(|route| route.next_hop.address.to_string());
        assert_eq!(next_hop.as_deref(), expected, "from {from:?}, external: {is_ebgp}, {policy:?}");
    }
}

#[test]
fn a_family_needs_both_the_session_and_an_address() {
    let own = path(From::Local, plain());
    let mut context = context(true, ExportPolicy::All);
    assert!(export(&context, &network("fd01::/64"), &own).is_none(), "not negotiated");
    context.families.push(Family::Ipv6Unicast);
    let route = export(&context, &network("fd01::/64"), &own).unwrap();
    assert_eq!(route.next_hop.address.to_string(), "fd00::9");
    context.next_hop_ipv6 = None;
    assert!(export(&context, &network("fd01::/64"), &own).is_none(), "never ::");
}

#[test]
fn communities_that_hold_a_route_back() {
    // (community, inside the AS, outside)
    let cases = [
        (Community(0xfc00_0001), true, true),
        (Community::NO_ADVERTISE, false, false),
        (Community::NO_EXPORT, true, false),
        (Community::NO_EXPORT_SUBCONFED, true, false),
        (Community::GRACEFUL_SHUTDOWN, true, true),
    ];
    for (community, inside, outside) in cases {
        let mut attributes = plain();
        attributes.communities = vec![community];
        let path = path(From::External, attributes);
        let is_told =
            |is_ebgp| export(&context(is_ebgp, ExportPolicy::All), &network("10.1.0.0/16"), &path).is_some();
        assert_eq!((is_told(false), is_told(true)), (inside, outside), "{community}");
    }
}

#[test]
fn attributes_change_at_the_border_alone() {
    let mut received = plain();
    received.med = Some(5);
    received.originator_id = RouterId::new(3);
    received.cluster_list = vec![1];
    received.extended_communities =
        vec![ExtendedCommunity([0, 2, 0, 0, 0, 0, 0, 1]), ExtendedCommunity([0x40; 8])];
    let prefix = network("10.1.0.0/16");

    let inside =
        export(&context(false, ExportPolicy::All), &prefix, &path(From::External, received.clone())).unwrap();
    let mut expected = received.clone();
    expected.local_pref = Some(100);
    assert_eq!(*inside.attributes, expected, "inside: LOCAL_PREF is there, nothing else moves");

    let outside =
        export(&context(true, ExportPolicy::All), &prefix, &path(From::Internal, expected)).unwrap();
    let mut expected = Attributes::new(Origin::Igp, AsPath::sequence([ASN, 65001]));
    expected.extended_communities = vec![ExtendedCommunity([0, 2, 0, 0, 0, 0, 0, 1])];
    assert_eq!(*outside.attributes, expected, "outside: our AS first, what is ours alone stays here");

    let mut own = Attributes::new(Origin::Igp, AsPath::default());
    own.med = Some(5);
    own.local_pref = Some(300);
    let told = export(&context(true, ExportPolicy::All), &prefix, &path(From::Local, own)).unwrap();
    assert_eq!((told.attributes.med, told.attributes.local_pref), (Some(5), None), "our own MED is our word");
}
