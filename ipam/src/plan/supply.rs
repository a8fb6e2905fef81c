//! How many blocks each node needs of each family, and where they come from.

use std::collections::{BTreeMap, BTreeSet};

use ipnetwork::IpNetwork;

use super::claims::Claims;
use super::space::{Rack, Space};
use super::{Action, CreateReason};
use crate::moment::Moment;
use crate::pool::{Family, Pool};
use crate::view::{BlockFacts, NodeFacts, View};

/// Most blocks that a node is given of one family. It bounds what one node can take of a pool
/// of single addresses.
const BLOCKS_PER_NODE_MAX: usize = 1024;

/// One node's addresses of one family.
#[derive(Debug)]
struct Account<'a> {
    node: &'a str,
    facts: &'a NodeFacts,
    family: Family,
    pools: Vec<&'a Pool>,
    /// Blocks that give addresses now or after a confirmation.
    open: Vec<&'a BlockFacts>,
    /// Draining blocks that can be had back.
    draining: Vec<&'a BlockFacts>,
    /// Open blocks whose pool no longer serves this node.
    unserved: Vec<&'a BlockFacts>,
    capacity: u32,
    used: u32,
    blocks: usize,
}

/// The needs of all nodes that take part.
#[derive(Debug)]
pub(super) struct Supply<'a> {
    now: Moment,
    accounts: Vec<Account<'a>>,
    /// Pools that some node is giving a block back to.
    returning: BTreeSet<&'a str>,
    /// Pools that could not serve everybody, with the first node that got less than it needs.
    unmet: BTreeMap<String, String>,
}

impl<'a> Supply<'a> {
    /// Nodes take part once their daemon has said under which Node object it runs.
    pub(super) fn read(now: Moment, view: &'a View, claims: &Claims) -> Self {
        let mut accounts = Vec::new();
        for (name, facts) in &view.nodes {
            if view.network_of(name).is_some() {
                for family in Family::ALL {
                    accounts.push(Account::read(name, facts, family, view, claims));
                }
            }
        }
        let returning = view.blocks.values().filter(|block| block.draining || block.released);
        let returning = returning.map(|block| block.pool.as_str()).collect();
        Self { now, accounts, returning, unmet: BTreeMap::new() }
    }

    /// Counts blocks that are made anew for their holders as if they were there.
    pub(super) fn expect(&mut self, lost: &[Action]) {
        for action in lost {
            let Action::Create { cidr, pool, node, .. } = action else { continue };
            let holder = self.accounts.iter_mut().filter(|account| account.node == node);
            for account in holder.filter(|account| account.pools.iter().any(|served| served.name == *pool)) {
                account.capacity = account.capacity.saturating_add(size(*cidr));
            }
        }
    }

    /// Blocks to take back: those that no pool gives to this node any more, and of a node that
    /// has far too many an empty one.
    pub(super) fn drains(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        for account in &mut self.accounts {
            for block in account.unserved.drain(..) {
                actions.push(drain(block, "its pool is disabled, gone, or does not select the node"));
            }
            if let Some(block) = account.surplus() {
                account.close(block);
                actions.push(drain(block, "the node has more than it needs"));
            }
        }
        actions
    }

    /// One block for each node in need, those that have none first, and again until all have
    /// enough: so that a scarce pool is shared.
    pub(super) fn fill(&mut self, spaces: &mut BTreeMap<String, Space>, epoch: i64) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut stuck = BTreeSet::new();
        let mut starving = BTreeSet::new();
        for _ in 0..BLOCKS_PER_NODE_MAX {
            let before = actions.len();
            for index in self.in_need(&stuck) {
                let account = &mut self.accounts[index];
                let had_nothing = account.capacity == 0;
                let action = account.undrain(&starving).or_else(|| account.create(self.now, spaces, epoch));
                let Some(action) = action else {
                    stuck.insert(index);
                    if had_nothing {
                        starving.extend(account.pools.iter().map(|pool| pool.name.clone()));
                    }
                    continue;
                };
                actions.push(action);
            }
            if actions.len() == before || actions.len() >= super::ACTIONS_MAX {
                break;
            }
        }
        for account in stuck.iter().map(|index| &self.accounts[*index]) {
            for pool in &account.pools {
                self.unmet.entry(pool.name.clone()).or_insert_with(|| account.node.to_owned());
            }
        }
        actions
    }

    /// Accounts that want a block and may get one, those without any address first.
    fn in_need(&self, stuck: &BTreeSet<usize>) -> Vec<usize> {
        let indexes = 0..self.accounts.len();
        let wanting = indexes.filter(|index| !stuck.contains(index) && self.accounts[*index].wants_more());
        let mut indexes: Vec<usize> = wanting.collect();
        indexes.sort_by_key(|index| (self.accounts[*index].capacity > 0, *index));
        indexes
    }

    /// Where a node got nothing at all, another one gives an empty block back.
    pub(super) fn share(&mut self, spaces: &BTreeMap<String, Space>) -> Vec<Action> {
        let starving: BTreeSet<String> = self
            .accounts
            .iter()
            .filter(|account| account.capacity == 0)
            .flat_map(|account| account.pools.iter().map(|pool| pool.name.clone()))
            .filter(|pool| self.unmet.contains_key(pool))
            .filter(|pool| !spaces.get(pool).is_some_and(Space::has_resting))
            .collect();
        starving.iter().filter_map(|pool| self.richest_gives(pool)).collect()
    }

    /// The pools that could not serve everybody, with a node that got less than it needs. Before
    /// [`Supply::fill`] nobody was served.
    pub(super) fn unmet(&self) -> BTreeMap<String, String> {
        let mut unmet = self.unmet.clone();
        for account in self.accounts.iter().filter(|account| account.wants_more()) {
            for pool in &account.pools {
                unmet.entry(pool.name.clone()).or_insert_with(|| account.node.to_owned());
            }
        }
        unmet
    }

    fn richest_gives(&self, pool: &str) -> Option<Action> {
        if self.returning.contains(pool) {
            return None;
        }
        let rich = self.accounts.iter().filter(|account| account.open.len() > 1);
        let spare = rich.filter_map(|account| Some((account.capacity, account.empty_block(Some(pool))?)));
        let (_, block) = spare.max_by_key(|(capacity, block)| (*capacity, block.reference.cidr))?;
        Some(drain(block, "another node has no address at all"))
    }
}

