use super::*;

fn neighbor(name: &str, address: &str, remote_asn: u32) -> NeighborConfig {
    NeighborConfig::new(name, address.parse().unwrap(), remote_asn)
}

fn config() -> SpeakerConfig {
    let mut config = SpeakerConfig::new(64512, "10.0.0.1".parse().unwrap());
    config.neighbors = vec![neighbor("tor-1", "10.0.0.2", 64601), neighbor("peer", "fd00::3", 64512)];
    config
}

type Change = fn(&mut SpeakerConfig);

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn what_cannot_work_is_named() {
    // (why, change, the field that is named; empty: it works)
    let cases: [(&str, Change, &str); 34] = [
        ("as it is", |_| {}, ""),
        ("AS 0", |config| config.asn = 0, "asn"),
        ("hold time 1", |config| config.hold_time_secs = 1, "hold_time_secs"),
        ("hold time 2", |config| config.hold_time_secs = 2, "hold_time_secs"),
        ("hold time 3", |config| config.hold_time_secs = 3, ""),
        ("no hold time", |config| config.hold_time_secs = 0, ""),
        ("no next hop", |config| config.multipath_max = 0, "multipath_max"),
        ("no graceful restart", |config| config.graceful_restart = None, ""),
        ("12 bits", |config| set_restart_time(config, 4095), ""),
        ("more than 12 bits", |config| set_restart_time(config, 4096), "graceful_restart.restart_time_secs"),
        ("peer's AS 0", |config| config.neighbors[0].remote_asn = 0, "neighbors.tor-1.remote_asn"),
        (
            "peer's hold time",
            |config| config.neighbors[0].hold_time_secs = Some(2),
            "neighbors.tor-1.hold_time_secs",
        ),
        (
            "no pause",
            |config| config.neighbors[0].connect_retry_secs = 0,
            "neighbors.tor-1.connect_retry_secs",
        ),
        ("port 0", |config| config.neighbors[0].port = 0, "neighbors.tor-1.port"),
        ("no family", |config| config.neighbors[0].families.clear(), "neighbors.tor-1.families"),
        ("hops 0", |config| config.neighbors[0].ebgp_multihop = Some(0), "neighbors.tor-1.ebgp_multihop"),
        (
            "hops inside the AS",
            |config| config.neighbors[1].ebgp_multihop = Some(2),
            "neighbors.peer.ebgp_multihop",
        ),
        (
            "hops of no packet",
            |config| config.neighbors[0].ttl_security_hops = Some(0),
            "neighbors.tor-1.ttl_security_hops",
        ),
        (
            "hops twice",
            |config| {
                config.neighbors[0].ttl_security_hops = Some(1);
                config.neighbors[0].ebgp_multihop = Some(2);
            },
            "neighbors.tor-1.ttl_security_hops",
        ),
        ("hops inside the AS, secured", |config| config.neighbors[1].ttl_security_hops = Some(255), ""),
        ("empty password", |config| set_password(config, 0), "neighbors.tor-1.password"),
        ("password", |config| set_password(config, 80), ""),
        ("long password", |config| set_password(config, 81), "neighbors.tor-1.password"),
        ("text", |config| set_hold(config, 255), ""),
        ("long text", |config| set_hold(config, 256), "neighbors.tor-1.hold"),
        ("our AS ten times", |config| config.neighbors[0].allow_as_in = 10, ""),
        ("our AS too often", |config| config.neighbors[0].allow_as_in = 11, "neighbors.tor-1.allow_as_in"),
        ("no prefix", |config| set_max_prefixes(config, 0), "neighbors.tor-1.max_prefixes.limit"),
        ("multicast", |config| set_address(config, "224.0.0.1"), "neighbors.tor-1.address"),
        ("nowhere", |config| set_address(config, "::"), "neighbors.tor-1.address"),
        ("the same address", |config| set_address(config, "fd00::3"), "neighbors.peer.address"),
        ("the same name", |config| config.neighbors[0].name = "peer".to_owned(), "neighbors.peer.name"),
        (
            "ends of two families",
            |config| config.neighbors[0].local_address = Some("fd00::1".parse().unwrap()),
            "neighbors.tor-1.local_address",
        ),
        (
            "a next hop that is nowhere",
            |config| config.neighbors[0].next_hop_ipv6 = Some("::1".parse().unwrap()),
            "neighbors.tor-1.next_hop_ipv6",
        ),
    ];
    for (why, change, field) in cases {
        let mut config = config();
        change(&mut config);
        let errors = config.check().err().map(|errors| errors.0).unwrap_or_default();
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        let expected: Vec<&str> = [field].into_iter().filter(|field| !field.is_empty()).collect();
        assert_eq!(fields, expected, "{why}: {errors:?}");
        assert!(errors.iter().all(|error| !error.remedy.is_empty()), "{why}");
    }
}

