//! Files that work, and what the others are told.

use super::*;

const LEAST: &str = "asn = 64601\nrouter_id = \"10.10.1.251\"\n";

fn parsed(text: &str) -> RouterFile {
    RouterFile::parse(&format!("{LEAST}{text}")).unwrap()
}

#[test]
fn what_is_not_written_has_a_default() {
    let file = parsed("");
    assert_eq!(file.speaker, SpeakerConfig::new(64601, "10.10.1.251".parse().unwrap()));
    assert_eq!(file.listen, ["0.0.0.0:179".parse().unwrap(), "[::]:179".parse().unwrap()]);
    assert!(file.kernel_routes);
    assert_eq!(file.originate, Originations::new());
}

#[test]
fn every_field_is_obeyed() {
    let file = parsed(
        r#"
        hold_time_secs = 9
        listen = ["10.10.1.251:1179"]
        kernel_routes = false
        originate = [
            "0.0.0.0/0",
            { prefix = "10.10.1.0/24", attributes = { communities = ["64601:1"], med = 5 } },
        ]
        multipath_max = 4
        import_default_routes = true
        graceful_restart = { restart_time_secs = 120 }

        [[neighbors]]
        name = "node-1"
        address = "10.10.1.11"
        remote_asn = 65101
        next_hop_ipv6 = "fd00:10:1::251"
        "#,
    );
    let speaker = &file.speaker;
    assert_eq!((speaker.hold_time_secs, speaker.multipath_max), (9, 4));
    assert!(speaker.import_default_routes && !file.kernel_routes);
    assert_eq!(speaker.graceful_restart.map(|settings| settings.restart_time_secs), Some(120));
    assert_eq!(file.listen, ["10.10.1.251:1179".parse().unwrap()]);
    let attributes = &file.originate[&"10.10.1.0/24".parse().unwrap()];
    assert_eq!((attributes.med, attributes.communities.len()), (Some(5), 1));
    let mut neighbor = NeighborConfig::new("node-1", "10.10.1.11".parse().unwrap(), 65101);
    neighbor.next_hop_ipv6 = Some("fd00:10:1::251".parse().unwrap());
    assert_eq!(speaker.neighbors, [neighbor]);
}

#[test]
fn graceful_restart_has_a_switch() {
    let default = Some(GracefulRestartConfig::default());
    for (text, expected) in [("graceful_restart = false", None), ("graceful_restart = true", default)] {
        assert_eq!(parsed(text).speaker.graceful_restart, expected, "{text}");
    }
}

#[test]
fn errors_name_the_field_and_the_remedy() {
    // (file after the least one, what the error must say)
    let cases = [
        ("hold_time = 9", ["hold_time", "expected one of", "hold_time_secs"]),
        ("hold_time_secs = \"9\"", ["hold_time_secs = \"9\"", "string \"9\"", "u16"]),
        ("hold_time_secs = 2", ["hold_time_secs", "2 is forbidden", "at least 3"]),
        ("listen = [\"10.0.0.1\"]", ["listen", "10.0.0.1", "socket address"]),
        ("originate = [\"10.0.0.0\"]", ["originate", "a prefix such as", "10.0.0.0/8"]),
        ("originate = [\"10.0.0.1/8\"]", ["originate", "10.0.0.1/8 has bits", "write 10.0.0.0/8"]),
        ("graceful_restart = 60", ["graceful_restart", "integer `60`", "restart_time_secs = 60"]),
        (
            "graceful_restart = { restart_time = 60 }",
            ["restart_time", "expected one of", "restart_time_secs"],
        ),
        ("[[neighbors]]\nname = \"a\"", ["[[neighbors]]", "missing field", "address"]),
        (
            "[[neighbors]]\nname = \"a\"\naddress = \"10.0.0.1\"\nremote_asn = 0",
            ["neighbors.a.remote_asn", "AS 0 is reserved", "give the AS number"],
        ),
    ];
    for (text, expected) in cases {
        let error = RouterFile::parse(&format!("{LEAST}{text}")).expect_err(text);
        let error = format!("{error:#}");
        for part in expected {
            assert!(error.contains(part), "{text}: `{part}` is not in: {error}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = RouterFile::read(Path::new("/nowhere/router.toml")).expect_err("not there");
    assert_eq!(error.to_string(), "--config /nowhere/router.toml: cannot read");
}

#[test]
fn passwords_and_where_they_may_stand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    fs::write(&path, "secret\n").unwrap();
    let neighbor = |line: &str| {
        format!("{LEAST}[[neighbors]]\nname = \"n\"\naddress = \"10.0.0.2\"\nremote_asn = 1\n{line}\n")
    };
    let file = format!("password_file = {:?}", path.display().to_string());
    // (lines, what the error names; empty: the password is `secret`)
    let cases = [
        ("password = \"secret\"".to_owned(), ""),
        (file.clone(), ""),
        (format!("password = \"x\"\n{file}"), "neighbors.n.password_file: there is a `password` too"),
        ("password_file = \"/nowhere\"".to_owned(), "neighbors.n.password_file: cannot read /nowhere"),
        ("password_file = 5".to_owned(), "password_file: invalid type"),
        ("password = \"\"".to_owned(), "neighbors.n.password: it has 0 bytes"),
        ("pasword = \"x\"".to_owned(), "unknown field `pasword`"),
    ];
    for (lines, expected) in cases {
        match RouterFile::parse(&neighbor(&lines)) {
            Ok(file) => {
                assert_eq!(expected, "", "{lines}");
                assert_eq!(file.speaker.neighbors[0].password, Some(Password::new("secret")), "{lines}");
            }
            Err(error) => {
                assert!(!expected.is_empty() && format!("{error:#}").contains(expected), "{error:#}");
            }
        }
    }
    let held =
        RouterFile::parse(&neighbor("hold = { shutdown = \"new cables\" }\nttl_security_hops = 1")).unwrap();
    let neighbor = &held.speaker.neighbors[0];
    assert_eq!(neighbor.hold.as_ref().unwrap().to_string(), "shut down by configuration: new cables");
    assert_eq!(neighbor.ttl_security_hops, Some(1));
}
