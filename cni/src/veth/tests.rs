use proptest::prelude::*;

use super::*;
use crate::protocol::GrantedAddress;

fn attachment(network: &str, container_id: &str, ifname: &str) -> Attachment {
    Attachment { network: network.into(), container_id: container_id.into(), ifname: ifname.into() }
}

fn grant(pairs: &[(&str, &str)], mtu: u32) -> Grant {
    let address = |(address, gateway): &(&str, &str)| GrantedAddress {
        address: address.parse().unwrap(),
        gateway: gateway.parse().unwrap(),
    };
    Grant { addresses: pairs.iter().map(address).collect(), gateway_mac: HOST_MAC, mtu }
}

const V4: (&str, &str) = ("10.1.2.3", "169.254.1.1");
const V6: (&str, &str) = ("fd00::1", "fe80::ecee:eeff:feee:eeee");

#[test]
fn names_are_fixed_for_good() {
    // printf 'tortie\0c1\0eth0\0' | sha256sum
    assert_eq!(host_interface_name(&attachment("tortie", "c1", "eth0")), "tortcdeaedad256");
    assert_eq!(network_hash("tortie"), "ad3ee4892ad");
}

#[test]
fn names_differ_in_every_part() {
    let all = [
        attachment("tortie", "c1", "eth0"),
        attachment("tortie", "c1", "eth1"),
        attachment("tortie", "c2", "eth0"),
        attachment("other", "c1", "eth0"),
        attachment("tortiec", "1", "eth0"),
    ];
    let names: BTreeSet<_> = all.iter().map(host_interface_name).collect();
    let macs: BTreeSet<_> = all.iter().map(pod_mac).collect();
    assert_eq!((names.len(), macs.len()), (all.len(), all.len()));
    assert!(names.iter().all(|name| name.len() == 15));
    assert!(macs.iter().all(|mac| mac.0[0] & 3 == 2), "unicast, locally administered");
}

#[test]
fn aliases_say_whom_they_serve() {
    let ours = attachment("tortie", "c1", "eth0");
    let alias = Alias::of(&ours, "u-1").text();
    let without_uid = Alias::of(&ours, "").text();
    // (why, alias, whose it is)
    let cases = [
        ("no alias yet", "", Owner::Nobody),
        ("ours", alias.as_str(), Owner::Attachment),
        ("ours, from a runtime that says no UID", &without_uid, Owner::Attachment),
        ("another container's", &Alias::of(&attachment("tortie", "c2", "eth0"), "u-1").text(), Owner::Other),
        ("another network's", &Alias::of(&attachment("other", "c1", "eth0"), "u-1").text(), Owner::Other),
        ("another interface's", &Alias::of(&attachment("tortie", "c1", "eth1"), "u-1").text(), Owner::Other),
        ("written by a person", "my precious", Owner::Other),
        ("a later version", "v2/c1/eth0/u-1/0123456789a", Owner::Other),
        ("a part too many", &format!("{alias}/x"), Owner::Other),
    ];
    for (why, alias, expected) in cases {
        assert_eq!(owner(alias, &ours), expected, "{why}");
    }
}

#[test]
fn the_longest_alias_fits_the_kernel() {
    let longest = attachment("n", &"c".repeat(128), &"i".repeat(15));
    assert!(Alias::of(&longest, &"u".repeat(64)).text().len() <= 255);
}

#[test]
fn both_families_get_all_that_they_need() {
    let side = PodSide::of("eth0", &grant(&[V4, V6], 1450), Wishes::default()).unwrap();
    assert_eq!(side.mtu, 1450);
    assert_eq!(side.addresses, BTreeSet::from([V4.0.parse().unwrap(), V6.0.parse().unwrap()]));
    let gateways = BTreeSet::from([(V4.1.parse().unwrap(), HOST_MAC), (V6.1.parse().unwrap(), HOST_MAC)]);
    assert_eq!(side.neighbours, gateways);
    let route = |to: &str, via: Option<&str>| PodRoute {
        destination: to.parse().unwrap(),
        gateway: via.map(|via| via.parse().unwrap()),
    };
    let expected =
        [route("169.254.1.1/32", None), route("0.0.0.0/0", Some("169.254.1.1")), route("::/0", Some(V6.1))];
    assert_eq!(side.routes, expected);
    let keys: Vec<_> = side.sysctls.iter().map(|sysctl| sysctl.path.as_str()).collect();
    assert!(keys.contains(&"net/ipv6/conf/eth0/disable_ipv6"));
    assert!(keys.contains(&"net/ipv6/conf/eth0/accept_ra"));
}

