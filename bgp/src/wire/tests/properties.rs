//! What holds for all bytes and for all messages.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;

fn context() -> impl Strategy<Value = SessionContext> {
    (any::<[bool; 5]>(), 0_usize..=2).prop_map(|([four, ebgp, first, long, next_hop], families)| {
        SessionContext {
            four_octet_as: four,
            is_ebgp: ebgp,
            peer_asn: 65001,
            enforce_first_as: first,
            families: Family::ALL[..families].to_vec(),
            extended_message: long,
            extended_next_hop: next_hop,
        }
    })
}

fn ipv4_prefix() -> impl Strategy<Value = IpNetwork> {
    // Below 224/4: multicast is passed over.
    (0_u32..0xe000_0000, 0_u8..=32).prop_map(|(bits, length)| {
        let network = Ipv4Network::new(Ipv4Addr::from(bits), length).unwrap();
        IpNetwork::V4(Ipv4Network::new(network.network(), length).unwrap())
    })
}

fn ipv6_prefix() -> impl Strategy<Value = IpNetwork> {
    (0_u128..0xff << 120, 0_u8..=128).prop_map(|(bits, length)| {
        let network = Ipv6Network::new(Ipv6Addr::from(bits), length).unwrap();
        IpNetwork::V6(Ipv6Network::new(network.network(), length).unwrap())
    })
}

fn segment() -> impl Strategy<Value = AsPathSegment> {
    let kind = prop_oneof![Just(SegmentKind::Sequence), Just(SegmentKind::Set)];
    // Above and below 65535, so that two-octet peers need AS4_PATH.
    let asn = prop_oneof![1_u32..=65535, 65536_u32..=u32::MAX];
    (kind, vec(asn, 1..=255)).prop_map(|(kind, asns)| AsPathSegment { kind, asns })
}

