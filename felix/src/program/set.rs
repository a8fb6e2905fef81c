//! Sets and verdict maps.

use std::collections::{BTreeMap, BTreeSet};

use super::{Element, InterfaceName, Verdict};

/// The key type of a set: one field, or a concatenation of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetKey {
    /// `ipv4_addr`
    V4,
    /// `ipv6_addr`
    V6,
    /// `inet_proto . inet_service`
    Ports,
    /// `ipv4_addr . inet_proto . inet_service`
    V4Ports,
    /// `ipv6_addr . inet_proto . inet_service`
    V6Ports,
    /// `ifname . ipv4_addr`
    InterfaceV4,
    /// `ifname . ipv6_addr`
    InterfaceV6,
    /// `ifname . ifname`
    Interfaces,
}

/// A set, referenced by rules by its name.
///
/// Single addresses live in hash sets, prefixes in interval sets, never both in one: one more
/// element costs an interval set of 100,000 elements milliseconds, a hash set microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// What its elements are.
    pub key: SetKey,
    /// Whether elements may be ranges (`flags interval`): a tree for one field, `pipapo` for several.
    pub interval: bool,
    /// Whom it serves, for people; at most 128 bytes of printable ASCII without `"`.
    pub comment: String,
    /// What it holds; all of type `key`.
    pub elements: BTreeSet<Element>,
}

impl Set {
    /// An empty hash set of single values.
    pub fn hash(key: SetKey, comment: &str) -> Self {
        Self { key, interval: false, comment: super::text::comment(comment), elements: BTreeSet::new() }
    }

    /// The same set without elements.
    #[must_use]
    pub fn clone_empty(&self) -> Self {
        Self { interval: self.interval, ..Self::hash(self.key, &self.comment) }
    }

    /// An empty set that can hold ranges.
    pub fn interval(key: SetKey, comment: &str) -> Self {
        Self { interval: true, ..Self::hash(key, comment) }
    }
}

/// A map from interface name to verdict, referenced by rules by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerdictMap {
    /// What becomes of packets by interface; a `Jump` or `Goto` names a chain of the program.
    pub elements: BTreeMap<InterfaceName, Verdict>,
}
