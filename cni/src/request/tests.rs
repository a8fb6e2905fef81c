use proptest::prelude::*;

use super::*;

const FULL: &str = r#"{
    "cniVersion": "1.1.0", "name": "tortie", "type": "tortie-cni", "mtu": 1400, "socket": "/tmp/s",
    "defaultRoute": true, "capabilities": { "ips": true }, "unknown": [1],
    "runtimeConfig": { "ips": ["10.1.2.3/24"] }, "args": { "cni": { "ips": ["fd00::1"] } },
    "prevResult": { "interfaces": [], "ips": [{ "address": "10.1.2.3/32", "interface": 1 }] },
    "cni.dev/valid-attachments": [{ "containerID": "c1", "ifname": "eth0" }]
}"#;

fn environment<'a>(pairs: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
    move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

#[test]
fn a_full_configuration_is_read() {
    let read = Configuration::read(FULL.as_bytes(), Command::Check).unwrap();
    let expected = Configuration {
        version: CniVersion::V1_1_0,
        network: "tortie".into(),
        mtu: Some(1400),
        socket: "/tmp/s".into(),
        default_route: Some(true),
        requested_addresses: vec!["10.1.2.3".parse().unwrap(), "fd00::1".parse().unwrap()],
        previous: Some(PreviousResult {
            ips: vec![PreviousAddress { address: "10.1.2.3/32".parse().unwrap() }],
        }),
        valid_attachments: Some(vec![ValidAttachment { container_id: "c1".into(), ifname: "eth0".into() }]),
    };
    assert_eq!(read, expected);
}