fn set_restart_time(config: &mut SpeakerConfig, restart_time_secs: u16) {
    config.graceful_restart =
        Some(GracefulRestartConfig { restart_time_secs, ..GracefulRestartConfig::default() });
}

fn set_password(config: &mut SpeakerConfig, len: usize) {
    config.neighbors[0].password = Some(Password::new("x".repeat(len)));
}

fn set_max_prefixes(config: &mut SpeakerConfig, limit: usize) {
    let action = MaxPrefixesAction::Shutdown;
    config.neighbors[0].max_prefixes = Some(MaxPrefixes { limit, action, restart_secs: None });
}

fn set_hold(config: &mut SpeakerConfig, len: usize) {
    config.neighbors[0].hold = Some(Hold::Shutdown("x".repeat(len)));
}

fn set_address(config: &mut SpeakerConfig, address: &str) {
    config.neighbors[0].address = address.parse().unwrap();
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let mut config = config();
    config.asn = 0;
    config.neighbors[0].remote_asn = 0;
    config.neighbors[1].port = 0;
    let text = config.check().unwrap_err().to_string();
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn only_sessions_that_must_reset_do() {
    // (change, reset with reasons, updated)
    let cases: [(&str, Change, &[(&str, &[&str])], &[&str]); 23] = [
        ("nothing", |_| {}, &[], &[]),
        ("asn", |c| c.asn = 1, &[("tor-1", &["asn"]), ("peer", &["asn"])], &[]),
        (
            "router_id",
            |c| c.router_id = "1.1.1.1".parse().unwrap(),
            &[("tor-1", &["router_id"]), ("peer", &["router_id"])],
            &[],
        ),
        (
            "graceful_restart",
            |c| c.graceful_restart = None,
            &[("tor-1", &["graceful_restart"]), ("peer", &["graceful_restart"])],
            &[],
        ),
        ("stale time stays with us", |c| c.graceful_restart.as_mut().unwrap().stale_time_secs = 9, &[], &[]),
        (
            "hold time where the neighbor has none of its own",
            |c| {
                c.hold_time_secs = 30;
                c.neighbors[0].hold_time_secs = Some(90);
            },
            &[("peer", &["hold_time_secs"])],
            &["tor-1"],
        ),
        ("multipath", |c| c.multipath_max = 2, &[], &["tor-1", "peer"]),
        ("default routes", |c| c.import_default_routes = true, &[], &["tor-1", "peer"]),
        ("remote_asn", |c| c.neighbors[0].remote_asn = 7, &[("tor-1", &["remote_asn"])], &[]),
        ("port", |c| c.neighbors[0].port = 1179, &[("tor-1", &["port"])], &[]),
        (
            "local_address",
            |c| c.neighbors[0].local_address = Some("10.0.0.9".parse().unwrap()),
            &[("tor-1", &["local_address"])],
            &[],
        ),
        (
            "families",
            |c| c.neighbors[0].families = vec![Family::Ipv4Unicast],
            &[("tor-1", &["families"])],
            &[],
        ),
        ("hops", |c| c.neighbors[0].ebgp_multihop = Some(3), &[("tor-1", &["ebgp_multihop"])], &[]),
        (
            "TTL security",
            |c| c.neighbors[0].ttl_security_hops = Some(1),
            &[("tor-1", &["ttl_security_hops"])],
            &[],
        ),
        (
            "a first password",
            |c| c.neighbors[1].password = Some(Password::new("new")),
            &[("peer", &["password"])],
            &[],
        ),
        ("held down", |c| set_hold(c, 3), &[("tor-1", &["hold"])], &[]),
        (
            "a hop limit of one's own",
            |c| c.neighbors[1].ttl_security_hops = Some(9),
            &[("peer", &["ttl_security_hops"])],
            &[],
        ),
        ("our AS in the path", |c| c.neighbors[0].allow_as_in = 1, &[], &["tor-1"]),
        ("max prefixes", |c| set_max_prefixes(c, 9), &[], &["tor-1"]),
        ("export", |c| c.neighbors[0].export = ExportPolicy::OriginatedOnly, &[], &["tor-1"]),
        ("name", |c| c.neighbors[0].name = "other".to_owned(), &[], &["other"]),
        ("passive", |c| c.neighbors[0].passive = true, &[], &["tor-1"]),
        ("next hop", |c| c.neighbors[0].next_hop_ipv6 = Some("fd00::1".parse().unwrap()), &[], &["tor-1"]),
    ];
    for (why, change, reset, updated) in cases {
        let (old, mut new) = (config(), config());
        change(&mut new);
        let report = diff(&old, &new);
        let found: Vec<(&str, Vec<&str>)> = report
            .reset
            .iter()
            .map(|reset| (reset.neighbor.as_str(), reset.because.iter().map(String::as_str).collect()))
            .collect();
        let reset: Vec<(&str, Vec<&str>)> =
            reset.iter().map(|(name, because)| (*name, because.to_vec())).collect();
        assert_eq!(found, reset, "{why}");
        assert_eq!(report.updated, updated, "{why}");
        assert!(report.added.is_empty() && report.removed.is_empty(), "{why}");
    }
}

#[test]
fn neighbors_come_and_go_by_address() {
    let (old, mut new) = (config(), config());
    new.neighbors[0].address = "10.0.0.7".parse().unwrap();
    let report = diff(&old, &new);
    assert_eq!((report.added, report.removed), (vec!["tor-1".to_owned()], vec!["tor-1".to_owned()]));
    assert!(report.reset.is_empty() && report.updated.is_empty());
}

#[test]
fn a_short_text_is_enough_and_unknown_fields_are_refused() {
    let text = r#"{"asn": 64512, "router_id": "10.0.0.1", "neighbors":
        [{"name": "tor-1", "address": "10.0.0.2", "remote_asn": 64601}]}"#;
    let parsed: SpeakerConfig = serde_json::from_str(text).unwrap();
    let mut expected = config();
    expected.neighbors.pop();
    assert_eq!(parsed, expected);
    let written = serde_json::to_string(&config()).unwrap();
    assert_eq!(serde_json::from_str::<SpeakerConfig>(&written).unwrap(), config(), "there and back");
    for wrong in [
        text.replace("asn\"", "as\""),
        text.replace("remote_asn", "remote_as"),
        text.replace("10.0.0.1", "0.0.0.0"),
    ] {
        assert!(serde_json::from_str::<SpeakerConfig>(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_changes_within_a_session() {
    let with = |password: &str, hold: Option<Hold>| {
        let mut config = config();
        config.neighbors[0].password = Some(Password::new(password));
        config.neighbors[0].hold = hold;
        config
    };
    let shutdown = |text: &str| Some(Hold::Shutdown(text.to_owned()));
    // (why, before, after)
    let cases = [
        ("another key", with("old", None), with("new", None)),
        ("another reason", with("x", shutdown("a")), with("x", Some(Hold::Missing("b".to_owned())))),
    ];
    for (why, old, new) in cases {
        let report = diff(&old, &new);
        assert_eq!((report.reset, report.updated), (vec![], vec!["tor-1".to_owned()]), "{why}");
    }
}

#[test]
fn what_sockets_are_set_to() {
    // (why, external, hops, TTL security, TTL, least TTL)
    let cases = [
        ("external: the same link", true, None, None, 1, None),
        ("external, farther away", true, Some(3), None, 3, None),
        ("internal: anywhere", false, None, None, 64, None),
        ("secured on the same link", true, None, Some(1), 255, Some(255)),
        ("secured, two hops", true, None, Some(2), 255, Some(254)),
        ("secured and internal", false, None, Some(255), 255, Some(1)),
    ];
    for (why, is_ebgp, ebgp_multihop, ttl_security_hops, ttl, ttl_min) in cases {
        let neighbor = NeighborConfig { ebgp_multihop, ttl_security_hops, ..neighbor("x", "10.0.0.2", 1) };
        let transport = neighbor.transport(is_ebgp);
        assert_eq!((transport.ttl, transport.ttl_min), (ttl, ttl_min), "{why}");
    }
}

#[test]
fn passwords_never_show() {
    let mut config = config();
    config.neighbors[0].password = Some(Password::new("swordfish"));
    let texts = [format!("{config:?}"), serde_json::to_string(&config).unwrap()];
    assert!(texts.iter().all(|text| !text.contains("swordfish")), "{texts:?}");
}
