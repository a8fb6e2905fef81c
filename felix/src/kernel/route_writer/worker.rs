//! The writer's thread: mail and events in, batches of netlink messages out.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::refusal::{Fault, judge, second_choice};
use super::schedule::{RETRY_DELAY, Schedule};
use super::{RouteError, Shared, Waiter};
use crate::kernel::link::{LinkNews, Links};
use crate::kernel::monitor::{Event, EventSocket, Topic};
use crate::kernel::route;
use crate::kernel::socket::{Protocol, Socket, SocketError, readable};
use crate::kernel::wake::Wakeup;
use crate::model::route::{NextHop, Ownership, RouteSource, RouteTarget};
use crate::reconcile::route::{DesiredRoutes, ObservedRoutes, RouteKey, RouteOp, plan, plan_keys};

/// The main routing table, the only one that we write.
const TABLE_MAIN: u8 = 254;

const TOPICS: [Topic; 4] = [Topic::Links, Topic::Addresses, Topic::Routes, Topic::NextHops];

pub(super) struct Worker {
    ownership: Ownership,
    shared: Arc<Shared>,
    wakeup: Wakeup,
    requests: Socket,
    port: u32,
    events: EventSocket,
    links: Links,
    /// Link events were lost since `links` was read.
    are_links_stale: bool,
    desired: DesiredRoutes,
    observed: ObservedRoutes,
    schedule: Schedule,
    waiting: Vec<Waiter>,
}

/// However the thread ends, nobody waits for it for ever.
impl Drop for Worker {
    fn drop(&mut self) {
        let mut mailbox = self.shared.mailbox();
        mailbox.has_ended = true;
        mailbox.waiters.clear();
    }
}

impl Worker {
    /// Listens first and reads then, so that no change falls between.
    pub(super) fn open(
        ownership: Ownership,
        shared: Arc<Shared>,
        wakeup: Wakeup,
    ) -> Result<Self, SocketError> {
        let events = EventSocket::open(&TOPICS)?;
        let mut requests = Socket::open(Protocol::Route)?;
        let links = Links::read(&mut requests)?;
        let observed = route::dump(&mut requests, &ownership, &links)?;
        let worker = Self {
            port: requests.port()?,
            ownership,
            shared,
            wakeup,
            requests,
            events,
            links,
            are_links_stale: false,
            desired: DesiredRoutes::default(),
            observed,
            schedule: Schedule::new(now()),
            waiting: Vec::new(),
        };
        worker.count_installed();
        Ok(worker)
    }

    pub(super) fn observed(&self) -> &ObservedRoutes {
        &self.observed
    }

    /// Works until told to stop; what was asked before that is still carried out once.
    pub(super) fn run(mut self) {
        loop {
            let is_stopped = self.shared.mailbox().is_stopped;
            let wait = if is_stopped { Duration::ZERO } else { self.schedule.wait(now()) };
            if let Err(error) = self.turn(wait) {
                self.recover(&error);
            }
            if is_stopped {
                break;
            }
        }
    }

    fn turn(&mut self, wait: Duration) -> Result<(), SocketError> {
        readable(&[self.wakeup.as_fd(), self.events.as_fd()], Some(wait))?;
        self.wakeup.clear();
        // Mail before events: an interface made before its route was asked for is known then.
        let changed = self.take_mail();
        self.take_events()?;
        if self.schedule.is_due(now()) {
            self.compare(&changed)?;
        } else {
            let ops = plan_keys(&self.desired, &self.observed, &changed);
            self.settle_pending(|key| changed.contains(key), &ops);
            self.apply(ops, false)?;
        }
        self.answer();
        Ok(())
    }

    fn take_mail(&mut self) -> BTreeSet<RouteKey> {
        let mut mailbox = self.shared.mailbox();
        let routes = std::mem::take(&mut mailbox.routes);
        let in_sync = std::mem::take(&mut mailbox.in_sync);
        self.waiting.append(&mut mailbox.waiters);
        drop(mailbox);
        let changed = routes.keys().copied().collect();
        for (key, target) in routes {
            self.desired.set(key, target);
        }
        for source in in_sync {
            info!(?source, routes = self.desired.count(source), "routes in sync");
            self.desired.mark_in_sync(source);
            self.schedule.at_once(now());
        }
        changed
    }

    fn take_events(&mut self) -> Result<(), SocketError> {
        let mut events = Vec::new();
        self.events.drain(&mut events)?;
        for event in events {
            if self.matters(event) {
                self.schedule.event(now());
            }
        }
        Ok(())
    }