fn unknown() -> impl Strategy<Value = Vec<UnknownAttribute>> {
    let value = vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    proptest::collection::btree_map(200_u8..=255, value, 0..3).prop_map(|attributes| {
        attributes.into_iter().map(|(code, value)| UnknownAttribute { code, value }).collect()
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let plain = (
        prop_oneof![Just(Origin::Igp), Just(Origin::Egp), Just(Origin::Incomplete)],
        // Segments of one kind next to each other may be joined by a two-octet peer's merge: one of them.
        vec(segment(), 0..=1),
        option::of(any::<u32>()),
        any::<u32>(),
        any::<bool>(),
        option::of((1..=u32::MAX, any::<u32>())),
    );
    let lists = (
        btree_set(any::<u32>(), 0..20),
        btree_set(any::<[u8; 8]>(), 0..5),
        btree_set(any::<(u32, u32, u32)>(), 0..5),
        option::of(1..=u32::MAX),
        vec(any::<u32>(), 0..5),
        unknown(),
    );
    (plain, lists).prop_map(|((origin, segments, med, local_pref, atomic, aggregator), lists)| {
        let (communities, extended, large, originator, cluster_list, unknown) = lists;
        Attributes {
            origin,
            as_path: AsPath { segments },
            med,
            local_pref: Some(local_pref),
            atomic_aggregate: atomic,
            aggregator: aggregator.map(|(asn, router_id)| Aggregator { asn, router_id }),
            communities: communities.into_iter().map(Community).collect(),
            extended_communities: extended.into_iter().map(ExtendedCommunity).collect(),
            large_communities: large
                .into_iter()
                .map(|(global, local1, local2)| LargeCommunity { global, local1, local2 })
                .collect(),
            originator_id: originator.and_then(RouterId::new),
            cluster_list,
            unknown,
        }
    })
}

fn announcement() -> impl Strategy<Value = Announcement> {
    let ipv4 =
        vec(ipv4_prefix(), 1..2000).prop_map(|prefixes| (NextHop::new([10, 0, 0, 1].into()), prefixes));
    let ipv6 = (vec(ipv6_prefix(), 1..500), any::<bool>()).prop_map(|(prefixes, has_link_local)| {
        let link_local = has_link_local.then_some("fe80::1".parse().unwrap());
        (NextHop { address: "2001:db8::1".parse().unwrap(), link_local }, prefixes)
    });
    (prop_oneof![ipv4, ipv6], attributes()).prop_map(|((next_hop, prefixes), attributes)| Announcement {
        family: Family::of(&prefixes[0]),
        next_hop,
        attributes: Arc::new(attributes),
        prefixes,
    })
}

/// Bytes that get past the framing, so that the parts behind it are reached.
fn update_like() -> impl Strategy<Value = Bytes> {
    let known =
        proptest::sample::select(vec![1_u8, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 25, 32, 35, 128]);
    let code = prop_oneof![4 => known, 1 => any::<u8>()];
    let flags = prop_oneof![Just(0x40_u8), Just(0x80), Just(0xc0), any::<u8>()];
    let attribute = (flags, code, vec(any::<u8>(), 0..40), 0_u8..12).prop_map(|(flags, code, value, lie)| {
        // One attribute in twelve is longer or shorter than it says.
        let length = u8::try_from(value.len()).unwrap().wrapping_add(u8::from(lie == 0));
        let mut bytes = vec![flags & 0xef, code, length];
        bytes.extend(value);
        bytes
    });
    let fields = (vec(any::<u8>(), 0..8), vec(attribute, 0..8), vec(any::<u8>(), 0..12));
    fields.prop_map(|(withdrawn, list, nlri)| update_message(&withdrawn, &list.concat(), &nlri))
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200), context in context()) {
        let _ = frame_length(&bytes, context.extended_message);
        let _ = decode(&Bytes::from(bytes), &context);
    }

    #[test]
    fn no_body_makes_the_decoder_panic(kind in 0_u8..=6, body in vec(any::<u8>(), 0..200), context in context()) {
        let _ = decode(&message(kind, &body), &context);
    }

    #[test]
    fn an_update_means_the_same_after_it_was_written_again(bytes in update_like(), context in context()) {
        let Ok(Message::Update(update)) = decode(&bytes, &context) else { return Ok(()) };
        // A peer never sends what we only accept: an eBGP update keeps no LOCAL_PREF and so on,
        // therefore the second reading must not find a fault in what the first one kept.
        let mut again = Update::default();
        for message in update.encode(context.encoding()).expect("it came in a message of this size") {
            let next = decoded_update(&message, &context, "written by us");
            prop_assert_eq!(&next.faults, &vec![]);
            again.withdrawn.extend(next.withdrawn);
            again.announced.extend(next.announced);
            again.end_of_rib = again.end_of_rib.or(next.end_of_rib);
        }
        let sorted = |mut prefixes: Vec<IpNetwork>| { prefixes.sort(); prefixes };
        prop_assert_eq!(sorted(again.withdrawn), sorted(update.withdrawn));
        prop_assert_eq!(again.announced, update.announced);
        prop_assert_eq!(again.end_of_rib, update.end_of_rib);
    }

    #[test]
    fn routes_come_back_as_they_were_sent(routes in announcement(), four_octet_as: bool, extended_message: bool) {
        let context = SessionContext { four_octet_as, extended_message, ..internal() };
        let Ok(messages) = routes.encode(context.encoding()) else { return Ok(()) };
        let mut prefixes = Vec::new();
        for message in &messages {
            prop_assert!(message.len() <= context.encoding().message_len_max);
            let update = decoded_update(message, &context, "written by us");
            prop_assert_eq!(&update.faults, &vec![]);
            prop_assert_eq!(&update.withdrawn, &vec![]);
            for found in update.announced {
                prop_assert_eq!(found.next_hop, routes.next_hop);
                prop_assert_eq!(&found.attributes, &routes.attributes);
                prefixes.extend(found.prefixes);
            }
        }
        prop_assert_eq!(prefixes, routes.prefixes);
    }

    #[test]
    fn withdrawals_come_back_as_they_were_sent(ipv4 in vec(ipv4_prefix(), 0..2000), ipv6 in vec(ipv6_prefix(), 0..500)) {
        let prefixes = [ipv4, ipv6].concat();
        let mut found = Vec::new();
        for message in encode_withdrawn(&prefixes, external().encoding()) {
            prop_assert!(message.len() <= MESSAGE_LEN_MAX);
            found.extend(decoded_update(&message, &external(), "written by us").withdrawn);
        }
        prop_assert_eq!(found, prefixes);
    }
}
