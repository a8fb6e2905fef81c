//! What a person sees, letter by letter, and what a script gets from a daemon that answers over a socket.

use std::{os::unix::net::UnixListener, thread};

use api::control::{
    AllocationStatus, BlockStatus, DirectionStatus, FamilyStatus, PathStatus, PeerStatus, PodPolicyStatus,
    PolicyRulesStatus, Reply, Request, RouteStatus, read_message, write_message,
};
use clap::Parser;

use crate::{args::Args, bgp, ipam, policy, run::run};

fn family(name: &str, received: usize) -> FamilyStatus {
    FamilyStatus { family: name.into(), received, accepted: received, advertised: 2 }
}

#[test]
fn peers_are_aligned() {
    let up = PeerStatus {
        name: "tor-a".into(),
        address: "10.10.1.251".into(),
        asn: 64601,
        state: "Established".into(),
        since_secs: 200,
        families: vec![family("ipv4-unicast", 12), family("ipv6-unicast", 3)],
        ..PeerStatus::default()
    };
    let down = PeerStatus {
        name: "tor-b".into(),
        address: "10.10.1.252".into(),
        asn: 64601,
        state: "Active".into(),
        since_secs: 5,
        last_error: "connection refused".into(),
        ..PeerStatus::default()
    };
    let expected = "\
PEER    ADDRESS          AS   STATE         SINCE   FAMILY         RECEIVED   ACCEPTED   ADVERTISED   LAST ERROR
tor-a   10.10.1.251   64601   Established   3m20s   ipv4-unicast         12         12            2
                                                    ipv6-unicast          3          3            2
tor-b   10.10.1.252   64601   Active        5s      -                     -          -            -   connection refused
";
    assert_eq!(bgp::peers(&[up.clone(), down.clone()]), expected);
    let watched = PeerStatus { bfd: Some("Up".into()), ..up };
    let expected = "\
PEER    ADDRESS          AS   STATE         SINCE   BFD   FAMILY         RECEIVED   ACCEPTED   ADVERTISED   LAST ERROR
tor-a   10.10.1.251   64601   Established   3m20s   Up    ipv4-unicast         12         12            2
                                                          ipv6-unicast          3          3            2
tor-b   10.10.1.252   64601   Active        5s      -     -                     -          -            -   connection refused
";
    assert_eq!(bgp::peers(&[watched, down]), expected);
    assert_eq!(bgp::peers(&[]), "No BGP peers are configured for this node.\n");
}

#[test]
fn routes_show_why() {
    let path = |peer: &str, best, reason: &str| PathStatus {
        peer: peer.into(),
        next_hop: "10.10.1.251".into(),
        as_path: "64601 64500".into(),
        best,
        reason: reason.into(),
        ..PathStatus::default()
    };
    let route = RouteStatus {
        prefix: "0.0.0.0/0".into(),
        paths: vec![path("tor-a", true, "best"), path("tor-b", false, "as-path-length")],
    };
    let expected = "    PREFIX      NEXT HOP      FROM    LOCPREF   MED   AS PATH       WHY
>   0.0.0.0/0   10.10.1.251   tor-a                   64601 64500   best
                10.10.1.251   tor-b                   64601 64500   as-path-length

> best, * used beside the best, s stale (its peer restarts)
";
    assert_eq!(bgp::routes(&[route]), expected);
}

#[test]
fn blocks_then_addresses() {
    let block = BlockStatus {
        cidr: "10.244.3.64/26".into(),
        pool: "default-ipv4".into(),
        addresses: 64,
        allocations: vec![AllocationStatus {
            address: "10.244.3.65".into(),
            pod: "default/web".into(),
            interface: "tort0123456789a".into(),
            since_secs: 61,
        }],
        ..BlockStatus::default()
    };
    let expected = "\
BLOCK            POOL           IN USE   ADDRESSES   STATE
10.244.3.64/26   default-ipv4        1          64   in use

ADDRESS       POD           INTERFACE         SINCE
10.244.3.65   default/web   tort0123456789a   1m1s
";
    assert_eq!(ipam::blocks(&[block]), expected);
}

