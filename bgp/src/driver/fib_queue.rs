//! Changes of the forwarding table on their way to whoever writes it.
//!
//! While the writer is slower than BGP, changes of one prefix replace each other, so that
//! what waits is never more than one change for each prefix.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;
use tokio::sync::mpsc;
use tokio::sync::mpsc::Permit;

use crate::fib::RouteChange;

/// Changes that have left the queue and can no longer be replaced: few, so that most still can.
pub(super) const FIB_CHANNEL_LEN: usize = 64;

/// What the forwarding table shall hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FibEvent {
    /// One prefix changes.
    Change(RouteChange),
    /// Every change since the start came before this: routes of a former process that no
    /// change named may be removed. Comes once.
    Synced,
}

/// The queue; see the module.
pub(super) struct FibQueue {
    sender: mpsc::Sender<FibEvent>,
    changes: BTreeMap<IpNetwork, RouteChange>,
    /// Whether [`FibEvent::Synced`] is to come after the changes.
    is_synced: bool,
}

impl FibQueue {
    pub(super) fn new(sender: mpsc::Sender<FibEvent>) -> Self {
        Self { sender, changes: BTreeMap::new(), is_synced: false }
    }

    pub(super) fn push(&mut self, change: RouteChange) {
        self.changes.insert(change.prefix, change);
    }

    /// Notes that the changes up to here are complete. Later changes may overtake this, which does no harm.
    pub(super) fn push_synced(&mut self) {
        self.is_synced = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.is_synced
    }

    /// A way to send, to be used without keeping the queue borrowed.
    pub(super) fn sender(&self) -> mpsc::Sender<FibEvent> {
        self.sender.clone()
    }

    /// Sends the next event by this permit.
    pub(super) fn send_next(&mut self, permit: Permit<'_, FibEvent>) {
        if let Some((_, change)) = self.changes.pop_first() {
            permit.send(FibEvent::Change(change));
        } else if std::mem::take(&mut self.is_synced) {
            permit.send(FibEvent::Synced);
        }
    }

    /// Nobody takes events any more: what waits is dropped.
    pub(super) fn abandon(&mut self) {
        self.changes.clear();
        self.is_synced = false;
    }
}
