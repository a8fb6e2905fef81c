//! The objects that attachments read, kept up by watches: pods of this node, blocks, pools.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, anyhow};
use api::{IPBlock, IPPool, prefix};
use ipam::local::NodeIdentity;
use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::sync::{mpsc, watch};

use super::{Attachments, AttachmentsContext, now};
use crate::{
    shared::RoutingProgress,
    snapshot,
    watch::{Scope, Update, watch},
};

/// How often the interfaces of pods that are gone from the API are looked for: a DEL that comes takes them away earlier,
/// and only a few pods are between their object's end and their DEL at any time.
const LINK_PAUSE: Duration = Duration::from_secs(1);

/// The watches and what they told.
pub(super) struct Objects {
    pods: mpsc::Receiver<Update<Pod>>,
    blocks: mpsc::Receiver<Update<IPBlock>>,
    pools: mpsc::Receiver<Update<IPPool>>,
    routing: watch::Receiver<RoutingProgress>,
    known_blocks: BTreeMap<String, IPBlock>,
    known_pools: BTreeMap<String, IPPool>,
    /// Pods, blocks, pools: whether the first list has come.
    synced: [bool; 3],
}

impl Objects {
    pub(super) fn watch(context: &AttachmentsContext) -> Self {
        let of_node = Scope { fields: Some(format!("spec.nodeName={}", context.node_name)), namespace: None };
        Self {
            pods: watch(&context.client, of_node),
            blocks: watch(&context.client, Scope::default()),
            pools: watch(&context.client, Scope::default()),
            routing: context.shared.routing.subscribe(),
            known_blocks: BTreeMap::new(),
            known_pools: BTreeMap::new(),
            synced: [false; 3],
        }
    }

    /// Waits until the first list of every kind has come; takes nothing into the addresses yet.
    pub(super) async fn in_sync(&mut self, attachments: &Attachments) -> Result<()> {
        while self.synced.contains(&false) {
            self.changed(attachments).await?;
        }
        Ok(())
    }

    /// Takes the snapshot's objects for kinds of which no list has come.
    pub(super) fn restore(&mut self, attachments: &Attachments, kept: snapshot::AttachmentsSnapshot) {
        let [pods, blocks, pools] = self.synced;
        if !pods {
            attachments.pods.restore(kept.pods);
        }
        if !blocks {
            self.known_blocks = kept.blocks.into_iter().map(|block| (block.name_any(), block)).collect();
        }
        if !pools {
            self.known_pools = kept.pools.into_iter().map(|pool| (pool.name_any(), pool)).collect();
        }
    }

    /// Follows the watches as long as they live.
    pub(super) async fn follow(&mut self, attachments: &Attachments) -> Result<()> {
        let mut absent_have_links = attachments.release_absent().await;
        loop {
            // Cancel-safe: what a watch tells is taken at once or stays in it.
            let changed = tokio::time::timeout(LINK_PAUSE, self.changed(attachments));
            let changed = if absent_have_links {
                changed.await.unwrap_or(Ok(Changed::Pods))
            } else {
                changed.into_inner().await
            };
            match changed? {
                Changed::Pods => absent_have_links = attachments.release_absent().await,
                Changed::Addresses => self.tell_addresses(attachments),
            }
            attachments.unreported.notify_one();
            if !self.synced.contains(&false) {
                self.keep(attachments);
            }
        }
    }

    /// Gives the addresses all that is known: the node, its pools, its blocks, and what other nodes own.
    pub(super) fn tell_addresses(&self, attachments: &Attachments) {
        let identity = self.identity(&attachments.context.node_name);
        let pools: Vec<IPPool> = self.known_pools.values().cloned().collect();
        let (own, others): (Vec<&IPBlock>, Vec<&IPBlock>) =
            self.known_blocks.values().partition(|block| block.spec.node == identity.name);
        let own: Vec<IPBlock> = own.into_iter().cloned().collect();
        let claims: BTreeMap<IpNetwork, String> = others
            .into_iter()
            .filter_map(|block| {
                Some((prefix::parse(&block.spec.cidr).ok()?, format!("node {}", block.spec.node)))
            })
            .collect();
        attachments.state.change(|inner| {
            inner.local.set_node(identity);
            inner.local.set_claims(claims);
            inner.local.set_pools(&pools);
            inner.local.set_blocks(now(), &own);
        });
    }

    /// Who this node is, as routing knows it.
    pub(super) fn identity(&self, node_name: &str) -> NodeIdentity {
        let routing = self.routing.borrow();
        NodeIdentity {
            name: node_name.to_owned(),
            uid: routing.node_uid.clone(),
            labels: routing.node_labels.clone(),
        }
    }

    /// Waits for the next change and takes it; cancel-safe.
    async fn changed(&mut self, attachments: &Attachments) -> Result<Changed> {
        let gone = || anyhow!("a watch of attachments ended by itself");
        tokio::select! {
            update = self.pods.recv() => {
                let update = update.ok_or_else(gone)?;
                self.synced[0] |= matches!(update, Update::Reset(_));
                attachments.pods.update(update);
                Ok(Changed::Pods)
            }
            update = self.blocks.recv() => {
                self.synced[1] |= apply(&mut self.known_blocks, update.ok_or_else(gone)?);
                Ok(Changed::Addresses)
            }
            update = self.pools.recv() => {
                self.synced[2] |= apply(&mut self.known_pools, update.ok_or_else(gone)?);
                Ok(Changed::Addresses)
            }
            changed = self.routing.changed() => {
                changed?;
                Ok(Changed::Addresses)
            }
        }
    }

    /// Writes the last-good snapshot.
    fn keep(&self, attachments: &Attachments) {
        let identity = self.identity(&attachments.context.node_name);
        let own = self.known_blocks.values().filter(|block| block.spec.node == identity.name);
        let pods = attachments.pods.snapshot().by_key.into_values();
        attachments.context.snapshots.store_attachments(&snapshot::AttachmentsSnapshot {
            node: snapshot::NodeIdentity {
                name: identity.name.clone(),
                uid: identity.uid,
                labels: identity.labels,
            },
            pools: self.known_pools.values().cloned().collect(),
            blocks: own.cloned().collect(),
            pods: pods.map(|pod| pod.as_ref().clone()).collect(),
        });
    }
}

/// What has changed.
enum Changed {
    Pods,
    Addresses,
}

/// Takes the update into the map; whether it was a whole list.
fn apply<K: ResourceExt>(map: &mut BTreeMap<String, K>, update: Update<K>) -> bool {
    match update {
        Update::Reset(objects) => {
            *map = objects.into_iter().map(|object| (object.name_any(), object)).collect();
            return true;
        }
        Update::Apply(object) => drop(map.insert(object.name_any(), object)),
        Update::Delete(gone) => drop(map.remove(&gone.key.name)),
    }
    false
}
