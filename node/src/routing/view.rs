//! The cluster objects that routing reads, kept up by watches.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use api::{BGPConfiguration, BGPPeer, names};
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::{Client, ResourceExt};
use tokio::sync::mpsc;

use crate::{
    config::{ClusterView, NodeFacts, Passwords},
    watch::{Scope, Update, watch},
};

/// The objects and their watches.
pub(super) struct View {
    cluster: ClusterView,
    nodes: mpsc::Receiver<Update<Node>>,
    configurations: mpsc::Receiver<Update<BGPConfiguration>>,
    peers: mpsc::Receiver<Update<BGPPeer>>,
    secrets: mpsc::Receiver<Update<Secret>>,
    /// Nodes, configurations, peers: whether the first list has come.
    synced: [bool; 3],
    /// Whether the Secret was read, or is known not to be there. Routing does not wait for it: what needs a
    /// password waits for itself.
    secrets_synced: bool,
}

impl View {
    pub(super) fn watch(client: &Client) -> Self {
        Self {
            cluster: ClusterView::default(),
            nodes: watch(client, Scope::default()),
            configurations: watch(client, Scope::default()),
            peers: watch(client, Scope::default()),
            secrets: watch(client, of_passwords()),
            synced: [false; 3],
            secrets_synced: false,
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
        if !self.secrets_synced {
            self.cluster.passwords = snapshot.passwords;
        }
    }

    /// Waits until the first list of every kind has come.
    pub(super) async fn in_sync(&mut self) -> Result<()> {
        while self.synced.contains(&false) {
            self.changed().await?;
        }
        Ok(())
    }

    /// Waits until the Secret was read if a peer's password is in it.
    pub(super) async fn passwords_in_sync(&mut self) -> Result<()> {
        while !self.secrets_synced && self.cluster.peers.values().any(|peer| peer.password_key.is_some()) {
            self.changed().await?;
        }
        Ok(())
    }

    /// Waits for the next change and takes it; cancel-safe.
    pub(super) async fn changed(&mut self) -> Result<()> {
        while !self.take_next().await? {}
        Ok(())
    }

    /// Waits for the next update and takes it; whether it says anything new. Most do not: kubelets write their Nodes
    /// every few minutes, and none of that matters here.
    async fn take_next(&mut self) -> Result<bool> {
        let gone = || anyhow!("a watch of routing ended by itself");
        let [nodes, configurations, peers] = &mut self.synced;
        let is_news = tokio::select! {
            update = self.nodes.recv() => {
                let update = update.ok_or_else(gone)?;
                apply(&mut self.cluster.nodes, nodes, update, |node| NodeFacts::of(&node))
            }
            update = self.configurations.recv() => {
                let update = update.ok_or_else(gone)?;
                apply(&mut self.cluster.configurations, configurations, update, |object| object.spec)
            }
            update = self.peers.recv() => {
                let update = update.ok_or_else(gone)?;
                apply(&mut self.cluster.peers, peers, update, |object| object.spec)
            }
            update = self.secrets.recv() => {
                let update = update.ok_or_else(gone)?;
                apply(&mut self.cluster.passwords, &mut self.secrets_synced, update, Passwords::of)
            }
        };
        Ok(is_news)
    }
}

/// The one Secret that routing may read.
fn of_passwords() -> Scope {
    Scope {
        fields: Some(format!("metadata.name={}", names::BGP_PASSWORDS_SECRET)),
        namespace: Some(names::NAMESPACE.to_owned()),
    }
}

/// Takes the update into the map; whether it says anything new, as the first whole list always does.
fn apply<K: ResourceExt, V: PartialEq>(
    map: &mut BTreeMap<String, V>,
    is_synced: &mut bool,
    update: Update<K>,
    keep: impl Fn(K) -> V,
) -> bool {
    match update {
        Update::Reset(objects) => {
            let all = objects.into_iter().map(|object| (object.name_any(), keep(object))).collect();
            let is_news = !std::mem::replace(is_synced, true) || *map != all;
            *map = all;
            is_news
        }
        Update::Apply(object) => {
            let (name, value) = (object.name_any(), keep(object));
            let is_news = map.get(&name) != Some(&value);
            map.insert(name, value);
            is_news
        }
        Update::Delete(gone) => map.remove(&gone.key.name).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{Gone, ObjectKey};

    fn node(label: &str, heartbeat: &str) -> Node {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "n1", "uid": "u1", "labels": {"rack": label}},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": heartbeat}]},
        }))
        .unwrap()
    }

    #[test]
    fn only_what_matters_is_news() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z");
        let key = ObjectKey { namespace: String::new(), name: "n1".to_owned() };
        let gone = || Gone { key: key.clone(), uid: "u1".to_owned() };
        // (why, update, news); each follows the one before
        let cases = [
            ("the first list, though it is empty", Update::Reset(vec![]), true),
            ("the same list", Update::Reset(vec![]), false),
            ("a new object", Update::Apply(node("a", early)), true),
            ("a heartbeat", Update::Apply(node("a", late)), false),
            ("a label", Update::Apply(node("b", late)), true),
            ("the list of that", Update::Reset(vec![node("b", early)]), false),
            ("its end", Update::Delete(gone()), true),
            ("the end of what is not there", Update::Delete(gone()), false),
        ];
        let (mut map, mut is_synced) = (BTreeMap::new(), false);
        for (why, update, expected) in cases {
            let is_news = apply(&mut map, &mut is_synced, update, |node| NodeFacts::of(&node));
            assert_eq!(is_news, expected, "{why}");
            assert!(is_synced, "{why}");
        }
    }
}
