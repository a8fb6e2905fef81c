//! The cluster objects that routing reads, kept up by watches.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use api::{BGPConfiguration, BGPPeer};
use k8s_openapi::api::core::v1::Node;
use kube::{Client, ResourceExt};
use tokio::sync::mpsc;

use crate::{
    config::{ClusterView, NodeFacts},
    watch::{Scope, Update, watch},
};

/// The objects and their watches.
pub(super) struct View {
    cluster: ClusterView,
    nodes: mpsc::Receiver<Update<Node>>,
    configurations: mpsc::Receiver<Update<BGPConfiguration>>,
    peers: mpsc::Receiver<Update<BGPPeer>>,
    /// Nodes, configurations, peers: whether the first list has come.
    synced: [bool; 3],
}

impl View {
    pub(super) fn watch(client: &Client) -> Self {
        Self {
            cluster: ClusterView::default(),
            nodes: watch(client, Scope::default()),
            configurations: watch(client, Scope::default()),
            peers: watch(client, Scope::default()),
            synced: [false; 3],
        }
    }

    pub(super) fn cluster(&self) -> &ClusterView {
        &self.cluster
    }

    /// Takes the snapshot's objects for kinds of which no list has come.
    pub(super) fn restore(&mut self, snapshot: ClusterView) {
        let [nodes, configurations, peers] = self.synced;
        if !nodes {
            self.cluster.nodes = snapshot.nodes;
        }
        if !configurations {
            self.cluster.configurations = snapshot.configurations;
        }
        if !peers {
            self.cluster.peers = snapshot.peers;
        }
    }

    /// Waits until the first list of every kind has come.
    pub(super) async fn in_sync(&mut self) -> Result<()> {
        while self.synced.contains(&false) {
            self.changed().await?;
        }
        Ok(())
    }

    /// Waits for the next change and takes it; cancel-safe.
    pub(super) async fn changed(&mut self) -> Result<()> {
        let gone = || anyhow!("a watch of routing ended by itself");
        tokio::select! {
            update = self.nodes.recv() => {
                let update = update.ok_or_else(gone)?;
                self.synced[0] |= apply(&mut self.cluster.nodes, update, |node| NodeFacts::of(&node));
            }
            update = self.configurations.recv() => {
                let update = update.ok_or_else(gone)?;
                self.synced[1] |= apply(&mut self.cluster.configurations, update, |object| object.spec);
            }
            update = self.peers.recv() => {
                let update = update.ok_or_else(gone)?;
                self.synced[2] |= apply(&mut self.cluster.peers, update, |object| object.spec);
            }
        }
        Ok(())
    }
}

/// Takes the update into the map; whether it was a whole list.
fn apply<K: ResourceExt, V>(map: &mut BTreeMap<String, V>, update: Update<K>, keep: impl Fn(K) -> V) -> bool {
    match update {
        Update::Reset(objects) => {
            *map = objects.into_iter().map(|object| (object.name_any(), keep(object))).collect();
            return true;
        }
        Update::Apply(object) => drop(map.insert(object.name_any(), keep(object))),
        Update::Delete(key) => drop(map.remove(&key.name)),
    }
    false
}
