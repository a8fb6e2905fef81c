//! Takes deltas as strictly as the kernel does: nothing twice, nothing that is not there, nothing that is still used.

use std::collections::BTreeSet;

use felix::program::{Action, Chain, Delta, Match, Name, Op, Program, Rule, Verdict};

/// What the kernel holds.
#[derive(Default)]
pub(crate) struct Kernel {
    pub(crate) program: Program,
}

impl Kernel {
    /// Carries the delta out, or says which part of it the kernel would refuse.
    pub(crate) fn take(&mut self, delta: &Delta) -> Result<(), String> {
        delta.ops.iter().try_for_each(|op| self.take_op(op).map_err(|reason| format!("{reason} at {op:?}")))
    }

    fn take_op(&mut self, op: &Op) -> Result<(), String> {
        let program = &mut self.program;
        let that = |condition: bool, reason: &str| condition.then_some(()).ok_or_else(|| reason.to_owned());
        match op {
            Op::AddSet(name, set) => {
                that(set.elements.is_empty(), "a new set has elements")?;
                that(program.sets.insert(name.clone(), set.clone()).is_none(), "the set exists")
            }
            Op::AddElements(name, elements) => {
                let set = program.sets.get_mut(name).ok_or("no such set")?;
                let typed =
                    elements.iter().all(|it| it.key() == set.key && (set.interval || !it.is_interval()));
                that(typed, "an element of another type")?;
                that(elements.iter().all(|it| set.elements.insert(*it)), "the element exists")
            }
            Op::DeleteElements(name, elements) => {
                let set = program.sets.get_mut(name).ok_or("no such set")?;
                that(elements.iter().all(|it| set.elements.remove(it)), "no such element")
            }
            Op::AddMap(name) => that(
                program.maps.insert(name.clone(), felix::program::VerdictMap::default()).is_none(),
                "exists",
            ),
            Op::AddChain(name, base) => {
                let chain = Chain { base: *base, rules: Vec::new() };
                that(program.chains.insert(name.clone(), chain).is_none(), "the chain exists")
            }
            Op::SetRules(name, rules) => {
                rules.iter().try_for_each(|rule| self.refers_to_what_is(rule))?;
                self.program.chains.get_mut(name).ok_or("no such chain")?.rules.clone_from(rules);
                Ok(())
            }
            Op::SetVerdict { map, interface, old, new } => {
                let chains: BTreeSet<Name> = program.chains.keys().cloned().collect();
                let known = |it: &Verdict| it.chain().is_none_or(|name| chains.contains(name));
                that(new.iter().all(known), "no such chain")?;
                let elements = &mut program.maps.get_mut(map).ok_or("no such map")?.elements;
                that(elements.get(interface) == old.as_ref(), "the map has another verdict")?;
                that(old != new, "nothing changes")?;
                match new {
                    Some(verdict) => drop(elements.insert(*interface, verdict.clone())),
                    None => drop(elements.remove(interface)),
                }
                Ok(())
            }
            Op::DeleteChain(name) => {
                let chain = program.chains.remove(name).ok_or("no such chain")?;
                that(chain.rules.is_empty(), "the chain has rules")?;
                that(!self.uses_chain(name), "the chain is used")
            }
            Op::DeleteMap(name) => {
                that(program.maps.remove(name).is_some(), "no such map")?;
                that(
                    !self.uses(|action| matches!(action, Action::Dispatch(_, map) if map == name)),
                    "map is used",
                )
            }
            Op::DeleteSet(name) => {
                that(program.sets.remove(name).is_some(), "no such set")?;
                let uses = |it: &Match| matches!(it, Match::InSet { set, .. } if set == name);
                let mut rules = self.program.chains.values().flat_map(|chain| &chain.rules);
                that(!rules.any(|rule| rule.matches.iter().any(uses)), "the set is used")
            }
        }
    }

    fn refers_to_what_is(&self, rule: &Rule) -> Result<(), String> {
        for condition in &rule.matches {
            if let Match::InSet { set, .. } = condition
                && !self.program.sets.contains_key(set)
            {
                return Err(format!("no set {set}"));
            }
        }
        match &rule.action {
            Action::Verdict(verdict) => match verdict.chain() {
                Some(chain) if !self.program.chains.contains_key(chain) => Err(format!("no chain {chain}")),
                _ => Ok(()),
            },
            Action::Dispatch(_, map) if !self.program.maps.contains_key(map) => Err(format!("no map {map}")),
            Action::Dispatch(..) | Action::Masquerade => Ok(()),
        }
    }

    fn uses(&self, wanted: impl Fn(&Action) -> bool) -> bool {
        self.program.chains.values().flat_map(|chain| &chain.rules).any(|rule| wanted(&rule.action))
    }

    fn uses_chain(&self, name: &Name) -> bool {
        let leads = |verdict: &Verdict| verdict.chain() == Some(name);
        self.uses(|action| matches!(action, Action::Verdict(verdict) if leads(verdict)))
            || self.program.maps.values().any(|map| map.elements.values().any(leads))
    }
}
