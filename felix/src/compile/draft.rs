//! The program under change, and a journal from which the delta is made.

use std::collections::{BTreeMap, BTreeSet};

use crate::program::{Chain, Delta, Element, InterfaceName, Name, Op, Program, Rule, Set, Verdict};

/// The program and what was changed since the last [`Draft::finish`].
///
/// A name is removed only at the end of a change, when nothing can ask for it again; so a name is never both
/// removed and added in one delta.
pub(super) struct Draft {
    program: Program,
    new_sets: BTreeSet<Name>,
    new_chains: BTreeSet<Name>,
    changed_rules: BTreeSet<Name>,
    /// Elements that came (true) or went (false), for sets that were there before.
    elements: BTreeMap<Name, BTreeMap<Element, bool>>,
    /// What the maps had before.
    verdicts: BTreeMap<(Name, InterfaceName), Option<Verdict>>,
    gone_chains: Vec<Name>,
    gone_sets: Vec<Name>,
}

impl Draft {
    pub(super) fn new(program: Program) -> Self {
        Self {
            program,
            new_sets: BTreeSet::new(),
            new_chains: BTreeSet::new(),
            changed_rules: BTreeSet::new(),
            elements: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            gone_chains: Vec::new(),
            gone_sets: Vec::new(),
        }
    }

    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    /// Adds a set that is not there.
    pub(super) fn add_set(&mut self, name: &Name, set: Set) {
        let old = self.program.sets.insert(name.clone(), set);
        debug_assert!(old.is_none(), "set {name} is added twice");
        self.new_sets.insert(name.clone());
    }

    pub(super) fn remove_set(&mut self, name: &Name) {
        self.program.sets.remove(name);
        self.elements.remove(name);
        if !self.new_sets.remove(name) {
            self.gone_sets.push(name.clone());
        }
    }

    /// The elements of the set between the two, both included.
    pub(super) fn elements_between(&self, name: &Name, first: Element, last: Element) -> Vec<Element> {
        let set = self.program.sets.get(name);
        set.map_or_else(Vec::new, |set| set.elements.range(first..=last).copied().collect())
    }

    /// Puts the element into the set or takes it out.
    pub(super) fn set_element(&mut self, name: &Name, element: Element, is_in: bool) {
        let Some(set) = self.program.sets.get_mut(name) else { return };
        let changed = if is_in { set.elements.insert(element) } else { set.elements.remove(&element) };
        if !changed || self.new_sets.contains(name) {
            return;
        }
        let journal = self.elements.entry(name.clone()).or_default();
        // A change and its opposite cancel each other.
        if journal.remove(&element).is_none() {
            journal.insert(element, is_in);
        }
    }

    /// Makes the set hold exactly these elements.
    pub(super) fn set_elements(&mut self, name: &Name, wanted: &BTreeSet<Element>) {
        let Some(set) = self.program.sets.get(name) else { return };
        let gone: Vec<Element> = set.elements.difference(wanted).copied().collect();
        let new: Vec<Element> = wanted.difference(&set.elements).copied().collect();
        for element in gone {
            self.set_element(name, element, false);
        }
        for element in new {
            self.set_element(name, element, true);
        }
    }

    /// Makes the chain have exactly these rules; it is added if it is not there.
    pub(super) fn set_rules(&mut self, name: &Name, rules: Vec<Rule>) {
        match self.program.chains.get_mut(name) {
            Some(chain) if chain.rules == rules => return,
            Some(chain) => chain.rules = rules,
            None => {
                self.program.chains.insert(name.clone(), Chain { base: None, rules });
                self.new_chains.insert(name.clone());
            }
        }
        self.changed_rules.insert(name.clone());
    }

    pub(super) fn remove_chain(&mut self, name: &Name) {
        self.program.chains.remove(name);
        self.changed_rules.remove(name);
        if !self.new_chains.remove(name) {
            self.gone_chains.push(name.clone());
        }
    }

    /// Sets the map's verdict for the interface, or removes it.
    pub(super) fn set_verdict(&mut self, map: &Name, interface: InterfaceName, verdict: Option<Verdict>) {
        let Some(elements) = self.program.maps.get_mut(map).map(|map| &mut map.elements) else { return };
        let old = match verdict {
            Some(verdict) => elements.insert(interface, verdict),
            None => elements.remove(&interface),
        };
        self.verdicts.entry((map.clone(), interface)).or_insert(old);
    }

    /// The delta of all changes since the last call: sets before chains before dispatch, and the
    /// reverse for what goes.
    pub(super) fn finish(&mut self) -> Delta {
        let mut ops = Vec::new();
        self.finish_sets(&mut ops);
        self.finish_chains(&mut ops);
        self.finish_verdicts(&mut ops);
        // Chains that go are emptied first, so that they may refer to each other in any order.
        ops.extend(self.gone_chains.iter().map(|name| Op::SetRules(name.clone(), Vec::new())));
        ops.extend(self.gone_chains.drain(..).map(Op::DeleteChain));
        ops.extend(self.gone_sets.drain(..).map(Op::DeleteSet));
        Delta { ops }
    }

    fn finish_sets(&mut self, ops: &mut Vec<Op>) {
        for name in std::mem::take(&mut self.new_sets) {
            let set = &self.program.sets[&name];
            ops.push(Op::AddSet(name.clone(), set.clone_empty()));
            if !set.elements.is_empty() {
                ops.push(Op::AddElements(name, set.elements.iter().copied().collect()));
            }
        }
        for (name, journal) in std::mem::take(&mut self.elements) {
            let of = |wanted: bool| {
                journal.iter().filter(|(_, is_in)| **is_in == wanted).map(|(element, _)| *element).collect()
            };
            let (new, gone): (Vec<Element>, Vec<Element>) = (of(true), of(false));
            // In an interval set a new element may overlap an old one, so the old one goes first.
            if !gone.is_empty() {
                ops.push(Op::DeleteElements(name.clone(), gone));
            }
            if !new.is_empty() {
                ops.push(Op::AddElements(name, new));
            }
        }
    }

    fn finish_chains(&mut self, ops: &mut Vec<Op>) {
        ops.extend(std::mem::take(&mut self.new_chains).into_iter().map(|name| Op::AddChain(name, None)));
        for name in std::mem::take(&mut self.changed_rules) {
            let rules = self.program.chains[&name].rules.clone();
            ops.push(Op::SetRules(name, rules));
        }
    }

    fn finish_verdicts(&mut self, ops: &mut Vec<Op>) {
        for ((map, interface), old) in std::mem::take(&mut self.verdicts) {
            let new = self.program.maps[&map].elements.get(&interface).cloned();
            if new != old {
                ops.push(Op::SetVerdict { map, interface, old, new });
            }
        }
    }
}
