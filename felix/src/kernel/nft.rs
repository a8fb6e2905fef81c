//! nftables by netlink: writes a program into `table inet tortie`, reads it back, keeps it so.
//!
//! ```text
//! Program, Delta --encode--> Batch --transaction--> kernel        all of it or nothing
//! kernel --read--> Observed --reconcile::ruleset::plan--> what differs
//! kernel --events of others--> writer: compare and repair, rate-limited
//! ```
//!
//! Where the kernel can (6.9), the table belongs to the writer's socket and outlives it: nobody else's
//! `nft flush ruleset` touches it, and the next writer adopts it. Elsewhere events tell of damage.

mod encode;
mod expression;
mod foreign;
mod message;
mod read;
mod set;
mod transaction;
mod uapi;
mod writer;

pub use foreign::{ForwardChain, forward_chains};
pub use writer::{Owner, RulesetStatus, RulesetWriter};

use super::socket::{Refusal, SocketError};
use crate::program::TABLE;

/// Why the table is not what it should be, by what the caller can do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NftError {
    /// Another living process owns the table: wait until it ends, as in an upgrade.
    #[error("table inet {TABLE} belongs to another running process; is a second tortie-node running here?")]
    Owned,
    /// The kernel refused a part, and so the whole: nothing has changed. Change the program.
    #[error("nftables refused {subject}: {refusal}")]
    Refused {
        /// Which chain, set or rule.
        subject: String,
        /// The kernel's reason.
        refusal: Refusal,
    },
    /// The ruleset changed at each attempt between reading and writing: try later.
    #[error("the ruleset changed during each attempt to compare it")]
    Contended,
    /// The socket failed: try later.
    #[error("{0}")]
    Socket(String),
    /// A delta came before there was a program that it could change.
    #[error("no program has been given yet")]
    NoProgram,
    /// The writer has been stopped.
    #[error("the ruleset writer has stopped")]
    Stopped,
}

impl NftError {
    fn of(error: SocketError, subject: &str) -> Self {
        match error {
            SocketError::Refused(refusal) => Self::Refused { subject: subject.into(), refusal },
            SocketError::Interrupted => Self::Contended,
            other => Self::Socket(format!("{subject}: {other}")),
        }
    }
}

impl From<SocketError> for NftError {
    fn from(error: SocketError) -> Self {
        Self::of(error, "the transaction")
    }
}
