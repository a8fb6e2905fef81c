//! Bad input: each with its error where it can be said first, and everything else goes on.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use api::IPPool;
use integration::lab::oracle::{self, Running};
use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::{Shape, Space};
use integration::probe::Endpoint;
use kube::Api;

use super::scene::{Flows, await_sessions, create_pod, holder, start};

const NODE: &str = "node-1";

async fn refusal(lab: &TestLab, manifest: &str) -> String {
    lab.apply(manifest).await.map_or_else(|error| error.to_string(), |()| "accepted".into())
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_cannot_be_are_refused_or_say_so_and_all_else_goes_on() {
    let lab = start(Shape { racks: 1, nodes: 2, tors_per_rack: 1, ..Shape::default() }).await;
    create_pod(&lab, "a", NODE).await;
    create_pod(&lab, "far", "node-2").await;
    lab.pods_ready("app").await.unwrap();
    await_sessions(&lab, NODE, 1).await;
    let flows = Flows::start(&lab, &[("a", "far")]).await;
    // (object, part of what the API server says)
    let pool = |name: &str, spec: &str| {
        format!("{{apiVersion: tortie.dev/v1alpha1, kind: IPPool, metadata: {{name: {name}}}, spec: {spec}}}")
    };
    let peer = |spec: &str| {
        format!("{{apiVersion: tortie.dev/v1alpha1, kind: BGPPeer, metadata: {{name: bad}}, spec: {spec}}}")
    };
    let cases = [
        (pool("large", "{cidr: 10.77.0.0/16, blockSize: 19}"), "spec.blockSize"),
        (pool("shorter", "{cidr: 10.77.0.0/26, blockSize: 24}"), "spec.blockSize must not be shorter"),
        (pool("six", "{cidr: 'fd00:77::/64', blockSize: 64}"), "spec.blockSize must be 20 to 32 for IPv4"),
        (pool("host", "{cidr: 10.77.0.1/16}"), "host bits zero"),
        (pool("words", "{cidr: everything}"), "spec.cidr must be a prefix"),
        (peer("{peerIP: 10.0.0.999, asNumber: 64601}"), "spec.peerIP must be an IPv4 or IPv6 address"),
        (peer("{peerIP: 10.0.0.9, asNumber: 0}"), "spec.asNumber"),
        (peer("{peerIP: 10.0.0.9, asNumber: 64601, holdTimeSeconds: 2}"), "RFC 4271 section 4.2"),
    ];
    for (manifest, expected) in cases {
        let said = refusal(&lab, &manifest).await;
        assert!(said.contains(expected), "{manifest}\n{said}");
    }
    // Only the service can see an overlap.
    lab.apply(&pool("overlapping", "{cidr: 10.244.128.0/17}")).await.unwrap();
    let pools: Api<IPPool> = Api::all(lab.client());
    let message = lab
        .until("condition of the overlapping pool", LIMIT, async || {
            let status = pools.get("overlapping").await.ok()?.status?;
            let ready = status.conditions.into_iter().find(|condition| condition.type_ == "Ready")?;
            (ready.status == "False").then_some(ready.message)
        })
        .await
        .unwrap();
    assert!(message.contains("10.244.0.0/16"), "it names the other: {message}");
    create_pod(&lab, "late", NODE).await;
    lab.pods_ready("app").await.unwrap();
    flows.lost_nothing("bad objects").await;
    lab.end().await;
}

/// What no protocol here begins with, and its first bytes right with nonsense behind.
const GARBAGE: [&[u8]; 6] = [
    b"\0",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x13\x07",
    b"\x00\x00\x00\x10{\"version\":77777}",
    b"\xff\xff\xff\xff{}",
    b"\x00\x00\x00\x02\xff\xfe",
];

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_every_socket_costs_nobody_else_anything() {
    let lab = start(Shape { racks: 1, nodes: 2, tors_per_rack: 1, ..Shape::default() }).await;
    create_pod(&lab, "a", NODE).await;
    create_pod(&lab, "far", "node-2").await;
    lab.pods_ready("app").await.unwrap();
    await_sessions(&lab, NODE, 1).await;
    let flows = Flows::start(&lab, &[("a", "far")]).await;
    let daemon = lab.daemon_pid(NODE).unwrap();
    let root = format!("/proc/{}/root", holder(&lab, NODE));
    let node = lab.underlay().network(&Space::Node(NODE.into())).unwrap();
    let router = lab.underlay().network(&Space::Router("tor-1-1".into())).unwrap();
    for garbage in GARBAGE {
        for socket in ["cni.sock", "control.sock"] {
            // Held open without an end, as a client that hangs would.
            let mut stream = UnixStream::connect(format!("{root}/run/tortie/{socket}")).unwrap();
            throw(&mut stream, garbage);
        }
        for (network, address) in [
            (&node, "127.0.0.1:9964"),
            (&node, "10.10.1.251:179"),
            (&router, "10.10.1.11:179"),
            (&router, "[fd00:10:1::11]:179"),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            let connect = || TcpStream::connect_timeout(&address, Duration::from_secs(5));
            let mut stream = network.inside(connect).unwrap_or_else(|error| panic!("{address}: {error}"));
            throw(&mut stream, garbage);
        }
        let mut stream = UnixStream::connect(lab.underlay().router_socket("tor-1-1")).unwrap();
        throw(&mut stream, garbage);
    }
    let peers = lab.peers(&Endpoint::Node(NODE.into())).await.unwrap();
    assert!(peers.iter().all(|peer| peer.state == "Established" && peer.flaps == 0), "{peers:?}");
    assert_eq!(lab.daemon_pid(NODE).unwrap(), daemon, "the daemon is the same process");
    create_pod(&lab, "late", NODE).await;
    lab.pods_ready("app").await.unwrap();
    flows.lost_nothing("garbage").await;
    lab.end().await;
}

/// Writes it and waits a moment for the answer or the end; either is fine.
fn throw(stream: &mut (impl Stream + std::io::Read + std::io::Write), garbage: &[u8]) {
    stream.limit(Duration::from_millis(100));
    let _ = stream.write_all(garbage);
    let _ = stream.read(&mut [0; 1024]);
}

trait Stream {
    fn limit(&self, time: Duration);
}

impl Stream for UnixStream {
    fn limit(&self, time: Duration) {
        self.set_read_timeout(Some(time)).unwrap();
    }
}

impl Stream for TcpStream {
    fn limit(&self, time: Duration) {
        self.set_read_timeout(Some(time)).unwrap();
    }
}

const GOOD: &str =
    "asn = 64601\nrouter_id = \"127.0.0.1\"\nlisten = [\"127.0.0.1:1790\"]\nkernel_routes = false\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_of_the_router_names_field_and_remedy_and_changes_nothing() {
    let lab = start(Shape { racks: 1, nodes: 1, tors_per_rack: 1, ..Shape::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("router.toml");
    let socket = folder.path().join("router.sock");
    let program = lab.underlay().programs().own("tortie-bgp").unwrap();
    let inside = || {
        // In the external host's network: nobody else listens there.
        let process = lab.underlay().holder(&Space::External("internet".into())).unwrap();
        let mut command = oracle::command(process, &program.display().to_string());
        command.arg("--config").arg(&file).arg("--socket").arg(&socket);
        command
    };
    // (why, file, parts of what is said)
    let cases = [
        ("no TOML", "asn = = 1", &["line 1"][..]),
        ("no AS number", "router_id = \"10.0.0.1\"", &["asn"]),
        ("AS 0", &GOOD.replace("64601", "0"), &["asn", "RFC 7607"]),
        ("no identifier", &GOOD.replace("127.0.0.1\"\nl", "zero\"\nl"), &["router_id"]),
        (
            "a field that is not there",
            &format!("{GOOD}hold_tme_secs = 9\n"),
            &["hold_tme_secs", "hold_time_secs"],
        ),
        ("hold time 2", &format!("{GOOD}hold_time_secs = 2\n"), &["hold_time_secs", "3"]),
        (
            "a neighbour without an address",
            &format!("{GOOD}[[neighbors]]\nname = \"x\"\nremote_asn = 1\n"),
            &["address"],
        ),
    ];
    for (why, text, expected) in cases {
        std::fs::write(&file, text).unwrap();
        let output = inside().output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success(), "{why}: {said}");
        assert!(expected.iter().all(|part| said.contains(part)), "{why}: {expected:?} is not all in: {said}");
    }
    std::fs::write(&file, format!("{GOOD}originate = [\"198.51.100.0/24\"]\n")).unwrap();
    let mut router = Running::start(inside()).unwrap();
    await_routes(&lab, &socket, &["198.51.100.0/24"]).await;
    std::fs::write(&file, "asn = \"many\"\n").unwrap();
    hang_up(router.id());
    lab.until("the refusal in the log", LIMIT, async || router.text().ok()?.contains("asn").then_some(()))
        .await
        .unwrap();
    await_routes(&lab, &socket, &["198.51.100.0/24"]).await;
    assert!(!router.has_ended().unwrap());
    std::fs::write(&file, format!("{GOOD}originate = [\"203.0.113.0/24\"]\n")).unwrap();
    hang_up(router.id());
    await_routes(&lab, &socket, &["203.0.113.0/24"]).await;
    lab.end().await;
}

fn hang_up(process: u32) {
    let process = process.to_string();
    assert!(Command::new("kill").args(["-HUP", &process]).status().unwrap().success());
}

async fn await_routes(lab: &TestLab, socket: &std::path::Path, expected: &[&str]) {
    lab.until(&format!("routes {expected:?}"), LIMIT, async || {
        let mut stream = UnixStream::connect(socket).ok()?;
        api::control::write_message(&mut stream, &api::control::Request::Routes).ok()?;
        let reply: api::control::Reply<Vec<api::control::RouteStatus>> =
            api::control::read_message(&mut stream).ok()??;
        let api::control::Reply::Value(routes) = reply else { return None };
        let found: Vec<&str> = routes.iter().map(|route| route.prefix.as_str()).collect();
        (found == expected).then_some(())
    })
    .await
    .unwrap();
}