#[test]
fn defaults_are_the_documented_ones() {
    let read = Configuration::read(br#"{"cniVersion":"0.3.1","name":"n"}"#, Command::Add).unwrap();
    assert_eq!(read.socket, "/run/tortie/cni.sock");
    assert_eq!((read.mtu, read.default_route, read.valid_attachments), (None, None, None));
}

#[test]
fn configurations_are_refused_with_the_code_that_the_specification_gives() {
    // (why, configuration, command, code, part of the message)
    let cases = [
        ("empty", "", Command::Add, 6, "cannot be read"),
        ("not an object", "[]", Command::Add, 6, "cannot be read"),
        (
            "field of a wrong type",
            r#"{"cniVersion":"1.0.0","name":"n","mtu":"big"}"#,
            Command::Add,
            6,
            "cannot be read",
        ),
        ("no version", r#"{"name":"n"}"#, Command::Add, 1, "missing"),
        ("future version", r#"{"cniVersion":"2.0.0","name":"n"}"#, Command::Add, 1, "2.0.0"),
        ("ancient version", r#"{"cniVersion":"0.2.0","name":"n"}"#, Command::Add, 1, "0.2.0"),
        ("CHECK before it was there", r#"{"cniVersion":"0.3.1","name":"n"}"#, Command::Check, 1, "Check"),
        ("STATUS before it was there", r#"{"cniVersion":"1.0.0","name":"n"}"#, Command::Status, 1, "Status"),
        ("GC before it was there", r#"{"cniVersion":"1.0.0","name":"n"}"#, Command::Gc, 1, "Gc"),
        ("no name", r#"{"cniVersion":"1.0.0"}"#, Command::Add, 7, "name"),
        ("name with a slash", r#"{"cniVersion":"1.0.0","name":"a/b"}"#, Command::Add, 7, "a/b"),
        ("tiny MTU", r#"{"cniVersion":"1.0.0","name":"n","mtu":1279}"#, Command::Add, 7, "1279"),
        ("huge MTU", r#"{"cniVersion":"1.0.0","name":"n","mtu":65536}"#, Command::Add, 7, "65536"),
        ("relative socket", r#"{"cniVersion":"1.0.0","name":"n","socket":"s"}"#, Command::Add, 7, "absolute"),
        (
            "impossible address",
            r#"{"cniVersion":"1.0.0","name":"n","runtimeConfig":{"ips":["10.0.0.256"]}}"#,
            Command::Add,
            7,
            "10.0.0.256",
        ),
    ];
    for (why, json, command, code, message) in cases {
        let error = Configuration::read(json.as_bytes(), command).unwrap_err();
        assert_eq!(error.code.0, code, "{why}: {error}");
        assert!(error.message.contains(message), "{why}: {error}");
    }
}

#[test]
fn targets_are_refused_naming_the_variable() {
    let long = "x".repeat(129);
    // (why, container, netns, interface, part of the message)
    let cases = [
        ("no container", "", "/n", "eth0", "CNI_CONTAINERID is not set"),
        ("container with a slash", "a/b", "/n", "eth0", "CNI_CONTAINERID"),
        ("container with a dash first", "-a", "/n", "eth0", "CNI_CONTAINERID"),
        ("container too long", &long, "/n", "eth0", "CNI_CONTAINERID"),
        ("no namespace", "c", "", "eth0", "CNI_NETNS is not set"),
        ("relative namespace", "c", "n", "eth0", "CNI_NETNS"),
        ("no interface", "c", "/n", "", "CNI_IFNAME is not set"),
        ("interface too long", "c", "/n", "eth0123456789012", "CNI_IFNAME"),
        ("interface with a colon", "c", "/n", "eth0:1", "CNI_IFNAME"),
        ("interface with a blank", "c", "/n", "eth 0", "CNI_IFNAME"),
        ("the directory itself", "c", "/n", "..", "CNI_IFNAME"),
    ];
    for (why, container, netns, ifname, message) in cases {
        let pairs = [("CNI_CONTAINERID", container), ("CNI_NETNS", netns), ("CNI_IFNAME", ifname)];
        let error = Target::read("tortie", environment(&pairs)).unwrap_err();
        assert_eq!(error.code, ErrorCode::INVALID_ENVIRONMENT, "{why}");
        assert!(error.message.contains(message), "{why}: {error}");
    }
}

#[test]
fn a_deletion_needs_no_namespace() {
    let pairs = [("CNI_CONTAINERID", "c"), ("CNI_NETNS", ""), ("CNI_IFNAME", "eth0")];
    assert_eq!(attachment("tortie", environment(&pairs)).unwrap().container_id, "c");
}

#[test]
fn arguments_name_the_pod() {
    let pod = |uid: Option<&str>| PodReference {
        namespace: "default".into(),
        name: "web.0".into(),
        uid: uid.map(str::to_owned),
    };
    // (why, CNI_ARGS, expected pod or part of the message)
    let cases = [
        (
            "as containerd sends it",
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web.0;K8S_POD_INFRA_CONTAINER_ID=c;K8S_POD_UID=u-1",
            Ok(pod(Some("u-1"))),
        ),
        ("an old runtime", "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web.0;", Ok(pod(None))),
        ("an empty UID", "K8S_POD_NAMESPACE=default;K8S_POD_NAME=web.0;K8S_POD_UID=", Ok(pod(None))),
        ("nothing", "", Err("names no pod")),
        ("no name", "K8S_POD_NAMESPACE=default", Err("names no pod")),
        ("no equals sign", "IgnoreUnknown", Err("without '='")),
        ("UID with a slash", "K8S_POD_NAMESPACE=d;K8S_POD_NAME=w;K8S_POD_UID=a/b", Err("no UID")),
        ("no address", "IP=1.2.3;K8S_POD_NAMESPACE=d;K8S_POD_NAME=w", Err("no address")),
    ];
    for (why, text, expected) in cases {
        match (Arguments::read(environment(&[("CNI_ARGS", text)])), expected) {
            (Ok(read), Ok(pod)) => assert_eq!(read.pod, pod, "{why}"),
            (Err(error), Err(part)) => assert!(error.message.contains(part), "{why}: {error}"),
            (read, _) => panic!("{why}: {read:?}"),
        }
    }
}

#[test]
fn errors_are_answered_in_the_version_asked_where_it_is_known() {
    let cases =
        [("", "1.1.0"), (r#"{"cniVersion":"0.4.0","name":7}"#, "0.4.0"), (r#"{"cniVersion":"9"}"#, "1.1.0")];
    for (json, expected) in cases {
        assert_eq!(version_for_errors(json.as_bytes()).text(), expected, "{json}");
    }
}

proptest! {
    #[test]
    fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Configuration::read(&bytes, Command::Add).is_err());
        let _ = version_for_errors(&bytes);
    }

    #[test]
    fn damaged_configurations_never_panic(at in 0..FULL.len(), byte in any::<u8>()) {
        let mut bytes = FULL.as_bytes().to_vec();
        bytes[at] = byte;
        let _ = Configuration::read(&bytes, Command::Gc);
    }

    #[test]
    fn garbage_environments_never_panic(a in any::<String>(), b in any::<String>(), c in any::<String>()) {
        let pairs =
            [("CNI_COMMAND", a.as_str()), ("CNI_CONTAINERID", &a), ("CNI_NETNS", &b), ("CNI_IFNAME", &c), ("CNI_ARGS", &b)];
        let _ = Command::read(environment(&pairs));
        let _ = Arguments::read(environment(&pairs));
        if let Ok(target) = Target::read("tortie", environment(&pairs)) {
            prop_assert!(target.attachment.ifname.len() <= INTERFACE_NAME_LENGTH_MAX);
            prop_assert!(!target.attachment.container_id.contains('/'));
        }
    }
}