impl<'a> Account<'a> {
    fn read(node: &'a str, facts: &'a NodeFacts, family: Family, view: &'a View, claims: &Claims) -> Self {
        let pools = view.pools.serving(family, &facts.labels).collect();
        let mut account = Self {
            node,
            facts,
            family,
            pools,
            open: Vec::new(),
            draining: Vec::new(),
            unserved: Vec::new(),
            capacity: 0,
            used: 0,
            blocks: 0,
        };
        let own = view.blocks.values().filter(|block| {
            // What it holds from before its Node object was replaced will be confirmed.
            let reference = &block.reference;
            block.node == node && (block.node_uid == facts.uid || claims.is_held(reference.cidr, node))
        });
        for block in own.filter(|block| Family::of(&block.reference.cidr) == family) {
            account.blocks += 1;
            let is_served = account.pools.iter().any(|pool| pool.name == block.pool);
            let is_faulty = view.pools.faulty.contains_key(&block.pool);
            match (block.draining, is_served) {
                _ if block.released => {}
                (true, true) => account.draining.push(block),
                (true, false) => {}
                (false, true) if claims.is_contested(block.reference.cidr) => {}
                (false, true) => account.open(block),
                // A pool that became faulty takes nothing away.
                (false, false) if is_faulty => {}
                (false, false) => account.unserved.push(block),
            }
        }
        account
    }

    fn open(&mut self, block: &'a BlockFacts) {
        self.open.push(block);
        self.capacity = self.capacity.saturating_add(size(block.reference.cidr));
        self.used = self.used.saturating_add(block.in_use.saturating_add(block.cooling));
    }

    fn close(&mut self, block: &BlockFacts) {
        self.open.retain(|open| open.reference != block.reference);
        self.capacity -= size(block.reference.cidr).min(self.capacity);
    }

    /// Less than the allocatable pods need, or three quarters used.
    fn wants_more(&self) -> bool {
        let is_short = self.capacity < self.facts.allocatable_pods;
        let is_nearly_used = u64::from(self.used) * 4 >= u64::from(self.capacity) * 3;
        !self.pools.is_empty() && (is_short || is_nearly_used) && self.blocks < BLOCKS_PER_NODE_MAX
    }

    /// The fullest of the draining blocks, which is the one that would take longest to return.
    /// What a node without any address waits for stays draining.
    fn undrain(&mut self, starving: &BTreeSet<String>) -> Option<Action> {
        let is_wanted = |block: &BlockFacts| self.capacity == 0 || !starving.contains(&block.pool);
        let best = self
            .draining
            .iter()
            .enumerate()
            .filter(|(_, block)| is_wanted(block))
            .max_by_key(|(index, block)| (block.in_use, usize::MAX - index))?
            .0;
        let block = self.draining.remove(best);
        self.open(block);
        let why = "the node needs it again";
        Some(Action::SetDraining { block: block.reference.clone(), draining: false, why })
    }

    fn create(&mut self, now: Moment, spaces: &mut BTreeMap<String, Space>, epoch: i64) -> Option<Action> {
        let rack: Rack = Some(self.facts.rack());
        let give = |pool: &&Pool| Some((pool.name.clone(), spaces.get_mut(&pool.name)?.give(now, &rack)?));
        let (pool, cidr) = self.pools.iter().find_map(give)?;
        let is_first = self.capacity < self.facts.allocatable_pods;
        self.capacity = self.capacity.saturating_add(size(cidr));
        self.blocks += 1;
        Some(Action::Create {
            cidr,
            pool,
            node: self.node.to_owned(),
            node_uid: self.facts.uid.clone(),
            epoch,
            why: if is_first { CreateReason::FirstSupply } else { CreateReason::More },
        })
    }

    /// An empty block that the node can do without: the rest covers its allocatable pods and is
    /// at most half used, so that the block is not wanted back at once.
    fn surplus(&self) -> Option<&'a BlockFacts> {
        let block = self.empty_block(None)?;
        let rest = self.capacity - size(block.reference.cidr).min(self.capacity);
        let is_enough = rest > 0 && rest >= self.facts.allocatable_pods;
        (is_enough && u64::from(self.used) * 2 <= u64::from(rest)).then_some(block)
    }

    /// The last block that serves nobody and did not a moment ago.
    fn empty_block(&self, pool: Option<&str>) -> Option<&'a BlockFacts> {
        let in_pool = self.open.iter().filter(|block| pool.is_none_or(|pool| block.pool == pool));
        let empty = in_pool.filter(|block| block.in_use == 0 && block.cooling == 0);
        debug_assert!(self.open.iter().all(|block| Family::of(&block.reference.cidr) == self.family));
        empty.max_by_key(|block| block.reference.cidr).copied()
    }
}

fn drain(block: &BlockFacts, why: &'static str) -> Action {
    Action::SetDraining { block: block.reference.clone(), draining: true, why }
}

/// Addresses of a block.
fn size(cidr: IpNetwork) -> u32 {
    1_u32.checked_shl(u32::from(Family::of(&cidr).bits() - cidr.prefix())).unwrap_or(u32::MAX)
}
