//! What is due to existing blocks: deletion of what came back, confirmation after a raised
//! epoch, the blocks of nodes that are gone.

use super::claims::Claims;
use super::{Action, DeleteReason};
use crate::ledger::Ledger;
use crate::moment::Moment;
use crate::view::{BlockFacts, View};

/// Blocks that their nodes returned. The node itself says that nothing of them is left and that
/// it will not begin them again, so this needs no echo of the epoch.
pub(super) fn releases(view: &View) -> Vec<Action> {
    let released = view.blocks.values().filter(|block| block.released);
    let action = |block: &BlockFacts| {
        if block.draining {
            delete(block, DeleteReason::Released)
        } else {
            Action::SetDraining {
                block: block.reference.clone(),
                draining: true,
                why: "its node returned it",
            }
        }
    };
    released.map(action).collect()
}

/// What every block of a living node needs after the epoch was raised or the Node object was
/// replaced: the word that the objects may be believed again, or its end.
pub(super) fn confirmations(view: &View, ledger: &Ledger, claims: &Claims) -> Vec<Action> {
    let alive = view.blocks.values().filter(|block| !block.released);
    alive.filter_map(|block| confirmation(block, view, ledger, claims)).collect()
}

fn confirmation(block: &BlockFacts, view: &View, ledger: &Ledger, claims: &Claims) -> Option<Action> {
    let cidr = block.reference.cidr;
    let network = view.network_of(&block.node).filter(|network| network.epoch_seen >= ledger.epoch())?;
    let is_held = claims.is_held(cidr, &block.node);
    if claims.is_contested(cidr) {
        // A backup brought the object back after its range went to another node. Its own node
        // cannot have begun it since it echoed the newer epoch.
        let is_stale = !is_held && block.epoch < ledger.epoch();
        return is_stale.then(|| delete(block, DeleteReason::HeldByOther));
    }
    let confirm = Action::Confirm {
        block: block.reference.clone(),
        node_uid: network.node_uid.clone(),
        epoch: ledger.epoch(),
    };
    match (block.node_uid == network.node_uid, is_held) {
        // The machine went on under a new Node object.
        (false, true) => Some(confirm),
        (false, false) => Some(delete(block, DeleteReason::NodeReplaced)),
        // What is held has begun and needs no word.
        (true, true) => None,
        (true, false) => (block.epoch < ledger.epoch() && !block.draining).then_some(confirm),
    }
}

/// Blocks of nodes that are dead as far as anyone can tell.
pub(super) fn dead_nodes(now: Moment, view: &View, ledger: &Ledger) -> Vec<Action> {
    let orphans = view.blocks.values().filter(|block| !view.nodes.contains_key(&block.node));
    let dead = orphans.filter(|block| ledger.is_dead(now, view, &block.node));
    // What is released already has its action.
    let dead = dead.filter(|block| !block.released);
    dead.map(|block| delete(block, DeleteReason::NodeDead)).collect()
}

fn delete(block: &BlockFacts, why: DeleteReason) -> Action {
    Action::Delete { block: block.reference.clone(), why }
}
