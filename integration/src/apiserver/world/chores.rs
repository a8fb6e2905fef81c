//! What the server does by itself after a write: namespaces and definitions that go take their
//! content along, new definitions are served, and what lost its owners is deleted.
//!
//! A real cluster has controllers for that; here it is done before the answer is sent, so that
//! no test has to wait for it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::jiff;
use serde_json::{Value, json};

use super::{
    World,
    remove::{Deletion, FOREGROUND},
    update::is_finished,
};
use crate::apiserver::{object, storage::Key};

/// Name of the table of definitions.
pub(super) const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// Holds a definition until its objects are gone.
pub(super) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

type Place = (String, Key);

/// Who owns whom, and what is still to be done.
#[derive(Debug, Default)]
pub(super) struct Chores {
    pending: VecDeque<Chore>,
    dependents: BTreeMap<String, BTreeSet<Place>>,
    by_uid: BTreeMap<String, Place>,
}

#[derive(Debug)]
enum Chore {
    /// This namespace is going: so does what is in it, then itself.
    Namespace(String),
    /// This definition is going: so do its objects, then itself.
    Definition(String),
    /// This object is deleted if none of its owners is left.
    Dependent(Place),
    /// This owner waits for its dependents.
    Owner(Place),
}

impl Chores {
    /// The object at this place was marked for deletion.
    pub(super) fn on_marked(&mut self, table: &str, key: &Key) {
        match table {
            "namespaces" => self.pending.push_back(Chore::Namespace(key.name.clone())),
            DEFINITIONS => self.pending.push_back(Chore::Definition(key.name.clone())),
            _ => {}
        }
        self.pending.push_back(Chore::Owner((table.to_owned(), key.clone())));
    }

    fn note(&mut self, table: &str, object: &Value) {
        let place = (table.to_owned(), Key::of(object));
        self.by_uid.insert(object::uid(object).to_owned(), place.clone());
        for owner in owners(object) {
            self.dependents.entry(owner.to_owned()).or_default().insert(place.clone());
        }
    }

    fn forget_owners(&mut self, table: &str, object: &Value) {
        let place = (table.to_owned(), Key::of(object));
        for owner in owners(object) {
            if let Some(places) = self.dependents.get_mut(owner) {
                places.remove(&place);
                if places.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
    }

    fn dependents_of(&self, uid: &str) -> Vec<Place> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }
}

fn owners(object: &Value) -> impl Iterator<Item = &str> {
    object::owner_references(object).iter().filter_map(|owner| owner["uid"].as_str())
}

impl World {
    /// Puts an object into the storage and the index of owners.
    pub(super) fn store(&mut self, table: &str, object: Value) -> Arc<Value> {
        if let Some(old) = self.storage.get(table, &Key::of(&object)) {
            self.chores.forget_owners(table, old);
        }
        self.chores.note(table, &object);
        self.storage.put(table, object)
    }

    /// Takes an object out of both, and lists what follows from it.
    pub(super) fn erase(&mut self, table: &str, key: &Key) -> Option<Arc<Value>> {
        let last = self.storage.remove(table, key)?;
        self.chores.forget_owners(table, &last);
        let uid = object::uid(&last);
        self.chores.by_uid.remove(uid);
        let dependents = self.chores.dependents_of(uid).into_iter().map(Chore::Dependent);
        self.chores.pending.extend(dependents);
        let waiting =
            owners(&last).filter_map(|owner| self.chores.by_uid.get(owner).cloned()).map(Chore::Owner);
        let waiting: Vec<Chore> = waiting.collect();
        self.chores.pending.extend(waiting);
        if !key.namespace.is_empty() {
            self.chores.pending.push_back(Chore::Namespace(key.namespace.clone()));
        }
        if let Some(definition) = self
            .registry
            .of_table(table)
            .filter(|kind| kind.origin == crate::apiserver::registry::Origin::Custom)
        {
            self.chores.pending.push_back(Chore::Definition(definition.table.clone()));
        }
        if table == DEFINITIONS {
            self.registry.remove_table(&key.name);
            self.storage.drop_table(&key.name);
        }
        Some(last)
    }

    /// What follows from a write of `stored`.
    pub(super) fn after_write(&mut self, table: &str, stored: &Value, now: Timestamp) {
        if table == DEFINITIONS {
            self.serve_definition(stored, now);
        }
        let place = (table.to_owned(), Key::of(stored));
        if owners(stored).next().is_some() {
            self.chores.pending.push_back(Chore::Dependent(place));
        }
        if object::is_deleting(stored) {
            self.chores.on_marked(table, &Key::of(stored));
        }
        self.settle(now);
    }

    /// Does everything that is pending. Every chore removes or marks something, so it ends.
    pub(super) fn settle(&mut self, now: Timestamp) {
        while let Some(chore) = self.chores.pending.pop_front() {
            match chore {
                Chore::Namespace(name) => self.empty_namespace(&name, now),
                Chore::Definition(name) => self.empty_definition(&name, now),
                Chore::Dependent(place) => self.drop_if_orphaned(&place, now),
                Chore::Owner(place) => self.release_owner(&place, now),
            }
        }
    }

