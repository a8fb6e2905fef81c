//! Changes on their way to whoever follows them: merged by session, so that a slow reader costs bounded memory
//! and never misses that a session went down.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::super::{Change, SessionKey, State};

/// What happened to one session since it was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pending {
    /// The first time that it left the state Up.
    down: Option<Change>,
    last: Change,
}

/// Changes that nobody has taken yet.
#[derive(Debug, Default)]
pub struct Changes {
    pending: Mutex<BTreeMap<SessionKey, Pending>>,
    added: Notify,
    is_closed: AtomicBool,
}

impl Changes {
    /// Waits for changes and takes them, in order for each session. What lies between a session's first fall and its
    /// last change is left out; `None` once nobody adds any more. Cancel-safe: what is not taken stays.
    pub async fn take(&self) -> Option<Vec<(SessionKey, Change)>> {
        loop {
            let added = self.added.notified();
            let taken = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
            if !taken.is_empty() {
                return Some(taken.into_iter().flat_map(in_order).collect());
            }
            if self.is_closed.load(Ordering::Acquire) {
                return None;
            }
            added.await;
        }
    }

    /// Nobody adds any more.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.added.notify_one();
    }

    pub(super) fn add(&self, key: SessionKey, change: Change) {
        let down = (change.from == State::Up).then_some(change);
        let mut all = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(key)
            .and_modify(|pending| *pending = Pending { down: pending.down.or(down), last: change })
            .or_insert(Pending { down, last: change });
        drop(all);
        self.added.notify_one();
    }
}

fn in_order((key, pending): (SessionKey, Pending)) -> Vec<(SessionKey, Change)> {
    let down = pending.down.filter(|down| *down != pending.last);
    down.into_iter().chain([pending.last]).map(|change| (key.clone(), change)).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::super::Diagnostic;
    use super::*;

    fn change(from: State, to: State) -> Change {
        Change {
            from,
            to,
            diagnostic: Diagnostic::NONE,
            is_neighbor_admin_down: false,
            is_neighbor_independent: false,
        }
    }

    #[tokio::test]
    async fn a_fall_is_never_merged_away() {
        use State::{Down, Init, Up};
        let key =
            SessionKey { remote: Ipv4Addr::LOCALHOST.into(), local: None, scope: 0, is_multihop: false };
        // (why, added, taken)
        let cases = [
            ("one", vec![(Down, Init)], vec![(Down, Init)]),
            ("only the last", vec![(Down, Init), (Init, Up)], vec![(Init, Up)]),
            ("a fall", vec![(Init, Up), (Up, Down)], vec![(Up, Down)]),
            ("a fall and a rise", vec![(Up, Down), (Down, Init), (Init, Up)], vec![(Up, Down), (Init, Up)]),
            ("two falls", vec![(Up, Down), (Down, Up), (Up, Down)], vec![(Up, Down)]),
        ];
        for (why, added, expected) in cases {
            let changes = Changes::default();
            for (from, to) in added {
                changes.add(key.clone(), change(from, to));
            }
            let taken: Vec<_> = changes
                .take()
                .await
                .unwrap_or_default()
                .into_iter()
                .map(|(_, it)| (it.from, it.to))
                .collect();
            assert_eq!(taken, expected, "{why}");
        }
    }
}
