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
