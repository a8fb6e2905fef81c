//! Tables of cluster objects and the sessions that they mean.

use super::*;
use crate::addresses::Chosen;

fn node(ipv4: &str, labels: &[(&str, &str)]) -> NodeFacts {
    let chosen = Chosen { address: ipv4.parse().unwrap(), reason: String::new() };
    NodeFacts {
        uid: format!("uid of {ipv4}"),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        addresses: NodeAddresses { ipv4: Some(chosen), ipv6: None },
    }
}

fn peer(peer_ip: &str, as_number: u32, node_selector: &str) -> api::BGPPeerSpec {
    serde_json::from_value(serde_json::json!({
        "peerIP": peer_ip, "asNumber": as_number, "nodeSelector": node_selector, "port": 179
    }))
    .unwrap()
}

fn view(mesh: bool, peers: &[(&str, api::BGPPeerSpec)]) -> ClusterView {
    let configuration =
        BGPConfigurationSpec { node_to_node_mesh_enabled: mesh, ..BGPConfigurationSpec::default() };
    ClusterView {
        nodes: BTreeMap::from([
            ("a".to_owned(), node("10.0.0.1", &[("rack", "r1"), ("as", "65001")])),
            ("b".to_owned(), node("10.0.0.2", &[("rack", "r2")])),
        ]),
        configurations: BTreeMap::from([("default".to_owned(), configuration)]),
        peers: peers.iter().map(|(name, spec)| ((*name).to_owned(), spec.clone())).collect(),
        passwords: BTreeMap::new(),
    }
}

/// Name, address and AS of every neighbour of node `a`.
fn sessions(desired: &Desired) -> Vec<(String, String, u32)> {
    desired
        .speaker
        .neighbors
        .iter()
        .map(|neighbor| (neighbor.name.clone(), neighbor.address.to_string(), neighbor.remote_asn))
        .collect()
}

#[test]
fn who_peers_with_whom() {
    let tor = || peer("10.0.0.254", 64601, "rack == 'r1'");
    // (why, view, sessions of node a, problems)
    let cases: [(&str, ClusterView, &[(&str, &str, u32)], &[&str]); 8] = [
        ("the mesh", view(true, &[]), &[("b", "10.0.0.2", 64512)], &[]),
        ("no mesh", view(false, &[]), &[], &[]),
        ("the ToR of its rack", view(false, &[("tor", tor())]), &[("tor", "10.0.0.254", 64601)], &[]),
        (
            "not that of another rack",
            view(false, &[("tor", peer("10.0.0.254", 64601, "rack == 'r2'"))]),
            &[],
            &[],
        ),
        (
            "a bad peer disturbs no other",
            view(false, &[("bad", peer("10.0.0", 64601, "all()")), ("tor", tor())]),
            &[("tor", "10.0.0.254", 64601)],
            &["BGPPeer bad: spec.peerIP: `10.0.0` is no IPv4 or IPv6 address"],
        ),
        (
            "a bad selector",
            view(false, &[("bad", peer("10.0.0.9", 64601, "rack ="))]),
            &[],
            &[
                "BGPPeer bad: spec.nodeSelector: selector: expected `==`, `!=`, `in` or `not in` at character 6",
            ],
        ),
        (
            "two of one address",
            view(false, &[("t1", tor()), ("t2", tor())]),
            &[("t1", "10.0.0.254", 64601)],
            &[
                "BGPPeer t2: spec.peerIP: 10.0.0.254 is the address of BGPPeer t1 already; keep one of the two for this node",
            ],
        ),
        (
            "itself",
            view(false, &[("me", peer("10.0.0.1", 64601, "all()"))]),
            &[],
            &["BGPPeer me: spec.peerIP: 10.0.0.1 is this node itself; exclude it by spec.nodeSelector"],
        ),
    ];
    for (why, view, expected, problems) in cases {
        let desired = desired(&view, "a").unwrap();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, address, asn)| ((*name).to_owned(), (*address).to_owned(), *asn))
            .collect();
        assert_eq!(sessions(&desired), expected, "{why}");
        let found: Vec<String> = desired.problems.iter().map(ToString::to_string).collect();
        assert_eq!(found, problems, "{why}");
        assert_eq!(desired.speaker.check(), Ok(()), "{why}: a speaker takes it");
    }
}

#[test]
fn asn_of_a_node() {
    let by_label = |label: &str| BGPConfigurationSpec {
        as_number_label: Some(label.to_owned()),
        ..BGPConfigurationSpec::default()
    };
    // (why, configuration, AS)
    let cases = [
        ("the cluster's", BGPConfigurationSpec::default(), 64512),
        ("its label's", by_label("as"), 65001),
        ("no such label", by_label("zone"), 64512),
        ("a label that is no number", by_label("rack"), 64512),
    ];
    for (why, configuration, asn) in cases {
        let mut view = view(false, &[]);
        view.configurations = BTreeMap::from([("default".to_owned(), configuration)]);
        assert_eq!(desired(&view, "a").unwrap().speaker.asn, asn, "{why}");
    }
}

