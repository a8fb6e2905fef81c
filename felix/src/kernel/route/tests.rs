use super::*;
use crate::model::route::RouteSource;

fn key(source: RouteSource, prefix: &str) -> RouteKey {
    RouteKey { source, prefix: prefix.parse().expect("a prefix") }
}

fn links() -> Links {
    let mut links = Links::default();
    for (index, name) in [(1, "lo"), (2, "eth0"), (3, "eth1"), (9, "tort00000000001")] {
        links.insert(crate::kernel::link::Link {
            index,
            name: name.into(),
            alias: String::new(),
            mac: None,
            mtu: 1500,
            is_up: true,
            has_carrier: true,
            is_loopback: index == 1,
        });
    }
    links
}

fn via(hops: &[(&str, Option<&str>)]) -> RouteTarget {
    let hop = |(gateway, interface): &(&str, Option<&str>)| NextHop {
        gateway: gateway.parse().expect("an address"),
        interface: interface.map(str::to_owned),
    };
    RouteTarget::Via(hops.iter().map(hop).collect())
}

/// What we write is what we read back, for every shape.
#[test]
fn every_shape_survives_the_wire() {
    let link = RouteTarget::Link { interface: "tort00000000001".into() };
    let cases = [
        ("pod", RouteSource::Local, "10.244.0.5/32", link.clone()),
        ("pod, IPv6", RouteSource::Local, "fd00::5/128", link),
        ("block", RouteSource::Local, "10.244.0.0/26", RouteTarget::Blackhole),
        ("block, IPv6", RouteSource::Local, "fd00::/122", RouteTarget::Blackhole),
        ("one path", RouteSource::Bgp, "10.1.0.0/16", via(&[("10.0.0.1", Some("eth0"))])),
        ("default", RouteSource::Bgp, "0.0.0.0/0", via(&[("10.0.0.1", Some("eth0"))])),
        ("default, IPv6", RouteSource::Bgp, "::/0", via(&[("fe80::1", Some("eth0"))])),
        (
            "equal paths",
            RouteSource::Bgp,
            "10.1.0.0/16",
            via(&[("10.0.0.1", Some("eth0")), ("10.0.1.1", Some("eth1"))]),
        ),
        (
            "equal paths, IPv6, one gateway on two links",
            RouteSource::Bgp,
            "fd01::/64",
            via(&[("fe80::1", Some("eth0")), ("fe80::1", Some("eth1"))]),
        ),
        (
            "IPv4 by IPv6 gateways",
            RouteSource::Bgp,
            "10.1.0.0/16",
            via(&[("fe80::1", Some("eth0")), ("fe80::2", Some("eth1"))]),
        ),
        ("IPv4 by one IPv6 gateway", RouteSource::Bgp, "10.1.0.0/16", via(&[("fe80::1", Some("eth0"))])),
    ];
    for (why, source, prefix, target) in cases {
        let key = key(source, prefix);
        let written = request(&RouteOp::Add(key, target.clone()), &Ownership::NODE, &links())
            .expect("all interfaces are there");
        let reply = Reply { message_type: written.message_type, flags: 0, payload: written.payload };
        assert_eq!(decode(&reply, &Ownership::NODE, &links()), Some((key, target)), "{why}");
        assert_eq!(decode(&reply, &Ownership::ROUTER, &links()), None, "{why}: another's protocol");
    }
}

#[test]
fn only_our_protocol_with_a_metric_of_ours_is_ours() {
    let ours = Ownership::NODE;
    // (why, by whose marks it was written, whether it is ours)
    let cases = [
        ("ours", ours, true),
        ("our protocol with a metric of no source", Ownership { bgp_metric: 77, ..ours }, false),
        ("our metric by somebody's daemon", Ownership { protocol: 4, ..ours }, false),
        ("the stand-alone speaker's", Ownership::ROUTER, false),
    ];
    for (why, writer, is_ours) in cases {
        let key = key(RouteSource::Bgp, "10.1.0.0/16");
        let target = via(&[("10.0.0.1", Some("eth0"))]);
        let written = request(&RouteOp::Add(key, target), &writer, &links()).expect("writable");
        let reply = Reply { message_type: written.message_type, flags: 0, payload: written.payload };
        let read = decode(&reply, &ours, &links()).map(|(key, _)| key);
        assert_eq!(read, is_ours.then_some(key), "{why}");
    }
}

#[test]
fn what_cannot_be_written_says_why() {
    let cases = [
        (
            "interface is not there",
            "10.1.0.0/16",
            via(&[("10.0.0.1", Some("eth7"))]),
            Unwritable::NoInterface("eth7".into()),
        ),
        (
            "IPv6 by IPv4",
            "fd00::/64",
            via(&[("10.0.0.1", None)]),
            Unwritable::GatewayFamily("10.0.0.1".parse().expect("an address")),
        ),
    ];
    for (why, prefix, target, expected) in cases {
        let op = RouteOp::Add(key(RouteSource::Bgp, prefix), target);
        assert_eq!(request(&op, &Ownership::NODE, &links()), Err(expected), "{why}");
    }
}

#[test]
fn flags_protect_what_is_not_ours() {
    let key = key(RouteSource::Local, "10.244.0.0/26");
    let flags = |op: &RouteOp| {
        let request = request(op, &Ownership::NODE, &links()).expect("writable");
        (request.message_type, i32::from(request.flags))
    };
    assert_eq!(
        flags(&RouteOp::Add(key, RouteTarget::Blackhole)),
        (libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL),
        "adding may neither replace nor join a foreign route"
    );
    assert_eq!(
        flags(&RouteOp::Replace(key, RouteTarget::Blackhole)),
        (libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE)
    );
    let removal = request(&RouteOp::Remove(key), &Ownership::NODE, &links()).expect("writable");
    let message = RouteMessage::parse(&removal.payload).expect("well formed");
    assert_eq!(u8::from(message.header.protocol), 84, "a removal names our protocol");
    assert!(message.attributes.contains(&RouteAttribute::Priority(84)), "and our metric");
}

proptest::proptest! {
    #[test]
    fn bytes_from_the_kernel_never_panic(payload in proptest::collection::vec(0_u8.., 0..128)) {
        let reply = Reply { message_type: libc::RTM_NEWROUTE, flags: 0, payload };
        let _ = decode(&reply, &Ownership::NODE, &links());
    }
}
