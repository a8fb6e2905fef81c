//! The namespace controller: empties a namespace that is deleted, then lets it go.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, PostParams},
    discovery::{Discovery, Scope, verbs},
    runtime::watcher,
};
use tokio::sync::watch;

use crate::serving::Mode;

/// How often a namespace that still has content is looked at again.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Runs until the server stops.
pub(super) async fn run(client: Client, mut modes: watch::Receiver<Mode>) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut events = Box::pin(watcher(namespaces.clone(), watcher::Config::default()));
    let mut retry = tokio::time::interval(RETRY_INTERVAL);
    let mut doomed = std::collections::BTreeSet::new();
    loop {
        // All arms are cancel-safe: the stream and the interval keep what they have.
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(watcher::Event::Apply(one) | watcher::Event::InitApply(one))) if one.metadata.deletion_timestamp.is_some() => {
                    doomed.insert(one.name_any());
                }
                Some(Ok(watcher::Event::Delete(one))) => drop(doomed.remove(&one.name_any())),
                Some(_) => {}
                None => return,
            },
            _ = retry.tick(), if !doomed.is_empty() => {}
            _ = modes.wait_for(|mode| *mode == Mode::Stopped) => return,
        }
        for name in doomed.clone() {
            match empty(&client, &namespaces, &name).await {
                Ok(true) => drop(doomed.remove(&name)),
                Ok(false) => {}
                Err(error) => tracing::debug!(namespace = name, %error, "namespace is not empty yet"),
            }
        }
    }
}

/// Deletes what is in the namespace; whether it was empty and could go.
async fn empty(client: &Client, namespaces: &Api<Namespace>, name: &str) -> Result<bool, kube::Error> {
    let Some(mut namespace) = namespaces.get_opt(name).await? else { return Ok(true) };
    let mut is_empty = true;
    for group in Discovery::new(client.clone()).run().await?.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            let is_mine = capabilities.scope == Scope::Namespaced
                && capabilities.supports_operation(verbs::LIST)
                && capabilities.supports_operation(verbs::DELETE_COLLECTION);
            if is_mine {
                let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), name, &resource);
                if !api.list_metadata(&ListParams::default()).await?.items.is_empty() {
                    is_empty = false;
                    api.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
                }
            }
        }
    }
    if is_empty {
        namespace.spec.get_or_insert_default().finalizers = None;
        namespaces.replace_subresource("finalize", name, &PostParams::default(), &namespace).await?;
    }
    Ok(is_empty)
}
