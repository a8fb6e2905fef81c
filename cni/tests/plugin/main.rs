//! The real plugin against a daemon of the test, in network namespaces of their own, looked at by `ip`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod lab;

use std::fs::File;
use std::time::{Duration, SystemTime};

use cni::protocol::{Answer, Attachment, Grant, Request, StaleAttachment};
use cni::response::{CniError, ErrorCode};
use cni::veth::{Alias, host_interface_name};
use lab::{
    Daemon, Lab, Reply, good_answer, grant, host_ends, host_ip, in_lab, ip_in, new_namespace, path_of,
    run_raw,
};
use serde_json::{Value, json};

fn attachment() -> Attachment {
    Attachment { network: "tortie".into(), container_id: "c1".into(), ifname: "eth0".into() }
}

fn has(list: &Value, expected: &Value) -> bool {
    let matches = |entry: &Value| {
        expected.as_object().unwrap().iter().all(|(key, value)| entry.get(key) == Some(value))
    };
    list.as_array().unwrap().iter().any(matches)
}

#[test]
fn add_makes_what_it_reports() {
    in_lab(|lab| {
        let daemon = Daemon::good(lab);
        let result = lab.call("ADD").run().ok();
        let host = host_interface_name(&attachment());
        assert_eq!(result["interfaces"][0]["name"], host);
        assert_eq!(result["interfaces"][1]["name"], "eth0");
        assert_eq!(result["interfaces"][1]["mtu"], 1450);
        assert_eq!(result["ips"][0]["address"], "10.244.1.2/32");
        assert_eq!(result["ips"][1]["gateway"], "fe80::ecee:eeff:feee:eeee");

        let links = host_ip(&format!("link show dev {host}"));
        assert!(has(&links, &json!({ "address": "ee:ee:ee:ee:ee:ee", "mtu": 1450 })), "{links}");
        assert_pod_side(lab, &result);
        match &daemon.asked()[..] {
            [Request::Add(add)] => {
                assert_eq!(add.attachment, attachment());
                assert_eq!(add.pod.uid.as_deref(), Some("u-1"));
                assert_eq!(json!(add.pod_mac), result["interfaces"][1]["mac"]);
            }
            other => panic!("one round trip, not {other:?}"),
        }
    });
}

fn assert_pod_side(lab: &Lab, result: &Value) {
    let links = lab.pod_ip("addr show");
    let link =
        |name: &str| links.as_array().unwrap().iter().find(|link| link["ifname"] == name).unwrap().clone();
    assert!(link("lo")["flags"].as_array().unwrap().contains(&json!("UP")));
    let eth0 = link("eth0");
    assert_eq!((&eth0["mtu"], &eth0["address"]), (&json!(1450), &result["interfaces"][1]["mac"]));
    assert!(eth0["flags"].as_array().unwrap().contains(&json!("UP")));
    let addresses = &eth0["addr_info"];
    assert!(has(addresses, &json!({ "local": "10.244.1.2", "prefixlen": 32 })), "{addresses}");
    assert!(has(addresses, &json!({ "local": "fd00:10:244::2", "prefixlen": 128 })), "{addresses}");
    assert!(!addresses.to_string().contains("tentative"), "usable at once: {addresses}");

    let v4 = lab.pod_ip("route show");
    assert!(has(&v4, &json!({ "dst": "169.254.1.1", "dev": "eth0", "scope": "link" })), "{v4}");
    assert!(has(&v4, &json!({ "dst": "default", "gateway": "169.254.1.1", "dev": "eth0" })), "{v4}");
    let v6 = lab.pod_ip("-6 route show");
    assert!(has(&v6, &json!({ "dst": "default", "gateway": "fe80::ecee:eeff:feee:eeee" })), "{v6}");
    let neighbours = lab.pod_ip("neigh show");
    for gateway in ["169.254.1.1", "fe80::ecee:eeff:feee:eeee"] {
        let expected = json!({ "dst": gateway, "lladdr": "ee:ee:ee:ee:ee:ee", "state": ["PERMANENT"] });
        assert!(has(&neighbours, &expected), "{neighbours}");
    }
}

#[test]
fn every_version_gets_its_own_words() {
    for (version, expected) in [("0.3.1", json!("4")), ("0.4.0", json!("4")), ("1.0.0", Value::Null)] {
        in_lab(|lab| {
            let _daemon = Daemon::good(lab);
            let result = lab.call("ADD").with("cniVersion", json!(version)).run().ok();
            assert_eq!((&result["cniVersion"], &result["ips"][0]["version"]), (&json!(version), &expected));
        });
    }
}

