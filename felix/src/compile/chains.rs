//! Policy chains, the groups of endpoints that share them, and the sets that they use; each counted,
//! so that what nothing uses any more goes.
//!
//! ```text
//! endpoint --> group (equal lists of policies) --> policy chain --> sets
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Draft;
use super::members::Members;
use super::named::{SetUse, hashed};
use super::policy::{CompiledChain, CompiledPolicy};
use crate::model::{Direction, Namespace, ObjectKey, Pod};
use crate::program::{Action, Name, Rule, Verdict};

/// A policy chain that some group calls.
struct Active {
    uses: usize,
    sets: Vec<SetUse>,
}

struct Group {
    uses: usize,
    chains: Vec<Name>,
}

#[derive(Default)]
pub(super) struct Chains {
    policies: BTreeMap<ObjectKey, CompiledPolicy>,
    active: BTreeMap<Name, Active>,
    groups: BTreeMap<Name, Group>,
    sets: BTreeMap<Name, (usize, SetUse)>,
    /// Names whose count may have fallen to nothing during this change.
    idle: BTreeSet<Name>,
}

type Namespaces = BTreeMap<String, Namespace>;

impl Chains {
    /// The policy is so now; `None` if there is none. Its chains follow at once where they are in use.
    pub(super) fn set_policy(
        &mut self,
        key: &ObjectKey,
        policy: Option<CompiledPolicy>,
        namespaces: &Namespaces,
        members: &mut Members,
        draft: &mut Draft,
    ) {
        for chain in policy.iter().flat_map(CompiledPolicy::chains) {
            if self.active.contains_key(&chain.name) {
                self.fill(chain, namespaces, members, draft);
            }
        }
        match policy {
            Some(policy) => drop(self.policies.insert(key.clone(), policy)),
            None => drop(self.policies.remove(key)),
        }
    }

    /// Gives an active chain its rules and sets; what it had is released after it has the new.
    fn fill(
        &mut self,
        chain: &CompiledChain,
        namespaces: &Namespaces,
        members: &mut Members,
        draft: &mut Draft,
    ) {
        for set in &chain.sets {
            self.acquire(set, namespaces, members, draft);
        }
        draft.set_rules(&chain.name, chain.rules.clone());
        let active = self.active.get_mut(&chain.name).expect("only active chains are filled");
        for old in std::mem::replace(&mut active.sets, chain.sets.clone()) {
            self.release(old.id());
        }
    }

    fn acquire(&mut self, set: &SetUse, namespaces: &Namespaces, members: &mut Members, draft: &mut Draft) {
        if let Some((uses, _)) = self.sets.get_mut(set.id()) {
            *uses += 1;
            return;
        }
        match set {
            SetUse::Members(spec) => members.add_set(spec, namespaces, draft),
            SetUse::Fixed(name, content) => draft.add_set(name, content.clone()),
        }
        self.sets.insert(set.id().clone(), (1, set.clone()));
    }

    fn release(&mut self, set: &Name) {
        if let Some((uses, _)) = self.sets.get_mut(set) {
            *uses -= 1;
            self.idle.insert(set.clone());
        }
    }

    /// The chains of the policies that isolate the pod in this direction, in the order of their names.
    fn chains_of(&self, direction: Direction, pod: &Pod) -> Vec<&CompiledChain> {
        let namespace = &pod.key.namespace;
        let policies = self
            .policies
            .range(ObjectKey::new(namespace, "")..)
            .take_while(|(key, _)| key.namespace == *namespace)
            .filter(|(_, policy)| policy.selector.matches(&pod.labels));
        policies.filter_map(|(_, policy)| policy.chain(direction)).collect()
    }

