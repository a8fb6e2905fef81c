//! Who claims which range: by an IPBlock object, or because its kernel holds it.

use std::collections::{BTreeMap, BTreeSet};

use api::prefix;
use ipnetwork::IpNetwork;

use super::space::Space;
use super::{Action, CreateReason};
use crate::ledger::Ledger;
use crate::moment::Moment;
use crate::view::View;

/// A range that two nodes claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// What the kernel of `holder` holds.
    pub held: IpNetwork,
    /// The node that holds it.
    pub holder: String,
    /// What overlaps it.
    pub with: IpNetwork,
    /// Whose that is.
    pub other: String,
}

/// All claims.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    /// Ranges of objects and their nodes; no node for objects that are not named after their range.
    objects: BTreeMap<IpNetwork, Option<String>>,
    /// Ranges that kernels hold, and their nodes.
    held: BTreeMap<IpNetwork, BTreeSet<String>>,
    conflicts: BTreeSet<Conflict>,
}

impl Claims {
    pub(super) fn read(now: Moment, view: &View, ledger: &Ledger) -> Self {
        let mut claims = Self::default();
        claims.objects.extend(view.foreign.iter().map(|cidr| (*cidr, None)));
        claims.objects.extend(view.blocks.iter().map(|(cidr, block)| (*cidr, Some(block.node.clone()))));
        // What a dead node holds is no claim; else its blocks were never free again.
        let alive = view.networks.iter().filter(|(name, _)| !ledger.is_dead(now, view, name));
        for (name, network) in alive {
            for cidr in &network.held {
                claims.held.entry(*cidr).or_default().insert(name.clone());
            }
        }
        claims.find_conflicts();
        claims
    }

    /// Every claimed range and whose it is.
    pub(super) fn all(&self) -> impl Iterator<Item = (IpNetwork, Option<&str>)> {
        let objects = self.objects.iter().map(|(cidr, node)| (*cidr, node.as_deref()));
        let held =
            self.held.iter().flat_map(|(cidr, nodes)| nodes.iter().map(|node| (*cidr, Some(node.as_str()))));
        objects.chain(held)
    }

    pub(super) fn conflicts(&self) -> Vec<Conflict> {
        self.conflicts.iter().cloned().collect()
    }

    /// Whether another node claims a part of this node's range too.
    pub(super) fn is_contested(&self, cidr: IpNetwork) -> bool {
        let touches = |c: &Conflict| prefix::overlap(c.held, cidr) || prefix::overlap(c.with, cidr);
        self.conflicts.iter().any(touches)
    }

    /// Whether this node's kernel holds a part of this range.
    pub(super) fn is_held(&self, cidr: IpNetwork, node: &str) -> bool {
        overlapping(&self.held, cidr).any(|(_, nodes)| nodes.contains(node))
    }

    /// Objects for what nodes hold without one. A single address that a node holds outside of
    /// every block it knows stands for the block of the pool that contains it.
    pub(super) fn lost_blocks(
        &self,
        view: &View,
        ledger: &Ledger,
        spaces: &mut BTreeMap<String, Space>,
    ) -> Vec<Action> {
        let mut made: BTreeMap<IpNetwork, Action> = BTreeMap::new();
        for (held, nodes) in &self.held {
            let Some(pool) = view.pools.containing(*held) else { continue };
            let Some(space) = spaces.get_mut(&pool.name) else { continue };
            let Some(cidr) = space.enclosing(*held) else { continue };
            let [node] = nodes.iter().collect::<Vec<_>>()[..] else { continue };
            let Some(network) = view.network_of(node) else { continue };
            if made.contains_key(&cidr) || self.is_taken_beside(cidr, node) {
                continue;
            }
            space.take(cidr, &view.nodes.get(node).map(super::super::view::NodeFacts::rack));
            let action = Action::Create {
                cidr,
                pool: pool.name.clone(),
                node: node.clone(),
                node_uid: network.node_uid.clone(),
                epoch: ledger.epoch(),
                why: CreateReason::Lost,
            };
            made.insert(cidr, action);
        }
        made.into_values().collect()
    }

    /// Whether the range has an object already, or another node holds a part of it.
    fn is_taken_beside(&self, cidr: IpNetwork, node: &str) -> bool {
        overlapping(&self.objects, cidr).next().is_some()
            || overlapping(&self.held, cidr).any(|(_, nodes)| nodes.iter().any(|other| other != node))
    }

    fn find_conflicts(&mut self) {
        for (held, holders) in &self.held {
            for holder in holders {
                let objects = overlapping(&self.objects, *held)
                    .filter_map(|(cidr, node)| Some((cidr, node.as_ref().filter(|node| *node != holder)?)));
                let kernels = overlapping(&self.held, *held).flat_map(|(cidr, nodes)| {
                    nodes.iter().filter(|node| *node != holder).map(move |node| (cidr, node))
                });
                for (with, other) in objects.chain(kernels) {
                    self.conflicts.insert(Conflict {
                        held: *held,
                        holder: holder.clone(),
                        with,
                        other: other.clone(),
                    });
                }
            }
        }
    }
}

/// The entries whose range shares an address with this one: those inside it, which are
/// neighbours in the order of the map, and those around it, one per prefix length at most.
fn overlapping<V>(ranges: &BTreeMap<IpNetwork, V>, cidr: IpNetwork) -> impl Iterator<Item = (IpNetwork, &V)> {
    let around = (0..cidr.prefix()).filter_map(move |length| {
        let wider = prefix::canonical(IpNetwork::new(cidr.network(), length).ok()?);
        ranges.get_key_value(&wider)
    });
    let inside = ranges.range(cidr..).take_while(move |(other, _)| cidr.contains(other.network()));
    let inside = inside.filter(move |(other, _)| prefix::overlap(**other, cidr));
    around.chain(inside).map(|(cidr, value)| (*cidr, value))
}
