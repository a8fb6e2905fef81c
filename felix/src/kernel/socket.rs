//! A blocking netlink socket: requests, batches and dumps, with the kernel's reasons kept.
//!
//! It carries bytes. What they mean is the business of the modules above it, which is why
//! routes, links, conntrack and nftables can share it.
//!
//! ```text
//! Request --batch/request/dump--> kernel --frames--> Reply | Refusal { errno, text }
//! group   --join-----------------> kernel --frames--> try_receive, or SocketError::Overrun
//! ```
//!
//! The socket belongs to the network namespace of the thread that opens it, wherever it is
//! moved afterwards.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

pub use frame::{Frame, Frames, Refusal, Reply, Request, attribute, attributes};

mod frame;

/// Receive buffer of each socket. A burst of 10,000 route events takes about 8 MB of
/// kernel memory; beyond it the kernel says ENOBUFS and the reader has to dump again.
pub const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// Send buffer of each socket: the largest nftables transaction that goes in one send.
pub const SEND_BUFFER_BYTES: usize = 8 << 20;

/// Most messages in one send of [`Socket::batch`]. Their acknowledgements must all fit into
/// the receive buffer, also where the process may not raise that above `rmem_max`.
pub const BATCH_MESSAGES_MAX: usize = 256;

/// Most bytes in one send of [`Socket::batch`]; half of the kernel's smallest send buffer.
pub const BATCH_BYTES_MAX: usize = 64 << 10;

/// Largest datagram that is read: the kernel fills dumps up to 32 KiB, and a single
/// attribute cannot pass 64 KiB.
pub const DATAGRAM_BYTES_MAX: usize = 256 << 10;

/// How often a dump is begun anew because its table changed meanwhile.
pub const DUMP_ATTEMPTS: usize = 8;

/// How long the kernel may take to answer. It answers within the `send` itself except for
/// large nftables transactions, so this only ends a wait that would be endless.
pub const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// A netlink family that this crate speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes and neighbours.
    Route,
    /// nftables, conntrack and packet logs.
    Netfilter,
}

impl Protocol {
    fn number(self) -> i32 {
        match self {
            Self::Route => libc::NETLINK_ROUTE,
            Self::Netfilter => libc::NETLINK_NETFILTER,
        }
    }
}

/// Why a netlink exchange gave no answer, by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The socket itself failed: open another.
    #[error("netlink socket: {0}")]
    Io(#[from] io::Error),
    /// The kernel dropped messages to this socket (ENOBUFS): read the whole state again.
    #[error("netlink receive buffer overrun (ENOBUFS): what this socket told is incomplete")]
    Overrun,
    /// The kernel refused the request: change it, or wait for what it lacks.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The kernel's message was cut or longer than [`DATAGRAM_BYTES_MAX`].
    #[error("netlink message malformed: {0}")]
    Malformed(&'static str),
    /// What was dumped changed during each of [`DUMP_ATTEMPTS`] dumps: try later.
    #[error("netlink dump interrupted {DUMP_ATTEMPTS} times by changes")]
    Interrupted,
    /// No answer within [`ANSWER_WAIT`]: open another socket.
    #[error("no answer from the kernel within {} s", ANSWER_WAIT.as_secs())]
    NoAnswer,
}

impl SocketError {
    /// The kernel's error number, if it was the kernel that refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused(refusal) => Some(refusal.errno),
            _ => None,
        }
    }
}

