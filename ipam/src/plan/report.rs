//! What the status of each pool says.

use std::collections::BTreeMap;

use api::prefix;

use crate::pool::OUT_OF_BLOCKS;
use crate::view::View;

/// What to write into a pool's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolReport {
    /// How many addresses the pool has, at most `i64::MAX`.
    pub addresses: i64,
    /// How many of them serve pods.
    pub addresses_in_use: i64,
    /// How many blocks nodes have.
    pub blocks: i64,
    /// Whether blocks are given from it.
    pub is_ready: bool,
    /// Why, as one word.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

/// Most names that a message lists before it only counts.
const NAMES_MAX: usize = 5;

/// The report of every pool, the faulty ones too.
pub(super) fn pools(
    view: &View,
    unmet: &BTreeMap<String, String>,
    waiting_for: &[String],
) -> BTreeMap<String, PoolReport> {
    let names = view.pools.valid.keys().chain(view.pools.faulty.keys());
    names.map(|name| (name.clone(), report(name, view, unmet.get(name), waiting_for))).collect()
}

fn report(name: &str, view: &View, unmet: Option<&String>, waiting_for: &[String]) -> PoolReport {
    let blocks = view.blocks.values().filter(|block| block.pool == name);
    let (count, in_use) =
        blocks.fold((0, 0), |(count, in_use), block| (count + 1, in_use + i64::from(block.in_use)));
    let (is_ready, reason, message) = ready(name, view, unmet, waiting_for);
    PoolReport {
        addresses: view.pools.valid.get(name).map_or(0, super::super::pool::Pool::addresses),
        addresses_in_use: in_use,
        blocks: count,
        is_ready,
        reason,
        message,
    }
}

fn ready(
    name: &str,
    view: &View,
    unmet: Option<&String>,
    waiting_for: &[String],
) -> (bool, &'static str, String) {
    if let Some(fault) = view.pools.faulty.get(name) {
        return (false, fault.reason, fault.message.clone());
    }
    let pool = &view.pools.valid[name];
    if pool.disabled {
        return (false, "Disabled", "spec.disabled is true: nothing new is given from this pool".to_owned());
    }
    match (unmet, waiting_for) {
        (None, _) => (true, "Serving", "nodes are given blocks from this pool".to_owned()),
        (Some(_), []) if has_nothing_left(view, name) => (
            false,
            OUT_OF_BLOCKS,
            format!(
                "all {} blocks of {} are taken and node {} needs one; add a pool, or free addresses",
                pool.blocks(),
                pool.cidr,
                unmet.map_or("", String::as_str)
            ),
        ),
        (Some(_), []) => (true, "Serving", "blocks for nodes in need are under way".to_owned()),
        (Some(_), lagging) => (
            false,
            "WaitingForNodes",
            format!(
                "no block is given until every Ready node has said what it holds; waiting for {}: \
                 see whether tortie-node runs there",
                listed(lagging)
            ),
        ),
    }
}

/// Whether objects and kernels claim the whole pool, or it failed to serve for another reason.
fn has_nothing_left(view: &View, name: &str) -> bool {
    let pool = &view.pools.valid[name];
    let objects = view.blocks.keys().chain(&view.foreign);
    let held = view.networks.values().flat_map(|network| &network.held);
    let claimed: std::collections::BTreeSet<_> =
        objects.chain(held).filter(|cidr| prefix::overlap(pool.cidr, **cidr)).collect();
    claimed.len() as u128 >= pool.blocks()
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMES_MAX) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}
