//! What turns one program into another.

use super::{Base, Chain, Element, InterfaceName, Name, Program, Rule, Set, Verdict};

/// Changes to a program in an order that the kernel takes in one transaction: what is referred to
/// exists before what refers to it, and goes after it. Deltas that follow each other may be joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The changes.
    pub ops: Vec<Op>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A new set, without elements (`Set::elements` is empty).
    AddSet(Name, Set),
    /// Elements that the set does not have yet.
    AddElements(Name, Vec<Element>),
    /// A new, empty verdict map.
    AddMap(Name),
    /// A new, empty chain.
    AddChain(Name, Option<Base>),
    /// The chain's rules, in place of those it has.
    SetRules(Name, Vec<Rule>),
    /// The map's verdict for the interface; `old` is the element to delete first, as the kernel
    /// does not replace one.
    SetVerdict {
        /// The map.
        map: Name,
        /// The key.
        interface: InterfaceName,
        /// What it has now.
        old: Option<Verdict>,
        /// What it shall have; `None` removes the element.
        new: Option<Verdict>,
    },
    /// Elements that the set has.
    DeleteElements(Name, Vec<Element>),
    /// A chain that nothing refers to any more; its rules go first.
    DeleteChain(Name),
    /// A map that nothing refers to any more.
    DeleteMap(Name),
    /// A set that nothing refers to any more, with all its elements.
    DeleteSet(Name),
}

impl Delta {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// This delta, then `later`.
    pub fn append(&mut self, later: Delta) {
        self.ops.extend(later.ops);
    }

    /// What turns `from` into `to`.
    pub fn between(from: &Program, to: &Program) -> Self {
        let mut ops = Vec::new();
        add_sets_and_maps(from, to, &mut ops);
        add_chains(from, to, &mut ops);
        set_rules(from, to, &mut ops);
        set_verdicts(from, to, &mut ops);
        delete_chains(from, to, &mut ops);
        delete_sets_and_maps(from, to, &mut ops);
        Self { ops }
    }
}

/// Whether a set of that name must go and come again: key and kind of a kernel's set are fixed.
fn is_other(from: &Set, to: &Set) -> bool {
    (from.key, from.interval, &from.comment) != (to.key, to.interval, &to.comment)
}

fn add_sets_and_maps(from: &Program, to: &Program, ops: &mut Vec<Op>) {
    for (name, set) in &to.sets {
        let old = from.sets.get(name);
        debug_assert!(
            !old.is_some_and(|old| is_other(old, set)),
            "set {name} changed its key under its name"
        );
        if old.is_none() {
            ops.push(Op::AddSet(name.clone(), set.clone_empty()));
        }
        let added: Vec<Element> = match old {
            Some(old) => set.elements.difference(&old.elements).copied().collect(),
            None => set.elements.iter().copied().collect(),
        };
        let removed: Vec<Element> =
            old.map_or_else(Vec::new, |old| old.elements.difference(&set.elements).copied().collect());
        // In an interval set the new element may overlap an old one, so the old one goes first.
        if !removed.is_empty() {
            ops.push(Op::DeleteElements(name.clone(), removed));
        }
        if !added.is_empty() {
            ops.push(Op::AddElements(name.clone(), added));
        }
    }
    ops.extend(to.maps.keys().filter(|name| !from.maps.contains_key(*name)).cloned().map(Op::AddMap));
}

fn add_chains(from: &Program, to: &Program, ops: &mut Vec<Op>) {
    let new = to.chains.iter().filter(|(name, _)| !from.chains.contains_key(*name));
    ops.extend(new.map(|(name, chain)| Op::AddChain(name.clone(), chain.base)));
}

fn set_rules(from: &Program, to: &Program, ops: &mut Vec<Op>) {
    for (name, chain) in &to.chains {
        let old = from.chains.get(name);
        debug_assert!(old.is_none_or(|old| old.base == chain.base), "chain {name} changed its hook");
        if old.map_or(&[][..], |old| &old.rules) != chain.rules {
            ops.push(Op::SetRules(name.clone(), chain.rules.clone()));
        }
    }
}

