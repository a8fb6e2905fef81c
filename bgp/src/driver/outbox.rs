//! What waits to be written to one connection.
//!
//! The speaker is told when it is full and when there is room again; in between it sends
//! keepalives alone, so that what waits is bounded by [`FULL_BYTES`] and what one turn of the speaker adds.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// From here on the speaker holds back. A stalled peer costs this much and no more; a
/// healthy one is never idle, for the kernel has its own buffer behind this.
const FULL_BYTES: usize = 256 * 1024;
/// From here on the speaker goes on: early enough that the writer does not run dry meanwhile.
const ROOM_BYTES: usize = 64 * 1024;
/// A connection with more than this is broken off: the speaker did not hold back, or one turn
/// of it told more than a peer that reads at all would leave waiting.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// As many messages as one system call writes; the kernel's own limit is 1024.
const BATCH_LEN: usize = 64;

#[derive(Default)]
struct State {
    messages: VecDeque<Bytes>,
    bytes: usize,
    is_congested: bool,
    is_closed: bool,
}

/// What became of a message that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It waits.
    Waits,
    /// It waits, and with it the outbox is full.
    Full,
    /// There is no more room at all.
    Overrun,
}

/// The outbox of one connection, between driver and writer.
#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<State>,
    changed: Notify,
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; if it did, the numbers are still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in a message.
    pub(super) fn put(&self, message: Bytes) -> Put {
        let mut state = self.state();
        if state.bytes + message.len() > BYTES_MAX {
            return Put::Overrun;
        }
        state.bytes += message.len();
        state.messages.push_back(message);
        self.changed.notify_one();
        if state.bytes >= FULL_BYTES && !state.is_congested {
            state.is_congested = true;
            return Put::Full;
        }
        Put::Waits
    }

    /// Nothing more comes: the writer ends when it has written what waits.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_one();
    }

    /// What to write next; none at the end.
    pub(super) async fn take(&self) -> Option<Vec<Bytes>> {
        loop {
            {
                let mut state = self.state();
                if !state.messages.is_empty() {
                    let count = state.messages.len().min(BATCH_LEN);
                    return Some(state.messages.drain(..count).collect());
                }
                if state.is_closed {
                    return None;
                }
            }
            // A put in between leaves a permit behind, so that it is not missed.
            self.changed.notified().await;
        }
    }

    /// Notes that this many bytes are with the kernel; says whether a full outbox has room again by that.
    pub(super) fn written(&self, bytes: usize) -> bool {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(bytes);
        let has_room_again = state.is_congested && state.bytes <= ROOM_BYTES;
        if has_room_again {
            state.is_congested = false;
        }
        has_room_again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_full_once_and_room_once() {
        let outbox = Outbox::default();
        let message = Bytes::from(vec![0; 1024]);
        let puts: Vec<Put> = (0..300).map(|_| outbox.put(message.clone())).collect();
        let full: Vec<usize> = (0..300).filter(|at| puts[*at] == Put::Full).collect();
        assert_eq!(full, [255], "with the message that fills it, and not again");
        let rooms: Vec<usize> = (0..300).filter(|_| outbox.written(1024)).collect();
        assert_eq!(rooms, [235], "when 64 KiB are left, and not again");
        assert_eq!(outbox.put(message), Put::Waits);
    }

    #[test]
    fn refuses_more_than_its_greatest_size() {
        let outbox = Outbox::default();
        let message = Bytes::from(vec![0; BYTES_MAX / 4]);
        let puts: Vec<Put> = (0..5).map(|_| outbox.put(message.clone())).collect();
        assert_eq!(puts, [Put::Full, Put::Waits, Put::Waits, Put::Waits, Put::Overrun]);
    }

    #[tokio::test]
    async fn gives_what_waits_before_it_ends() {
        let outbox = Outbox::default();
        for _ in 0..=BATCH_LEN {
            outbox.put(Bytes::from_static(b"x"));
        }
        outbox.close();
        let mut lengths = Vec::new();
        while let Some(batch) = outbox.take().await {
            lengths.push(batch.len());
        }
        assert_eq!(lengths, [BATCH_LEN, 1]);
    }
}
