//! What changes in the namespace's links, addresses and routes, as typed events.
//!
//! Events say that something changed, not all that did: the kernel removes IPv4 routes in
//! silence when a link goes down, and drops events when nobody reads them fast enough. The
//! latter is an event of its own, [`Event::Overrun`]: whoever sees it reads everything again.
//!
//! ```text
//! EventSocket  drained by its owner (the route writer)
//! Monitor      a thread that drains one into a bounded channel, joined on drop
//! ```

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::warn;

use super::address::{self, Address};
use super::link::{self, Link};
use super::socket::{Frame, Frames, Protocol, Socket, SocketError, readable};
use super::wake::{self, Waker, Wakeup};

/// Most events that wait for a reader; beyond it they become one [`Event::Overrun`].
pub const EVENTS_MAX: usize = 4096;

/// How soon a full channel is looked at again.
const FULL_RETRY: Duration = Duration::from_millis(100);

/// Most events taken by one [`EventSocket::drain`], so that its owner comes round to its work.
const DRAIN_MAX: usize = 16 * EVENTS_MAX;

/// What one may listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Interfaces: new, changed, gone.
    Links,
    /// Addresses of interfaces, both families.
    Addresses,
    /// Routes, both families.
    Routes,
    /// Next-hop objects.
    NextHops,
}

impl Topic {
    /// `RTNLGRP_*` numbers.
    fn groups(self) -> &'static [u32] {
        match self {
            Self::Links => &[1],
            Self::Addresses => &[5, 9],
            Self::Routes => &[7, 11],
            Self::NextHops => &[32],
        }
    }
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An interface is new, changed or gone.
    Link {
        /// As it is now, or was last.
        link: Link,
        /// True if it no longer exists.
        is_gone: bool,
    },
    /// An address came or went.
    Address {
        /// The address and its interface.
        address: Address,
        /// True if the interface no longer has it.
        is_gone: bool,
    },
    /// A route came, changed or went.
    Route {
        /// `rtm_protocol`: whose route it is.
        protocol: u8,
        /// `rtm_table`, 254 for the main one.
        table: u8,
        /// True if it no longer exists.
        is_gone: bool,
        /// The netlink port that asked for it, 0 for the kernel itself.
        port: u32,
    },
    /// A next-hop object came, changed or went.
    NextHop,
    /// Events were lost: everything must be read again.
    Overrun,
}

/// A socket that hears events; its owner drains it.
#[derive(Debug)]
pub struct EventSocket {
    socket: Socket,
}

impl EventSocket {
    /// Listens to these topics from now on, in the calling thread's namespace.
    ///
    /// # Errors
    /// What [`Socket::open`] and [`Socket::join`] say.
    pub fn open(topics: &[Topic]) -> io::Result<Self> {
        let socket = Socket::open(Protocol::Route)?;
        for group in topics.iter().flat_map(|topic| topic.groups()) {
            socket.join(*group)?;
        }
        Ok(Self { socket })
    }

    /// Sets how many bytes of events the kernel keeps for this socket.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        self.socket.set_receive_buffer(bytes)
    }

    /// Appends all events that have arrived, without waiting.
    ///
    /// # Errors
    /// `Io`: the socket is of no more use.
    pub fn drain(&mut self, events: &mut Vec<Event>) -> Result<(), SocketError> {
        while events.len() < DRAIN_MAX {
            match self.socket.try_receive() {
                Ok(None) => break,
                Ok(Some(datagram)) => read_all(datagram, events),
                Err(SocketError::Io(error)) => return Err(error.into()),
                Err(_) => events.push(Event::Overrun),
            }
        }
        Ok(())
    }
}

impl AsFd for EventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn read_all(datagram: &[u8], events: &mut Vec<Event>) {
    for frame in Frames::new(datagram) {
        match frame {
            Ok(frame) => events.extend(read(&frame)),
            Err(_) => events.push(Event::Overrun),
        }
    }
}

fn read(frame: &Frame<'_>) -> Option<Event> {
    let payload = frame.payload;
    match frame.message_type {
        libc::RTM_NEWLINK => link::parse(payload).map(|link| Event::Link { link, is_gone: false }),
        libc::RTM_DELLINK => link::parse(payload).map(|link| Event::Link { link, is_gone: true }),
        libc::RTM_NEWADDR => {
            address::parse(payload).map(|address| Event::Address { address, is_gone: false })
        }
        libc::RTM_DELADDR => address::parse(payload).map(|address| Event::Address { address, is_gone: true }),
        libc::RTM_NEWROUTE | libc::RTM_DELROUTE => Some(Event::Route {
            table: *payload.get(4)?,
            protocol: *payload.get(5)?,
            is_gone: frame.message_type == libc::RTM_DELROUTE,
            port: frame.port,
        }),
        RTM_NEWNEXTHOP | RTM_DELNEXTHOP => Some(Event::NextHop),
        _ => None,
    }
}

const RTM_NEWNEXTHOP: u16 = 104;
const RTM_DELNEXTHOP: u16 = 105;

/// A thread that turns the kernel's events into a channel; stopped and joined on drop.
#[derive(Debug)]
pub struct Monitor {
    waker: Waker,
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Listens to these topics in the calling thread's namespace. Everything that happens after
    /// this returns is either an event or covered by an [`Event::Overrun`]; so read the state
    /// after it, not before.
    ///
    /// # Errors
    /// The kernel's error if the socket or the thread cannot be had.
    pub fn start(topics: &[Topic]) -> io::Result<(Self, mpsc::Receiver<Event>)> {
        let socket = EventSocket::open(topics)?;
        let (waker, wakeup) = wake::pair()?;
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let stopped = Arc::clone(&is_stopped);
        let thread = std::thread::Builder::new().name("monitor".into()).spawn(move || {
            if let Err(error) = forward(socket, &wakeup, &stopped, &sender) {
                warn!(%error, "kernel event monitor ended");
            }
        })?;
        Ok((Self { waker, is_stopped, thread: Some(thread) }, receiver))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Ends when told to stop, when nobody reads any more, or when the socket fails.
fn forward(
    mut socket: EventSocket,
    wakeup: &Wakeup,
    is_stopped: &AtomicBool,
    sender: &mpsc::Sender<Event>,
) -> Result<(), SocketError> {
    let mut events = Vec::new();
    let mut is_lost = false;
    while !is_stopped.load(Ordering::Acquire) && !sender.is_closed() {
        readable(&[socket.as_fd(), wakeup.as_fd()], is_lost.then_some(FULL_RETRY))?;
        socket.drain(&mut events)?;
        if is_lost && sender.try_send(Event::Overrun).is_ok() {
            is_lost = false;
        }
        for event in events.drain(..) {
            // While events are being lost, those after the loss would only mislead.
            is_lost = is_lost || sender.try_send(event).is_err();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
