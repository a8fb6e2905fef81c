//! The writer's thread: orders, events, comparisons.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{NftError, Order, Owner, Shared, Work};
use crate::kernel::nft::encode::Batch;
use crate::kernel::nft::transaction::Transactions;
use crate::kernel::nft::{read, uapi};
use crate::kernel::socket::{Frames, Protocol, Socket, SocketError, readable};
use crate::kernel::wake::Wakeup;
use crate::program::{Delta, Program};
use crate::reconcile::ruleset::{Plan, plan};

/// Least time between two comparisons that events ask for: a program that rewrites the whole ruleset
/// in a loop must not make us read ours in a loop.
const COMPARISON_PAUSE: Duration = Duration::from_millis(100);

/// Time until the next attempt after one that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How often one comparison is begun anew because the ruleset changed meanwhile.
const ATTEMPTS_MAX: usize = 8;

/// Datagrams of events that are read at once, so that orders are not kept waiting.
const EVENTS_MAX: usize = 10_000;

pub(super) struct Worker {
    shared: Arc<Shared>,
    wakeup: Wakeup,
    transactions: Transactions,
    events: Socket,
    /// What the table shall be; also what it is as long as `is_current`.
    desired: Option<Program>,
    is_current: bool,
    /// Whether tables can outlive their owner; believed until the kernel refuses it.
    persists: bool,
    is_owned: bool,
    compare_not_before: Instant,
}

#[expect(clippy::disallowed_methods, reason = "the thread waits for time between comparisons")]
fn now() -> Instant {
    Instant::now()
}

impl Worker {
    pub(super) fn open(shared: Arc<Shared>, wakeup: Wakeup, owner: Owner) -> io::Result<Self> {
        let events = Socket::open(Protocol::Netfilter)?;
        events.join(uapi::GROUP)?;
        Ok(Self {
            shared,
            wakeup,
            transactions: Transactions::open()?,
            events,
            desired: None,
            is_current: false,
            persists: owner == Owner::Writer,
            is_owned: false,
            compare_not_before: now(),
        })
    }

    pub(super) fn run(mut self) {
        while self.wait() {
            self.wakeup.clear();
            let orders = std::mem::take(&mut self.shared.mailbox().orders);
            self.carry_out(orders.into());
            self.read_events();
            self.repair_if_due();
            self.publish();
        }
        let mut mailbox = self.shared.mailbox();
        mailbox.has_ended = true;
        // Their futures end with `Stopped`.
        mailbox.orders.clear();
    }

    /// Waits for orders, events or the next comparison; false when there is nothing more to do.
    fn wait(&mut self) -> bool {
        {
            let mailbox = self.shared.mailbox();
            if !mailbox.orders.is_empty() {
                return true;
            }
            if mailbox.is_stopped {
                return false;
            }
        }
        let is_due = !self.is_current && self.desired.is_some();
        let wait = is_due.then(|| self.compare_not_before.saturating_duration_since(now()));
        // An error here would be one of poll itself; the sockets say theirs when they are read.
        let _ = readable(&[self.wakeup.as_fd(), self.events.as_fd()], wait);
        true
    }

    fn carry_out(&mut self, orders: Vec<Order>) {
        let mut joined = Delta::default();
        let mut waiting = Vec::new();
        for Order { work, answer } in orders {
            match work {
                Work::Apply(delta) => {
                    joined.append(delta);
                    waiting.push(answer);
                }
                Work::Replace(program) => {
                    self.apply(&std::mem::take(&mut joined), std::mem::take(&mut waiting));
                    self.desired = Some(*program);
                    self.is_current = false;
                    let outcome = self.converge(false);
                    // Nobody may wait any more.
                    let _ = answer.send(outcome);
                }
            }
        }
        self.apply(&joined, waiting);
    }

    fn apply(&mut self, delta: &Delta, waiting: Vec<oneshot::Sender<Result<(), NftError>>>) {
        if waiting.is_empty() {
            return;
        }
        let outcome = self.apply_delta(delta);
        for answer in waiting {
            let _ = answer.send(outcome.clone());
        }
    }

