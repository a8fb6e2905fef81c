//! What the tests with real sockets share: a network namespace of their own, and speakers in it.

#[allow(dead_code, reason = "each test takes what it needs")]
pub(crate) mod bird;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use bgp::config::{NeighborConfig, Origination, SpeakerConfig};
use bgp::driver::{self, DriverError, FibEvent, Handle};
use bgp::fib::FibNextHop;
use bgp::speaker::{RestartMode, SessionEvent, SessionEventKind, Stop};
use ipnetwork::IpNetwork;
use nix::sched::{CloneFlags, unshare};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// More than any of these tests needs on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// Runs the test on a thread in a network namespace of its own whose loopback has these addresses.
///
/// The namespace goes with the thread.
pub(crate) fn isolated<F>(addresses: &'static [&'static str], test: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()>,
{
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("this test makes a network namespace: run it as root");
        ip(&["link", "set", "lo", "up"]);
        for address in addresses {
            // No duplicate address detection: on the loopback it would only take time.
            ip(&["address", "add", address, "dev", "lo", "nodad"]);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(test());
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn ip(arguments: &[&str]) {
    let arguments =
        arguments.iter().filter(|argument| !(**argument == "nodad" && arguments[2].contains('.')));
    let output = Command::new("ip").args(arguments.clone()).output().expect("ip is installed");
    assert!(output.status.success(), "ip: {}", String::from_utf8_lossy(&output.stderr));
}

/// A speaker under test, and what it has said.
pub(crate) struct Router {
    pub(crate) handle: Handle,
    pub(crate) task: JoinHandle<Result<(), DriverError>>,
    pub(crate) table: BTreeMap<IpNetwork, BTreeSet<FibNextHop>>,
    pub(crate) withdrawals: Vec<IpNetwork>,
    pub(crate) is_synced: bool,
    pub(crate) events: Vec<SessionEvent>,
    fib: mpsc::Receiver<FibEvent>,
    event_queue: mpsc::Receiver<SessionEvent>,
}

impl Router {
    /// Starts a speaker that listens on port 179 of this address.
    pub(crate) async fn start(config: SpeakerConfig, restart: RestartMode, address: &str) -> Self {
        let listen = vec![SocketAddr::new(address.parse().unwrap(), 179)];
        let (handle, fib, event_queue, task) =
            driver::start(config, restart, listen).await.expect("it starts");
        Self {
            handle,
            task,
            table: BTreeMap::new(),
            withdrawals: Vec::new(),
            is_synced: false,
            events: Vec::new(),
            fib,
            event_queue,
        }
    }

    /// Takes what comes until the condition holds.
    pub(crate) async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            while !condition(self) {
                tokio::select! {
                    Some(event) = self.fib.recv() => self.take(event),
                    Some(event) = self.event_queue.recv() => self.events.push(event),
                    else => panic!("the speaker ended before {what}"),
                }
            }
        };
        let is_in_time = timeout(LIMIT, wait).await.is_ok();
        assert!(is_in_time, "{what}: not within {LIMIT:?}; {:#?}; {:?}", self.events, self.table);
    }

    fn take(&mut self, event: FibEvent) {
        match event {
            FibEvent::Synced => self.is_synced = true,
            FibEvent::Change(change) if change.next_hops.is_empty() => {
                self.table.remove(&change.prefix);
                self.withdrawals.push(change.prefix);
            }
            FibEvent::Change(change) => drop(self.table.insert(change.prefix, change.next_hops)),
        }
    }

    pub(crate) async fn until_established(&mut self) {
        self.until("a session", Self::is_established).await;
    }

    /// Whether the last thing that happened to a session is that it came up.
    pub(crate) fn is_established(&self) -> bool {
        let last = self.events.iter().rev().find_map(|event| match event.kind {
            SessionEventKind::Established { .. } => Some(true),
            SessionEventKind::Down { .. } => Some(false),
            _ => None,
        });
        last == Some(true)
    }

    /// The gateways of a prefix as text.
    pub(crate) fn gateways(&self, prefix: &str) -> Vec<String> {
        let next_hops = self.table.get(&network(prefix));
        next_hops.into_iter().flatten().map(|hop| hop.gateway.to_string()).collect()
    }

    pub(crate) async fn originate(&self, prefixes: &[&str]) {
        let originations = prefixes.iter().map(|prefix| (network(prefix), Origination::default())).collect();
        self.handle.originate(originations).await.expect("it runs");
        self.handle.local_sources_synced().await.expect("it runs");
    }

    pub(crate) async fn stop(self, stop: Stop) {
        self.handle.stop(stop).await.expect("it runs");
        timeout(LIMIT, self.task).await.expect("in time").expect("no panic").expect("no error");
    }
}

pub(crate) fn network(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

/// A speaker with one neighbor; its own addresses are next hops.
pub(crate) fn config(asn: u32, own: [&str; 2], neighbor: NeighborConfig) -> SpeakerConfig {
    let [ipv4, ipv6] = own;
    let mut config = SpeakerConfig::new(asn, ipv4.parse().unwrap());
    config.neighbors.push(NeighborConfig {
        local_address: Some(ipv4.parse::<IpAddr>().unwrap()),
        next_hop_ipv6: Some(ipv6.parse().unwrap()),
        connect_retry_secs: 1,
        ..neighbor
    });
    config
}
