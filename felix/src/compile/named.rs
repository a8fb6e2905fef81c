//! What is named after its content: the same content has the same name in every run, whoever needs it.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::members::MemberSpec;
use crate::program::{Name, Set};

/// A set that a chain uses.
#[derive(Clone, Debug)]
pub(super) enum SetUse {
    /// Kept up from pods.
    Members(Arc<MemberSpec>),
    /// Of fixed content, which its name is a hash of.
    Fixed(Name, Set),
}

impl SetUse {
    pub(super) fn id(&self) -> &Name {
        match self {
            Self::Members(spec) => &spec.id,
            Self::Fixed(name, _) => name,
        }
    }
}

/// A name that is the same for the same text in every run of every version: 96 bits of SHA-256, so
/// that nobody can write a policy whose set takes the place of another's.
pub(super) fn hashed(prefix: &str, text: &str) -> Name {
    let digest = Sha256::digest(text.as_bytes());
    let mut name = prefix.to_owned();
    for byte in &digest[..12] {
        let _ = write!(name, "{byte:02x}");
    }
    Name::new(&name)
}
