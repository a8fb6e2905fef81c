//! One verb at a time for each attachment: a runtime that gave up on an ADD sends DEL while that ADD is still at work,
//! and what the one takes back the other must not give again.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use cni::protocol::Attachment;
use tokio::sync::Notify;

/// The attachments that a verb is at work on; as many as plugins are served.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: Mutex<BTreeSet<Attachment>>,
    ended: Notify,
}

/// The right to change an attachment, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    attachment: Attachment,
}

impl Turns {
    /// Waits until no other verb is at work on the attachment; cancel-safe.
    pub(super) async fn take(&self, attachment: &Attachment) -> Turn<'_> {
        loop {
            // Subscribed before the attempt, so that no end is missed between the two.
            let ended = self.ended.notified();
            if self.taken().insert(attachment.clone()) {
                return Turn { turns: self, attachment: attachment.clone() };
            }
            ended.await;
        }
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<Attachment>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.taken().remove(&self.attachment);
        self.turns.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn attachment(container_id: &str) -> Attachment {
        let (network, ifname) = ("tortie".to_owned(), "eth0".to_owned());
        Attachment { network, container_id: container_id.to_owned(), ifname }
    }

    #[test]
    fn one_verb_at_a_time_for_each_attachment() {
        let turns = Turns::default();
        let contested = attachment("a");
        let add = turns.take(&contested).now_or_never();
        assert!(add.is_some());
        assert!(turns.take(&attachment("b")).now_or_never().is_some(), "another attachment does not wait");
        let mut del = Box::pin(turns.take(&contested));
        assert!(del.as_mut().now_or_never().is_none(), "DEL waits for the ADD");
        drop(add);
        assert!(del.now_or_never().is_some(), "and goes on at its end");
        assert!(turns.taken().is_empty(), "nothing is left of turns that ended");
    }
}
