//! The kernel's side of policy: a writer on a thread of its own, which ends with the compartment.

use std::thread::JoinHandle;

use anyhow::{Context, Result};
use felix::{
    kernel::nft::{NftError, Owner, RulesetWriter},
    program::{Delta, Program},
};
use tracing::error;

/// The writer of our table. It repairs by itself what others damage.
pub(super) struct Kernel {
    writer: RulesetWriter,
    thread: Option<JoinHandle<()>>,
}

impl Kernel {
    /// The writer; nothing is written yet.
    pub(super) fn open() -> Result<Self> {
        let (writer, thread) = RulesetWriter::start(Owner::Writer).context("nftables cannot be written")?;
        Ok(Self { writer, thread: Some(thread) })
    }

    /// Brings the table to this program, writing only what differs.
    pub(super) async fn replace(&self, program: &Program) -> Result<(), NftError> {
        self.writer.replace(program.clone()).await
    }

    /// Makes the changes in one transaction.
    pub(super) async fn apply(&self, delta: Delta) -> Result<(), NftError> {
        if delta.is_empty() { Ok(()) } else { self.writer.apply(delta).await }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.writer.stop();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("the nftables writer ended by a panic");
        }
    }
}