#[test]
fn policy_of_a_pod() {
    let status = PodPolicyStatus {
        pod: "default/web".into(),
        addresses: vec!["10.244.3.65".into()],
        interface: "tort0123456789a".into(),
        ingress: DirectionStatus {
            isolated: true,
            policies: vec![PolicyRulesStatus {
                policy: "default/deny".into(),
                ..PolicyRulesStatus::default()
            }],
        },
        egress: DirectionStatus::default(),
    };
    let expected = "\
Pod         default/web
Addresses   10.244.3.65
Interface   tort0123456789a

Ingress: isolated; may reach the pod:
  NetworkPolicy default/deny
    nothing

Egress: no policy selects the pod; everything passes
";
    assert_eq!(policy::pod(&status), expected);
}

#[test]
fn the_daemon_is_asked_over_its_socket() {
    let folder = std::env::temp_dir().join(format!("tortiectl-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let socket = folder.join("control.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = thread::spawn(move || {
        let mut asked = Vec::new();
        for reply in [Reply::Value(vec![PeerStatus::default()]), Reply::Error("still starting".into())] {
            let (mut stream, _) = listener.accept().unwrap();
            asked.push(read_message::<Request>(&mut stream).unwrap().unwrap());
            write_message(&mut stream, &reply).unwrap();
        }
        asked
    });
    let socket_flag = socket.to_str().unwrap();
    let args = |output: &str| {
        Args::try_parse_from(["tortiectl", "--socket", socket_flag, "bgp", "peers", "-o", output]).unwrap()
    };
    let json: Vec<PeerStatus> = serde_json::from_str(&run(&args("json")).unwrap()).unwrap();
    assert_eq!(json, [PeerStatus::default()]);
    assert_eq!(run(&args("table")).unwrap_err().to_string(), "still starting");
    assert_eq!(daemon.join().unwrap(), [Request::Peers, Request::Peers]);
    std::fs::remove_dir_all(&folder).unwrap();
    let gone = run(&args("table")).unwrap_err().to_string();
    assert!(gone.starts_with("no daemon listens on "), "{gone}");
}

#[test]
fn one_session_with_the_errors_of_both_sides() {
    let status = PeerStatus {
        name: "tor-b".into(),
        address: "10.10.1.252".into(),
        asn: 64601,
        state: "Idle".into(),
        since_secs: 5,
        families: vec![family("ipv4-unicast", 12)],
        flaps: 2,
        last_error: "the peer sent Cease / Administrative Shutdown: new cables".into(),
        last_error_sent: "hold timer (90 s ago)".into(),
        last_error_received: "Cease / Administrative Shutdown: new cables (5 s ago)".into(),
        ..PeerStatus::default()
    };
    let expected = "\
Peer:                tor-b at 10.10.1.252, AS 64601
State:               Idle for 5s
Ended:               2 times
Last down:           the peer sent Cease / Administrative Shutdown: new cables
Last error sent:     hold timer (90 s ago)
Last error received: Cease / Administrative Shutdown: new cables (5 s ago)
ipv4-unicast:        12 received, 12 accepted, 2 advertised
";
    assert_eq!(bgp::peer(&status), expected);
    for wanted in ["tor-b", "10.10.1.252"] {
        assert_eq!(bgp::find_peer(vec![status.clone()], wanted).unwrap(), status);
    }
    let error = bgp::find_peer(vec![status], "tor-c").unwrap_err().to_string();
    assert_eq!(error, "no peer `tor-c` here; the peers are: tor-b");
}

#[test]
fn the_route_that_is_asked_for() {
    let routes = || {
        let prefixes = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "fd00::/64"];
        prefixes.map(|prefix| RouteStatus { prefix: prefix.into(), ..RouteStatus::default() }).to_vec()
    };
    // (asked for, route or error)
    let cases = [
        ("10.1.2.3", Ok("10.1.0.0/16")),
        ("10.2.0.1", Ok("10.0.0.0/8")),
        ("192.0.2.1", Ok("0.0.0.0/0")),
        ("fd00::9", Ok("fd00::/64")),
        ("10.0.0.0/8", Ok("10.0.0.0/8")),
        ("10.0.0.0/9", Err("BGP knows no route to 10.0.0.0/9")),
        ("fd01::1", Err("BGP knows no route to fd01::1")),
        ("here", Err("`here` is neither an address nor a prefix such as 10.0.0.0/8")),
    ];
    for (wanted, expected) in cases {
        let found =
            bgp::find_route(routes(), wanted).map(|route| route.prefix).map_err(|error| error.to_string());
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{wanted}");
    }
}