#[test]
fn the_configuration_decides_mtu_and_default_route() {
    in_lab(|lab| {
        let _daemon = Daemon::good(lab);
        let mut call = lab.call("ADD").with("mtu", json!(1400));
        call.ifname = "net1";
        let result = call.run().ok();
        assert_eq!(result["interfaces"][0]["mtu"], 1400);
        assert_eq!(result["routes"], json!([]));
        assert!(!has(&lab.pod_ip("route show"), &json!({ "dst": "default" })));
        let links = host_ip("link show");
        assert!(has(&links, &json!({ "ifname": result["interfaces"][0]["name"], "mtu": 1400 })), "{links}");
    });
}

#[test]
fn check_finds_what_changed() {
    in_lab(|lab| {
        let _daemon = Daemon::good(lab);
        let result = lab.call("ADD").run().ok();
        let check = || lab.call("CHECK").with("prevResult", result.clone()).run();
        assert!(check().success, "{}", check().stdout);
        assert_eq!(lab.call("CHECK").run().code(), 7, "without prevResult");
        // (what breaks it, what repairs it, part of the details)
        let cases = [
            (
                "addr del 10.244.1.2/32 dev eth0",
                "addr add 10.244.1.2/32 dev eth0",
                "address 10.244.1.2 is missing",
            ),
            (
                "route del default",
                "route add default via 169.254.1.1 dev eth0 onlink",
                "route to 0.0.0.0/0 via",
            ),
            (
                "neigh del 169.254.1.1 dev eth0",
                "neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0",
                "neighbour",
            ),
            ("link set eth0 mtu 1300", "link set eth0 mtu 1450", "MTU is not 1450"),
        ];
        for (breaks, repairs, details) in cases {
            lab.pod_ip(breaks);
            let ran = check();
            assert_eq!(ran.code(), 102, "{breaks}");
            assert!(ran.stdout["details"].as_str().unwrap().contains(details), "{breaks}: {}", ran.stdout);
            lab.pod_ip(repairs);
            if breaks.starts_with("addr") {
                // The last IPv4 address took neighbours and routes with it.
                lab.pod_ip("neigh replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0");
                lab.pod_ip("route replace 169.254.1.1 dev eth0 scope link");
                lab.pod_ip("route replace default via 169.254.1.1 dev eth0 onlink");
            }
            assert!(check().success, "{repairs}: {}", check().stdout);
        }
        host_ip(&format!("link set {} down", host_interface_name(&attachment())));
        assert_eq!(check().code(), 102);
    });
}

#[test]
fn deletions_always_succeed() {
    in_lab(|lab| {
        let daemon = Daemon::good(lab);
        lab.call("ADD").run().ok();
        assert_eq!(lab.call("DEL").run().ok(), Value::Null);
        assert_eq!(host_ends(), Vec::<String>::new());
        assert!(!has(&lab.pod_ip("link show"), &json!({ "ifname": "eth0" })));
        lab.call("DEL").run().ok();
        let mut never_was = lab.call("DEL");
        (never_was.container, never_was.netns) = ("c9", String::new());
        never_was.run().ok();
        let deletions = daemon.asked().iter().filter(|request| matches!(request, Request::Del(_))).count();
        assert_eq!(deletions, 3, "the daemon is told each time: it may remember what the kernel does not");
    });
}

#[test]
fn a_deletion_without_daemon_or_namespace_removes_the_interface() {
    in_lab(|lab| {
        let daemon = Daemon::good(lab);
        lab.call("ADD").run().ok();
        drop(daemon);
        let mut call = lab.call("DEL");
        call.netns = String::new();
        call.run().ok();
        assert_eq!(host_ends(), Vec::<String>::new());
    });
}

#[test]
fn a_deletion_leaves_an_interface_of_somebody_else() {
    in_lab(|lab| {
        let _daemon = Daemon::good(lab);
        lab.call("ADD").run().ok();
        let host = host_interface_name(&attachment());
        host_ip(&format!("link set {host} alias v1/c2/eth0/u-2/0123456789a"));
        lab.call("DEL").run().ok();
        assert_eq!(host_ends(), [host]);
    });
}