#[test]
fn default_routes_follow_the_name_unless_somebody_said_it() {
    // (why, interface, wish, default routes)
    let cases = [
        ("the first interface", "eth0", None, 1),
        ("another interface", "net1", None, 0),
        ("another interface, asked for", "net1", Some(true), 1),
        ("the first interface, refused", "eth0", Some(false), 0),
    ];
    for (why, interface, default_route, expected) in cases {
        let wishes = Wishes { mtu: None, default_route };
        let side = PodSide::of(interface, &grant(&[V4], 1500), wishes).unwrap();
        assert_eq!(side.reported_routes().len(), expected, "{why}");
        assert_eq!(side.routes.len(), expected + 1, "{why}: the gateway is always on the link");
    }
}

#[test]
fn one_family_alone_leaves_the_other_alone() {
    let v4 = PodSide::of("eth0", &grant(&[V4], 1500), Wishes::default()).unwrap();
    assert!(v4.sysctls.iter().all(|sysctl| sysctl.is_optional), "a kernel without IPv6 will do");
    let v6 = PodSide::of("eth0", &grant(&[V6], 1500), Wishes::default()).unwrap();
    assert!(v6.routes.iter().all(|route| route.destination.is_ipv6()));
    assert_eq!(v6.routes.len(), 1);
}

#[test]
fn every_difference_is_named() {
    let side = PodSide::of("eth0", &grant(&[V4], 1500), Wishes::default()).unwrap();
    let mac = MacAddress([2, 0, 0, 0, 0, 1]);
    let whole = Observed {
        mac: Some(mac),
        mtu: Some(1500),
        is_up: true,
        addresses: BTreeSet::from([V4.0.parse().unwrap(), "fe80::1".parse().unwrap()]),
        neighbours: side.neighbours.clone(),
        routes: side.routes.iter().cloned().collect(),
    };
    // (what changed, the observed state, expected differences)
    let cases = [
        ("nothing", whole.clone(), vec![]),
        ("no interface", Observed::default(), vec!["eth0 is gone"]),
        ("down", Observed { is_up: false, ..whole.clone() }, vec!["eth0 is down"]),
        ("MTU", Observed { mtu: Some(1400), ..whole.clone() }, vec!["MTU is not 1500"]),
        (
            "link-layer address",
            Observed { mac: Some(HOST_MAC), ..whole.clone() },
            vec!["link-layer address is not 02:00:00:00:00:01"],
        ),
        (
            "address",
            Observed { addresses: BTreeSet::new(), ..whole.clone() },
            vec!["address 10.1.2.3 is missing"],
        ),
        (
            "neighbour",
            Observed { neighbours: BTreeSet::from([(V4.1.parse().unwrap(), mac)]), ..whole.clone() },
            vec!["neighbour 169.254.1.1 is not permanently ee:ee:ee:ee:ee:ee"],
        ),
        (
            "routes",
            Observed { routes: BTreeSet::new(), ..whole },
            vec!["route to 169.254.1.1/32 is missing", "route to 0.0.0.0/0 via 169.254.1.1 is missing"],
        ),
    ];
    for (why, observed, expected) in cases {
        assert_eq!(side.differences(mac, &observed), expected, "{why}");
    }
}

#[test]
fn the_configured_mtu_has_precedence() {
    let wishes = Wishes { mtu: Some(9000), default_route: None };
    assert_eq!(PodSide::of("eth0", &grant(&[V4], 1500), wishes).unwrap().mtu, 9000);
}

#[test]
fn grants_that_make_no_sense_are_refused() {
    // (why, addresses, MTU, part of the details)
    let cases: [(&str, &[(&str, &str)], u32, &str); 5] = [
        ("nothing", &[], 1500, "no address"),
        ("two of one family", &[V4, ("10.1.2.4", "169.254.1.1")], 1500, "two addresses"),
        ("families mixed", &[("10.1.2.3", V6.1)], 1500, "different families"),
        ("MTU too small", &[V4], 1279, "MTU is 1279"),
        ("MTU too large", &[V4], 65_536, "MTU is 65536"),
    ];
    for (why, addresses, mtu, details) in cases {
        let error = PodSide::of("eth0", &grant(addresses, mtu), Wishes::default()).unwrap_err();
        assert_eq!(error.code, ErrorCode::DECODING_FAILURE, "{why}");
        assert!(error.details.contains(details), "{why}: {}", error.details);
    }
}

proptest! {
    #[test]
    fn foreign_aliases_never_panic(text in any::<String>()) {
        let _ = owner(&text, &attachment("tortie", "c1", "eth0"));
    }

    #[test]
    fn aliases_survive_text(container in "[a-z0-9]{1,64}", ifname in "[a-z0-9]{1,15}", uid in "[a-f0-9-]{0,36}") {
        let alias = Alias::of(&attachment("tortie", &container, &ifname), &uid);
        prop_assert_eq!(Alias::parse(&alias.text()), Some(alias));
    }
}