    /// The verdict for the pod in this direction, and the group that it is now counted in, if it is isolated.
    pub(super) fn join(
        &mut self,
        direction: Direction,
        pod: &Pod,
        namespaces: &Namespaces,
        members: &mut Members,
        draft: &mut Draft,
    ) -> (Verdict, Option<Name>) {
        let chains = self.chains_of(direction, pod);
        if chains.is_empty() {
            return (Verdict::Accept, None);
        }
        let names: Vec<&str> = chains.iter().map(|chain| chain.name.as_str()).collect();
        let name = hashed(&format!("{direction}-of-"), &names.join(" "));
        if self.groups.contains_key(&name) {
            self.groups.entry(name.clone()).and_modify(|group| group.uses += 1);
            return (Verdict::Goto(name.clone()), Some(name));
        }
        let chains: Vec<CompiledChain> = chains.into_iter().cloned().collect();
        for chain in &chains {
            self.activate(chain, namespaces, members, draft);
        }
        draft.set_rules(&name, group_rules(direction, &chains));
        let chains = chains.into_iter().map(|chain| chain.name).collect();
        self.groups.insert(name.clone(), Group { uses: 1, chains });
        (Verdict::Goto(name.clone()), Some(name))
    }

    fn activate(
        &mut self,
        chain: &CompiledChain,
        namespaces: &Namespaces,
        members: &mut Members,
        draft: &mut Draft,
    ) {
        if let Some(active) = self.active.get_mut(&chain.name) {
            active.uses += 1;
            return;
        }
        self.active.insert(chain.name.clone(), Active { uses: 1, sets: Vec::new() });
        self.fill(chain, namespaces, members, draft);
    }

    /// The endpoint is no longer in the group.
    pub(super) fn leave(&mut self, group: &Name) {
        if let Some(found) = self.groups.get_mut(group) {
            found.uses -= 1;
            self.idle.insert(group.clone());
        }
    }

    /// Removes what nothing uses any more: groups, then the policy chains that they called, then sets.
    pub(super) fn sweep(&mut self, members: &mut Members, draft: &mut Draft) {
        for name in self.idle.clone() {
            self.sweep_group(&name, draft);
        }
        for name in self.idle.clone() {
            self.sweep_chain(&name, draft);
        }
        for name in std::mem::take(&mut self.idle) {
            if self.sets.get(&name).is_none_or(|(uses, _)| *uses > 0) {
                continue;
            }
            match self.sets.remove(&name) {
                Some((_, SetUse::Members(spec))) => members.remove_set(&spec.id, draft),
                Some((_, SetUse::Fixed(..))) => draft.remove_set(&name),
                None => {}
            }
        }
    }

    fn sweep_group(&mut self, name: &Name, draft: &mut Draft) {
        if self.groups.get(name).is_none_or(|group| group.uses > 0) {
            return;
        }
        let group = self.groups.remove(name);
        draft.remove_chain(name);
        for chain in group.into_iter().flat_map(|group| group.chains) {
            if let Some(active) = self.active.get_mut(&chain) {
                active.uses -= 1;
                self.idle.insert(chain);
            }
        }
    }

    fn sweep_chain(&mut self, name: &Name, draft: &mut Draft) {
        if self.active.get(name).is_none_or(|active| active.uses > 0) {
            return;
        }
        let active = self.active.remove(name);
        draft.remove_chain(name);
        for set in active.into_iter().flat_map(|active| active.sets) {
            self.release(set.id());
        }
    }
}

/// Each policy may accept; what none accepts is dropped, and the rule says whose pods it protects.
fn group_rules(direction: Direction, chains: &[CompiledChain]) -> Vec<Rule> {
    let jump = |chain: &CompiledChain| Rule::new(vec![], Action::Verdict(Verdict::Jump(chain.name.clone())));
    let mut rules: Vec<Rule> = chains.iter().map(jump).collect();
    let policies: Vec<&str> = chains.iter().map(|chain| chain.policy.as_str()).collect();
    let comment = format!("{direction} denied by {}", policies.join(", "));
    rules.push(Rule::new(vec![], Action::Verdict(Verdict::Drop)).counted(&comment));
    rules
}
