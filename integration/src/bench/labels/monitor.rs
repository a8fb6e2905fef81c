//! What the kernel reports of changes of nftables sets in one network namespace.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};
use socket2::SockRef;
use tokio::sync::mpsc;

use crate::lab::netns::NetworkNamespace;

/// The multicast group of nftables (`NFNLGRP_NFTABLES`).
const GROUP: u32 = 7;
/// Message types: subsystem nftables, and what happened to elements of a set.
const NEW_ELEMENTS: u16 = 0x0a0c;
const DELETED_ELEMENTS: u16 = 0x0a0e;
/// Length of a netlink header, in bytes.
const HEADER_BYTES: usize = 16;

/// How long the thread waits for a change before it looks whether it shall end.
const PATIENCE: Duration = Duration::from_millis(100);
/// Changes that nobody has asked for yet: there is one at a time.
const CHANGES_MAX: usize = 64;

/// What happened to an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is in a set now.
    Added,
    /// It is no more.
    Removed,
}

/// Hears of every change of one address in its namespace; its thread ends with it.
pub(super) struct Monitor {
    changes: mpsc::Receiver<(Change, Instant)>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Changes of elements that hold the address, each with its time.
    pub(super) fn start(namespace: &NetworkNamespace, address: IpAddr) -> io::Result<Self> {
        let socket = namespace.inside(|| {
            let mut socket = Socket::new(NETLINK_NETFILTER)?;
            socket.bind(&SocketAddr::new(0, 0))?;
            socket.add_membership(GROUP)?;
            SockRef::from(&socket).set_read_timeout(Some(PATIENCE))?;
            Ok(socket)
        })?;
        let (sender, changes) = mpsc::channel(CHANGES_MAX);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let listen = move || {
            while !over.load(Ordering::Relaxed) {
                // An error is that nothing came in time, or too much; a change that is missed is noticed by who waits.
                let Ok((datagram, _)) = socket.recv_from_full() else { continue };
                let at = now();
                for change in changes_of(&datagram, address) {
                    let _ = sender.try_send((change, at));
                }
            }
        };
        let thread = std::thread::Builder::new().name("nft-monitor".into()).spawn(listen)?;
        Ok(Self { changes, is_over, thread: Some(thread) })
    }

    /// When that happened next.
    pub(super) async fn next(&mut self, wanted: Change) -> io::Result<Instant> {
        while let Some((change, at)) = self.changes.recv().await {
            if change == wanted {
                return Ok(at);
            }
        }
        Err(io::Error::other("the monitor of nftables ended"))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "taking the time is what a benchmark is for")]
fn now() -> Instant {
    Instant::now()
}

/// What the messages in this datagram say of elements that hold the address.
fn changes_of(datagram: &[u8], address: IpAddr) -> Vec<Change> {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut found = Vec::new();
    let mut rest = datagram;
    while let (Some(length), Some(kind)) = (rest.first_chunk::<4>(), rest.get(4..6)) {
        let length = u32::from_ne_bytes(*length) as usize;
        let Some(message) = rest.get(HEADER_BYTES..length) else { break };
        let change = match u16::from_ne_bytes([kind[0], kind[1]]) {
            NEW_ELEMENTS => Some(Change::Added),
            DELETED_ELEMENTS => Some(Change::Removed),
            _ => None,
        };
        found.extend(change.filter(|_| message.windows(octets.len()).any(|window| window == octets)));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn elements_are_found_by_their_address() {
        let address = "10.244.0.7".parse().unwrap();
        let with = [1, 10, 244, 0, 7, 9];
        // (why, datagram, expected)
        let cases = [
            ("nothing", vec![], vec![]),
            ("added", message(NEW_ELEMENTS, &with), vec![Change::Added]),
            ("removed", message(DELETED_ELEMENTS, &with), vec![Change::Removed]),
            ("another address", message(NEW_ELEMENTS, &[10, 244, 0, 8]), vec![]),
            ("a rule", message(0x0a06, &with), vec![]),
            (
                "the second message",
                [message(0x0a06, &[0]), message(NEW_ELEMENTS, &with)].concat(),
                vec![Change::Added],
            ),
            ("cut off", message(NEW_ELEMENTS, &with)[..18].to_vec(), vec![]),
        ];
        for (why, datagram, expected) in cases {
            assert_eq!(changes_of(&datagram, address), expected, "{why}");
        }
    }
}
