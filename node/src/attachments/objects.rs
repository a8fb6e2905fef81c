//! The objects that attachments read, kept up by watches: pods of this node, blocks, pools.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Result, anyhow};
use api::{IPBlock, IPPool, prefix};
use ipam::local::NodeIdentity;
use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Attachments, AttachmentsContext, now};
use crate::{
    shared::RoutingProgress,
    snapshot::{self, Background, SNAPSHOT_PAUSE},
    watch::{Scope, Update, watch},
};

/// How often the interfaces of pods that are gone from the API are looked for: a DEL that comes takes them away earlier,
/// and only a few pods are between their object's end and their DEL at any time.
const LINK_PAUSE: Duration = Duration::from_secs(1);

/// How long is waited where nothing but a change is awaited.
const IDLE_TIME: Duration = Duration::from_hours(1);

/// The watches and what they told.
pub(super) struct Objects {
    pods: mpsc::Receiver<Update<Pod>>,
    blocks: mpsc::Receiver<Update<IPBlock>>,
    pools: mpsc::Receiver<Update<IPPool>>,
    routing: watch::Receiver<RoutingProgress>,
    learned: watch::Receiver<u64>,
    known_blocks: BTreeMap<String, IPBlock>,
    known_pools: BTreeMap<String, IPPool>,
    synced: Synced,
    writing: Background,
}

/// Of what the first list has come.
#[derive(Clone, Copy, Default)]
struct Synced {
    pods: bool,
    blocks: bool,
    pools: bool,
}

impl Synced {
    fn all(self) -> bool {
        let Self { pods, blocks, pools } = self;
        pods && blocks && pools
    }
}

impl Objects {
    pub(super) fn watch(context: &AttachmentsContext) -> Self {
        let of_node = Scope { fields: Some(format!("spec.nodeName={}", context.node_name)), namespace: None };
        Self {
            pods: watch(&context.client, of_node),
            blocks: watch(&context.client, Scope::default()),
            pools: watch(&context.client, Scope::default()),
            routing: context.shared.routing.subscribe(),
            learned: context.shared.learned.subscribe(),
            known_blocks: BTreeMap::new(),
            known_pools: BTreeMap::new(),
            synced: Synced::default(),
            writing: Background::default(),
        }
    }

    /// Waits until the first list of every kind has come; takes nothing into the addresses yet.
    pub(super) async fn in_sync(&mut self, attachments: &Attachments) -> Result<()> {
        while !self.synced.all() {
            self.changed(attachments).await?;
        }
        Ok(())
    }

    /// Takes the snapshot's objects for kinds of which no list has come.
    pub(super) fn restore(&mut self, attachments: &Attachments, kept: snapshot::AttachmentsSnapshot) {
        let Synced { pods, blocks, pools } = self.synced;
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
        let mut link_at = next_look(attachments).await;
        let mut keep_at = Some(Instant::now());
        loop {
            let idle_until = Instant::now() + IDLE_TIME;
            let wake = link_at.into_iter().chain(keep_at).min().unwrap_or(idle_until);
            // Cancel-safe: what a watch tells is taken at once or stays in it.
            let Ok(changed) = tokio::time::timeout_at(wake, self.changed(attachments)).await else {
                if keep_at.is_some_and(|at| at <= wake) {
                    keep_at = self.keep(attachments);
                } else {
                    link_at = next_look(attachments).await;
                }
                continue;
            };
            match changed? {
                Changed::Pods => link_at = next_look(attachments).await,
                Changed::Addresses => self.tell_addresses(attachments),
            }
            attachments.unreported.notify_one();
            keep_at = keep_at.or(Some(Instant::now() + SNAPSHOT_PAUSE));
        }
    }

    /// Gives the addresses all that is known: the node, its pools, its blocks, and what other nodes own.
    pub(super) fn tell_addresses(&self, attachments: &Attachments) {
        let identity = self.identity(&attachments.context.node_name);
        let pools: Vec<IPPool> = self.known_pools.values().cloned().collect();
        let (own, others): (Vec<&IPBlock>, Vec<&IPBlock>) =
            self.known_blocks.values().partition(|block| block.spec.node == identity.name);
        let own: Vec<IPBlock> = own.into_iter().cloned().collect();
        let ranges: BTreeSet<IpNetwork> =
            own.iter().filter_map(|block| prefix::parse(&block.spec.cidr).ok()).collect();
        let learned = attachments.context.shared.learned.inside(ranges).into_iter();
        let mut claims: BTreeMap<IpNetwork, String> = others
            .into_iter()
            .filter_map(|block| {
                Some((prefix::parse(&block.spec.cidr).ok()?, format!("node {}", block.spec.node)))
            })
            .collect();
        claims.extend(learned.map(|(prefix, way)| (prefix, format!("a BGP path of another node via {way}"))));
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
                self.synced.pods |= matches!(update, Update::Reset(_));
                attachments.pods.update(update);
                Ok(Changed::Pods)
            }
            update = self.blocks.recv() => {
                self.synced.blocks |= apply(&mut self.known_blocks, update.ok_or_else(gone)?);
                Ok(Changed::Addresses)
            }
            update = self.pools.recv() => {
                self.synced.pools |= apply(&mut self.known_pools, update.ok_or_else(gone)?);
                Ok(Changed::Addresses)
            }
            changed = self.routing.changed() => {
                changed?;
                Ok(Changed::Addresses)
            }
            changed = self.learned.changed() => {
                changed?;
                Ok(Changed::Addresses)
            }
        }
    }

    /// Writes the last-good snapshot, unless parts of it would be from a former one; when it is to be tried again if
    /// the former is still being written.
    fn keep(&mut self, attachments: &Attachments) -> Option<Instant> {
        if !self.synced.all() {
            return None;
        }
        if self.writing.is_busy() {
            return Some(Instant::now() + SNAPSHOT_PAUSE);
        }
        let identity = self.identity(&attachments.context.node_name);
        let own = self.known_blocks.values().filter(|block| block.spec.node == identity.name);
        let pods = attachments.pods.snapshot().by_key.into_values();
        let kept = snapshot::AttachmentsSnapshot {
            node: snapshot::NodeIdentity {
                name: identity.name.clone(),
                uid: identity.uid,
                labels: identity.labels,
            },
            pools: self.known_pools.values().cloned().collect(),
            blocks: own.cloned().collect(),
            pods: pods.map(|pod| pod.as_ref().clone()).collect(),
        };
        let snapshots = attachments.context.snapshots.clone();
        self.writing.start(move || snapshots.store_attachments(&kept));
        None
    }
}

/// Takes back what absent pods have; when their interfaces are to be looked for again, if some are left.
async fn next_look(attachments: &Attachments) -> Option<Instant> {
    attachments.release_absent().await.then(|| Instant::now() + LINK_PAUSE)
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
