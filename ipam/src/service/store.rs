//! The objects as they were seen last, each parsed alone.

use std::collections::{BTreeMap, BTreeSet};

use api::{IPBlock, IPPool, NodeNetwork};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::watcher::{self, Event};
use serde::de::DeserializeOwned;
use tracing::warn;

use super::is_status;
use super::watch::{self, Kind};
use crate::view::Objects;

#[cfg(test)]
mod tests;

/// One kind's objects, parsed, and those that do not parse.
#[derive(Debug)]
struct Shelf<K> {
    kind: Kind,
    objects: BTreeMap<String, K>,
    unreadable: BTreeMap<String, DynamicObject>,
    /// The next whole list, while it comes in.
    coming: Option<Vec<DynamicObject>>,
    is_synced: bool,
}

impl<K: DeserializeOwned> Shelf<K> {
    fn new(kind: Kind) -> Self {
        let (objects, unreadable) = (BTreeMap::new(), BTreeMap::new());
        Self { kind, objects, unreadable, coming: None, is_synced: false }
    }

    fn handle(&mut self, event: Result<Event<DynamicObject>, watcher::Error>) {
        match event {
            Ok(Event::Apply(object)) => self.put(object),
            Ok(Event::Delete(object)) => self.remove(&object.name_any()),
            Ok(Event::Init) => self.coming = Some(Vec::new()),
            Ok(Event::InitApply(object)) => self.coming.get_or_insert_default().push(object),
            Ok(Event::InitDone) => self.replace_all(),
            Err(error) => self.failed(&error),
        }
    }

    fn replace_all(&mut self) {
        let coming = self.coming.take().unwrap_or_default();
        let names: BTreeSet<String> = coming.iter().map(ResourceExt::name_any).collect();
        self.objects.retain(|name, _| names.contains(name));
        self.unreadable.retain(|name, _| names.contains(name));
        for object in coming {
            self.put(object);
        }
        self.is_synced = true;
    }

    fn put(&mut self, object: DynamicObject) {
        let name = object.name_any();
        match object.clone_into_typed() {
            Ok(parsed) => {
                self.unreadable.remove(&name);
                self.objects.insert(name, parsed);
            }
            Err(error) => {
                warn!(
                    object = format!("{} {name}", self.kind),
                    cause = %error,
                    remedy = "correct or delete the object",
                    "object set aside"
                );
                self.objects.remove(&name);
                self.unreadable.insert(name, object);
            }
        }
    }

    fn remove(&mut self, name: &str) {
        self.objects.remove(name);
        self.unreadable.remove(name);
    }

    /// A kind that the server does not know is an empty list; any other failure leaves what is known.
    fn failed(&mut self, error: &watcher::Error) {
        if let watcher::Error::InitialListFailed(inner) = error
            && is_status(inner, 404)
        {
            if !self.is_synced || !self.objects.is_empty() {
                let remedy = "install the CRDs; until then there is no object of this kind";
                warn!(object = %self.kind, cause = "the API server does not know this kind", remedy, "empty list");
            }
            self.coming = Some(Vec::new());
            self.replace_all();
            return;
        }
        let remedy = "none needed: it is tried again";
        warn!(object = %self.kind, cause = %error, remedy, "watch interrupted");
    }
}

/// An untyped object as what it should be.
trait CloneIntoTyped {
    fn clone_into_typed<K: DeserializeOwned>(&self) -> Result<K, serde_json::Error>;
}

impl CloneIntoTyped for DynamicObject {
    fn clone_into_typed<K: DeserializeOwned>(&self) -> Result<K, serde_json::Error> {
        serde_json::from_value(serde_json::to_value(self)?)
    }
}

/// All objects that the service watches.
#[derive(Debug)]
pub(super) struct Store {
    pools: Shelf<IPPool>,
    nodes: Shelf<Node>,
    blocks: Shelf<IPBlock>,
    networks: Shelf<NodeNetwork>,
    daemons: Shelf<Pod>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            pools: Shelf::new(Kind::Pool),
            nodes: Shelf::new(Kind::Node),
            blocks: Shelf::new(Kind::Block),
            networks: Shelf::new(Kind::Network),
            daemons: Shelf::new(Kind::Daemon),
        }
    }
}

impl Store {
    /// Takes one event.
    pub(super) fn handle(&mut self, (kind, event): watch::Event) {
        match kind {
            Kind::Pool => self.pools.handle(event),
            Kind::Node => self.nodes.handle(event),
            Kind::Block => self.blocks.handle(event),
            Kind::Network => self.networks.handle(event),
            Kind::Daemon => self.daemons.handle(event),
        }
    }

    /// Whether every kind was listed once.
    pub(super) fn is_synced(&self) -> bool {
        let objects = self.pools.is_synced && self.nodes.is_synced && self.blocks.is_synced;
        objects && self.networks.is_synced && self.daemons.is_synced
    }

    /// Puts in a block that was just created, which the watch will bring again.
    pub(super) fn created(&mut self, block: IPBlock) {
        self.blocks.objects.insert(block.name_any(), block);
    }

    /// Puts in a pool whose status was just written, which the watch will bring again.
    pub(super) fn reported(&mut self, pool: IPPool) {
        self.pools.objects.insert(pool.name_any(), pool);
    }

    /// The pool of this name.
    pub(super) fn pool(&self, name: &str) -> Option<&IPPool> {
        self.pools.objects.get(name)
    }

    /// Names of all pools, also of those that do not parse.
    pub(super) fn pool_names(&self) -> impl Iterator<Item = &str> {
        self.pools.objects.keys().chain(self.pools.unreadable.keys()).map(String::as_str)
    }

    /// The objects for [`crate::view::View::read`]. What does not parse still claims its range.
    pub(super) fn objects(&self) -> Objects {
        let cidr = |object: &DynamicObject| Some(object.data.get("spec")?.get("cidr")?.as_str()?.to_owned());
        let node = |pod: &Pod| pod.spec.as_ref()?.node_name.clone();
        Objects {
            pools: self.pools.objects.values().cloned().collect(),
            nodes: self.nodes.objects.values().cloned().collect(),
            blocks: self.blocks.objects.values().cloned().collect(),
            networks: self.networks.objects.values().cloned().collect(),
            unreadable_blocks: self.blocks.unreadable.values().filter_map(cidr).collect(),
            bound_elsewhere: BTreeSet::new(),
            daemons: self.daemons.objects.values().filter_map(node).collect(),
        }
    }
}
