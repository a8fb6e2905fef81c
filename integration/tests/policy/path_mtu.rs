//! What every policy must let pass: neighbour discovery and Packet Too Big; and the host to its own pods.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

use api::control::{PodPolicyStatus, Request};
use integration::lab::testing::TestLab;
use integration::lab::topology::{Shape, Space};
use integration::probe::{Endpoint, Family, Question};

use super::cast::{LAB, address, namespace, pod, policy, port};

const PORT: u16 = 8080;
/// Its own listener, for the lab's servers answer in lines.
const BULK_PORT: u16 = 9000;
const NARROW: u32 = 1400;
/// Many full segments each way.
const BYTES: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

fn endpoint(name: &str) -> Endpoint {
    Endpoint::Pod { namespace: "narrow".into(), name: name.into() }
}

/// Two racks: between them is a router that must say when a packet is too big.
async fn start() -> TestLab {
    let shape = Shape { racks: 2, nodes: 2, tors_per_rack: 1, ..Shape::default() };
    let lab = TestLab::start(LAB, shape).await.unwrap();
    let mut manifests = namespace("narrow", "{}");
    manifests += &policy("narrow", "deny", "{podSelector: {}, policyTypes: [Ingress, Egress]}");
    let bulk = format!(
        "{{podSelector: {{}}, ingress: [{{from: [{{podSelector: {{}}}}], ports: [{{port: {BULK_PORT}}}]}}], \
          egress: [{{to: [{{podSelector: {{}}}}], ports: [{{port: {BULK_PORT}}}]}}]}}"
    );
    manifests += &policy("narrow", "bulk", &bulk);
    for (name, node) in [("near", "node-1"), ("far", "node-2")] {
        manifests += &pod("narrow", name, node, "{}", &[port("TCP", PORT, "")]);
    }
    lab.apply(&manifests).await.unwrap();
    lab.pods_ready("narrow").await.unwrap();
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn big_packets_find_their_size_under_default_deny() {
    let lab = start().await;
    let uplinks = lab.underlay().topology().cables.iter().flat_map(|cable| [&cable.0, &cable.1]);
    let spine = Space::Router("spine".into());
    let narrow: Vec<_> = uplinks.filter(|end| end.space == spine && end.name.contains("tor")).collect();
    assert!(!narrow.is_empty(), "the spine's links to the ToRs");
    for cable in &lab.underlay().topology().cables {
        let ends = [&cable.0, &cable.1];
        if ends.iter().any(|end| end.space == spine)
            && ends.iter().all(|end| matches!(end.space, Space::Router(_)))
        {
            for end in ends {
                lab.underlay().set_mtu(&end.space, &end.name, NARROW).unwrap();
            }
        }
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let to = SocketAddr::new(address(&lab, &endpoint("far"), family), BULK_PORT);
        let listener = lab.inside(&endpoint("far"), || TcpListener::bind(to)).unwrap();
        let echo = std::thread::spawn(move || echo(&listener));
        let (mtu_before, mtu_after) = lab.inside(&endpoint("near"), || exchange(to)).unwrap();
        echo.join().unwrap().unwrap();
        assert_eq!(mtu_before, 1500, "{family:?}: the pod's own");
        assert_eq!(mtu_after, i32::try_from(NARROW).unwrap(), "{family:?}: what the path told");
    }
    lab.end().await;
}

/// Sends everything back that comes.
fn echo(listener: &TcpListener) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut all = vec![0; BYTES];
    stream.read_exact(&mut all)?;
    stream.write_all(&all)
}

/// The path's MTU as the kernel knew it before and after.
fn exchange(to: SocketAddr) -> io::Result<(i32, i32)> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let before = path_mtu(&stream, to)?;
    stream.write_all(&vec![7; BYTES])?;
    let mut back = vec![0; BYTES];
    stream.read_exact(&mut back)?;
    Ok((before, path_mtu(&stream, to)?))
}

#[allow(unsafe_code)]
fn path_mtu(stream: &TcpStream, to: SocketAddr) -> io::Result<i32> {
    let (level, option) =
        if to.is_ipv4() { (libc::IPPROTO_IP, libc::IP_MTU) } else { (libc::IPPROTO_IPV6, libc::IPV6_MTU) };
    let mut value = 0_i32;
    let mut length = libc::socklen_t::try_from(size_of::<i32>()).unwrap();
    // SAFETY: the descriptor is open, and value and length are as large as they are said to be.
    let result = unsafe {
        libc::getsockopt(stream.as_raw_fd(), level, option, (&raw mut value).cast(), &raw mut length)
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_finds_and_reaches_its_own_pods_under_default_deny() {
    let lab = start().await;
    let (node, ip) = (Endpoint::Node("node-1".into()), Path::new("/usr/sbin/ip"));
    let request = Request::Policy { namespace: "narrow".into(), pod: "near".into() };
    let status: PodPolicyStatus = lab.control("node-1", request).await.unwrap();
    assert!(status.ingress.isolated && status.egress.isolated, "{status:?}");
    for family in [Family::Ipv4, Family::Ipv6] {
        // Without an entry the host has to ask who has the address, and the pod has to answer.
        let target = address(&lab, &endpoint("near"), family).to_string();
        lab.run(&node, ip, &["neigh", "del", &target, "dev", &status.interface]).await.unwrap();
        let question =
            Question { family: Some(family), ..Question::new(node.clone(), endpoint("near"), PORT) };
        let patient = Question { timeout_millis: 5000, ..question };
        let found = lab.probe(&patient).await.unwrap();
        assert!(found.allowed, "{found:?}");
        let denied = Question { timeout_millis: 300, from: Endpoint::Node("node-2".into()), ..patient };
        let found = lab.probe(&denied).await.unwrap();
        assert!(!found.allowed, "another node is not the host: {found:?}");
    }
    lab.end().await;
}