    /// Takes in what an event says about links; true if routes of ours may be gone, or may have
    /// become possible while some wait for that.
    fn matters(&mut self, event: Event) -> bool {
        let news = match event {
            Event::Link { link, is_gone: true } => {
                self.links.remove(link.index);
                LinkNews::Loss
            }
            Event::Link { link, is_gone: false } => self.links.insert(link),
            Event::Address { is_gone, .. } => {
                if is_gone {
                    LinkNews::Loss
                } else {
                    LinkNews::Gain
                }
            }
            Event::NextHop => LinkNews::Loss,
            Event::Route { table, port, .. } if table != TABLE_MAIN || port == self.port => LinkNews::Nothing,
            Event::Route { protocol, .. } if protocol == self.ownership.protocol => LinkNews::Loss,
            // A foreign route may lead to a gateway, or free a place, that a route of ours waits for.
            Event::Route { .. } => LinkNews::Gain,
            Event::Overrun => {
                self.are_links_stale = true;
                self.shared.status().overruns += 1;
                LinkNews::Loss
            }
        };
        match news {
            LinkNews::Nothing => false,
            LinkNews::Gain => !self.shared.status().pending.is_empty(),
            LinkNews::Loss => true,
        }
    }

    /// Reads our routes back and repairs whatever differs.
    fn compare(&mut self, changed: &BTreeSet<RouteKey>) -> Result<(), SocketError> {
        let begun = now();
        if self.are_links_stale {
            self.links = Links::read(&mut self.requests)?;
            self.are_links_stale = false;
        }
        self.observed = route::dump(&mut self.requests, &self.ownership, &self.links)?;
        let ops = plan(&self.desired, &self.observed);
        self.settle_pending(|_| true, &ops);
        let pending_before: BTreeSet<RouteKey> = self.shared.status().pending.keys().copied().collect();
        let is_repair = |op: &&RouteOp| !changed.contains(op.key()) && !pending_before.contains(op.key());
        let repairs = ops.iter().filter(is_repair).count();
        if repairs > 0 {
            info!(repairs, "kernel routes differ, repairing");
        }
        {
            let mut status = self.shared.status();
            status.comparisons += 1;
            status.repairs += u64::try_from(repairs).unwrap_or(u64::MAX);
        }
        self.schedule.done(begun, now());
        self.apply(ops, true)?;
        self.count_installed();
        Ok(())
    }

    /// Forgets the pending reason of every route in question that needs no write any more.
    fn settle_pending(&self, is_in_question: impl Fn(&RouteKey) -> bool, ops: &[RouteOp]) {
        let mut status = self.shared.status();
        if status.pending.is_empty() {
            return;
        }
        let written: BTreeSet<&RouteKey> = ops.iter().map(RouteOp::key).collect();
        status.pending.retain(|key, _| !is_in_question(key) || written.contains(key));
    }

    /// Writes, and for what was refused writes the best that is possible instead.
    fn apply(&mut self, ops: Vec<RouteOp>, is_fresh: bool) -> Result<(), SocketError> {
        let mut instead = Vec::new();
        let mut hops = HopChecks::new();
        for (op, outcome) in self.write(ops)? {
            match outcome {
                Ok(()) => self.shared.status().pending.remove(op.key()).map_or((), drop),
                Err(fault) => {
                    if matches!(fault, Fault::Passing(_)) {
                        self.schedule.retry(now());
                    } else if matches!(fault, Fault::Occupied(_)) && !is_fresh {
                        // Perhaps it is ours and we do not know it: look.
                        self.schedule.event(now());
                    }
                    instead.extend(self.refused(op, &fault, &mut hops)?);
                }
            }
        }
        for (op, outcome) in self.write(instead)? {
            if let Err(fault) = outcome {
                debug!(prefix = %op.key().prefix, reason = fault.reason(), "second choice refused too");
            }
        }
        Ok(())
    }

    fn write(&mut self, ops: Vec<RouteOp>) -> Result<Vec<(RouteOp, Result<(), Fault>)>, SocketError> {
        let mut requests = Vec::with_capacity(ops.len());
        let mut sent = Vec::with_capacity(ops.len());
        let mut done = Vec::with_capacity(ops.len());
        for op in ops {
            match route::request(&op, &self.ownership, &self.links) {
                Ok(request) => {
                    requests.push(request);
                    sent.push(op);
                }
                Err(error) => done.push((op, Err(Fault::Unresolvable(error.to_string())))),
            }
        }
        let outcomes = self.requests.batch(&requests)?;
        for (op, outcome) in sent.into_iter().zip(outcomes) {
            let outcome = judge(&op, outcome);
            if outcome.is_ok() {
                self.written(&op);
            }
            done.push((op, outcome));
        }
        Ok(done)
    }

