//! Policy is there before a pod's first packet.
//!
//! ```text
//! Pod (denied egress) -> namespace -> sender loops -> ADD -> answer -> listener on another pod: nothing
//!                                        |  node: its packets are seen on the host's end before the answer
//! ```

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use integration::lab::netns::NetworkNamespace;
use integration::lab::testing::{TestLab, UNMANAGED};
use integration::probe::{Endpoint, Family};
use k8s_openapi::api::core::v1::Pod;
use nix::sys::signal::Signal;
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

use super::cast::{address, lab, namespace, pod, policies_are_in_force, policy, port};
use super::daemon::{InProcess, PolicyPart};
use super::packets::{drain, udp};

const PORT: u16 = 5353;
/// So many by default; `FIRST_PACKET_STARTS=200` takes more, as `cargo lab soak first-packet` does.
const STARTS: usize = 40;
/// So many starts without a chain are enough to see what then happens.
const STARTS_WITHOUT_CHAIN: usize = 5;
/// How long after the answer the sender goes on: a chain that comes late would show.
const AFTERWARDS: Duration = Duration::from_millis(30);
/// How long a thread may have to wait for a processor.
const TURN_LIMIT: Duration = Duration::from_secs(5);
/// The first bytes of every datagram of the sender.
const MARK: &[u8] = b"first-packet";

/// What came of one start.
#[derive(Debug, Default)]
struct Start {
    /// Datagrams that the pod's kernel took before ADD answered, and in all.
    sent_before: u64,
    sent: u64,
    /// Datagrams on the host's end of the pod before ADD answered, and in all.
    seen_before: u64,
    seen: u64,
    /// Those that came to the listeners.
    arrived: usize,
}

fn listener(name: &str) -> Endpoint {
    Endpoint::Pod { namespace: "first".into(), name: name.into() }
}

async fn prepare(lab: &TestLab) {
    let mut manifests = namespace("first", "{}");
    for (name, node) in [("near", "node-1"), ("far", "node-2")] {
        manifests += &pod("first", name, node, "{}", &[port("TCP", 80, "")]);
    }
    manifests +=
        &policy("first", "silent", "{podSelector: {matchLabels: {pod: starting}}, policyTypes: [Egress]}");
    lab.apply(&manifests).await.unwrap();
    lab.pods_ready("first").await.unwrap();
    policies_are_in_force(lab, "first").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_packet_passes_before_policy() {
    let lab = lab().await;
    prepare(&lab).await;
    let starts = std::env::var("FIRST_PACKET_STARTS").map_or(STARTS, |text| text.parse().unwrap());
    let all = run(&lab, starts).await;
    let sum = |of: fn(&Start) -> u64| all.iter().map(of).sum::<u64>();
    println!(
        "measured: {starts} starts: {} datagrams sent ({} before the answer), {} seen on the host's end ({} before the answer), {} arrived",
        sum(|start| start.sent),
        sum(|start| start.sent_before),
        sum(|start| start.seen),
        sum(|start| start.seen_before),
        all.iter().map(|start| start.arrived).sum::<usize>(),
    );
    assert!(all.iter().all(|start| start.arrived == 0), "a denied packet passed: {all:?}");
    assert!(all.iter().all(|start| start.seen > 0), "a sender was not sending: {all:?}");
    assert!(sum(|start| start.sent_before) > 0, "no sender was quicker than the answer: {all:?}");

    // The same without the chain: then the packets must be found, or the above would prove nothing.
    lab.stop_daemon("node-1", Signal::SIGTERM).await.unwrap();
    let node = Endpoint::Node("node-1".into());
    lab.run(&node, Path::new("/usr/sbin/nft"), &["delete", "table", "inet", "tortie"]).await.unwrap();
    let daemon = InProcess::start(&lab, "node-1", PolicyPart::Idle);
    let all = run(&lab, STARTS_WITHOUT_CHAIN).await;
    daemon.stop();
    assert!(all.iter().all(|start| start.arrived > 0), "without a chain packets pass: {all:?}");
    lab.end().await;
}

async fn run(lab: &TestLab, starts: usize) -> Vec<Start> {
    let near = listen(lab, "near");
    let far = listen(lab, "far");
    let mut targets = Vec::new();
    for name in ["near", "far"] {
        for family in [Family::Ipv4, Family::Ipv6] {
            targets.push(SocketAddr::new(address(lab, &listener(name), family), PORT));
        }
    }
    let mut all = Vec::new();
    for number in 0..starts {
        let mut start = start(lab, &format!("starting-{number}"), &targets).await;
        start.arrived = [&near, &far].into_iter().map(|socket| drain(socket).len()).sum();
        all.push(start);
    }
    all
}

fn listen(lab: &TestLab, name: &str) -> UdpSocket {
    let any: SocketAddr = SocketAddr::new("::".parse().unwrap(), PORT);
    udp(lab, &listener(name), any, AFTERWARDS)
}

/// One pod from nothing to nothing.
async fn start(lab: &TestLab, name: &str, targets: &[SocketAddr]) -> Start {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"namespace": "first", "name": name, "labels": {"pod": "starting"}, "annotations": {UNMANAGED: "true"}},
        "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "lab"}]},
    }))
    .unwrap();
    let api: kube::Api<Pod> = kube::Api::namespaced(lab.client(), "first");
    let pod = api.create(&kube::api::PostParams::default(), &pod).await.unwrap();
    let space = NetworkNamespace::create().unwrap();
    let netns = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), space.handle().as_raw_fd()));
    let ears = Ears::open(lab);
    let sender = Sender::start(&space, targets);
    lab.attach("node-1", &pod, &netns).await.unwrap();
    let (sent_before, seen_before) = (sender.sent(), ears.heard());
    let answered = Instant::now();
    // On a machine under load the sender may not have had a turn yet.
    while answered.elapsed() < AFTERWARDS || (ears.heard() == 0 && answered.elapsed() < TURN_LIMIT) {
        std::thread::yield_now();
    }
    let sent = sender.stop();
    let seen = ears.stop();
    lab.detach("node-1", &pod, &netns).await.unwrap();
    // No kubelet will confirm its end.
    api.delete(name, &kube::api::DeleteParams::default().grace_period(0)).await.unwrap();
    Start { sent_before, sent, seen_before, seen, arrived: 0 }
}

