//! The worker turned by hand, in a network namespace of its own.

use std::sync::Mutex;

use super::*;
use crate::kernel::link::{self, LinkChange};
use crate::kernel::wake;

fn network(number: u32) -> ipnetwork::IpNetwork {
    ipnetwork::IpNetwork::new((0x0a00_0000 + number * 256).to_be_bytes().into(), 24).expect("a /24")
}

fn by_loopback() -> RouteTarget {
    RouteTarget::Link { interface: "lo".into() }
}

fn worker() -> (Worker, Arc<Shared>) {
    let mut socket = Socket::open(Protocol::Route).expect("netlink");
    let lo = link::by_name(&mut socket, "lo").expect("an answer").expect("every namespace has it");
    link::change(&mut socket, lo.index, &[LinkChange::Up(true)]).expect("up");
    let (waker, wakeup) = wake::pair().expect("a pair");
    let shared = Arc::new(Shared { mailbox: Mutex::default(), status: Mutex::default(), waker });
    (Worker::open(Ownership::NODE, Arc::clone(&shared), wakeup).expect("it opens"), shared)
}

/// What somebody with this protocol number writes, unheard until the worker's next turn.
fn write(ownership: &Ownership, ops: &[RouteOp], links: &Links) {
    let mut socket = Socket::open(Protocol::Route).expect("netlink");
    let requests: Vec<_> =
        ops.iter().map(|op| route::request(op, ownership, links).expect("writable")).collect();
    for outcome in socket.batch(&requests).expect("answers") {
        outcome.expect("written");
    }
}

#[test]
fn lost_events_make_it_read_everything_again() {
    let test = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("kernel tests need root");
        let (mut worker, shared) = worker();
        let key = RouteKey { source: RouteSource::Bgp, prefix: network(0) };
        shared.post(|mailbox| drop(mailbox.routes.insert(key, Some(by_loopback()))));
        worker.turn(Duration::ZERO).expect("a turn");
        assert!(worker.observed.contains_key(&key));

        // A storm of foreign routes fills the buffer; that ours is removed is not heard.
        worker.events.set_receive_buffer(4096).expect("a small buffer");
        let foreign = Ownership { protocol: 99, ..Ownership::NODE };
        let storm: Vec<RouteOp> = (1..1000)
            .map(|number| RouteKey { source: RouteSource::Bgp, prefix: network(number) })
            .map(|key| RouteOp::Add(key, by_loopback()))
            .collect();
        write(&foreign, &storm, &worker.links);
        write(&Ownership::NODE, &[RouteOp::Remove(key)], &worker.links);
        let is_there = |worker: &mut Worker| {
            let observed = route::dump(&mut worker.requests, &worker.ownership, &worker.links);
            observed.expect("a dump").contains_key(&key)
        };
        assert!(!is_there(&mut worker));

        for _ in 0..10 {
            worker.turn(REPAIR_LIMIT).expect("a turn");
            if is_there(&mut worker) {
                break;
            }
        }
        assert!(is_there(&mut worker), "it is repaired");
        assert!(shared.status().overruns > 0, "because events were lost");
    });
    test.join().expect("no panic");
}

const REPAIR_LIMIT: Duration = Duration::from_millis(300);

#[test]
fn a_failed_turn_is_made_good() {
    let test = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("kernel tests need root");
        let (mut worker, shared) = worker();
        let key = RouteKey { source: RouteSource::Local, prefix: network(0) };
        worker.recover(&SocketError::NoAnswer);
        assert!(worker.are_links_stale);
        shared.post(|mailbox| drop(mailbox.routes.insert(key, Some(by_loopback()))));
        worker.schedule.at_once(now());
        worker.turn(Duration::ZERO).expect("the new sockets work");
        assert!(worker.observed.contains_key(&key) && !worker.are_links_stale);
        assert_eq!(worker.port, worker.requests.port().expect("a port"), "its own writes are known");
    });
    test.join().expect("no panic");
}