fn set_verdicts(from: &Program, to: &Program, ops: &mut Vec<Op>) {
    for (name, map) in &to.maps {
        let old = from.maps.get(name);
        let of = |interface| old.and_then(|map| map.elements.get(interface)).cloned();
        let set = map.elements.iter().filter(|(interface, verdict)| of(interface).as_ref() != Some(verdict));
        ops.extend(set.map(|(interface, verdict)| Op::SetVerdict {
            map: name.clone(),
            interface: *interface,
            old: of(interface),
            new: Some(verdict.clone()),
        }));
        let gone = old.into_iter().flat_map(|old| &old.elements);
        let gone = gone.filter(|(interface, _)| !map.elements.contains_key(*interface));
        ops.extend(gone.map(|(interface, verdict)| Op::SetVerdict {
            map: name.clone(),
            interface: *interface,
            old: Some(verdict.clone()),
            new: None,
        }));
    }
}

/// Chains that go are emptied first, so that they can refer to each other in any order.
fn delete_chains(from: &Program, to: &Program, ops: &mut Vec<Op>) {
    let gone = || from.chains.iter().filter(|(name, _)| !to.chains.contains_key(*name));
    let full = gone().filter(|(_, chain)| !chain.rules.is_empty());
    ops.extend(full.map(|(name, _)| Op::SetRules(name.clone(), Vec::new())));
    // A map that goes keeps its chains referenced until it is gone.
    ops.extend(from.maps.keys().filter(|name| !to.maps.contains_key(*name)).cloned().map(Op::DeleteMap));
    ops.extend(gone().map(|(name, _)| Op::DeleteChain(name.clone())));
}

fn delete_sets_and_maps(from: &Program, to: &Program, ops: &mut Vec<Op>) {
    let gone = from.sets.keys().filter(|name| !to.sets.contains_key(*name));
    ops.extend(gone.cloned().map(Op::DeleteSet));
}

impl Program {
    /// What the kernel would hold after `delta`, which must follow from this program.
    pub fn apply(&mut self, delta: &Delta) {
        for op in &delta.ops {
            self.apply_op(op);
        }
    }

    fn apply_op(&mut self, op: &Op) {
        match op {
            Op::AddSet(name, set) => {
                self.sets.insert(name.clone(), set.clone());
            }
            Op::AddElements(name, elements) => {
                if let Some(set) = self.sets.get_mut(name) {
                    set.elements.extend(elements);
                }
            }
            Op::DeleteElements(name, elements) => {
                if let Some(set) = self.sets.get_mut(name) {
                    set.elements.retain(|element| !elements.contains(element));
                }
            }
            Op::AddMap(name) => {
                self.maps.entry(name.clone()).or_default();
            }
            Op::AddChain(name, base) => {
                self.chains.insert(name.clone(), Chain { base: *base, rules: Vec::new() });
            }
            Op::SetRules(name, rules) => {
                if let Some(chain) = self.chains.get_mut(name) {
                    chain.rules.clone_from(rules);
                }
            }
            Op::SetVerdict { map, interface, new, .. } => self.apply_verdict(map, *interface, new.as_ref()),
            Op::DeleteChain(name) => drop(self.chains.remove(name)),
            Op::DeleteMap(name) => drop(self.maps.remove(name)),
            Op::DeleteSet(name) => drop(self.sets.remove(name)),
        }
    }

    fn apply_verdict(&mut self, map: &Name, interface: InterfaceName, verdict: Option<&Verdict>) {
        let Some(map) = self.maps.get_mut(map) else { return };
        match verdict {
            Some(verdict) => drop(map.elements.insert(interface, verdict.clone())),
            None => drop(map.elements.remove(&interface)),
        }
    }
}