#[test]
fn a_second_add_is_refused_and_the_first_goes_on() {
    in_lab(|lab| {
        let daemon = Daemon::good(lab);
        let result = lab.call("ADD").run().ok();
        assert_eq!(lab.call("ADD").run().code(), 101);
        assert!(lab.call("CHECK").with("prevResult", result).run().success);
        let deletions = daemon.asked().iter().any(|request| matches!(request, Request::Del(_)));
        assert!(!deletions, "nothing of the first is taken back");
    });
}

#[test]
fn an_add_takes_over_what_was_left_in_another_namespace() {
    in_lab(|lab| {
        let _daemon = Daemon::good(lab);
        lab.call("ADD").run().ok();
        let next = new_namespace();
        let mut call = lab.call("ADD");
        call.netns = path_of(&next);
        call.run().ok();
        assert!(has(&ip_in(&next, "link show"), &json!({ "ifname": "eth0" })));
        assert!(!has(&lab.pod_ip("link show"), &json!({ "ifname": "eth0" })));
    });
}

#[test]
fn an_add_never_takes_an_interface_of_somebody_else() {
    in_lab(|lab| {
        let _daemon = Daemon::good(lab);
        let host = host_interface_name(&attachment());
        host_ip(&format!("link add {host} type veth peer name other"));
        host_ip(&format!("link set {host} alias v1/c2/eth0/u-2/0123456789a"));
        assert_eq!(lab.call("ADD").run().code(), 101);
        assert_eq!(host_ends(), [host]);
    });
}

#[test]
fn a_failed_add_leaves_nothing() {
    let nonsense = || Grant { addresses: vec![], ..grant() };
    let refusal = CniError::new(ErrorCode::TRY_AGAIN_LATER, "pool default-ipv4 is full");
    // (why, the daemon's answer to ADD, expected code)
    let cases: [(&str, Box<dyn Fn() -> Reply + Send + Sync>, u64); 6] = [
        ("refused", Box::new(move || Reply::Answer(Answer::Error(refusal.clone()))), 11),
        ("answer to another question", Box::new(|| Reply::Answer(Answer::Done)), 6),
        ("nonsense", Box::new(move || Reply::Answer(Answer::Granted(nonsense()))), 6),
        ("not JSON", Box::new(|| Reply::Raw(b"\0\0\0\x05hello")), 6),
        ("another release", Box::new(|| Reply::Raw(b"\0\0\0\x0d{\"version\":9}")), 11),
        ("endless", Box::new(|| Reply::Raw(b"\xff\xff\xff\xff")), 6),
    ];
    for (why, reply, code) in cases {
        in_lab(move |lab| {
            let daemon = Daemon::start(lab, move |request| match request {
                Request::Add(_) => reply(),
                other => Reply::Answer(good_answer(other)),
            });
            let ran = lab.call("ADD").run();
            assert_eq!(ran.code(), code, "{why}: {}", ran.stdout);
            assert_eq!(host_ends(), Vec::<String>::new(), "{why}");
            assert!(!has(&lab.pod_ip("link show"), &json!({ "ifname": "eth0" })), "{why}");
            assert!(
                matches!(daemon.asked().last(), Some(Request::Del(_))),
                "{why}: the daemon takes it back"
            );
        });
    }
}

#[test]
fn an_add_waits_for_the_daemon_and_asks_again_when_it_went_away() {
    in_lab(|lab| {
        std::thread::scope(|scope| {
            let add = scope.spawn(|| {
                // A scoped thread starts in the namespace of the lab.
                lab.call("ADD").run()
            });
            while host_ends().is_empty() {
                std::thread::yield_now();
            }
            let answers = std::sync::atomic::AtomicU32::new(0);
            let _daemon = Daemon::start(lab, move |request| {
                match answers.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                    0 => Reply::Raw(b""),
                    _ => Reply::Answer(good_answer(request)),
                }
            });
            add.join().unwrap().ok();
        });
    });
}

