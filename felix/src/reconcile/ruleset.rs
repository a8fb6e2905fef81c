//! What turns the table that the kernel has into the one that it shall have.
//!
//! ```text
//! (desired, observed) -> Plan::Nothing | Plan::Change(from, delta) | Plan::Build | Plan::Rebuild
//! ```

use crate::program::{Action, Base, Delta, Hook, HookKind, Program, Rule, Set, SetKey, Verdict};

/// Our table as it was read from the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// There is none.
    Absent,
    /// This, where [`unknown_rule`], [`unknown_set`] and [`unknown_base`] stand for what is not what it
    /// should be.
    Table {
        /// Whether the table outlives its owner, which cannot be changed.
        persists: bool,
        /// What it holds.
        program: Program,
    },
    /// Something is in it that cannot even be named here.
    Other {
        /// Whether the table outlives its owner.
        persists: bool,
    },
}

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The table is what it should be.
    Nothing,
    /// The delta leads from this program to the desired one.
    Change(Program, Delta),
    /// Make the table, then the delta leads from nothing to the desired program.
    Build(Delta),
    /// Delete the table and make it anew in the same transaction: no packet sees it gone. Counters begin
    /// again.
    Rebuild(Delta),
}

/// A comment that no object of the compiler has, because theirs have no quotation marks.
const UNKNOWN: &str = "\"unknown\"";

/// Stands for a rule that is not known; it equals no rule of the compiler.
pub fn unknown_rule() -> Rule {
    let action = Action::Verdict(Verdict::Return);
    Rule { matches: Vec::new(), counter: false, action, comment: UNKNOWN.into() }
}

/// Stands for a set or map that is not known, with whatever it holds; it equals no set of the compiler.
pub fn unknown_set() -> Set {
    Set { comment: UNKNOWN.into(), ..Set::hash(SetKey::V4, "") }
}

/// Stands for a hook, type or policy that is not known; it equals no base of the compiler.
pub fn unknown_base() -> Base {
    Base { kind: HookKind::Filter, hook: Hook::Prerouting, priority: i32::MIN }
}

/// What to write so that the table becomes `desired`; `persists` says whether the kernel can keep a
/// table after its owner's death, which the table must then do.
pub fn plan(desired: &Program, observed: Observed, persists: bool) -> Plan {
    let everything = || Delta::between(&Program::default(), desired);
    match observed {
        Observed::Absent => Plan::Build(everything()),
        Observed::Table { persists: found, program } if found == persists && can_lead(&program, desired) => {
            let delta = Delta::between(&program, desired);
            if delta.is_empty() { Plan::Nothing } else { Plan::Change(program, delta) }
        }
        Observed::Table { .. } | Observed::Other { .. } => Plan::Rebuild(everything()),
    }
}

/// Whether a delta exists: it cannot change what the kernel fixes when an object is made.
fn can_lead(from: &Program, to: &Program) -> bool {
    let fixed = |set: &Set| (set.key, set.interval, set.comment.clone());
    let sets =
        to.sets.iter().all(|(name, set)| from.sets.get(name).is_none_or(|old| fixed(old) == fixed(set)));
    let chains =
        to.chains.iter().all(|(name, chain)| from.chains.get(name).is_none_or(|old| old.base == chain.base));
    // Sets and maps share their names.
    let crossed = to.sets.keys().any(|name| from.maps.contains_key(name))
        || to.maps.keys().any(|name| from.sets.contains_key(name));
    sets && chains && !crossed
}

#[cfg(test)]
mod tests;