#[test]
fn the_configuration_of_lowest_precedence_wins() {
    let with = |precedence, as_number, node_selector: &str| BGPConfigurationSpec {
        precedence,
        as_number,
        node_selector: node_selector.to_owned(),
        ..BGPConfigurationSpec::default()
    };
    // (why, configurations, AS of node a)
    let cases: [(&str, &[(&str, BGPConfigurationSpec)], u32); 4] = [
        ("none: the defaults", &[], 64512),
        ("lower precedence", &[("x", with(200, 1, "all()")), ("y", with(100, 2, "all()"))], 2),
        ("then the name", &[("x", with(100, 1, "all()")), ("y", with(100, 2, "all()"))], 1),
        ("only what selects it", &[("x", with(1, 1, "rack == 'r2'")), ("y", with(9, 2, "rack == 'r1'"))], 2),
    ];
    for (why, configurations, asn) in cases {
        let mut view = view(false, &[]);
        view.configurations =
            configurations.iter().map(|(name, spec)| ((*name).to_owned(), spec.clone())).collect();
        assert_eq!(desired(&view, "a").unwrap().speaker.asn, asn, "{why}");
    }
}

#[test]
fn a_node_that_cannot_speak_says_why() {
    let mut without_address = view(false, &[]);
    without_address.nodes.insert("a".to_owned(), NodeFacts::default());
    // (why, view, node, message)
    let cases = [
        ("no Node", view(false, &[]), "z", "Node z: there is no such object; check --node-name"),
        (
            "no address",
            without_address,
            "a",
            "Node a: status.addresses has no InternalIP; set the kubelet's --node-ip",
        ),
    ];
    for (why, view, name, message) in cases {
        assert_eq!(desired(&view, name).unwrap_err().to_string(), message, "{why}");
    }
}

#[test]
fn a_session_waits_for_its_password() {
    const MISSING: &str = "Secret kube-system/tortie-bgp-passwords is missing or cannot be read";
    const NO_KEY: &str = "Secret kube-system/tortie-bgp-passwords has no text under key `tor`";
    let secret = |key: &str, value: &[u8]| Some((key.to_owned(), value.to_owned()));
    // (why, entry of the Secret if there is one, why it waits; empty: it has the password)
    let cases = [
        ("no Secret", None, MISSING),
        ("another key", secret("other", b"x"), NO_KEY),
        ("an empty password is none", secret("tor", b""), NO_KEY),
        ("no text", secret("tor", &[0xff]), NO_KEY),
        (
            "too long",
            secret("tor", &[b'x'; 81]),
            "neighbors.tor.password: it has 81 bytes; give 1 to 80 bytes, or leave it out",
        ),
        ("a password", secret("tor", b"secret"), ""),
    ];
    for (why, entry, reason) in cases {
        let mut spec = peer("10.0.0.254", 64601, "all()");
        spec.password_key = Some("tor".to_owned());
        let mut view = view(false, &[("tor", spec)]);
        if let Some((key, value)) = entry {
            let data = BTreeMap::from([(key, k8s_openapi::ByteString(value))]);
            let secret = k8s_openapi::api::core::v1::Secret { data: Some(data), ..Default::default() };
            let name = api::names::BGP_PASSWORDS_SECRET.to_owned();
            view.passwords.insert(name, Passwords::of(secret));
        }
        let desired = desired(&view, "a").unwrap();
        let neighbor = &desired.speaker.neighbors[0];
        let hold = neighbor.hold.as_ref().map(ToString::to_string).unwrap_or_default();
        assert_eq!(hold, reason, "{why}");
        assert_eq!(neighbor.password.is_some(), reason.is_empty(), "{why}: never tried without");
        let found: Vec<String> = desired.problems.iter().map(ToString::to_string).collect();
        let expected = format!("BGPPeer tor: spec.passwordKey: {reason}; the session stays down");
        let expected: Vec<String> = Some(expected).filter(|_| !reason.is_empty()).into_iter().collect();
        assert_eq!(found, expected, "{why}");
        assert_eq!(desired.speaker.check(), Ok(()), "{why}: a speaker takes it");
    }
}

#[test]
fn fields_of_a_peer_reach_its_session() {
    let with = |change: fn(&mut api::BGPPeerSpec)| {
        let mut spec = peer("10.0.0.254", 64601, "all()");
        change(&mut spec);
        desired(&view(false, &[("tor", spec)]), "a").unwrap()
    };
    let first = |desired: Desired| desired.speaker.neighbors.into_iter().next().unwrap();
    assert_eq!(first(with(|spec| spec.ttl_security = Some(2))).ttl_security_hops, Some(2));
    assert_eq!(first(with(|spec| spec.ebgp_multihop = Some(3))).ebgp_multihop, Some(3));
    assert_eq!(first(with(|spec| spec.allowed_local_as_numbers = 1)).allow_as_in, 1);
    assert_eq!(first(with(|_| {})).local_address, None);
    let own = first(with(|spec| spec.source_address = api::bgp_peer::SourceAddress::UseNodeIP));
    assert_eq!(own.local_address, Some("10.0.0.1".parse().unwrap()));
    let limited = first(with(|spec| {
        spec.max_prefixes = Some(api::bgp_peer::MaxPrefixesSpec {
            limit: 100,
            action: api::bgp_peer::MaxPrefixesAction::Discard,
            restart_seconds: None,
        });
    }));
    let max = bgp::config::MaxPrefixes {
        limit: 100,
        action: bgp::config::MaxPrefixesAction::Discard,
        restart_secs: None,
    };
    assert_eq!(limited.max_prefixes, Some(max));
    let held = first(with(|spec| spec.shutdown = Some("new cables".to_owned())));
    assert_eq!(held.hold.unwrap().to_string(), "shut down by configuration: new cables");
    let internal = with(|spec| {
        spec.as_number = 64512;
        spec.ebgp_multihop = Some(3);
    });
    assert!(internal.speaker.neighbors.is_empty() && internal.problems.len() == 1, "{:?}", internal.problems);
}
