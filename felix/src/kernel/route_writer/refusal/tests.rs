use super::*;
use crate::model::route::RouteSource;

fn key() -> RouteKey {
    RouteKey { source: RouteSource::Bgp, prefix: "10.1.0.0/16".parse().expect("a prefix") }
}

fn hops(gateways: &[&str]) -> BTreeSet<NextHop> {
    let hop = |gateway: &&str| NextHop { gateway: gateway.parse().expect("an address"), interface: None };
    gateways.iter().map(hop).collect()
}

fn via(gateways: &[&str]) -> RouteTarget {
    RouteTarget::Via(hops(gateways))
}

#[test]
fn of_refused_next_hops_the_usable_ones_are_written() {
    let both = via(&["10.0.0.1", "10.0.0.2"]);
    // (why, refused, usable, observed, expected)
    let cases = [
        ("none usable, nothing there", &both, hops(&[]), None, None),
        (
            "none usable, old one there",
            &both,
            hops(&[]),
            Some(via(&["10.0.0.9"])),
            Some(RouteOp::Remove(key())),
        ),
        ("one usable", &both, hops(&["10.0.0.1"]), None, Some(RouteOp::Add(key(), via(&["10.0.0.1"])))),
        (
            "one usable, another there",
            &both,
            hops(&["10.0.0.1"]),
            Some(via(&["10.0.0.2"])),
            Some(RouteOp::Replace(key(), via(&["10.0.0.1"]))),
        ),
        ("one usable, and there", &both, hops(&["10.0.0.1"]), Some(via(&["10.0.0.1"])), None),
        (
            "all seem usable but were refused: not the same again, and a part stays",
            &both,
            hops(&["10.0.0.1", "10.0.0.2"]),
            Some(via(&["10.0.0.1"])),
            None,
        ),
        (
            "all seem usable but were refused: what is no longer wanted goes",
            &both,
            hops(&["10.0.0.1", "10.0.0.2"]),
            Some(via(&["10.0.0.1", "10.0.0.9"])),
            Some(RouteOp::Remove(key())),
        ),
        (
            "the only one is refused",
            &via(&["10.0.0.1"]),
            hops(&[]),
            Some(via(&["10.0.0.9"])),
            Some(RouteOp::Remove(key())),
        ),
    ];
    for (why, refused, usable, observed, expected) in cases {
        assert_eq!(second_choice(key(), refused, usable, observed.as_ref()), expected, "{why}");
    }
}

#[test]
fn refusals_are_judged_by_what_can_be_done() {
    let add = RouteOp::Add(key(), via(&["10.0.0.1"]));
    let replace = RouteOp::Replace(key(), via(&["10.0.0.1"]));
    let remove = RouteOp::Remove(key());
    // (why, op, errno, expected)
    let cases = [
        ("gateway off link", &add, libc::ENETUNREACH, "unresolvable"),
        ("interface down", &replace, libc::ENETDOWN, "unresolvable"),
        ("interface gone", &add, libc::ENODEV, "unresolvable"),
        ("gateway is our own address", &add, libc::EINVAL, "unresolvable"),
        ("foreign route there", &add, libc::EEXIST, "occupied"),
        ("no memory", &add, libc::ENOMEM, "passing"),
        ("gone already", &remove, libc::ESRCH, "done"),
        ("gone with IPv6", &remove, libc::ENOENT, "done"),
        ("not permitted", &remove, libc::EPERM, "unresolvable"),
        ("IPv6 is switched off there", &add, libc::EACCES, "unresolvable"),
    ];
    for (why, op, errno, expected) in cases {
        let got = match judge(op, Err(Refusal::of(errno))) {
            Ok(()) => "done",
            Err(Fault::Unresolvable(_)) => "unresolvable",
            Err(Fault::Occupied(_)) => "occupied",
            Err(Fault::Passing(_)) => "passing",
        };
        assert_eq!(got, expected, "{why}");
    }
}
