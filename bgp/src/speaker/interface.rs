//! The words between the speaker and its driver.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::bfd::Change;
use crate::config::{ConfigErrors, ConfigureReport, Origination, Password, SpeakerConfig, Transport};
use crate::fib::RouteChange;
use crate::wire::{AttributeFault, DecodeError, Family, Message, SessionContext};

/// One TCP connection or one attempt at it; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionId {
    /// We dialed; the speaker counts.
    Dialed(u64),
    /// The neighbor dialed; the driver counts.
    Accepted(u64),
}

/// What was before the speaker started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartMode {
    /// Nothing that a peer could remember.
    Fresh,
    /// The former process ended; the first OPENs say so (the R bit of RFC 4724).
    Restarting {
        /// Families whose routes the kernel kept and forwarded by meanwhile (the F bit).
        preserved_families: Vec<Family>,
    },
}

/// How to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Close the connections without a word: peers keep our routes for the restart time.
    Silent,
    /// Tell peers to forget us (Cease, or Hard Reset where both sides know RFC 8538).
    Cease {
        /// Why, for the people on the other side (RFC 9003).
        text: String,
    },
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The whole desired configuration; answered with [`Output::Configured`].
    Configure(SpeakerConfig),
    /// The whole set of prefixes to originate; host bits are ignored.
    Originate(BTreeMap<IpNetwork, Origination>),
    /// The set of originations is complete: End-of-RIB may be sent.
    LocalSourcesSynced,
    /// The end; whatever comes after it is ignored.
    Stop(Stop),
    /// A dial succeeded.
    Connected {
        /// The one of [`Output::Dial`].
        connection: ConnectionId,
        /// Our end.
        local: IpAddr,
    },
    /// A dial failed.
    DialFailed {
        /// The one of [`Output::Dial`].
        connection: ConnectionId,
        /// Why, in words.
        reason: String,
    },
    /// Somebody connected.
    Accepted {
        /// A new [`ConnectionId::Accepted`].
        connection: ConnectionId,
        /// Its address; an IPv4-mapped one must be given as IPv4.
        remote: IpAddr,
        /// Our end, likewise.
        local: IpAddr,
    },
    /// A message came, decoded by the last [`Output::Negotiated`] of the connection
    /// (before that, by [`SessionContext::before_open`]).
    Received {
        /// Whence.
        connection: ConnectionId,
        /// When its last byte was read: the hold timer counts from here, so that our own
        /// slowness never ends a session. Give queued messages before [`Input::DeadlinePassed`].
        read_at: Instant,
        /// The message, or why it ends the session.
        message: Result<Message, DecodeError>,
    },
    /// The connection is gone.
    Closed {
        /// Which.
        connection: ConnectionId,
        /// Why, in words.
        reason: String,
    },
    /// The driver's queue towards the peer is full, or has room again. Meanwhile only
    /// keepalives are sent; afterwards what changed is made up for.
    Congested {
        /// Which.
        connection: ConnectionId,
        /// Whether it is full.
        is_congested: bool,
    },
    /// BFD tells of the way to a neighbor.
    BfdChanged {
        /// The neighbor's address.
        neighbor: IpAddr,
        /// What changed.
        change: Change,
    },
    /// [`next_deadline`](super::Speaker::next_deadline) has passed.
    DeadlinePassed,
}

/// What the driver must do, in this order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Connect; answer with [`Input::Connected`] or [`Input::DialFailed`].
    Dial(Dial),
    /// An accepted connection is wanted: set its options and begin to read.
    Admit {
        /// Which.
        connection: ConnectionId,
        /// The options.
        transport: Transport,
    },
    /// Sign what follows on the connection with another key, and expect that of the neighbor.
    Rekey {
        /// Which.
        connection: ConnectionId,
        /// The neighbor's address.
        remote: IpAddr,
        /// The key.
        password: Password,
    },
    /// Decode what comes next on the connection by this. It precedes the KEEPALIVE
    /// that lets the peer send anything that depends on it.
    Negotiated {
        /// Which.
        connection: ConnectionId,
        /// How to decode.
        context: SessionContext,
    },
    /// Send a whole message.
    Send {
        /// Whither.
        connection: ConnectionId,
        /// The message; shared with other connections where their peers are told the same.
        bytes: Bytes,
    },
    /// Close after what was sent before; abort a dial that is under way. It may be closed
    /// already. No input about it is expected any more, and any that comes is ignored.
    Close {
        /// Which.
        connection: ConnectionId,
    },
    /// The forwarding table changes.
    Fib(RouteChange),
    /// The forwarding table is complete since start: routes of a former process that no
    /// [`Output::Fib`] named may be removed. Comes once.
    FibSynced,
    /// The answer to [`Input::Configure`]; the errors mean that nothing was changed.
    Configured(Result<ConfigureReport, ConfigErrors>),
    /// Something worth a line in the log.
    Event(SessionEvent),
}

/// A connection to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// What to call it.
    pub connection: ConnectionId,
    /// Whither.
    pub remote: SocketAddr,
    /// From where; the kernel chooses if none.
    pub local: Option<IpAddr>,
    /// What its socket is set to.
    pub transport: Transport,
}

/// Something worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEvent {
    /// The neighbor's name; the bare address for a stranger, empty for the whole speaker.
    pub neighbor: String,
    /// The neighbor's address, if it is about one.
    pub address: Option<IpAddr>,
    /// What it was.
    pub kind: SessionEventKind,
}

/// The kinds of [`SessionEvent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum SessionEventKind {
    /// The session is up.
    Established {
        /// The families in use.
        families: Vec<Family>,
        /// The hold time in use, in seconds; 0: none.
        hold_time_secs: u16,
    },
    /// The session ended.
    Down {
        /// Why.
        reason: String,
        /// Families whose routes stay for the neighbor's restart.
        retained: Vec<Family>,
    },
    /// A connection ended before the session was up.
    NotEstablished {
        /// Why.
        reason: String,
        /// When the next attempt comes, in milliseconds; 0: the neighbor's turn.
        retry_millis: u64,
    },
    /// A connection was turned away.
    ConnectionRefused {
        /// Why.
        reason: String,
    },
    /// The neighbor sent malformed attributes that did not end the session (RFC 7606).
    MalformedAttributes {
        /// What was wrong and what was done, in words; at most a few.
        faults: Vec<String>,
        /// How many UPDATEs of this session had faults so far.
        updates_total: u64,
    },
    /// The neighbor tells more prefixes than it may.
    TooManyPrefixes {
        /// How many it may, and what is done.
        reason: String,
    },
    /// Routes from before the neighbor's restart were removed.
    StaleRoutesRemoved {
        /// How many.
        count: usize,
        /// Why.
        reason: String,
    },
    /// Routes cannot be told to the neighbor because they lack an address of ours as next hop.
    NextHopMissing {
        /// The family without an address.
        family: Family,
    },
    /// The attributes of a route do not fit into a message to the neighbor.
    AttributesTooLarge {
        /// One of the prefixes.
        prefix: IpNetwork,
    },
    /// The first choice of routes after our start is made.
    RoutesSelected {
        /// Why now.
        reason: String,
    },
    /// The forwarding table is complete.
    FibSynced {
        /// Why now.
        reason: String,
    },
}

/// For a log line of malformed attributes: as many faults as a person reads.
pub(crate) fn describe_faults(faults: &[AttributeFault]) -> Vec<String> {
    /// More would be a second copy of the message.
    const FAULTS_SHOWN_MAX: usize = 4;
    faults.iter().take(FAULTS_SHOWN_MAX).map(AttributeFault::to_string).collect()
}
