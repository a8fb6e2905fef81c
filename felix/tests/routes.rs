//! The route writer against a real kernel, in a network namespace of its own.

use std::collections::BTreeSet;
use std::thread::JoinHandle;

use felix::kernel::monitor::{Event, EventSocket, Topic};
use felix::kernel::route_writer::{RouteError, RouteWriter};
use felix::model::route::{NextHop, Ownership, RouteSource, RouteTarget};
use ipnetwork::IpNetwork;
use namespace::{eventually, in_namespace, ip, ip_json, routes_of, routes_to, uplink, wait};

mod namespace;

/// A writer whose thread is joined, so that no test leaves one behind.
struct Writer {
    writer: RouteWriter,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start() -> Self {
        let (writer, thread) = RouteWriter::start(Ownership::NODE).expect("the writer starts");
        Self { writer, thread: Some(thread) }
    }

    fn bgp(&self, prefix: &str, hops: &[&str]) {
        self.writer.set(RouteSource::Bgp, network(prefix), (!hops.is_empty()).then(|| via(hops)));
    }

    fn local(&self, prefix: &str, target: Option<RouteTarget>) {
        self.writer.set(RouteSource::Local, network(prefix), target);
    }

    fn flush(&self) {
        wait(self.writer.flush()).expect("the writer runs");
    }

    fn in_sync(&self) {
        self.writer.in_sync(RouteSource::Bgp);
        self.writer.in_sync(RouteSource::Local);
        self.flush();
    }

    fn pending(&self) -> Vec<String> {
        let pending = self.writer.status().pending;
        pending.iter().map(|(key, reason)| format!("{}: {reason}", key.prefix)).collect()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.writer.stop();
        self.thread.take().expect("joined once").join().expect("the writer's thread does not panic");
    }
}

fn network(prefix: &str) -> IpNetwork {
    prefix.parse().expect("a prefix")
}

fn via(hops: &[&str]) -> RouteTarget {
    RouteTarget::Via(hops.iter().map(|text| hop(text)).collect())
}

fn hop(text: &str) -> NextHop {
    let (gateway, interface) = match text.split_once('%') {
        Some((gateway, interface)) => (gateway, Some(interface.to_owned())),
        None => (text, None),
    };
    NextHop { gateway: gateway.parse().expect("an address"), interface }
}

fn link(interface: &str) -> RouteTarget {
    RouteTarget::Link { interface: interface.into() }
}

fn two_uplinks() {
    uplink("eth0", &["192.0.2.1/24", "fd00:a::1/64"]);
    uplink("eth1", &["198.51.100.1/24", "fd00:b::1/64"]);
}

