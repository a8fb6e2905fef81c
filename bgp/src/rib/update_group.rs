//! What every neighbor was told, and the bytes that tell it.
//!
//! Neighbors with equal [`ExportContext`]s form a group: export runs once for each changed
//! prefix and group. What a member was told is kept by content, for each member: what it
//! must be told is the difference to that, never inferred from its group, so that a member
//! may join, change groups or fall behind at any time. Members with equal differences share
//! one encoding.

mod adj_rib_out;
mod delta;
mod member;

use member::Member;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use ipnetwork::IpNetwork;

use delta::{Delta, Encoded};

use super::{Path, Rib};
use crate::policy::{ExportContext, Route, export};
use crate::speaker::ConnectionId;
use crate::wire::Family;

/// The neighbors whose sessions are up.
#[derive(Debug, Default)]
pub(crate) struct UpdateGroups {
    members: BTreeMap<IpAddr, Member>,
}

/// What a member is to be sent.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The messages, by connection, in order.
    pub(crate) messages: Vec<(ConnectionId, Bytes)>,
    /// Routes that do not fit into a message to this neighbor; it is not told them.
    pub(crate) too_large: Vec<(IpAddr, IpNetwork)>,
}

impl UpdateGroups {
    /// A session came up: the neighbor has been told nothing yet.
    pub(crate) fn join(&mut self, peer: IpAddr, connection: ConnectionId, context: ExportContext) {
        self.members.insert(peer, Member::new(connection, context));
    }

    /// A session ended.
    pub(crate) fn leave(&mut self, peer: IpAddr) {
        self.members.remove(&peer);
    }

    /// What is told this neighbor changes; [`Self::catch_up`] makes up for it.
    pub(crate) fn regroup(&mut self, peer: IpAddr, context: ExportContext) {
        if let Some(member) = self.members.get_mut(&peer).filter(|member| *member.context != context) {
            member.context = Arc::new(context);
            member.is_behind = true;
        }
    }

    /// The driver's queue towards the neighbor is full, or has room again.
    pub(crate) fn set_congested(&mut self, peer: IpAddr, connection: ConnectionId, is_congested: bool) {
        if let Some(member) = self.members.get_mut(&peer).filter(|member| member.connection == connection) {
            member.is_congested = is_congested;
        }
    }

    /// The neighbor asked for everything of a family again (RFC 2918).
    pub(crate) fn refresh(&mut self, peer: IpAddr, family: Family) {
        if let Some(member) = self.members.get_mut(&peer) {
            member.refreshes.insert(family);
        }
    }

    /// Whether [`Self::catch_up`] has something to do.
    pub(crate) fn is_anyone_behind(&self, is_complete: bool) -> bool {
        self.members.values().any(|member| !member.is_congested && member.has_work(is_complete))
    }

    /// How many prefixes of the family the neighbor was told.
    pub(crate) fn advertised(&self, peer: IpAddr, family: Family) -> usize {
        self.members.get(&peer).map_or(0, |member| member.adj_rib_out.count(family))
    }

    /// Tells everyone whose queue has room of the prefixes whose best path changed.
    pub(crate) fn advertise(&mut self, rib: &Rib, changed: &[IpNetwork], told: &mut Told) {
        if changed.is_empty() {
            return;
        }
        for (context, peers) in self.groups() {
            let exported: Vec<Exported<'_>> =
                changed.iter().map(|prefix| Exported::of(&context, prefix, rib.best(prefix))).collect();
            let mut encoded = Encoded::new(context.encoding);
            for peer in peers {
                let Some(member) = self.members.get_mut(&peer) else { continue };
                if member.is_congested || member.is_behind {
                    member.is_behind = true;
                    continue;
                }
                let delta = member.diff(peer, &exported);
                send(member, peer, delta, &mut encoded, told);
            }
        }
    }

    /// Tells those who joined, changed or fell behind all that they lack, answers refreshes, and sends
    /// End-of-RIB to those who have not had it, once `is_complete` says that our routes are all there.
    pub(crate) fn catch_up(&mut self, rib: &Rib, is_complete: bool, told: &mut Told) {
        let mut dumps: HashMap<Arc<ExportContext>, (Vec<Exported<'_>>, Encoded)> = HashMap::new();
        for (peer, member) in self.members.iter_mut().filter(|(_, member)| !member.is_congested) {
            if member.is_behind || !member.refreshes.is_empty() {
                let context = &member.context;
                let (exported, encoded) = dumps.entry(Arc::clone(context)).or_insert_with(|| {
                    let all = rib.best_paths();
                    let exported = all.map(|(prefix, path)| Exported::of(context, prefix, Some(path)));
                    (exported.collect(), Encoded::new(context.encoding))
                });
                let delta = member.diff_all(*peer, exported);
                send(member, *peer, delta, encoded, told);
            }
            if is_complete {
                let ends = member.take_ends_of_rib();
                told.messages.extend(ends.into_iter().map(|bytes| (member.connection, bytes)));
            }
        }
    }

    fn groups(&self) -> Vec<(Arc<ExportContext>, Vec<IpAddr>)> {
        let mut places: HashMap<&ExportContext, usize> = HashMap::new();
        let mut groups: Vec<(Arc<ExportContext>, Vec<IpAddr>)> = Vec::new();
        for (peer, member) in &self.members {
            let place = *places.entry(&member.context).or_insert(groups.len());
            if place == groups.len() {
                groups.push((Arc::clone(&member.context), Vec::new()));
            }
            groups[place].1.push(*peer);
        }
        groups
    }
}

/// A changed prefix as a group is told it.
#[derive(Debug)]
struct Exported<'a> {
    prefix: IpNetwork,
    path: Option<&'a Arc<Path>>,
    route: Option<Arc<Route>>,
}

impl<'a> Exported<'a> {
    fn of(context: &ExportContext, prefix: &IpNetwork, path: Option<&'a Arc<Path>>) -> Self {
        let route = path.and_then(|path| export(context, prefix, path)).map(Arc::new);
        Self { prefix: *prefix, path, route }
    }

    /// What differs between members of a group: a route never goes back to whom it came from, and
    /// nobody is told to send packets to itself (RFC 4271 section 5.1.3).
    fn for_member(&self, peer: IpAddr) -> Option<&Arc<Route>> {
        let is_from_member = self.path.is_some_and(|path| path.peer() == Some(peer));
        self.route.as_ref().filter(|route| !is_from_member && route.next_hop.address != peer)
    }
}

fn send(member: &mut Member, peer: IpAddr, delta: Delta, encoded: &mut Encoded, told: &mut Told) {
    if delta.is_empty() {
        return;
    }
    let (messages, too_large) = encoded.of(delta);
    told.messages.extend(messages.iter().map(|bytes| (member.connection, bytes.clone())));
    for prefix in too_large {
        member.adj_rib_out.remove(prefix);
        told.too_large.push((peer, *prefix));
    }
}
