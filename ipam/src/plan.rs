//! The service's side: what to do about the blocks, from what is seen and remembered.
//!
//! ```text
//! View + Ledger ─▶ claims ─▶ lost blocks made anew, conflicts told   (what nodes hold comes first)
//!                     └────▶ upkeep ─▶ drained, confirmed, deleted
//!                     └────▶ supply ─▶ undrained, created
//! ```
//!
//! The plan is a value: the same view and ledger give the same plan, whatever the order of the
//! objects. Every action carries its preconditions, so that a plan that is out of date does no
//! harm: a creation fails if the name exists, a change or a deletion if the version differs.

use std::collections::BTreeMap;

use ipnetwork::IpNetwork;

use crate::ledger::Ledger;
use crate::moment::Moment;
use crate::view::{BlockRef, View};

mod claims;
mod report;
mod space;
mod supply;
mod upkeep;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use claims::Conflict;
pub use report::PoolReport;

use claims::Claims;
use space::Space;
use supply::Supply;

/// Most actions of one plan: the next one goes on. It bounds how long a plan is acted upon that
/// grows older meanwhile.
const ACTIONS_MAX: usize = 500;

/// One write to the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create this block unless its name exists.
    Create {
        /// The block.
        cidr: IpNetwork,
        /// Name of its pool.
        pool: String,
        /// Name of its node.
        node: String,
        /// UID of its node.
        node_uid: String,
        /// The current epoch.
        epoch: i64,
        /// Why.
        why: CreateReason,
    },
    /// Set `spec.draining`.
    SetDraining {
        /// The block.
        block: BlockRef,
        /// To what.
        draining: bool,
        /// Why.
        why: &'static str,
    },
    /// Set `spec.nodeUID` and `spec.epoch`: the node may begin to use the block, or goes on
    /// using it under its new Node object.
    Confirm {
        /// The block.
        block: BlockRef,
        /// UID of the node.
        node_uid: String,
        /// The current epoch.
        epoch: i64,
    },
    /// Delete the block.
    Delete {
        /// The block.
        block: BlockRef,
        /// Why.
        why: DeleteReason,
    },
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Create { cidr, node, why, .. } => write!(f, "create {cidr} for {node} ({why:?})"),
            Self::SetDraining { block, draining: true, why } => write!(f, "drain {}: {why}", block.cidr),
            Self::SetDraining { block, draining: false, why } => write!(f, "keep {}: {why}", block.cidr),
            Self::Confirm { block, epoch, .. } => write!(f, "confirm {} at epoch {epoch}", block.cidr),
            Self::Delete { block, why } => write!(f, "delete {} ({why:?})", block.cidr),
        }
    }
}

/// Why a block is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateReason {
    /// The node holds it, but its object was lost.
    Lost,
    /// The node has less than its allocatable pods need.
    FirstSupply,
    /// Three quarters of what the node has are used.
    More,
}

/// Why a block is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteReason {
    /// Its node returned it.
    Released,
    /// Its Node object was replaced, and the kernel of the new one does not hold it.
    NodeReplaced,
    /// Another node holds its range, its own does not.
    HeldByOther,
    /// Its node is dead as far as anyone can tell.
    NodeDead,
}

/// What to do now, and what to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// Pools whose annotation is to be set to the epoch, before all else.
    pub publish: Vec<String>,
    /// Nodes that have yet to echo the epoch; until then no block is given.
    pub waiting_for: Vec<String>,
    /// What to write into each pool's status, by name.
    pub pools: BTreeMap<String, PoolReport>,
    /// Ranges that two nodes claim.
    pub conflicts: Vec<Conflict>,
}

/// What to do about the blocks.
#[must_use]
pub fn plan(now: Moment, view: &View, ledger: &Ledger) -> Plan {
    let waiting_for = ledger.waiting_for(now, view);
    let claims = Claims::read(now, view, ledger);
    let mut spaces = spaces(view, &claims, ledger);
    let mut actions = upkeep::releases(view);
    let mut lost = Vec::new();
    if waiting_for.is_empty() {
        lost = claims.lost_blocks(view, ledger, &mut spaces);
        actions.extend(upkeep::confirmations(view, ledger, &claims));
        actions.extend(upkeep::dead_nodes(now, view, ledger));
    }
    let mut supply = Supply::read(now, view, &claims);
    supply.expect(&lost);
    actions.splice(0..0, lost);
    actions.extend(supply.drains());
    if waiting_for.is_empty() {
        actions.extend(supply.fill(&mut spaces, ledger.epoch()));
        actions.extend(supply.share(&spaces));
    }
    actions.truncate(ACTIONS_MAX);
    let pools = report::pools(view, &supply.unmet(), &waiting_for);
    let lags = view.pool_epochs.iter().filter(|(_, epoch)| **epoch != ledger.epoch());
    let publish = lags.map(|(name, _)| name.clone()).collect();
    Plan { actions, publish, waiting_for, pools, conflicts: claims.conflicts() }
}

/// The free ranges of every pool: all that objects name and that kernels hold is taken.
fn spaces(view: &View, claims: &Claims, ledger: &Ledger) -> BTreeMap<String, Space> {
    let mut spaces: BTreeMap<String, Space> = view
        .pools
        .valid
        .iter()
        .map(|(name, pool)| (name.clone(), Space::new(pool, ledger.returned())))
        .collect();
    for space in spaces.values_mut() {
        for (cidr, node) in claims.all() {
            space.take(cidr, &node.and_then(|node| view.nodes.get(node)).map(super::view::NodeFacts::rack));
        }
    }
    spaces
}
