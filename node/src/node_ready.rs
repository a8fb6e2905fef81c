//! Tells Kubernetes that the node's network works: the condition `NetworkUnavailable` of the Node is set `False`, upon
//! which the node lifecycle controller takes the taint `node.kubernetes.io/network-unavailable` away.
//!
//! It is told once for each Node object, when routes, policy and addresses are there; it is never set `True`, as pods
//! that run go on while this daemon does not.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::{attachments, control::ControlContext};

/// How long after a refusal it is told again: nobody schedules pods here meanwhile.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Tells it when it is so, and again for a Node object that was made anew, until `stop`.
pub async fn run(context: &ControlContext, client: Client, stop: CancellationToken) {
    tokio::select! {
        () = keep_told(context, client) => {}
        () = stop.cancelled() => {}
    }
}

async fn keep_told(context: &ControlContext, client: Client) {
    let nodes: Api<Node> = Api::all(client);
    let mut policy = context.shared.policy.subscribe();
    let mut blocks = context.shared.blocks.subscribe();
    let mut routing = context.shared.routing.subscribe();
    let is_ready = async {
        policy.wait_for(|progress| progress.in_sync).await.is_ok()
            && blocks.wait_for(|blocks| blocks.in_sync).await.is_ok()
    };
    if !is_ready.await {
        return;
    }
    let mut told = String::new();
    loop {
        // Cancel-safe: a value that is not seen now is seen next time.
        let routes = routing.wait_for(|progress| progress.in_sync && progress.node_uid != told).await;
        let Ok(uid) = routes.map(|progress| progress.node_uid.clone()) else { return };
        match nodes
            .patch_status(&context.node_name, &PatchParams::default(), &Patch::Strategic(patch()))
            .await
        {
            Ok(_) => {
                info!("the Node is told that its network works");
                told = uid;
            }
            Err(error) => {
                debug!(%error, "the Node cannot be told that its network works; trying again");
                pause().await;
            }
        }
    }
}

/// Conditions are merged by their type, so that those of the kubelet stay.
fn patch() -> serde_json::Value {
    let now = attachments::now().to_rfc3339();
    serde_json::json!({"status": {"conditions": [{
        "type": "NetworkUnavailable",
        "status": "False",
        "reason": "TortieIsUp",
        "message": "routes, policy and addresses of this node are in its kernel",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }]}})
}

#[expect(clippy::disallowed_methods, reason = "a server that refused is asked again after a time")]
async fn pause() {
    tokio::time::sleep(RETRY_PAUSE).await;
}
