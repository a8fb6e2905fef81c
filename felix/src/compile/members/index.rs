//! Which sets a pod can be in, by its namespace and labels.

use std::collections::{BTreeMap, BTreeSet};

use api::selector::Selector;

use super::{MemberSpec, Namespaces};
use crate::model::{Namespace, NamespaceMatch};
use crate::program::Name;

/// Sets by a label that a pod must have to be in them; `None` where no single label is required.
type Buckets = BTreeMap<Option<(String, String)>, BTreeSet<Name>>;

#[derive(Default)]
pub(super) struct Index {
    by_namespace: BTreeMap<String, Buckets>,
    /// Of terms that name no namespace.
    anywhere: Buckets,
    /// By the text of the namespace selector.
    by_selector: BTreeMap<String, Selected>,
    /// Namespace -> texts of the selectors that match it.
    matching: BTreeMap<String, BTreeSet<String>>,
}

struct Selected {
    selector: Selector,
    namespaces: BTreeSet<String>,
    buckets: Buckets,
}

impl Index {
    pub(super) fn add_set(&mut self, spec: &MemberSpec, namespaces: &Namespaces) {
        for term in &spec.terms {
            let buckets = match &term.term.namespaces {
                NamespaceMatch::Named(name) => self.by_namespace.entry(name.clone()).or_default(),
                NamespaceMatch::Selected(selector) => self.selected(selector, namespaces),
                NamespaceMatch::Any => &mut self.anywhere,
            };
            for label in required(&term.term.pods) {
                buckets.entry(label).or_default().insert(spec.id.clone());
            }
        }
    }

    fn selected(&mut self, selector: &Selector, namespaces: &Namespaces) -> &mut Buckets {
        let text = selector.to_string();
        if !self.by_selector.contains_key(&text) {
            let matched = namespaces.values().filter(|it| selector.matches(&it.labels));
            let matched: BTreeSet<String> = matched.map(|it| it.name.clone()).collect();
            for name in &matched {
                self.matching.entry(name.clone()).or_default().insert(text.clone());
            }
            let new = Selected { selector: selector.clone(), namespaces: matched, buckets: Buckets::new() };
            self.by_selector.insert(text.clone(), new);
        }
        &mut self.by_selector.get_mut(&text).expect("inserted above").buckets
    }

    pub(super) fn remove_set(&mut self, spec: &MemberSpec) {
        for term in &spec.terms {
            match &term.term.namespaces {
                NamespaceMatch::Any => remove(&mut self.anywhere, &term.term.pods, &spec.id),
                NamespaceMatch::Named(name) => {
                    if let Some(buckets) = self.by_namespace.get_mut(name) {
                        remove(buckets, &term.term.pods, &spec.id);
                        if buckets.is_empty() {
                            self.by_namespace.remove(name);
                        }
                    }
                }
                NamespaceMatch::Selected(selector) => {
                    self.remove_selected(&selector.to_string(), &term.term.pods, &spec.id);
                }
            }
        }
    }

    fn remove_selected(&mut self, text: &str, pods: &Selector, id: &Name) {
        let Some(selected) = self.by_selector.get_mut(text) else { return };
        remove(&mut selected.buckets, pods, id);
        if !selected.buckets.is_empty() {
            return;
        }
        for namespace in std::mem::take(&mut selected.namespaces) {
            unmatch(&mut self.matching, &namespace, text);
        }
        self.by_selector.remove(text);
    }

    /// The namespaces whose pods can be in the set; `None` for all.
    pub(super) fn namespaces_of(&self, spec: &MemberSpec) -> Option<BTreeSet<String>> {
        let mut all = BTreeSet::new();
        for term in &spec.terms {
            match &term.term.namespaces {
                NamespaceMatch::Any => return None,
                NamespaceMatch::Named(name) => drop(all.insert(name.clone())),
                NamespaceMatch::Selected(selector) => {
                    let selected = self.by_selector.get(&selector.to_string());
                    all.extend(selected.into_iter().flat_map(|it| it.namespaces.clone()));
                }
            }
        }
        Some(all)
    }

    /// The sets that a pod of this namespace with these labels can be in.
    pub(super) fn candidates(&self, namespace: &str, labels: &BTreeMap<String, String>) -> BTreeSet<Name> {
        let mut sets =
            self.matching.get(namespace).map_or_else(BTreeSet::new, |it| self.candidates_by(it, labels));
        if let Some(buckets) = self.by_namespace.get(namespace) {
            look_up(buckets, labels, &mut sets);
        }
        look_up(&self.anywhere, labels, &mut sets);
        sets
    }

    /// Those of the sets that these namespace selectors lead to.
    pub(super) fn candidates_by(
        &self,
        selectors: &BTreeSet<String>,
        labels: &BTreeMap<String, String>,
    ) -> BTreeSet<Name> {
        let mut sets = BTreeSet::new();
        for selected in selectors.iter().filter_map(|text| self.by_selector.get(text)) {
            look_up(&selected.buckets, labels, &mut sets);
        }
        sets
    }

    /// The selectors that match the namespace now and did not, or the reverse.
    pub(super) fn namespace_changed(
        &mut self,
        name: &str,
        namespace: Option<&Namespace>,
    ) -> BTreeSet<String> {
        let mut toggled = BTreeSet::new();
        for (text, selected) in &mut self.by_selector {
            let matches = namespace.is_some_and(|it| selected.selector.matches(&it.labels));
            if matches == selected.namespaces.contains(name) {
                continue;
            }
            toggled.insert(text.clone());
            if matches {
                selected.namespaces.insert(name.to_owned());
                self.matching.entry(name.to_owned()).or_default().insert(text.clone());
            } else {
                selected.namespaces.remove(name);
                unmatch(&mut self.matching, name, text);
            }
        }
        toggled
    }
}

fn unmatch(matching: &mut BTreeMap<String, BTreeSet<String>>, namespace: &str, text: &str) {
    if let Some(texts) = matching.get_mut(namespace) {
        texts.remove(text);
        if texts.is_empty() {
            matching.remove(namespace);
        }
    }
}

fn look_up(buckets: &Buckets, labels: &BTreeMap<String, String>, sets: &mut BTreeSet<Name>) {
    let keys = labels.iter().map(|(key, value)| Some((key.clone(), value.clone())));
    for key in keys.chain([None]) {
        sets.extend(buckets.get(&key).into_iter().flatten().cloned());
    }
}

fn remove(buckets: &mut Buckets, pods: &Selector, id: &Name) {
    for label in required(pods) {
        if let Some(sets) = buckets.get_mut(&label) {
            sets.remove(id);
            if sets.is_empty() {
                buckets.remove(&label);
            }
        }
    }
}

/// Labels of which whatever the selector selects has at least one.
fn required(selector: &Selector) -> Vec<Option<(String, String)>> {
    match selector {
        Selector::In(key, values) => values.iter().map(|value| Some((key.clone(), value.clone()))).collect(),
        Selector::And(parts) => {
            let first = parts.iter().find(|part| matches!(part, Selector::In(..)));
            first.map_or_else(|| vec![None], required)
        }
        _ => vec![None],
    }
}