    fn apply_delta(&mut self, delta: &Delta) -> Result<(), NftError> {
        let desired = self.desired.as_mut().ok_or(NftError::NoProgram)?;
        let batch = self.is_current.then(|| Batch::of(delta, desired));
        desired.apply(delta);
        if let Some(batch) = batch {
            if batch.messages.is_empty() {
                return Ok(());
            }
            self.count_transaction();
            if self.transactions.commit(&batch, None).is_ok() {
                return Ok(());
            }
        }
        // The table is not what we thought, or the delta is refused: the comparison tells which.
        self.is_current = false;
        self.converge(false)
    }

    /// Makes the table what it shall be, from what it is.
    fn converge(&mut self, is_repair: bool) -> Result<(), NftError> {
        let mut outcome = Err(NftError::Contended);
        for _ in 0..ATTEMPTS_MAX {
            outcome = self.compare_and_write(is_repair);
            match &outcome {
                Err(NftError::Contended) => {}
                Err(error) if self.persists && is_unsupported_flag(error) => self.persists = false,
                _ => break,
            }
        }
        self.is_current = outcome.is_ok();
        let pause = if self.is_current { COMPARISON_PAUSE } else { RETRY_PAUSE };
        self.compare_not_before = now() + pause;
        self.shared.status().last_error = outcome.as_ref().err().map(ToString::to_string);
        outcome
    }

    fn compare_and_write(&mut self, is_repair: bool) -> Result<(), NftError> {
        let Some(desired) = &self.desired else { return Ok(()) };
        let generation = self.transactions.generation()?;
        let observed = read::read(&mut self.transactions, desired)?;
        self.shared.status().comparisons += 1;
        let plan = plan(desired, observed, self.persists);
        let is_different = plan != Plan::Nothing;
        let batch = self.batch(plan);
        if batch.messages.is_empty() {
            return Ok(());
        }
        self.count_transaction();
        self.transactions.commit(&batch, Some(generation))?;
        self.is_owned = self.persists;
        self.shared.status().repairs += u64::from(is_repair && is_different);
        Ok(())
    }

    /// The plan's messages, led by the table's own where that is new or to be adopted.
    fn batch(&self, plan: Plan) -> Batch {
        let flags = if self.persists { uapi::TABLE_F_OWNER | uapi::TABLE_F_PERSIST } else { 0 };
        let mut batch = Batch::default();
        match plan {
            Plan::Nothing if self.persists && !self.is_owned => batch.add_table(flags),
            Plan::Nothing => {}
            Plan::Change(from, delta) => {
                if self.persists {
                    batch.add_table(flags);
                }
                batch.append(Batch::of(&delta, &from));
            }
            Plan::Build(delta) => {
                batch.add_table(flags);
                batch.append(Batch::of(&delta, &Program::default()));
            }
            Plan::Rebuild(delta) => {
                batch.delete_table();
                batch.add_table(flags);
                batch.append(Batch::of(&delta, &Program::default()));
            }
        }
        batch
    }

    /// Notes whether anybody else changed our table.
    fn read_events(&mut self) {
        let own_port = self.transactions.port;
        for _ in 0..EVENTS_MAX {
            match self.events.try_receive() {
                Ok(None) => return,
                Ok(Some(datagram)) => {
                    let foreign = Frames::new(datagram)
                        .flatten()
                        .any(|frame| Some(frame.port) != own_port && read::is_of_our_table(frame.payload));
                    self.is_current &= !foreign;
                }
                Err(SocketError::Overrun) => {
                    self.is_current = false;
                    self.shared.status().overruns += 1;
                }
                // The next comparison does not need events.
                Err(_) => self.is_current = false,
            }
        }
    }

    fn repair_if_due(&mut self) {
        if !self.is_current && self.desired.is_some() && now() >= self.compare_not_before {
            // The error is in the status, and the next attempt is due in a second.
            let _ = self.converge(true);
        }
    }

    fn count_transaction(&self) {
        self.shared.status().transactions += 1;
    }

    fn publish(&self) {
        let mut status = self.shared.status();
        status.is_current = self.is_current;
        status.is_owned = self.is_owned;
    }
}

/// Whether a kernel before 6.9 refused the table's flags.
fn is_unsupported_flag(error: &NftError) -> bool {
    let table = format!("table inet {}", crate::program::TABLE);
    matches!(error, NftError::Refused { subject, refusal }
        if *subject == table && matches!(refusal.errno, libc::EOPNOTSUPP | libc::EINVAL))
}
