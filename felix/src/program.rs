//! The nftables program of one node as values: what the kernel shall hold.
//!
//! ```text
//! Program (table inet tortie)
//!   sets    Name -> Set          typed keys, hash or interval
//!   maps    Name -> VerdictMap   interface name -> verdict
//!   chains  Name -> Chain        base chains (hook, priority) and ordinary ones
//! Delta = [Op]                   what turns one program into another, in an order the kernel takes
//! ```
//!
//! A program prints itself as text that `nft -f` would take. The types are closed on purpose:
//! they can say what the compiler needs and nothing else, so that an encoder can be complete.

mod delta;
mod element;
mod name;
mod rule;
mod set;
mod text;

use std::collections::BTreeMap;

pub use delta::{Delta, Op};
pub use element::{Element, Part, Span, Value};
pub use name::{InterfaceName, InvalidInterfaceName, Name};
pub use rule::{Action, Base, Chain, ConntrackStates, Field, Hook, HookKind, Match, Rule, Verdict};
pub use set::{Set, SetKey, VerdictMap};

/// Name of our table, of family `inet`: both IP versions share chains.
pub const TABLE: &str = "tortie";

/// How the names of all workload interfaces start.
pub const WORKLOAD_PREFIX: &str = "tort";

/// Everything that our table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Sets by name.
    pub sets: BTreeMap<Name, Set>,
    /// Verdict maps by name; sets and maps share one name space in the kernel.
    pub maps: BTreeMap<Name, VerdictMap>,
    /// Chains by name.
    pub chains: BTreeMap<Name, Chain>,
}

#[cfg(test)]
mod tests;
