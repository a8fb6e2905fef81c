//! The writes of the service, each with its preconditions.

use api::condition;
use api::ip_pool::IPPoolStatus;
use api::{Condition, IPBlock, IPBlockSpec, IPPool, prefix};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tracing::debug;

use super::{cause, now};
use crate::plan::{Action, PoolReport};
use crate::pool::{EPOCH_ANNOTATION, READY};
use crate::view::BlockRef;

/// Writes to the API.
#[derive(Clone)]
pub(super) struct Writer {
    client: Client,
    blocks: Api<IPBlock>,
    pools: Api<IPPool>,
    recorder: Recorder,
}

impl Writer {
    pub(super) fn new(client: Client, identity: &str) -> Self {
        let reporter = Reporter { controller: "tortie-ipam".into(), instance: Some(identity.to_owned()) };
        Self {
            blocks: Api::all(client.clone()),
            pools: Api::all(client.clone()),
            recorder: Recorder::new(client.clone(), reporter),
            client,
        }
    }

    /// Carries out one action. A created block comes back.
    pub(super) async fn act(&self, action: &Action) -> kube::Result<Option<IPBlock>> {
        match action {
            Action::Create { cidr, pool, node, node_uid, epoch, .. } => {
                let spec = IPBlockSpec {
                    cidr: cidr.to_string(),
                    pool: pool.clone(),
                    node: node.clone(),
                    node_uid: node_uid.clone(),
                    draining: false,
                    epoch: *epoch,
                };
                let block = IPBlock::new(&prefix::object_name(*cidr), spec);
                self.blocks.create(&PostParams::default(), &block).await.map(Some)
            }
            Action::SetDraining { block, draining, .. } => {
                self.change(block, &json!({ "draining": draining })).await
            }
            Action::Confirm { block, node_uid, epoch } => {
                self.change(block, &json!({ "nodeUID": node_uid, "epoch": epoch })).await
            }
            Action::Delete { block, .. } => {
                let preconditions = Preconditions {
                    uid: Some(block.uid.clone()),
                    resource_version: Some(block.resource_version.clone()),
                };
                let parameters = DeleteParams::default().preconditions(preconditions);
                self.blocks.delete(&block.name, &parameters).await.map(|_| None)
            }
        }
    }

    /// Changes the spec of this very version of a block.
    async fn change(&self, block: &BlockRef, spec: &Value) -> kube::Result<Option<IPBlock>> {
        let metadata = json!({ "uid": block.uid, "resourceVersion": block.resource_version });
        let patch = Patch::Merge(json!({ "metadata": metadata, "spec": spec }));
        self.blocks.patch(&block.name, &PatchParams::default(), &patch).await.map(|_| None)
    }

    /// Tells the nodes of the epoch, by the annotation of a pool.
    pub(super) async fn publish(&self, pool: &str, epoch: i64) -> kube::Result<()> {
        let patch =
            Patch::Merge(json!({ "metadata": { "annotations": { EPOCH_ANNOTATION: epoch.to_string() } } }));
        self.pools.patch(pool, &PatchParams::default(), &patch).await.map(|_| ())
    }

    /// Writes what the plan says of a pool, if its status says something else. The pool as it is
    /// then comes back.
    pub(super) async fn report(&self, pool: &IPPool, report: &PoolReport) -> kube::Result<Option<IPPool>> {
        let before = pool.status.clone().unwrap_or_default();
        let status = status(pool, report);
        if status == before {
            return Ok(None);
        }
        let patch = Patch::Merge(json!({ "status": status }));
        self.pools.patch_status(&pool.name_any(), &PatchParams::default(), &patch).await.map(Some)
    }

    /// Whether any Pod is bound to this node. An API that does not answer leaves it open: true.
    pub(super) async fn has_pods(&self, node: &str) -> bool {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let parameters = ListParams::default().fields(&format!("spec.nodeName={node}")).limit(1);
        pods.list_metadata(&parameters).await.map_or(true, |list| !list.items.is_empty())
    }

    /// An Event for people. It is not tried again: the log and the conditions say the same.
    pub(super) async fn tell(&self, about: &ObjectReference, is_good: bool, reason: &str, note: &str) {
        let type_ = if is_good { EventType::Normal } else { EventType::Warning };
        let (reason, note) = (reason.to_owned(), Some(note.to_owned()));
        let event = Event { type_, reason, note, action: "Reconcile".to_owned(), secondary: None };
        if let Err(error) = self.recorder.publish(&event, about).await {
            debug!(cause = &*cause(&error), "Event not written");
        }
    }
}

/// The reason of a pool's condition Ready, as it is in its status.
pub(super) fn ready_reason(pool: &IPPool) -> Option<&str> {
    let conditions = &pool.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == READY).map(|ready| ready.reason.as_str())
}

/// Where an Event about this pool belongs.
pub(super) fn reference(pool: &IPPool) -> ObjectReference {
    pool.object_ref(&())
}

fn status(pool: &IPPool, report: &PoolReport) -> IPPoolStatus {
    let mut conditions = pool.status.clone().unwrap_or_default().conditions;
    let time = now().to_rfc3339();
    let mut ready = Condition::new(READY, report.is_ready, report.reason, &report.message, &time);
    ready.observed_generation = pool.metadata.generation;
    condition::set(&mut conditions, ready);
    IPPoolStatus {
        addresses: report.addresses,
        addresses_in_use: report.addresses_in_use,
        blocks: report.blocks,
        conditions,
    }
}