    fn empty_namespace(&mut self, name: &str, now: Timestamp) {
        let key = Key { namespace: String::new(), name: name.to_owned() };
        let Some(namespace) = self.storage.get("namespaces", &key).filter(|one| object::is_deleting(one))
        else {
            return;
        };
        let namespace = Value::clone(namespace);
        let tables: Vec<String> = self.storage.tables().map(str::to_owned).collect();
        let mut is_empty = true;
        for table in tables {
            let is_namespaced = self.registry.of_table(&table).is_some_and(|kind| kind.namespaced);
            if !is_namespaced {
                continue;
            }
            self.doom_all(&table, name, now);
            is_empty &= self.storage.list(&table, name).next().is_none();
        }
        if is_empty && object::finalizers(&namespace).is_empty() {
            self.erase("namespaces", &key);
        } else if namespace["status"]["phase"] != "Terminating" {
            let mut terminating = namespace;
            terminating["status"]["phase"] = json!("Terminating");
            self.store("namespaces", terminating);
        }
    }

    fn empty_definition(&mut self, name: &str, now: Timestamp) {
        let key = Key { namespace: String::new(), name: name.to_owned() };
        let Some(definition) = self.storage.get(DEFINITIONS, &key).filter(|one| object::is_deleting(one))
        else {
            return;
        };
        let mut definition = Value::clone(definition);
        self.doom_all(name, "", now);
        let rest: Vec<Value> = object::finalizers(&definition)
            .iter()
            .filter(|one| **one != CLEANUP)
            .map(|one| json!(one))
            .collect();
        let is_held = object::finalizers(&definition).contains(&CLEANUP);
        if !is_held || self.storage.list(name, "").next().is_some() {
            return;
        }
        object::set_meta(&mut definition, "finalizers", (!rest.is_empty()).then_some(Value::Array(rest)));
        let stored = self.store(DEFINITIONS, definition);
        if is_finished(&stored) {
            self.erase(DEFINITIONS, &key);
        }
    }

    /// Deletes every object of a table in a namespace (in all if it is empty) that is not going yet.
    fn doom_all(&mut self, table: &str, namespace: &str, now: Timestamp) {
        let keys = self.storage.list(table, namespace).filter(|(_, object)| !object::is_deleting(object));
        let keys: Vec<Key> = keys.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.doom(table, &key, &Deletion::default(), now);
        }
    }

    fn drop_if_orphaned(&mut self, (table, key): &Place, now: Timestamp) {
        let Some(object) = self.storage.get(table, key) else { return };
        let has_owners = owners(object).next().is_some();
        if has_owners && !owners(object).any(|uid| self.chores.by_uid.contains_key(uid)) {
            self.doom(table, key, &Deletion::default(), now);
        }
    }

    /// An owner that is deleted in the foreground: first its dependents, then its finalizer.
    fn release_owner(&mut self, (table, key): &Place, now: Timestamp) {
        let Some(owner) = self.storage.get(table, key).cloned() else { return };
        if !object::is_deleting(&owner) || !object::finalizers(&owner).contains(&FOREGROUND) {
            return;
        }
        for (table, key) in self.chores.dependents_of(object::uid(&owner)) {
            let is_new = self.storage.get(&table, &key).is_some_and(|one| !object::is_deleting(one));
            if is_new {
                self.doom(&table, &key, &Deletion::default(), now);
            }
        }
        let blocks = |(table, key): &Place| {
            let references = self.storage.get(table, key).map(|one| object::owner_references(one).to_vec());
            references
                .into_iter()
                .flatten()
                .any(|one| one["uid"] == object::uid(&owner) && one["blockOwnerDeletion"] == true)
        };
        if self.chores.dependents_of(object::uid(&owner)).iter().any(blocks) {
            return;
        }
        let rest: Vec<Value> = object::finalizers(&owner)
            .iter()
            .filter(|one| **one != FOREGROUND)
            .map(|one| json!(one))
            .collect();
        let mut released = Value::clone(&owner);
        object::set_meta(&mut released, "finalizers", (!rest.is_empty()).then_some(Value::Array(rest)));
        let stored = self.store(table, released);
        if is_finished(&stored) {
            self.erase(table, key);
        }
    }

    /// Frees every dependent of this owner from it.
    pub(super) fn orphan_dependents(&mut self, uid: &str) {
        for (table, key) in self.chores.dependents_of(uid) {
            let Some(object) = self.storage.get(&table, &key) else { continue };
            let mut freed = Value::clone(object);
            let rest: Vec<Value> = object::owner_references(&freed)
                .iter()
                .filter(|owner| owner["uid"] != uid)
                .cloned()
                .collect();
            object::set_meta(&mut freed, "ownerReferences", (!rest.is_empty()).then_some(Value::Array(rest)));
            self.store(&table, freed);
        }
    }
}
