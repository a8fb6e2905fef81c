use std::collections::BTreeSet;

use super::*;

fn hops(gateways: &[&str]) -> BTreeSet<FibNextHop> {
    gateways.iter().map(|text| FibNextHop { gateway: text.parse().unwrap(), interface: None }).collect()
}

#[test]
fn only_what_differs_is_said() {
    let prefix: IpNetwork = "10.1.0.0/16".parse().unwrap();
    // (why, next hops, said)
    let steps: [(&str, &[&str], bool); 6] = [
        ("a withdrawal of what never was", &[], false),
        ("new", &["10.0.0.1"], true),
        ("the same again", &["10.0.0.1"], false),
        ("one more next hop", &["10.0.0.1", "10.0.0.2"], true),
        ("gone", &[], true),
        ("gone twice", &[], false),
    ];
    let mut fib = Fib::default();
    for (why, gateways, is_said) in steps {
        let expected = is_said.then(|| RouteChange { prefix, next_hops: hops(gateways) });
        assert_eq!(fib.set(prefix, hops(gateways)), expected, "{why}");
    }
}

#[test]
fn a_held_family_is_said_once_at_its_release() {
    let v4: IpNetwork = "10.1.0.0/16".parse().unwrap();
    let other: IpNetwork = "10.2.0.0/16".parse().unwrap();
    let v6: IpNetwork = "fd00:1::/64".parse().unwrap();
    let mut fib = Fib::holding([Family::Ipv4Unicast]);
    assert_eq!(fib.set(v4, hops(&["10.0.0.1"])), None, "held");
    assert_eq!(fib.set(v4, hops(&["10.0.0.1", "10.0.0.2"])), None, "held");
    assert_eq!(fib.set(other, hops(&["10.0.0.1"])), None, "held");
    assert_eq!(fib.set(other, hops(&[])), None, "came and went while held");
    assert!(fib.set(v6, hops(&["fd00::1"])).is_some(), "not held");
    let expected = vec![RouteChange { prefix: v4, next_hops: hops(&["10.0.0.1", "10.0.0.2"]) }];
    assert_eq!(fib.release(), expected);
    assert!(fib.set(v4, hops(&[])).is_some(), "no longer held");
}
