//! What the node tells the API server of its addresses: `IPBlock.status` and `NodeNetwork`.
//!
//! Changes within a tenth of a second go together; a write that fails is tried again with back-off.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::{
    IPBlock, NodeNetwork, NodeNetworkSpec, NodeNetworkStatus, condition, ip_block::IPBlockStatus,
    node_network::ChosenAddress,
};
use ipam::local::Memory;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Attachments, now};
use crate::own_object::write_status;

/// How long changes are gathered before they are written.
const BATCH_TIME: Duration = Duration::from_millis(100);

/// First and longest pause before a failed write is tried again.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How long `NodeNetwork` may be out of date whatever happened to it.
const REFRESH_TIME: Duration = Duration::from_mins(1);

/// What was written last, so that nothing is written twice.
#[derive(Default)]
struct Written {
    memory: Option<Memory>,
    blocks: BTreeMap<String, IPBlockStatus>,
    node: Option<NodeNetworkStatus>,
}

/// Tells the API server what changed, until `stop`.
pub(super) async fn run(attachments: Arc<Attachments>, stop: CancellationToken) {
    let mut written = Written::default();
    let mut pause = BATCH_TIME;
    let mut retry = RETRY_MIN;
    loop {
        tokio::select! {
            // Cancel-safe: a notification that is not taken stays.
            () = attachments.unreported.notified() => {}
            // Somebody may have deleted the object: its node would get no more blocks.
            () = pause_for(REFRESH_TIME) => written.node = None,
            () = stop.cancelled() => return,
        }
        loop {
            if tokio::time::timeout(pause, stop.cancelled()).await.is_ok() {
                return;
            }
            // A server that is silent must not keep the daemon; what is written half is written again.
            let reported = tokio::select! {
                reported = report(&attachments, &mut written) => reported,
                () = stop.cancelled() => return,
            };
            match reported {
                Ok(()) => break,
                Err(error) => {
                    debug!(%error, "the API server does not take the node's report; trying again");
                    pause = retry;
                    retry = (retry * 2).min(RETRY_MAX);
                }
            }
        }
        (pause, retry) = (BATCH_TIME, RETRY_MIN);
    }
}

#[expect(clippy::disallowed_methods, reason = "what somebody deleted is written again after a time")]
async fn pause_for(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Writes what differs from what was written; the first refusal, once everything has had its turn.
async fn report(attachments: &Attachments, written: &mut Written) -> Result<(), kube::Error> {
    let client = &attachments.context.client;
    // Routes first: what a status says is released must lead nowhere any more.
    if attachments.context.routes.flush().await.is_err() {
        return Ok(());
    }
    let (writes, memory) =
        attachments.state.read(|inner| (inner.local.status_writes(), inner.local.memory().clone()));
    // On disk before any status says it: an API server restored from a backup would not know it.
    if written.memory.as_ref() != Some(&memory) {
        attachments.context.snapshots.store_memory(&memory);
        written.memory = Some(memory);
    }
    written.blocks.retain(|name, _| writes.iter().any(|(written, _)| written == name));
    let mut refused = Ok(());
    for (name, status) in writes {
        if written.blocks.get(&name) == Some(&status) {
            continue;
        }
        let uid = attachments.state.read(|inner| inner.local.object_uid(&name).map(str::to_owned));
        match write_block(client, &name, uid, &status).await {
            Ok(()) => drop(written.blocks.insert(name, status)),
            Err(error) => refused = refused.and(Err(error)),
        }
    }
    let status = node_status(attachments, written.node.as_ref());
    if written.node.as_ref() != Some(&status) {
        let name = &attachments.context.node_name;
        let new = || NodeNetwork::new(name, NodeNetworkSpec::default());
        write_status(&Api::all(client.clone()), name, &status, new).await?;
        written.node = Some(status);
    }
    refused
}

/// The UID is a precondition: an object of this name may be another node's by the time the status arrives.
async fn write_block(
    client: &Client,
    name: &str,
    uid: Option<String>,
    status: &IPBlockStatus,
) -> Result<(), kube::Error> {
    let api: Api<IPBlock> = Api::all(client.clone());
    let patch = Patch::Merge(serde_json::json!({ "metadata": { "uid": uid }, "status": status }));
    match api.patch_status(name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        // The object went meanwhile; the watch will tell and the status lose its point.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
            warn!(block = name, "block object is gone or another one; its addresses stay with their pods");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// What others need to know of this node now.
fn node_status(attachments: &Attachments, former: Option<&NodeNetworkStatus>) -> NodeNetworkStatus {
    let routing = attachments.context.shared.routing.borrow().clone();
    let is_configured = routing.asn != 0;
    let chosen = |address: String, reason: &str| ChosenAddress { address, reason: reason.to_owned() };
    let (held_blocks, epoch_seen, conflict) = attachments
        .state
        .read(|inner| (inner.local.held_blocks(), inner.local.epoch(), inner.local.address_conflict(now())));
    // Compared with what was written before: only a new status moves the transition time.
    let mut conditions = former.map(|former| former.conditions.clone()).unwrap_or_default();
    condition::set(&mut conditions, conflict);
    NodeNetworkStatus {
        ipv4: routing.addresses.ipv4.as_ref().map(|ipv4| chosen(ipv4.address.to_string(), &ipv4.reason)),
        ipv6: routing.addresses.ipv6.as_ref().map(|ipv6| chosen(ipv6.address.to_string(), &ipv6.reason)),
        as_number: is_configured.then_some(routing.asn),
        router_id: is_configured.then_some(routing.router_id),
        node_uid: routing.node_uid,
        held_blocks,
        epoch_seen,
        conditions,
    }
}