/// A thread that counts what it does until it is stopped.
struct Counting {
    count: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Counting {
    fn start(mut act: impl FnMut() -> u64 + Send + 'static) -> Self {
        let (count, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, stopping) = (count.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                counter.fetch_add(act(), Ordering::Relaxed);
            }
        });
        Self { count, stop, thread }
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.count.load(Ordering::Relaxed)
    }
}

/// Sends to every target, again and again; counts what the kernel took.
struct Sender(Counting);

impl Sender {
    fn start(space: &NetworkNamespace, targets: &[SocketAddr]) -> Self {
        let targets = targets.to_vec();
        let sockets =
            space.inside(|| Ok([UdpSocket::bind("0.0.0.0:0")?, UdpSocket::bind("[::]:0")?])).unwrap();
        Self(Counting::start(move || {
            let sent = targets.iter().filter(|target| {
                let socket = &sockets[usize::from(target.is_ipv6())];
                socket.send_to(MARK, target).is_ok()
            });
            let sent = u64::try_from(sent.count()).unwrap();
            if sent == 0 {
                std::thread::yield_now();
            }
            sent
        }))
    }

    fn sent(&self) -> u64 {
        self.0.count()
    }

    fn stop(self) -> u64 {
        self.0.stop()
    }
}

/// Hears the sender's datagrams on all interfaces of the node, before any table sees them.
struct Ears(Counting);

impl Ears {
    fn open(lab: &TestLab) -> Self {
        const ETH_P_ALL: u16 = 3;
        let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
        let node = Endpoint::Node("node-1".into());
        let socket = lab.inside(&node, || Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        Self(Counting::start(move || {
            let mut buffer = [0; 256];
            let socket: &Socket = &socket;
            let length = std::io::Read::read(&mut &*socket, &mut buffer).unwrap_or(0);
            let is_ours = buffer[..length].windows(MARK.len()).any(|window| window == MARK);
            u64::from(is_ours)
        }))
    }

    fn heard(&self) -> u64 {
        self.0.count()
    }

    fn stop(self) -> u64 {
        self.0.stop()
    }
}
