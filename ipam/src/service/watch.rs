//! One stream of events for each kind, as untyped objects: one that does not parse then fails
//! alone, and a kind whose CRD is absent is an empty list until it is there.

use std::time::Duration;

use api::{IPBlock, IPPool, NodeNetwork};
use futures::stream::{self, BoxStream, StreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Config, watcher};
use kube::{Client, Resource};

/// Pause after a watch failed. Short and constant: a CRD that appears is seen at once, and one
/// request a second and kind burdens no API server.
const RETRY: Duration = Duration::from_secs(1);

/// The kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Pool,
    Node,
    Block,
    Network,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Pool, Self::Node, Self::Block, Self::Network];

    fn resource(self) -> ApiResource {
        match self {
            Self::Pool => erase::<IPPool>(),
            Self::Node => erase::<Node>(),
            Self::Block => erase::<IPBlock>(),
            Self::Network => erase::<NodeNetwork>(),
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

/// The events of all kinds. The stream never ends.
pub(super) fn all(client: &Client) -> BoxStream<'static, Event> {
    let streams = Kind::ALL.map(|kind| {
        let objects = Api::<DynamicObject>::all_with(client.clone(), &kind.resource());
        let events = watcher(objects, Config::default()).backoff(Steady);
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