fn expect_routes(prefix: &str, expected: &[&str]) {
    eventually(&format!("routes to {prefix} are {expected:?}"), || {
        let routes = routes_to(prefix);
        if routes == expected { Ok(()) } else { Err(format!("{routes:?}")) }
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_kind_of_route_is_installed_changed_and_withdrawn() {
    in_namespace(|| {
        two_uplinks();
        let writer = Writer::start();
        // (why, prefix, target, expected)
        let steps: [(&str, &str, RouteTarget, &str); 18] = [
            ("one path", "10.1.0.0/16", via(&["192.0.2.2"]), "84 8484 unicast 192.0.2.2%eth0"),
            (
                "two paths",
                "10.1.0.0/16",
                via(&["192.0.2.2", "198.51.100.2"]),
                "84 8484 unicast 192.0.2.2%eth0,198.51.100.2%eth1",
            ),
            (
                "three paths",
                "10.1.0.0/16",
                via(&["192.0.2.2", "192.0.2.3", "198.51.100.2"]),
                "84 8484 unicast 192.0.2.2%eth0,192.0.2.3%eth0,198.51.100.2%eth1",
            ),
            ("nowhere", "10.1.0.0/16", RouteTarget::Blackhole, "84 8484 blackhole"),
            (
                "by IPv6 gateways",
                "10.1.0.0/16",
                via(&["fe80::2%eth0", "fe80::2%eth1"]),
                "84 8484 unicast fe80::2%eth0,fe80::2%eth1",
            ),
            ("one path again", "10.1.0.0/16", via(&["198.51.100.2"]), "84 8484 unicast 198.51.100.2%eth1"),
            ("default", "0.0.0.0/0", via(&["198.51.100.2"]), "84 8484 unicast 198.51.100.2%eth1"),
            ("one path, IPv6", "fd01::/64", via(&["fd00:a::2"]), "84 8484 unicast fd00:a::2%eth0"),
            (
                "two paths, IPv6",
                "fd01::/64",
                via(&["fd00:a::2", "fd00:b::2"]),
                "84 8484 unicast fd00:a::2%eth0,fd00:b::2%eth1",
            ),
            (
                "three paths, IPv6",
                "fd01::/64",
                via(&["fd00:a::2", "fd00:a::3", "fd00:b::2"]),
                "84 8484 unicast fd00:a::2%eth0,fd00:a::3%eth0,fd00:b::2%eth1",
            ),
            (
                "other three paths, IPv6",
                "fd01::/64",
                via(&["fd00:a::4", "fd00:a::3", "fd00:b::4"]),
                "84 8484 unicast fd00:a::3%eth0,fd00:a::4%eth0,fd00:b::4%eth1",
            ),
            ("nowhere, IPv6", "fd01::/64", RouteTarget::Blackhole, "84 8484 blackhole"),
            (
                "one gateway by two links",
                "fd01::/64",
                via(&["fe80::2%eth0", "fe80::2%eth1"]),
                "84 8484 unicast fe80::2%eth0,fe80::2%eth1",
            ),
            ("link, IPv6", "fd01::/64", link("eth1"), "84 8484 unicast link%eth1"),
            (
                "back to two paths",
                "fd01::/64",
                via(&["fd00:a::2", "fd00:b::2"]),
                "84 8484 unicast fd00:a::2%eth0,fd00:b::2%eth1",
            ),
            ("one path is left, IPv6", "fd01::/64", via(&["fd00:b::2"]), "84 8484 unicast fd00:b::2%eth1"),
            ("default, IPv6", "::/0", via(&["fe80::2%eth0"]), "84 8484 unicast fe80::2%eth0"),
            (
                "default by two, IPv6",
                "::/0",
                via(&["fe80::2%eth0", "fe80::2%eth1"]),
                "84 8484 unicast fe80::2%eth0,fe80::2%eth1",
            ),
        ];
        for (why, prefix, target, expected) in steps {
            wait(writer.writer.install(RouteSource::Bgp, network(prefix), target)).expect(why);
            let name = match prefix {
                "0.0.0.0/0" | "::/0" => "default",
                other => other,
            };
            let family = if prefix.contains(':') { "-6" } else { "-4" };
            let found: Vec<String> =
                routes_of(84).into_iter().filter(|line| line.starts_with(&format!("{name} "))).collect();
            let ours: Vec<&String> = found
                .iter()
                .filter(|line| name != "default" || line.contains(':') == (family == "-6"))
                .collect();
            assert_eq!(ours, [&format!("{name} {expected}")], "{why}");
        }
        for prefix in ["10.1.0.0/16", "0.0.0.0/0", "fd01::/64", "::/0"] {
            writer.bgp(prefix, &[]);
        }
        writer.flush();
        assert_eq!(routes_of(84), [""; 0], "all withdrawn");
        assert_eq!(writer.pending(), [""; 0]);
    });
}

#[test]
fn every_shape_can_follow_every_other() {
    in_namespace(|| {
        two_uplinks();
        let writer = Writer::start();
        let v4 = [
            (None, vec![]),
            (Some(via(&["192.0.2.2"])), vec!["84 8484 unicast 192.0.2.2%eth0"]),
            (Some(via(&["198.51.100.2"])), vec!["84 8484 unicast 198.51.100.2%eth1"]),
            (
                Some(via(&["192.0.2.2", "198.51.100.2"])),
                vec!["84 8484 unicast 192.0.2.2%eth0,198.51.100.2%eth1"],
            ),
            (Some(via(&["fe80::2%eth0"])), vec!["84 8484 unicast fe80::2%eth0"]),
            (Some(RouteTarget::Blackhole), vec!["84 8484 blackhole"]),
            (Some(link("eth0")), vec!["84 8484 unicast link%eth0"]),
        ];
        let v6 = [
            (None, vec![]),
            (Some(via(&["fd00:a::2"])), vec!["84 8484 unicast fd00:a::2%eth0"]),
            (Some(via(&["fd00:a::2", "fd00:b::2"])), vec!["84 8484 unicast fd00:a::2%eth0,fd00:b::2%eth1"]),
            (
                Some(via(&["fd00:a::3", "fd00:b::3", "fe80::2%eth0"])),
                vec!["84 8484 unicast fd00:a::3%eth0,fd00:b::3%eth1,fe80::2%eth0"],
            ),
            (Some(RouteTarget::Blackhole), vec!["84 8484 blackhole"]),
            (Some(link("eth0")), vec!["84 8484 unicast link%eth0"]),
        ];
        for (prefix, shapes) in [("10.1.0.0/16", &v4[..]), ("fd01::/64", &v6[..])] {
            for (from, _) in shapes {
                for (to, expected) in shapes {
                    writer.writer.set(RouteSource::Bgp, network(prefix), from.clone());
                    writer.flush();
                    writer.writer.set(RouteSource::Bgp, network(prefix), to.clone());
                    writer.flush();
                    assert_eq!(&routes_to(prefix), expected, "{from:?} -> {to:?}");
                }
            }
        }
        assert_eq!(writer.pending(), [""; 0]);
    });
}

#[test]
fn pods_and_blocks_have_a_metric_of_their_own() {
    in_namespace(|| {
        two_uplinks();
        let writer = Writer::start();
        writer.local("10.244.0.0/26", Some(RouteTarget::Blackhole));
        writer.local("10.244.0.5/32", Some(link("eth0")));
        writer.local("fd00:244::/122", Some(RouteTarget::Blackhole));
        writer.local("fd00:244::5/128", Some(link("eth0")));
        writer.bgp("10.244.0.0/26", &["192.0.2.2"]);
        writer.flush();
        assert_eq!(
            routes_of(84),
            [
                "10.244.0.0/26 84 84 blackhole",
                "10.244.0.0/26 84 8484 unicast 192.0.2.2%eth0",
                "10.244.0.5 84 84 unicast link%eth0",
                "fd00:244::/122 84 84 blackhole",
                "fd00:244::5 84 84 unicast link%eth0",
            ]
        );
        writer.bgp("10.244.0.0/26", &[]);
        writer.flush();
        assert_eq!(routes_to("10.244.0.0/26"), ["84 84 blackhole"], "the other source's stays");
        assert_eq!(writer.writer.status().installed[&RouteSource::Local], 4);
    });
}

#[test]
fn foreign_routes_are_never_touched() {
    in_namespace(|| {
        two_uplinks();
        for route in [
            "-4 route add default via 192.0.2.254 proto static",
            "-4 route add 10.1.0.0/16 via 192.0.2.254 proto static metric 100",
            "-4 route add 10.2.0.0/16 via 192.0.2.254 proto static metric 8484",
            "-4 route add 10.3.0.0/16 via 192.0.2.254 proto bird metric 8484",
            "-6 route add default via fd00:a::fe proto static",
            "-6 route add fd01::/64 via fd00:a::fe proto static metric 100",
            "-6 route add fd02::/64 via fd00:a::fe proto static metric 8484",
        ] {
            ip(route);
        }
        let foreign = || {
            let mut lines = routes_of(4);
            lines.extend(routes_of(12));
            lines
        };
        let before = foreign();
        assert_eq!(before.len(), 7);

        let writer = Writer::start();
        for prefix in ["0.0.0.0/0", "10.1.0.0/16", "10.2.0.0/16"] {
            writer.bgp(prefix, &["192.0.2.2"]);
        }
        for prefix in ["::/0", "fd01::/64", "fd02::/64"] {
            writer.bgp(prefix, &["fd00:a::2"]);
        }
        writer.in_sync();
        assert_eq!(foreign(), before, "after writing beside them");
        assert_eq!(routes_to("10.1.0.0/16").len(), 2);
        assert_eq!(routes_to("fd01::/64").len(), 2, "IPv6 must not merge with the foreign one");
        let pending = writer.pending();
        assert_eq!(pending.len(), 2, "{pending:?}");
        assert!(pending.iter().all(|line| line.contains("not ours to replace")), "{pending:?}");

        // A place that becomes free is taken.
        ip("-6 route del fd02::/64 proto static");
        expect_routes("fd02::/64", &["84 8484 unicast fd00:a::2%eth0"]);
        ip("-4 route del 10.2.0.0/16 proto static");
        expect_routes("10.2.0.0/16", &["84 8484 unicast 192.0.2.2%eth0"]);

        // Withdrawing ours leaves theirs.
        for prefix in
            ["0.0.0.0/0", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "::/0", "fd01::/64", "fd02::/64"]
        {
            writer.bgp(prefix, &[]);
        }
        writer.flush();
        assert_eq!(routes_of(84), [""; 0]);
        let kept: Vec<String> = before
            .into_iter()
            .filter(|line| !line.starts_with("fd02") && !line.starts_with("10.2."))
            .collect();
        assert_eq!(foreign(), kept, "after withdrawing");
    });
}

#[test]
fn what_was_left_behind_goes_only_when_its_source_is_in_sync() {
    in_namespace(|| {
        two_uplinks();
        for route in [
            "-4 route add 10.1.0.0/16 via 192.0.2.2 proto 84 metric 8484",
            "-6 route add fd01::/64 via fd00:a::2 proto 84 metric 8484",
            "-4 route add blackhole 10.244.0.0/26 proto 84 metric 84",
            "-4 route add 10.9.0.0/16 via 192.0.2.2 proto 84 metric 7",
            "-4 route add 10.8.0.0/16 via 192.0.2.2 proto 85 metric 8484",
            "-4 route add 10.7.0.0/16 via 192.0.2.2 proto 84 metric 8484 table 100",
        ] {
            ip(route);
        }
        let writer = Writer::start();
        let observed = writer.writer.observed(RouteSource::Bgp);
        assert_eq!(observed.len(), 2);
        assert_eq!(observed[&network("10.1.0.0/16")], via(&["192.0.2.2%eth0"]));
        assert_eq!(
            writer.writer.observed(RouteSource::Local)[&network("10.244.0.0/26")],
            RouteTarget::Blackhole
        );
        writer.flush();
        assert_eq!(routes_of(84).len(), 4, "nothing goes before anybody is in sync");

        writer.writer.in_sync(RouteSource::Bgp);
        writer.flush();
        assert_eq!(
            routes_of(84),
            ["10.244.0.0/26 84 84 blackhole", "10.9.0.0/16 84 7 unicast 192.0.2.2%eth0"],
            "the other source is not in sync, and metric 7 is nobody's"
        );
        writer.writer.in_sync(RouteSource::Local);
        writer.flush();
        assert_eq!(routes_of(84), ["10.9.0.0/16 84 7 unicast 192.0.2.2%eth0"]);
        assert_eq!(routes_of(85).len(), 1, "another protocol's");
        assert_eq!(ip_json("route show table 100").len(), 1, "another table's");
    });
}

#[test]
fn a_restart_writes_nothing_when_nothing_changed() {
    in_namespace(|| {
        two_uplinks();
        let ask = |writer: &Writer| {
            writer.bgp("10.1.0.0/16", &["192.0.2.2"]);
            writer.bgp("10.2.0.0/16", &["192.0.2.2", "198.51.100.2"]);
            writer.bgp("10.3.0.0/16", &["fe80::2%eth0", "fe80::2%eth1"]);
            writer.bgp("fd01::/64", &["fd00:a::2", "fd00:b::2"]);
            writer.bgp("fd02::/64", &["fe80::2%eth0", "fe80::2%eth1"]);
            writer.bgp("::/0", &["fe80::2%eth0"]);
            writer.bgp("10.66.0.0/16", &["203.0.113.9"]);
            writer.local("10.244.0.0/26", Some(RouteTarget::Blackhole));
            writer.local("fd00:244::/122", Some(RouteTarget::Blackhole));
            writer.local("10.244.0.5/32", Some(link("eth0")));
            writer.local("fd00:244::5/128", Some(link("eth0")));
            writer.in_sync();
        };
        let first = Writer::start();
        ask(&first);
        let before = routes_of(84);
        assert_eq!(before.len(), 10);
        drop(first);
        assert_eq!(routes_of(84), before, "stopping leaves the kernel as it is");

        let mut monitor = EventSocket::open(&[Topic::Routes]).expect("a monitor");
        let second = Writer::start();
        ask(&second);
        let mut events = Vec::new();
        monitor.drain(&mut events).expect("events");
        assert_eq!(events, [], "no route was written or removed");
        assert_eq!(second.writer.status().writes, 0);
        assert_eq!(routes_of(84), before);

        // The monitor does hear writes.
        second.bgp("10.1.0.0/16", &["192.0.2.3"]);
        second.flush();
        monitor.drain(&mut events).expect("events");
        assert!(matches!(events[..], [Event::Route { protocol: 84, is_gone: false, .. }]), "{events:?}");
    });
}

#[test]
fn deleted_and_changed_routes_are_repaired() {
    in_namespace(|| {
        two_uplinks();
        let writer = Writer::start();
        writer.bgp("10.1.0.0/16", &["192.0.2.2", "198.51.100.2"]);
        writer.bgp("fd01::/64", &["fd00:a::2", "fd00:b::2"]);
        writer.local("10.244.0.0/26", Some(RouteTarget::Blackhole));
        writer.flush();
        let v4 = ["84 8484 unicast 192.0.2.2%eth0,198.51.100.2%eth1"];
        let v6 = ["84 8484 unicast fd00:a::2%eth0,fd00:b::2%eth1"];
        expect_routes("10.1.0.0/16", &v4);
        for damage in [
            "-4 route del 10.1.0.0/16 proto 84",
            "-4 route flush proto 84",
            "-4 route replace 10.1.0.0/16 via 192.0.2.9 proto 84 metric 8484",
            "-4 route replace 10.1.0.0/16 proto 84 metric 8484 nexthop via 192.0.2.2 weight 5 nexthop via 198.51.100.2",
            "-6 route del fd01::/64 proto 84",
            "-6 route del fd01::/64 via fd00:a::2 proto 84",
            "-6 route append fd01::/64 via fd00:a::9 proto 84 metric 8484",
            "-6 route replace unreachable fd01::/64 proto 84 metric 8484",
            "-4 route replace prohibit 10.244.0.0/26 proto 84 metric 84",
        ] {
            let before = writer.writer.status().writes;
            ip(damage);
            eventually(&format!("repair after: {damage}"), || {
                let status = writer.writer.status();
                if status.writes > before { Ok(()) } else { Err(format!("{status:?}")) }
            });
            expect_routes("10.1.0.0/16", &v4);
            expect_routes("fd01::/64", &v6);
            expect_routes("10.244.0.0/26", &["84 84 blackhole"]);
        }
        assert!(writer.writer.status().repairs >= 9, "they count as repairs");
    });
}

#[test]
fn a_link_that_goes_down_and_comes_up_has_its_routes_again() {
    in_namespace(|| {
        two_uplinks();
        let writer = Writer::start();
        writer.bgp("10.1.0.0/16", &["192.0.2.2"]);
        writer.bgp("10.2.0.0/16", &["192.0.2.2", "198.51.100.2"]);
        writer.bgp("fd01::/64", &["fe80::2%eth0"]);
        writer.bgp("fd02::/64", &["fe80::2%eth0", "fe80::2%eth1"]);
        writer.local("10.244.0.5/32", Some(link("eth0")));
        writer.flush();
        let before = routes_of(84);
        assert_eq!(before.len(), 5);

        ip("link set eth0 down");
        eventually("routes by the dead link are pending", || {
            let pending = writer.pending();
            if pending.len() >= 3 { Ok(()) } else { Err(format!("{pending:?}")) }
        });
        assert_eq!(routes_to("10.1.0.0/16"), [""; 0]);
        let still = routes_to("10.2.0.0/16");
        assert!(still.len() == 1 && still[0].contains("198.51.100.2%eth1"), "{still:?}");
        let still = routes_to("fd02::/64");
        assert!(still.len() == 1 && still[0].contains("fe80::2%eth1"), "{still:?}");

        ip("link set eth0 up");
        eventually("all routes are back", || {
            let (now, pending) = (routes_of(84), writer.pending());
            if now == before && pending.is_empty() { Ok(()) } else { Err(format!("{now:?} {pending:?}")) }
        });

        // An address that goes takes IPv4 routes along, in silence.
        ip("address flush dev eth0 scope global");
        eventually("the route by the lost subnet is pending", || {
            let pending = writer.pending();
            if pending.iter().any(|line| line.starts_with("10.1.")) {
                Ok(())
            } else {
                Err(format!("{pending:?}"))
            }
        });
        ip("address add 192.0.2.1/24 dev eth0");
        eventually("all routes are back", || {
            let (now, pending) = (routes_of(84), writer.pending());
            if now == before && pending.is_empty() { Ok(()) } else { Err(format!("{now:?} {pending:?}")) }
        });

        // The interface itself is replaced by another of its name.
        ip("link del eth0");
        uplink("eth0", &["192.0.2.1/24", "fd00:a::1/64"]);
        eventually("all routes are back on the new interface", || {
            let (now, pending) = (routes_of(84), writer.pending());
            if now == before && pending.is_empty() { Ok(()) } else { Err(format!("{now:?} {pending:?}")) }
        });
    });
}

#[test]
fn one_bad_next_hop_keeps_no_other_route_out() {
    in_namespace(|| {
        two_uplinks();
        let writer = Writer::start();
        writer.bgp("10.1.0.0/16", &["203.0.113.1"]);
        writer.bgp("10.2.0.0/16", &["192.0.2.2"]);
        writer.bgp("10.3.0.0/16", &["192.0.2.255"]);
        writer.bgp("10.4.0.0/16", &["fe80::2%eth9"]);
        writer.bgp("10.5.0.0/16", &["192.0.2.2", "203.0.113.1"]);
        writer.bgp("fd01::/64", &["fd00:c::2"]);
        writer.bgp("fd02::/64", &["192.0.2.2"]);
        writer.bgp("fd03::/64", &["fd00:a::2", "fd00:c::2"]);
        writer.bgp("fd04::/64", &["fd00:a::2"]);
        writer.local("10.244.0.5/32", Some(link("tort00000000001")));
        writer.flush();
        assert_eq!(
            routes_of(84),
            [
                "10.2.0.0/16 84 8484 unicast 192.0.2.2%eth0",
                "10.5.0.0/16 84 8484 unicast 192.0.2.2%eth0",
                "fd03::/64 84 8484 unicast fd00:a::2%eth0",
                "fd04::/64 84 8484 unicast fd00:a::2%eth0",
            ]
        );
        let pending = writer.pending();
        let reasons = [
            ("10.244.0.5/32", "no interface tort00000000001"),
            ("10.1.0.0/16", "Nexthop has invalid gateway"),
            ("10.3.0.0/16", "Nexthop has invalid gateway"),
            ("10.4.0.0/16", "no interface eth9"),
            ("10.5.0.0/16", "next hop 203.0.113.1"),
            ("fd01::/64", "os error"),
            ("fd02::/64", "cannot have the IPv4 gateway 192.0.2.2"),
            ("fd03::/64", "next hop fd00:c::2"),
        ];
        assert_eq!(pending.len(), reasons.len(), "{pending:#?}");
        for (line, (prefix, reason)) in pending.iter().zip(reasons) {
            assert!(line.starts_with(&format!("{prefix}: ")) && line.contains(reason), "{line}");
        }
        let error =
            wait(writer.writer.install(RouteSource::Bgp, network("10.1.0.0/16"), via(&["203.0.113.1"])));
        assert!(matches!(error, Err(RouteError::Pending { .. })), "{error:?}");

        // What was missing comes: nothing has to be asked again.
        uplink("eth9", &["203.0.113.7/24", "fd00:c::1/64"]);
        ip("link add tort00000000001 type veth peer name p1");
        ip("link set tort00000000001 up");
        eventually("what became possible is there", || {
            let pending: Vec<String> = writer.pending();
            let prefixes: Vec<&str> = pending.iter().filter_map(|line| line.split(": ").next()).collect();
            if prefixes == ["10.3.0.0/16", "fd02::/64"] { Ok(()) } else { Err(format!("{pending:?}")) }
        });
        expect_routes("10.5.0.0/16", &["84 8484 unicast 192.0.2.2%eth0,203.0.113.1%eth9"]);
        expect_routes("fd03::/64", &["84 8484 unicast fd00:a::2%eth0,fd00:c::2%eth9"]);
        expect_routes("10.244.0.5/32", &["84 84 unicast link%tort00000000001"]);

        // A route whose new next hop is refused must not go on to the old one.
        writer.bgp("10.2.0.0/16", &["192.0.2.255"]);
        writer.flush();
        assert_eq!(routes_to("10.2.0.0/16"), [""; 0]);
    });
}

#[test]
fn thousands_of_routes_go_in_batches() {
    in_namespace(|| {
        two_uplinks();
        let writer = Writer::start();
        let prefix =
            |number: u32| IpNetwork::new((0x0a00_0000 + number * 256).to_be_bytes().into(), 24).expect("/24");
        let target = via(&["192.0.2.2", "198.51.100.2"]);
        for number in 0..5000 {
            writer.writer.set(RouteSource::Bgp, prefix(number), Some(target.clone()));
        }
        writer.flush();
        let there: BTreeSet<String> = routes_of(84).into_iter().collect();
        assert_eq!(there.len(), 5000);
        assert_eq!(writer.writer.status().installed[&RouteSource::Bgp], 5000);
        ip("route flush proto 84");
        eventually("all are repaired", || {
            let count = routes_of(84).len();
            if count == 5000 { Ok(()) } else { Err(format!("{count}")) }
        });
        for number in 0..5000 {
            writer.writer.set(RouteSource::Bgp, prefix(number), None);
        }
        writer.flush();
        assert_eq!(routes_of(84).len(), 0);
    });
}

#[test]
fn a_new_pod_does_not_make_the_writer_read_all_routes() {
    in_namespace(|| {
        two_uplinks();
        let writer = Writer::start();
        writer.in_sync();
        let before = writer.writer.status().comparisons;
        for number in 0..20 {
            let name = format!("tort{number:08}");
            uplink(&name, &[]);
            writer.local(&format!("10.244.0.{number}/32"), Some(link(&name)));
            writer.flush();
        }
        assert_eq!(routes_of(84).len(), 20);
        let after = writer.writer.status().comparisons;
        assert_eq!(after, before, "the cost of a change is that of the change");
    });
}

#[test]
fn a_stopped_writer_says_so() {
    in_namespace(|| {
        let (writer, thread) = RouteWriter::start(Ownership::NODE).expect("the writer starts");
        writer.set(RouteSource::Local, network("10.244.0.0/26"), Some(RouteTarget::Blackhole));
        writer.stop();
        thread.join().expect("it ends");
        assert_eq!(routes_to("10.244.0.0/26"), ["84 84 blackhole"], "what was asked before is carried out");
        assert_eq!(wait(writer.flush()), Err(RouteError::Stopped));
        let (second, thread) = RouteWriter::start(Ownership::NODE).expect("the writer starts");
        drop(second);
        thread.join().expect("dropping the last handle ends it");
    });
}

#[test]
fn lost_events_are_told() {
    in_namespace(|| {
        uplink("eth0", &["192.0.2.1/24"]);
        let mut monitor = EventSocket::open(&[Topic::Routes]).expect("a monitor");
        monitor.set_receive_buffer(4096).expect("a small buffer");
        let writer = Writer::start();
        for number in 0..2000_u32 {
            let prefix = IpNetwork::new((0x0a00_0000 + number * 256).to_be_bytes().into(), 24).expect("/24");
            writer.writer.set(RouteSource::Bgp, prefix, Some(via(&["192.0.2.2"])));
        }
        writer.flush();
        let mut events = Vec::new();
        monitor.drain(&mut events).expect("the socket survives");
        assert!(events.contains(&Event::Overrun), "{} events and no overrun", events.len());
    });
}
