//! The places of a neighbor's connections.

use std::net::IpAddr;
use std::time::Instant;

use super::collision::Initiator;
use crate::fsm::Session;
use crate::speaker::ConnectionId;

/// What a connection is to the neighbor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The session that is up.
    Established,
    /// We dialed; the session is not up yet.
    Active,
    /// The neighbor dialed; the session is not up yet.
    Passive,
}

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Established, Self::Active, Self::Passive];

    /// The role of a connection that is opening, by who dialed.
    pub(super) fn opening(initiator: Initiator) -> Self {
        if initiator == Initiator::Local { Self::Active } else { Self::Passive }
    }

    /// Who dialed a connection that is opening.
    pub(super) fn initiator(self) -> Initiator {
        if self == Self::Active { Initiator::Local } else { Initiator::Remote }
    }

    /// The other connection that may be opening.
    pub(super) fn rival(self) -> Self {
        if self == Self::Active { Self::Passive } else { Self::Active }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) connection: ConnectionId,
    pub(super) local: IpAddr,
    pub(super) session: Session,
    /// When TCP came up; once established, when the session did.
    pub(super) since: Instant,
}

/// At most one connection in each role.
#[derive(Debug, Default)]
pub(super) struct Slots([Option<Slot>; 3]);

impl Slots {
    pub(super) fn get(&self, role: Role) -> Option<&Slot> {
        self.0[index(role)].as_ref()
    }

    pub(super) fn get_mut(&mut self, role: Role) -> Option<&mut Slot> {
        self.0[index(role)].as_mut()
    }

    pub(super) fn take(&mut self, role: Role) -> Option<Slot> {
        self.0[index(role)].take()
    }

    pub(super) fn put(&mut self, role: Role, slot: Slot) {
        self.0[index(role)] = Some(slot);
    }

    pub(super) fn established(&self) -> Option<&Slot> {
        self.get(Role::Established)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    pub(super) fn role_of(&self, connection: ConnectionId) -> Option<Role> {
        Role::ALL.into_iter().find(|role| self.get(*role).is_some_and(|slot| slot.connection == connection))
    }
}

fn index(role: Role) -> usize {
    match role {
        Role::Established => 0,
        Role::Active => 1,
        Role::Passive => 2,
    }
}