#[test]
fn garbage_collection_removes_what_the_daemon_names() {
    in_lab(|lab| {
        let stale =
            StaleAttachment { attachment: attachment(), host_interface: host_interface_name(&attachment()) };
        let answer = stale.clone();
        let daemon = Daemon::start(lab, move |request| {
            Reply::Answer(match request {
                Request::Gc(_) => Answer::Stale(vec![answer.clone()]),
                other => good_answer(other),
            })
        });
        lab.call("ADD").run().ok();
        assert_eq!(lab.call("GC").run().code(), 7, "an absent list is not an empty one");
        assert_eq!(host_ends(), [stale.host_interface]);
        let valid = json!([{ "containerID": "c2", "ifname": "eth0" }]);
        lab.call("GC").with("cni.dev/valid-attachments", valid.clone()).run().ok();
        assert_eq!(host_ends(), Vec::<String>::new());
        match daemon.asked().last() {
            Some(Request::Gc(gc)) => assert_eq!(gc.valid[0].container_id, "c2"),
            other => panic!("{other:?}"),
        }
        drop(daemon);
        assert_eq!(lab.call("GC").with("cni.dev/valid-attachments", valid).run().code(), 11);
    });
}

#[test]
fn status_bears_an_absence_of_a_minute() {
    in_lab(|lab| {
        let refusal = CniError::new(ErrorCode::NOT_AVAILABLE_LIMITED, "no block");
        let daemon = Daemon::start(lab, move |_| Reply::Answer(Answer::Error(refusal.clone())));
        assert_eq!(lab.call("STATUS").run().code(), 51, "as the daemon says");
        drop(daemon);
        lab.call("STATUS").run().ok();
        let marker = lab.socket().with_extension("sock.away");
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        File::options().write(true).open(&marker).unwrap().set_modified(long_ago).unwrap();
        assert_eq!(lab.call("STATUS").run().code(), 50);
        let daemon = Daemon::good(lab);
        lab.call("STATUS").run().ok();
        drop(daemon);
        lab.call("STATUS").run().ok();
        let never_ran = json!(lab.socket().with_file_name("none/cni.sock"));
        assert_eq!(lab.call("STATUS").with("socket", never_ran).run().code(), 50);
    });
}

#[test]
fn the_hosts_own_namespace_is_refused() {
    in_lab(|lab| {
        let own = File::open("/proc/thread-self/ns/net").unwrap();
        for (netns, why) in
            [(path_of(&own), "the host's"), ("/nowhere".into(), "none"), ("/dev/null".into(), "no namespace")]
        {
            let mut call = lab.call("ADD");
            call.netns = netns;
            assert_eq!(call.run().code(), 4, "{why}");
        }
        assert_eq!(host_ends(), Vec::<String>::new());
    });
}

#[test]
fn bad_calls_get_a_cni_error() {
    let good = r#"{"cniVersion":"1.1.0","name":"tortie","type":"tortie-cni"}"#;
    let long = "x".repeat((4 << 20) + 1);
    // (why, environment, standard input, code)
    let cases: [(&str, &[(&str, &str)], &str, u64); 6] = [
        ("run by hand", &[], good, 4),
        ("an unknown verb", &[("CNI_COMMAND", "DANCE")], good, 4),
        ("nothing on standard input", &[("CNI_COMMAND", "ADD")], "", 6),
        ("no container", &[("CNI_COMMAND", "DEL"), ("CNI_IFNAME", "eth0")], good, 4),
        (
            "no pod",
            &[("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "eth0"), ("CNI_NETNS", "/n")],
            good,
            4,
        ),
        ("too long", &[("CNI_COMMAND", "ADD")], &long, 6),
    ];
    for (why, environment, stdin, code) in cases {
        assert_eq!(run_raw(environment, stdin.as_bytes()).code(), code, "{why}");
    }
}

#[test]
fn version_answers_with_and_without_a_configuration() {
    let all = json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    for (stdin, version) in [("", "1.1.0"), (r#"{"cniVersion":"0.4.0"}"#, "0.4.0")] {
        let answer = run_raw(&[("CNI_COMMAND", "VERSION")], stdin.as_bytes()).ok();
        assert_eq!(answer, json!({ "cniVersion": version, "supportedVersions": all }));
    }
}

#[test]
fn aliases_are_what_the_kernel_stores() {
    in_lab(|lab| {
        let _daemon = Daemon::good(lab);
        lab.call("ADD").run().ok();
        let links = host_ip(&format!("link show dev {}", host_interface_name(&attachment())));
        let alias = Alias::parse(links[0]["ifalias"].as_str().unwrap()).unwrap();
        assert!(alias.serves(&attachment()));
        assert_eq!(alias.pod_uid, "u-1");
    });
}