/// A blocking netlink socket of one protocol.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// A socket in the calling thread's network namespace, with extended acknowledgements,
    /// strict dump filters and buffers of the named sizes.
    ///
    /// # Errors
    /// The kernel's error if the protocol is not there or the process may not open it.
    pub fn open(protocol: Protocol) -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers; the result is checked before it is owned.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, protocol.number()) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is fresh and owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let socket = Self { fd, sequence: 0, buffer: vec![0; DATAGRAM_BYTES_MAX] };
        socket.bind()?;
        socket.set(libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1)?;
        socket.set(libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1)?;
        if protocol == Protocol::Route {
            socket.set(libc::SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK, 1)?;
        }
        socket.set_receive_buffer(RECEIVE_BUFFER_BYTES)?;
        socket.set_send_buffer(SEND_BUFFER_BYTES)?;
        Ok(socket)
    }

    /// Makes the notifications of one multicast group arrive here.
    ///
    /// # Errors
    /// The kernel's error, for example for a group that it does not know.
    pub fn join(&self, group: u32) -> io::Result<()> {
        let group = i32::try_from(group).map_err(io::Error::other)?;
        self.set(libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, group)
    }

    /// Sets the receive buffer, past `rmem_max` where the process may do that.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        self.set_buffer(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, bytes)
    }

    /// Sets the send buffer, past `wmem_max` where the process may do that.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        self.set_buffer(libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, bytes)
    }

    /// A sequence number that this socket has not used lately; never 0, which marks
    /// notifications.
    pub fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        self.sequence
    }

    /// Sends whole netlink messages to the kernel in one datagram.
    ///
    /// # Errors
    /// [`SocketError::Io`]; `EMSGSIZE` in it if the bytes pass the send buffer.
    pub fn send(&self, bytes: &[u8]) -> Result<(), SocketError> {
        loop {
            // SAFETY: pointer and length describe `bytes`, which outlives the call.
            let sent = unsafe { libc::send(self.raw(), bytes.as_ptr().cast(), bytes.len(), 0) };
            match check(sent) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next datagram from the kernel, waiting up to [`ANSWER_WAIT`] for it.
    ///
    /// # Errors
    /// `NoAnswer`, `Overrun`, `Malformed` for one that was cut, or `Io`.
    pub fn receive(&mut self) -> Result<&[u8], SocketError> {
        if !readable(&[self.as_fd()], Some(ANSWER_WAIT))?[0] {
            return Err(SocketError::NoAnswer);
        }
        Ok(self.try_receive()?.unwrap_or_default())
    }

    /// The next datagram from the kernel if one is there already.
    ///
    /// # Errors
    /// `Overrun`, `Malformed` for one that was cut, or `Io`.
    pub fn try_receive(&mut self) -> Result<Option<&[u8]>, SocketError> {
        // A datagram from another process is skipped, so the loop ends when the queue does.
        while let Some((length, sender)) = self.receive_from()? {
            if length > self.buffer.len() {
                return Err(SocketError::Malformed("longer than the receive buffer"));
            }
            if sender == 0 {
                return Ok(Some(&self.buffer[..length]));
            }
        }
        Ok(None)
    }

    /// Carries out one request and waits for its acknowledgement.
    ///
    /// # Errors
    /// `Refused` with the kernel's error number and text, or what [`Socket::receive`] says.
    pub fn request(&mut self, request: &Request) -> Result<(), SocketError> {
        let mut outcomes = self.batch(std::slice::from_ref(request))?;
        outcomes.pop().unwrap_or(Ok(())).map_err(SocketError::Refused)
    }

    /// Carries out many independent requests, many per send; one outcome for each, in order.
    ///
    /// A refused request does not keep those after it from being carried out.
    ///
    /// # Errors
    /// What [`Socket::receive`] says. The outcomes are then unknown: dump before trying again.
    pub fn batch(&mut self, requests: &[Request]) -> Result<Vec<Result<(), Refusal>>, SocketError> {
        let mut outcomes = Vec::with_capacity(requests.len());
        while outcomes.len() < requests.len() {
            let rest = &requests[outcomes.len()..];
            self.send_some(rest, &mut outcomes)?;
        }
        Ok(outcomes)
    }

    /// All replies to a dump request, from one undisturbed pass over the table.
    ///
    /// # Errors
    /// `Interrupted` if changes disturbed every pass, `Refused`, or what
    /// [`Socket::receive`] says.
    pub fn dump(&mut self, request: &Request) -> Result<Vec<Reply>, SocketError> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(replies) = self.dump_once(request)? {
                return Ok(replies);
            }
        }
        Err(SocketError::Interrupted)
    }

    /// The replies to a request that is not a dump, up to its acknowledgement.
    ///
    /// # Errors
    /// `Refused`, for example ENOENT or ENODEV, or what [`Socket::receive`] says.
    pub fn get(&mut self, request: &Request) -> Result<Vec<Reply>, SocketError> {
        let sequence = self.next_sequence();
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        self.send(&request.encode(flags_of(flags), sequence))?;
        Ok(self.collect(sequence)?.0)
    }

    fn dump_once(&mut self, request: &Request) -> Result<Option<Vec<Reply>>, SocketError> {
        let sequence = self.next_sequence();
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        self.send(&request.encode(flags_of(flags), sequence))?;
        let (replies, is_disturbed) = self.collect(sequence)?;
        Ok((!is_disturbed).then_some(replies))
    }

    fn collect(&mut self, sequence: u32) -> Result<(Vec<Reply>, bool), SocketError> {
        let mut replies = Vec::new();
        let mut is_disturbed = false;
        loop {
            for frame in Frames::new(self.receive()?) {
                let frame = frame?;
                if frame.sequence != sequence {
                    continue;
                }
                is_disturbed |= frame.is_dump_interrupted();
                match frame.outcome() {
                    Some(outcome) => return Ok((outcome.map(|()| replies)?, is_disturbed)),
                    None => replies.push(frame.to_reply()),
                }
            }
        }
    }

    fn send_some(
        &mut self,
        requests: &[Request],
        outcomes: &mut Vec<Result<(), Refusal>>,
    ) -> Result<(), SocketError> {
        let mut bytes = Vec::new();
        let mut count = 0_u32;
        let first = self.sequence.checked_add(1).unwrap_or(1);
        for request in requests.iter().take(BATCH_MESSAGES_MAX) {
            if count > 0 && bytes.len() + request.length() > BATCH_BYTES_MAX {
                break;
            }
            let sequence = self.next_sequence();
            if sequence < first {
                // The numbers wrapped: the rest goes with the next send.
                break;
            }
            let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
            request.encode_into(flags_of(flags), sequence, &mut bytes);
            count += 1;
        }
        self.send(&bytes)?;
        self.acknowledgements(first, count, outcomes)
    }

    fn acknowledgements(
        &mut self,
        first: u32,
        count: u32,
        outcomes: &mut Vec<Result<(), Refusal>>,
    ) -> Result<(), SocketError> {
        let mut missing = count;
        while missing > 0 {
            for frame in Frames::new(self.receive()?) {
                let frame = frame?;
                // The kernel answers in order, so the next outcome is that of the next number.
                if frame.sequence != first + (count - missing) {
                    continue;
                }
                if let Some(outcome) = frame.outcome() {
                    outcomes.push(outcome);
                    missing -= 1;
                    if missing == 0 {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn receive_from(&mut self) -> Result<Option<(usize, u32)>, SocketError> {
        let mut sender = netlink_address();
        let mut length = address_length();
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        loop {
            // SAFETY: the buffer and the address are valid for writes of the given lengths.
            let received = unsafe {
                libc::recvfrom(
                    self.raw(),
                    self.buffer.as_mut_ptr().cast(),
                    self.buffer.len(),
                    flags,
                    (&raw mut sender).cast(),
                    &raw mut length,
                )
            };
            match check(received) {
                Ok(received) => return Ok(Some((received, sender.nl_pid))),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::EAGAIN) => return Ok(None),
                    Some(libc::ENOBUFS) => return Err(SocketError::Overrun),
                    _ => return Err(error.into()),
                },
            }
        }
    }

    /// The port that the kernel gave to this socket: notifications of what it asked for bear it.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn port(&self) -> io::Result<u32> {
        let mut address = netlink_address();
        let mut length = address_length();
        // SAFETY: the address is valid for writes of the given length.
        let result = unsafe { libc::getsockname(self.raw(), (&raw mut address).cast(), &raw mut length) };
        check(result as isize).map(|_| address.nl_pid)
    }

    fn bind(&self) -> io::Result<()> {
        let address = netlink_address();
        // SAFETY: the address is valid for the given length.
        let result = unsafe { libc::bind(self.raw(), (&raw const address).cast(), address_length()) };
        check(result as isize).map(drop)
    }

    fn set_buffer(&self, force: i32, polite: i32, bytes: usize) -> io::Result<()> {
        let bytes = i32::try_from(bytes).map_err(io::Error::other)?;
        self.set(libc::SOL_SOCKET, force, bytes).or_else(|_| self.set(libc::SOL_SOCKET, polite, bytes))
    }

    fn set(&self, level: i32, option: i32, value: i32) -> io::Result<()> {
        let length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
        // SAFETY: the value is an i32 that outlives the call and has the given length.
        let result =
            unsafe { libc::setsockopt(self.raw(), level, option, (&raw const value).cast(), length) };
        check(result as isize).map(drop)
    }

    fn raw(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Which of these descriptors can be read, waiting for the first up to `wait` (`None`: as
/// long as it takes).
///
/// # Errors
/// The kernel's error.
pub fn readable(descriptors: &[BorrowedFd<'_>], wait: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<libc::pollfd> = descriptors
        .iter()
        .map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    // Rounded up, so that a wait of half a millisecond does not spin.
    let millis = wait.map_or(-1, |wait| i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
    // SAFETY: the array is valid for its own length.
    let count = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis) };
    match check(count as isize) {
        Ok(_) => Ok(polled.iter().map(|polled| polled.revents != 0).collect()),
        // Nothing is readable yet; callers come back with the time that is left.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(vec![false; descriptors.len()]),
        Err(error) => Err(error),
    }
}

fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn netlink_address() -> libc::sockaddr_nl {
    // SAFETY: all zeroes is a valid `sockaddr_nl`: the kernel, and a port of its choice.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::sa_family_t::try_from(libc::AF_NETLINK).unwrap_or_default();
    address
}

fn address_length() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<libc::sockaddr_nl>()).unwrap_or_default()
}

fn flags_of(flags: i32) -> u16 {
    u16::try_from(flags).unwrap_or_default()
}

#[cfg(test)]
mod tests;
