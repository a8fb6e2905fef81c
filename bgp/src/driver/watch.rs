//! The speaker's BFD: its thread, the sessions that it shall have, the changes that it tells.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::warn;

use super::run::Arrival;
use crate::bfd::driver::{self, Changes, Ended, Handle};
use crate::bfd::{SessionKey, Timers};
use crate::speaker::Input;

/// BFD beside the speaker.
pub(super) struct Watch {
    handle: Handle,
    changes: Arc<Changes>,
    thread: JoinHandle<()>,
    desired: watch::Sender<BTreeMap<SessionKey, Timers>>,
}

impl Watch {
    /// Starts the thread, without a session.
    pub(super) fn start(seed: u64) -> io::Result<Self> {
        let (handle, changes, thread) = driver::start(seed)?;
        Ok(Self { handle, changes, thread, desired: watch::Sender::default() })
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Adds the two tasks that join it with the speaker.
    pub(super) fn spawn(&self, tasks: &mut JoinSet<()>, arrivals: &mpsc::Sender<Arrival>) {
        tasks.spawn(configure(self.handle(), self.desired.subscribe()));
        tasks.spawn(follow(Arc::clone(&self.changes), arrivals.clone()));
    }

    /// Makes the sessions those that are given, soon.
    pub(super) fn set(&self, desired: BTreeMap<SessionKey, Timers>) {
        self.desired.send_if_modified(|present| {
            let is_other = *present != desired;
            *present = desired;
            is_other
        });
    }

    /// Ends the tasks and the thread.
    pub(super) async fn end(self) {
        drop(self.desired);
        self.changes.close();
        // Whoever still has a handle is told that it has ended.
        let _: Result<(), Ended> = self.handle.end().await;
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }
}

/// Hands on what is desired until nobody desires any more.
async fn configure(handle: Handle, mut desired: watch::Receiver<BTreeMap<SessionKey, Timers>>) {
    while desired.changed().await.is_ok() {
        let sessions = desired.borrow_and_update().clone();
        match handle.configure(sessions).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(cause = %error, "BFD sessions cannot start; does another BFD daemon have the port?");
            }
            Err(Ended) => return,
        }
    }
}

/// Tells the speaker of changes until they are closed.
async fn follow(changes: Arc<Changes>, arrivals: mpsc::Sender<Arrival>) {
    while let Some(taken) = changes.take().await {
        for (key, change) in taken {
            let input = Input::BfdChanged { neighbor: key.remote, change };
            if arrivals.send(Arrival::Input(input)).await.is_err() {
                return;
            }
        }
    }
}
