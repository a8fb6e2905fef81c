//! All objects, each with the revision of its last change, and the recent changes for watches.
//!
//! One counter numbers all writes, as etcd's does. Every table (one per resource) keeps its last
//! changes in a ring; who asks for older ones is told that they are gone.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};

use super::object;

/// Changes kept per resource. Enough for any watcher that reads at all (a cluster of 2,000 pods
/// started at once is some 10,000 changes), and a bound on what old versions cost in memory.
pub(crate) const HISTORY_MAX: usize = 16_384;

/// Where an object lives: its namespace (empty if cluster-scoped) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Namespace, empty for cluster-scoped objects.
    pub(crate) namespace: String,
    /// Name.
    pub(crate) name: String,
}

impl Key {
    /// The key of `object`.
    pub(crate) fn of(object: &Value) -> Self {
        Self { namespace: object::namespace(object).to_owned(), name: object::name(object).to_owned() }
    }
}

/// One write.
#[derive(Debug)]
pub(crate) struct Change {
    /// Number of the write.
    pub(crate) revision: u64,
    /// The object before, `None` if it was created.
    pub(crate) before: Option<Arc<Value>>,
    /// The object after, `None` if it was removed.
    pub(crate) after: Option<Arc<Value>>,
    /// Last state of a removed object, with the revision of its removal.
    pub(crate) tombstone: Option<Arc<Value>>,
}

#[derive(Debug, Default)]
struct Table {
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Arc<Change>>,
    /// Changes up to this revision may be missing from `history`.
    forgotten: u64,
}

/// The history no longer reaches back to the revision that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forgotten;

/// Every object of the server.
#[derive(Debug)]
pub(crate) struct Storage {
    revision: u64,
    tables: BTreeMap<String, Table>,
    history_max: usize,
}

impl Storage {
    /// Empty, remembering `history_max` changes per resource.
    pub(crate) fn new(history_max: usize) -> Self {
        // Revision 0 has a meaning of its own ("any version"), so counting starts above it.
        Self { revision: 1, tables: BTreeMap::new(), history_max }
    }

    /// Number of the last write.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The object under `key`.
    pub(crate) fn get(&self, table: &str, key: &Key) -> Option<&Arc<Value>> {
        self.tables.get(table)?.objects.get(key)
    }

    /// Objects of a table in order of their keys; of one namespace unless it is empty.
    pub(crate) fn list<'a>(
        &'a self,
        table: &str,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let start = Key { namespace: namespace.to_owned(), name: String::new() };
        let objects = self.tables.get(table).map(|table| table.objects.range(start..));
        objects
            .into_iter()
            .flatten()
            .take_while(move |(key, _)| namespace.is_empty() || key.namespace == namespace)
    }

    /// Names of all tables that hold something.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().filter(|(_, table)| !table.objects.is_empty()).map(|(name, _)| name.as_str())
    }

    /// Stores `object` under its own key, with the next revision written into it.
    pub(crate) fn put(&mut self, table: &str, mut object: Value) -> Arc<Value> {
        let revision = self.next_revision();
        object::set_meta(&mut object, "resourceVersion", Some(json!(revision.to_string())));
        let (key, object) = (Key::of(&object), Arc::new(object));
        let table = self.tables.entry(table.to_owned()).or_default();
        let before = table.objects.insert(key, Arc::clone(&object));
        let change = Change { revision, before, after: Some(Arc::clone(&object)), tombstone: None };
        table.remember(change, self.history_max);
        object
    }

    /// Removes the object under `key`; its last state, with the removal's revision.
    pub(crate) fn remove(&mut self, table: &str, key: &Key) -> Option<Arc<Value>> {
        let before = self.tables.get_mut(table)?.objects.remove(key)?;
        let revision = self.next_revision();
        let mut last = Value::clone(&before);
        object::set_meta(&mut last, "resourceVersion", Some(json!(revision.to_string())));
        let last = Arc::new(last);
        let change =
            Change { revision, before: Some(before), after: None, tombstone: Some(Arc::clone(&last)) };
        self.tables.get_mut(table)?.remember(change, self.history_max);
        Some(last)
    }

    /// Changes of `table` after `revision`, oldest first.
    ///
    /// # Errors
    /// `Forgotten` if some of them are no longer kept.
    pub(crate) fn since(
        &self,
        table: &str,
        revision: u64,
    ) -> Result<impl Iterator<Item = &Arc<Change>>, Forgotten> {
        let table = self.tables.get(table);
        if table.is_some_and(|table| revision < table.forgotten) {
            return Err(Forgotten);
        }
        let changes = table.map(|table| {
            let first = table.history.partition_point(|change| change.revision <= revision);
            table.history.range(first..)
        });
        Ok(changes.into_iter().flatten())
    }

    /// Drops all history, as a compaction does: older versions are gone for every watcher.
    pub(crate) fn forget_history(&mut self) {
        for table in self.tables.values_mut() {
            table.history.clear();
            table.forgotten = self.revision;
        }
    }

    /// Ends a table whose resource is no longer served.
    pub(crate) fn drop_table(&mut self, table: &str) {
        self.tables.remove(table);
    }

    fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }
}

impl Table {
    fn remember(&mut self, change: Change, history_max: usize) {
        self.history.push_back(Arc::new(change));
        while self.history.len() > history_max {
            if let Some(oldest) = self.history.pop_front() {
                self.forgotten = oldest.revision;
            }
        }
    }
}

#[cfg(test)]
mod tests;
