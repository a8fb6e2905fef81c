//! Sets of pods' addresses, kept up by indexes.
//!
//! ```text
//! pod's namespace --> buckets of the sets that name it ----------+
//!        \--> namespace selectors that match it --> their buckets +--> bucket by label --> sets to look at
//! ```
//! What a set holds for an address is always computed anew from the pods that have the address, so
//! that it cannot depend on history: two pods may share an address for a while when one follows the other.

mod index;
mod spec;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

pub(super) use spec::{MemberSpec, MemberTerm, Scope};

use index::Index;

use super::draft::Draft;
use crate::model::{Namespace, ObjectKey, Pod};
use crate::program::{Element, Name};

/// A pod as sets see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) pod: Arc<Pod>,
    /// Its addresses, by its endpoint if it is here, else by its status.
    pub(super) addresses: Vec<IpAddr>,
    /// Whether it is attached to this node.
    pub(super) is_local: bool,
}

/// All sets of pods' addresses, and the pods.
#[derive(Default)]
pub(super) struct Members {
    pods: BTreeMap<ObjectKey, Member>,
    holders: BTreeMap<IpAddr, BTreeSet<ObjectKey>>,
    sets: BTreeMap<Name, Arc<MemberSpec>>,
    index: Index,
}

type Namespaces = BTreeMap<String, Namespace>;

impl Members {
    /// Adds a set that is not there, filled.
    pub(super) fn add_set(&mut self, spec: &Arc<MemberSpec>, namespaces: &Namespaces, draft: &mut Draft) {
        self.index.add_set(spec, namespaces);
        self.sets.insert(spec.id.clone(), Arc::clone(spec));
        let [mut v4, mut v6] = spec.empty_sets();
        let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
        let pods: Vec<&Member> = match self.index.namespaces_of(spec) {
            None => self.pods.values().collect(),
            Some(names) => names.iter().flat_map(|name| in_namespace(&self.pods, name)).collect(),
        };
        for member in pods {
            if spec.selects(member, namespaces) {
                addresses.extend(&member.addresses);
            }
        }
        for address in addresses {
            let elements = self.wanted(spec, address, namespaces);
            if address.is_ipv4() { &mut v4 } else { &mut v6 }.elements.extend(elements);
        }
        draft.add_set(&spec.v4, v4);
        draft.add_set(&spec.v6, v6);
    }

    /// Removes a set that nothing refers to.
    pub(super) fn remove_set(&mut self, id: &Name, draft: &mut Draft) {
        if let Some(spec) = self.sets.remove(id) {
            self.index.remove_set(&spec);
            draft.remove_set(&spec.v4);
            draft.remove_set(&spec.v6);
        }
    }

    /// The pod is so now; `None` if there is none.
    pub(super) fn set(
        &mut self,
        key: &ObjectKey,
        member: Option<Member>,
        namespaces: &Namespaces,
        draft: &mut Draft,
    ) {
        let old = self.pods.get(key);
        if old == member.as_ref() {
            return;
        }
        let both = || old.into_iter().chain(&member);
        let addresses: BTreeSet<IpAddr> = both().flat_map(|it| it.addresses.iter().copied()).collect();
        let affected: BTreeSet<Name> = both()
            .flat_map(|it| self.index.candidates(&key.namespace, &it.pod.labels))
            .filter(|id| both().any(|it| self.sets[id].selects(it, namespaces)))
            .collect();
        self.hold(key, member);
        for id in &affected {
            for address in &addresses {
                self.refresh(id, *address, namespaces, draft);
            }
        }
    }

    fn hold(&mut self, key: &ObjectKey, member: Option<Member>) {
        for address in self.pods.get(key).iter().flat_map(|it| &it.addresses) {
            if let Some(holders) = self.holders.get_mut(address) {
                holders.remove(key);
                if holders.is_empty() {
                    self.holders.remove(address);
                }
            }
        }
        for address in member.iter().flat_map(|it| &it.addresses) {
            self.holders.entry(*address).or_default().insert(key.clone());
        }
        match member {
            Some(member) => drop(self.pods.insert(key.clone(), member)),
            None => drop(self.pods.remove(key)),
        }
    }

    /// The namespace's labels changed, or it came or went; `namespaces` has it as it is now.
    pub(super) fn namespace_changed(&mut self, name: &str, namespaces: &Namespaces, draft: &mut Draft) {
        let toggled = self.index.namespace_changed(name, namespaces.get(name));
        if toggled.is_empty() {
            return;
        }
        let pods: Vec<Member> = in_namespace(&self.pods, name).cloned().collect();
        for member in pods {
            for id in self.index.candidates_by(&toggled, &member.pod.labels) {
                for address in &member.addresses {
                    self.refresh(&id, *address, namespaces, draft);
                }
            }
        }
    }

    /// Makes the set hold for the address what it shall.
    fn refresh(&self, id: &Name, address: IpAddr, namespaces: &Namespaces, draft: &mut Draft) {
        let spec = &self.sets[id];
        let name = spec.name_for(address);
        let wanted = self.wanted(spec, address, namespaces);
        let (first, last) = spec.bounds(address);
        for element in draft.elements_between(name, first, last) {
            if !wanted.contains(&element) {
                draft.set_element(name, element, false);
            }
        }
        for element in wanted {
            draft.set_element(name, element, true);
        }
    }

    fn wanted(&self, spec: &MemberSpec, address: IpAddr, namespaces: &Namespaces) -> BTreeSet<Element> {
        let holders = self.holders.get(&address).into_iter().flatten().filter_map(|key| self.pods.get(key));
        spec.elements(address, holders, namespaces)
    }
}

/// The pods of one namespace; keys are ordered by namespace first.
fn in_namespace<'a>(
    members: &'a BTreeMap<ObjectKey, Member>,
    namespace: &str,
) -> impl Iterator<Item = &'a Member> {
    let namespace = namespace.to_owned();
    members
        .range(ObjectKey::new(&namespace, "")..)
        .take_while(move |(key, _)| key.namespace == namespace)
        .map(|(_, member)| member)
}
