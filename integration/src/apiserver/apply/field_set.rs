//! Sets of fields, as `managedFields` writes them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// One step from an object to a part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// A field, or the key of a map.
    Field(String),
    /// The item of a list with these key fields; kept as JSON text, which is ordered and hashable.
    Key(String),
    /// The item of a set with this value, as JSON text.
    Value(String),
}

impl Step {
    /// The step to the item whose key fields are `keys`.
    pub(crate) fn key(keys: &Value) -> Self {
        Self::Key(keys.to_string())
    }

    /// The step to an item of a set.
    pub(crate) fn value(value: &Value) -> Self {
        Self::Value(value.to_string())
    }

    fn written(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => format!("k:{keys}"),
            Self::Value(value) => format!("v:{value}"),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        // Parsed and printed again, so that spaces and the order of keys do not matter.
        let normal = || Some(serde_json::from_str::<Value>(rest).ok()?.to_string());
        match kind {
            "f" => Some(Self::Field(rest.to_owned())),
            "k" => normal().map(Self::Key),
            "v" => normal().map(Self::Value),
            _ => None,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Field(name) => format!(".{name}"),
            Self::Key(keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("[{}]", keys.join(","))
            }
            Self::Value(value) => format!("[={value}]"),
        }
    }
}

/// A set of fields: those of this node, and those below them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    members: BTreeSet<Step>,
    below: BTreeMap<Step, FieldSet>,
}

impl FieldSet {
    /// Whether nothing is in the set.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.below.values().all(FieldSet::is_empty)
    }

    /// Adds the field at `path`; the root itself cannot be a member.
    pub(crate) fn insert(&mut self, path: &[Step]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.below.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Whether the field at `path` is in the set.
    pub(crate) fn contains(&self, path: &[Step]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self.below.get(first).is_some_and(|set| set.contains(rest)),
        }
    }

    /// Fields of both sets.
    #[must_use]
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.members.extend(other.members.iter().cloned());
        for (step, set) in &other.below {
            let below = union.below.entry(step.clone()).or_default();
            *below = below.union(set);
        }
        union
    }

    /// Fields that are in both sets.
    #[must_use]
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let members = self.members.intersection(&other.members).cloned().collect();
        let shared = self.below.iter().filter_map(|(step, set)| Some((step, set, other.below.get(step)?)));
        let below = shared.map(|(step, set, other)| (step.clone(), set.intersection(other)));
        Self { members, below: below.filter(|(_, set)| !set.is_empty()).collect() }
    }

    /// Fields of this set that are not in the other.
    #[must_use]
    pub(crate) fn difference(&self, other: &Self) -> Self {
        let members = self.members.difference(&other.members).cloned().collect();
        let below = self.below.iter().map(|(step, set)| {
            (step.clone(), other.below.get(step).map_or_else(|| set.clone(), |other| set.difference(other)))
        });
        Self { members, below: below.filter(|(_, set)| !set.is_empty()).collect() }
    }

    /// Like `difference`, but a field of `other` takes everything below it away, too.
    #[must_use]
    pub(crate) fn recursive_difference(&self, other: &Self) -> Self {
        let members = self.members.difference(&other.members).cloned().collect();
        let below = self.below.iter().filter(|(step, _)| !other.members.contains(step));
        let below = below.map(|(step, set)| {
            let rest =
                other.below.get(step).map_or_else(|| set.clone(), |other| set.recursive_difference(other));
            (step.clone(), rest)
        });
        Self { members, below: below.filter(|(_, set)| !set.is_empty()).collect() }
    }

    /// The fields directly below this node's `step`.
    pub(crate) fn child(&self, step: &Step) -> Option<&FieldSet> {
        self.below.get(step)
    }

    /// Paths of all fields, in order.
    pub(crate) fn paths(&self) -> Vec<Vec<Step>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut Vec<Step>, paths: &mut Vec<Vec<Step>>) {
        let steps: BTreeSet<&Step> = self.members.iter().chain(self.below.keys()).collect();
        for step in steps {
            prefix.push(step.clone());
            if self.members.contains(step) {
                paths.push(prefix.clone());
            }
            if let Some(set) = self.below.get(step) {
                set.collect(prefix, paths);
            }
            prefix.pop();
        }
    }

    /// As `fieldsV1`.
    pub(crate) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        for step in &self.members {
            fields.insert(step.written(), json!({}));
        }
        for (step, set) in self.below.iter().filter(|(_, set)| !set.is_empty()) {
            let mut below = set.to_json();
            if self.members.contains(step) {
                below["."] = json!({});
            }
            fields.insert(step.written(), below);
        }
        Value::Object(fields)
    }

    /// From `fieldsV1`; what cannot be read is left out.
    pub(crate) fn from_json(fields: &Value) -> Self {
        let mut set = Self::default();
        for (text, below) in fields.as_object().into_iter().flatten() {
            let Some(step) = Step::read(text) else { continue };
            let is_member = below.as_object().is_none_or(|below| below.is_empty() || below.contains_key("."));
            if is_member {
                set.members.insert(step.clone());
            }
            let below = Self::from_json(below);
            if !below.is_empty() {
                set.below.insert(step, below);
            }
        }
        set
    }
}

/// A path for people: `.spec.containers[name="x"].image`.
pub(crate) fn shown(path: &[Step]) -> String {
    path.iter().map(Step::shown).collect()
}
