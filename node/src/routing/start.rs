//! How routing begins: the objects, then a configuration, then a speaker; each is waited for and none ends the process.
//!
//! What others need of the Node is told as soon as it is known: policy and addresses do not depend on BGP.

use std::time::Duration;

use anyhow::Result;
use api::names;
use bgp::speaker::RestartMode;
use tracing::warn;

use super::{RoutingContext, Running, progress, tell, view::View};
use crate::{
    config::{self, Desired, Problem},
    shared::RoutingProgress,
    snapshot::API_SILENCE_MAX,
};

/// First and longest pause before a speaker that could not start is tried again: whoever has its port may be another
/// daemon that is being stopped.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Waits for the watches, for at most some seconds if there is a snapshot, and until the node can speak BGP.
pub(super) async fn first_configuration(context: &RoutingContext, view: &mut View) -> Result<Desired> {
    let in_time = tokio::time::timeout(API_SILENCE_MAX, view.in_sync()).await;
    match (in_time, context.snapshots.routing()) {
        (Ok(result), _) => result?,
        (Err(_), Some(snapshot)) => {
            warn!("the API server is silent; routing starts from the last-good snapshot");
            view.restore(snapshot);
        }
        (Err(_), None) => {
            warn!("the API server is silent and there is no snapshot; routing waits for its first answer");
            view.in_sync().await?;
        }
    }
    if !matches!(tokio::time::timeout(API_SILENCE_MAX, view.passwords_in_sync()).await, Ok(Ok(()))) {
        let secret = names::BGP_PASSWORDS_SECRET;
        warn!(secret, "the Secret is not read yet; sessions with a password wait for it");
    }
    loop {
        match config::desired(view.cluster(), &context.node_name) {
            Ok(desired) => return Ok(desired),
            Err(problem) => {
                tell(context, without_configuration(context, view, problem));
                view.changed().await?;
            }
        }
    }
}

/// What is known of a node that cannot speak BGP yet.
fn without_configuration(context: &RoutingContext, view: &View, problem: Problem) -> RoutingProgress {
    let problems = vec![problem];
    match view.cluster().nodes.get(&context.node_name).cloned() {
        None => RoutingProgress { problems, ..RoutingProgress::default() },
        Some(node) => RoutingProgress {
            node_is_known: true,
            node_uid: node.uid,
            node_labels: node.labels,
            addresses: node.addresses,
            problems,
            ..RoutingProgress::default()
        },
    }
}

/// A speaker that runs as configured, however often its start has to be tried: meanwhile the kernel keeps the routes
/// that it has. A changed configuration is tried at once.
pub(super) async fn speaker(
    context: &RoutingContext,
    view: &mut View,
    desired: &mut Desired,
    mode: &RestartMode,
) -> Result<Running> {
    let mut pause = RETRY_MIN;
    loop {
        let error = match Running::start(context, desired, mode.clone()).await {
            Ok(running) => return Ok(running),
            Err(error) => error,
        };
        let node = view.cluster().nodes.get(&context.node_name).cloned().unwrap_or_default();
        let mut waiting = progress(desired, node);
        let message = format!("BGP cannot start: {error}; routes stay as they are, and it is tried again");
        waiting.problems.push(Problem::new("Node", &context.node_name, message));
        tell(context, waiting);
        match tokio::time::timeout(pause, view.changed()).await {
            Err(_) => pause = (pause * 2).min(RETRY_MAX),
            Ok(changed) => {
                changed?;
                if let Ok(next) = config::desired(view.cluster(), &context.node_name) {
                    *desired = next;
                }
                pause = RETRY_MIN;
            }
        }
    }
}
