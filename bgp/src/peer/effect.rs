//! What a neighbor wants done: by the driver, and by the routing table.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::helper::Loss;
use crate::config::{NeighborConfig, Transport};
use crate::fsm::Negotiated;
use crate::speaker::{ConnectionId, Dial, Output, SessionEvent, SessionEventKind};
use crate::wire::{self, Family, Message, RouteRefresh, SessionContext, Update};

/// What must be done, in order.
#[derive(Debug)]
pub(crate) enum PeerEffect {
    /// By the driver.
    Output(Output),
    /// The session is up on this connection; our end has this address.
    Up { connection: ConnectionId, local: IpAddr, terms: Arc<Negotiated> },
    /// Routes came.
    Update(Box<Update>),
    /// The neighbor asks for our routes.
    Refresh(RouteRefresh),
    /// The session that was up ended.
    Lost(Loss),
    /// Stale routes of these families go.
    DropStale { families: Vec<Family>, reason: &'static str },
}

/// One call of a neighbor: the time, the counter of dials, and where effects go.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Instant,
    pub(crate) dials: &'a mut u64,
    pub(crate) effects: Vec<PeerEffect>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(now: Instant, dials: &'a mut u64) -> Self {
        Self { now, dials, effects: Vec::new() }
    }

    pub(super) fn output(&mut self, output: Output) {
        self.effects.push(PeerEffect::Output(output));
    }

    pub(super) fn dial(&mut self, config: &NeighborConfig, transport: Transport) -> ConnectionId {
        *self.dials += 1;
        let connection = ConnectionId::Dialed(*self.dials);
        let remote = SocketAddr::new(config.address, config.port);
        self.output(Output::Dial(Dial { connection, remote, local: config.local_address, transport }));
        connection
    }

    pub(super) fn admit(&mut self, connection: ConnectionId, transport: Transport) {
        self.output(Output::Admit { connection, transport });
    }

    pub(super) fn close(&mut self, connection: ConnectionId) {
        self.output(Output::Close { connection });
    }

    pub(super) fn send(&mut self, connection: ConnectionId, message: &Message) {
        let encoded = wire::encode(message, SessionContext::before_open().encoding());
        // Only UPDATEs can be too large, and sessions send none themselves.
        for bytes in encoded.unwrap_or_default() {
            self.output(Output::Send { connection, bytes });
        }
    }

    pub(super) fn event(&mut self, config: &NeighborConfig, kind: SessionEventKind) {
        let event = SessionEvent { neighbor: config.name.clone(), address: Some(config.address), kind };
        self.output(Output::Event(event));
    }

    pub(super) fn drop_stale(&mut self, families: &[Family], reason: &'static str) {
        if !families.is_empty() {
            self.effects.push(PeerEffect::DropStale { families: families.to_vec(), reason });
        }
    }
}
