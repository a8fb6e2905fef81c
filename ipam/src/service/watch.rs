//! One stream of events for each kind, as untyped objects: one that does not parse then fails
//! alone, and a kind whose CRD is absent is an empty list until it is there.

use std::time::Duration;

use api::{IPBlock, IPPool, NodeNetwork};
use futures::stream::{self, BoxStream, StreamExt};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Config, watcher};
use kube::{Client, Resource};

/// Pause after a watch failed. Short and constant: a CRD that appears is seen at once, and one
/// request a second and kind burdens no API server.
const RETRY: Duration = Duration::from_secs(1);

/// Labels of the daemon's Pods, as in `deploy/parts/node.yaml`.
const DAEMON: &str = "app.kubernetes.io/name=tortie,app.kubernetes.io/component=node";

/// The kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Pool,
    Node,
    Block,
    Network,
    /// The Pods of the daemon: they say which nodes will speak, before these did.
    Daemon,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Pool, Self::Node, Self::Block, Self::Network, Self::Daemon];

    fn resource(self) -> ApiResource {
        match self {
            Self::Pool => erase::<IPPool>(),
            Self::Node => erase::<Node>(),
            Self::Block => erase::<IPBlock>(),
            Self::Network => erase::<NodeNetwork>(),
            Self::Daemon => erase::<Pod>(),
        }
    }

    /// The objects of this kind that are watched; `namespace` is the service's own.
    fn scope(self, client: &Client, namespace: &str) -> (Api<DynamicObject>, Config) {
        let (client, resource) = (client.clone(), self.resource());
        match self {
            Self::Daemon => {
                (Api::namespaced_with(client, namespace, &resource), Config::default().labels(DAEMON))
            }
            _ => (Api::all_with(client, &resource), Config::default()),
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.resource().kind)
    }
}

/// What one stream brought.
pub(super) type Event = (Kind, Result<watcher::Event<DynamicObject>, watcher::Error>);

/// The events of all kinds, of Pods only those of the daemon in this namespace. The stream never ends.
pub(super) fn all(client: &Client, namespace: &str) -> BoxStream<'static, Event> {
    let streams = Kind::ALL.map(|kind| {
        let (objects, config) = kind.scope(client, namespace);
        let events = watcher(objects, config).backoff(Steady);
        events.map(move |event| (kind, event)).boxed()
    });
    stream::select_all(streams).boxed()
}

fn erase<K: Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}

struct Steady;

impl Iterator for Steady {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(RETRY)
    }
}

impl Backoff for Steady {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    /// As a selector that matches nothing, it would silently wait for nobody.
    #[test]
    fn the_daemons_pods_bear_the_labels_that_are_watched() {
        let manifest = include_str!("../../../deploy/parts/node.yaml");
        let (_, template) = manifest.split_once("\n  template:").expect("a DaemonSet has a template");
        let (labels, _) = template.split_once("\n    spec:").expect("a template has a spec");
        for label in super::DAEMON.split(',') {
            let line = label.replace('=', ": ");
            assert!(labels.lines().any(|found| found.trim() == line), "{line} is not in {labels}");
        }
    }
}
