//! Forgetting connections, with conntrack(8) as the oracle.

use std::collections::BTreeSet;
use std::net::IpAddr;

use felix::kernel::conntrack::Conntrack;
use namespace::{in_namespace, run};

mod namespace;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn insert(source: &str, destination: &str, translated_to: Option<&str>, zone: Option<&str>, port: &str) {
    let mut arguments = vec!["-I", "-s", source, "-d", destination, "-p", "udp", "--sport", port];
    arguments.extend(["--dport", "53", "-t", "600", "-u", "SEEN_REPLY,ASSURED"]);
    if let Some(backend) = translated_to {
        arguments.extend(["-r", backend, "-q", source, "--reply-port-src", "53", "--reply-port-dst", port]);
    }
    if let Some(zone) = zone {
        arguments.extend(["-w", zone]);
    }
    run("conntrack", &arguments);
}

/// Source ports of all entries, in order.
fn entries() -> Vec<String> {
    let mut found = Vec::new();
    for family in ["ipv4", "ipv6"] {
        let text = run("conntrack", &["-L", "-f", family, "-o", "extended"]);
        for line in text.lines() {
            found.extend(
                line.split("sport=").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned),
            );
        }
    }
    found.sort();
    found
}

fn fill() {
    // (source, destination, translated to, zone, source port as the entry's name)
    let rows = [
        ("10.244.0.5", "10.96.0.10", Some("10.244.9.9"), None, "1001"),
        ("10.244.1.7", "10.96.0.10", Some("10.244.0.5"), None, "1002"),
        ("10.244.1.7", "10.244.0.5", None, None, "1003"),
        ("10.244.0.5", "10.244.1.7", None, Some("7"), "1004"),
        ("10.244.0.50", "10.244.1.7", None, None, "1005"),
        ("fd00:244::5", "fd00:244::9", None, None, "1006"),
        ("fd00:244::9", "fd00:244::5", None, None, "1007"),
        ("fd00:244::9", "fd00:244::7", None, None, "1008"),
        ("fd00:244::5", "fd00:244::5", None, None, "1009"),
    ];
    for (source, destination, translated_to, zone, port) in rows {
        insert(source, destination, translated_to, zone, port);
    }
    assert_eq!(entries().len(), rows.len());
}

/// Reads all entries at once, or has the kernel filter them.
fn both_ways(test: fn(Conntrack)) {
    for whole_max in [u32::MAX, 0] {
        in_namespace(move || {
            fill();
            test(Conntrack::open().expect("netlink").filtering_above(whole_max));
        });
    }
}

#[test]
fn all_entries_of_an_address_are_gone_and_no_others() {
    both_ways(|mut conntrack| {
        let mut forget = |addresses: &[&str]| {
            let addresses: BTreeSet<IpAddr> = addresses.iter().map(|text| address(text)).collect();
            conntrack.forget(&addresses).expect("forgotten")
        };
        assert_eq!(forget(&["10.244.0.6", "fd00:244::6"]), 0);
        assert_eq!(forget(&[]), 0);
        assert_eq!(entries().len(), 9, "nobody's addresses");

        assert_eq!(forget(&["10.244.0.5"]), 4);
        assert_eq!(entries(), ["1005", "1006", "1007", "1008", "1009"]);
        assert_eq!(forget(&["10.244.0.5", "fd00:244::5"]), 3);
        assert_eq!(entries(), ["1005", "1008"]);
    });
}

#[test]
fn many_addresses_are_forgotten_in_one_search() {
    both_ways(|mut conntrack| {
        for number in 2000..2050 {
            insert("10.244.2.1", "10.244.2.2", None, None, &number.to_string());
        }
        let addresses: BTreeSet<IpAddr> =
            ["10.244.0.5", "10.244.2.1", "10.244.3.1", "10.244.3.2", "10.244.3.3", "fd00:244::5"]
                .map(address)
                .into();
        assert_eq!(conntrack.forget(&addresses).expect("forgotten"), 57);
        assert_eq!(entries(), ["1005", "1008"]);
    });
}

#[test]
fn an_empty_table_is_not_searched() {
    in_namespace(|| {
        let mut conntrack = Conntrack::open().expect("netlink");
        assert_eq!(conntrack.forget(&[address("10.244.0.5")].into()).expect("forgotten"), 0);
    });
}