    /// Takes note of what the kernel has now.
    fn written(&mut self, op: &RouteOp) {
        let mut status = self.shared.status();
        status.writes += 1;
        let count = status.installed.entry(op.key().source).or_default();
        match op {
            RouteOp::Add(key, target) | RouteOp::Replace(key, target) => {
                if self.observed.insert(*key, target.clone()).is_none() {
                    *count += 1;
                }
            }
            RouteOp::Remove(key) => {
                if self.observed.remove(key).is_some() {
                    *count = count.saturating_sub(1);
                }
            }
        }
    }

    /// Keeps a refused route as pending; what to write in its stead, if anything.
    fn refused(
        &mut self,
        op: RouteOp,
        fault: &Fault,
        hops: &mut HopChecks,
    ) -> Result<Option<RouteOp>, SocketError> {
        let (RouteOp::Add(key, target) | RouteOp::Replace(key, target)) = op else {
            self.pend(*op.key(), fault.reason().to_owned());
            return Ok(None);
        };
        let mut reason = fault.reason().to_owned();
        let mut usable = BTreeSet::new();
        if let (Fault::Unresolvable(_), RouteTarget::Via(wanted)) = (fault, &target)
            && wanted.len() > 1
        {
            for hop in wanted {
                match self.check_hop(&key, hop, hops)? {
                    Ok(()) => drop(usable.insert(hop.clone())),
                    Err(why) => reason = format!("next hop {}: {why}", hop.gateway),
                }
            }
        }
        self.pend(key, reason);
        Ok(match fault {
            Fault::Unresolvable(_) => second_choice(key, &target, usable, self.observed.get(&key)),
            Fault::Occupied(_) | Fault::Passing(_) => None,
        })
    }

    /// Whether the kernel would take this next hop, asked once per round of writes.
    fn check_hop(
        &mut self,
        key: &RouteKey,
        hop: &NextHop,
        hops: &mut HopChecks,
    ) -> Result<Result<(), String>, SocketError> {
        let family = (key.prefix.is_ipv4(), hop.clone());
        if let Some(known) = hops.get(&family) {
            return Ok(known.clone());
        }
        let alone = RouteOp::Add(*key, RouteTarget::Via([hop.clone()].into()));
        let answer = match route::request(&alone, &self.ownership, &self.links) {
            Ok(_) => route::check_hop(&mut self.requests, hop, &self.links)?,
            Err(error) => Err(error.to_string()),
        };
        hops.insert(family, answer.clone());
        Ok(answer)
    }

    fn pend(&self, key: RouteKey, reason: String) {
        let mut status = self.shared.status();
        if status.pending.get(&key) != Some(&reason) {
            warn!(source = ?key.source, prefix = %key.prefix, reason, "route pending");
            status.pending.insert(key, reason);
        }
    }

    fn answer(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let status = self.shared.status();
        for waiter in self.waiting.drain(..) {
            // Whoever no longer waits need not be told.
            match waiter {
                Waiter::All(sender) => drop(sender.send(())),
                Waiter::Route(key, sender) => drop(sender.send(outcome(&status.pending, &key))),
            }
        }
    }

    fn count_installed(&self) {
        let count = |source| self.observed.keys().filter(|key| key.source == source).count();
        self.shared.status().installed =
            RouteSource::ALL.into_iter().map(|source| (source, count(source))).collect();
    }

    /// After a failure nothing that was thought to be written is relied upon.
    fn recover(&mut self, error: &SocketError) {
        warn!(%error, "writing routes failed, reading them again");
        self.are_links_stale = true;
        self.schedule.failed(now());
        if matches!(error, SocketError::Overrun | SocketError::Interrupted | SocketError::Refused(_)) {
            return;
        }
        if let Err(error) = self.reopen() {
            warn!(%error, "no netlink socket, trying again");
            std::thread::park_timeout(RETRY_DELAY);
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.events = EventSocket::open(&TOPICS)?;
        self.requests = Socket::open(Protocol::Route)?;
        self.port = self.requests.port()?;
        Ok(())
    }
}

/// Answers of one round of writes, by (is the route IPv4, next hop).
type HopChecks = BTreeMap<(bool, NextHop), Result<(), String>>;

fn outcome(pending: &BTreeMap<RouteKey, String>, key: &RouteKey) -> Result<(), RouteError> {
    match pending.get(key) {
        Some(reason) => Err(RouteError::Pending { prefix: key.prefix, reason: reason.clone() }),
        None => Ok(()),
    }
}

#[expect(clippy::disallowed_methods, reason = "the writer's thread is the clock of its schedule")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
