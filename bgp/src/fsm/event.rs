//! What a session machine is told and what it wants done.

use std::sync::Arc;
use std::time::Instant;

use super::Negotiated;
use crate::wire::{DecodeError, Message, Notification, RouteRefresh, Update};

/// What happened to a connection.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A message came; its last byte was read at this time.
    Message(Message, Instant),
    /// What came is no message.
    Malformed(DecodeError),
    /// The connection is gone, with the reason in words.
    TransportClosed(String),
    /// The time of `next_deadline` has passed.
    DeadlinePassed,
    /// We want no more of it; the peer is told why.
    Stop(Notification),
    /// BFD says that packets do not reach the peer any more.
    PathFailed(PathFailure),
}

/// What BFD says of a way that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathFailure {
    /// Why, in words.
    pub(crate) reason: String,
    /// Whether the peer's BFD outlives its control plane: then it is no restart of the peer (RFC 5882 section 4.3).
    pub(crate) is_peer_independent: bool,
}

/// What must be done for a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Send it.
    Send(Message),
    /// The peer's OPEN fits: now is the time to look for a collision. A KEEPALIVE follows.
    Opened(Arc<Negotiated>),
    /// The session is up.
    Established,
    /// Routes came.
    Update(Box<Update>),
    /// The peer asks for our routes.
    Refresh(RouteRefresh),
    /// It is over; close the connection.
    Down(Down),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Down {
    /// We sent a NOTIFICATION.
    Sent {
        /// What the peer was told.
        notification: Notification,
        /// What people are told.
        reason: String,
    },
    /// The peer sent a NOTIFICATION.
    Received(Notification),
    /// The connection closed without a word.
    Transport(String),
    /// BFD ended it; we sent a NOTIFICATION that may not have arrived.
    PathFailed(PathFailure, Notification),
}

impl Down {
    pub(super) fn path_failed(failure: PathFailure) -> Self {
        Self::PathFailed(failure, Notification::bfd_down())
    }

    /// What the peer is to be told.
    pub(super) fn notification_to_send(&self) -> Option<&Notification> {
        match self {
            Self::Sent { notification, .. } | Self::PathFailed(_, notification) => Some(notification),
            Self::Received(_) | Self::Transport(_) => None,
        }
    }

    pub(super) fn stopped(notification: Notification) -> Self {
        let reason = notification.to_string();
        Self::Sent { notification, reason }
    }

    /// The NOTIFICATION of either side, if there was one.
    pub(crate) fn notification(&self) -> Option<&Notification> {
        match self {
            Self::Sent { notification, .. }
            | Self::Received(notification)
            | Self::PathFailed(_, notification) => Some(notification),
            Self::Transport(_) => None,
        }
    }

    /// Why, in words.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Sent { notification, reason } if *reason == notification.to_string() => {
                format!("we sent {reason}")
            }
            Self::Sent { notification, reason } => format!("we sent {notification}: {reason}"),
            Self::Received(notification) => format!("the peer sent {notification}"),
            Self::Transport(reason) => format!("the connection ended: {reason}"),
            Self::PathFailed(failure, _) => format!("BFD: {}", failure.reason),
        }
    }
}
