//! Watch streams, reduced to three updates: everything anew, one object, one object gone.
//!
//! Objects are parsed one by one, so that one which does not parse costs nobody else anything. A kind of ours that the
//! server does not know yet is an empty list until it does. It is so at the start alone: a server that knew the kind has
//! told of every object's end before it forgets the kind, and "not found" is then what something on the way says.

use std::time::Duration;

use backon::BackoffBuilder;
use futures::StreamExt;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject},
    runtime::watcher,
};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tracing::warn;

/// How many updates wait for a slow compartment before its watch stops reading.
const UPDATES_MAX: usize = 1024;

/// First and longest pause before a failed watch is tried again: the server may be restarting, and every node waits
/// for it.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Namespace and name of an object; the namespace is empty for cluster-scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The namespace, or empty.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// The key of this object.
    pub fn of<K: ResourceExt>(object: &K) -> Self {
        Self { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// What happened to the objects of one kind.
#[derive(Clone, Debug)]
pub enum Update<K> {
    /// These are all objects there are; the first one means that the watch is in sync.
    Reset(Vec<K>),
    /// This object is new or changed.
    Apply(K),
    /// This object is gone.
    Delete(Gone),
}

/// An object that is gone. Its name may have been given again: to an object of another UID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its namespace and name.
    pub key: ObjectKey,
    /// Its UID.
    pub uid: String,
}

impl Gone {
    fn of(object: &DynamicObject) -> Self {
        Self { key: ObjectKey::of(object), uid: object.uid().unwrap_or_default() }
    }
}

/// What is seen of the kind: all of it, or the objects that a field selector picks.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// A field selector such as `spec.nodeName=worker-1`.
    pub fields: Option<String>,
    /// The one namespace to look into; all of them if none.
    pub namespace: Option<String>,
}

/// The updates of one kind; the watch ends when the receiver is dropped.
pub fn watch<K>(client: &Client, scope: Scope) -> mpsc::Receiver<Update<K>>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Send + 'static,
{
    watch_as::<K, K>(client, scope, parse)
}

/// As [`watch`], but with the objects read by this function, which returns nothing for one that is to be left out.
pub fn watch_as<K, T>(
    client: &Client,
    scope: Scope,
    read: fn(DynamicObject) -> Option<T>,
) -> mpsc::Receiver<Update<T>>
where
    K: Resource<DynamicType = ()> + 'static,
    T: Send + 'static,
{
    let (sender, receiver) = mpsc::channel(UPDATES_MAX);
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = match &scope.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    // Ends when the receiver is gone: the owner of the receiver owns the task.
    tokio::spawn(forward::<K, T>(api, scope, read, sender));
    receiver
}

async fn forward<K, T>(
    api: Api<DynamicObject>,
    scope: Scope,
    read: fn(DynamicObject) -> Option<T>,
    sender: mpsc::Sender<Update<T>>,
) where
    K: Resource<DynamicType = ()>,
    T: Send,
{
    let kind = K::kind(&());
    let config = watcher::Config { field_selector: scope.fields, ..watcher::Config::default() };
    let mut events = watcher(api, config).boxed();
    let mut pauses = Pauses::new();
    let mut listed = Vec::new();
    let mut has_told = false;
    loop {
        let event = tokio::select! {
            // Cancel-safe: an event that is not taken stays in the stream.
            event = events.next() => event,
            () = sender.closed() => return,
        };
        let pause = match &event {
            // It comes before each attempt to list, also before one that fails.
            None | Some(Ok(watcher::Event::Init)) => None,
            Some(Ok(_)) => {
                pauses = Pauses::new();
                None
            }
            Some(Err(_)) => Some(pauses.next()),
        };
        let update = match event {
            None => return,
            Some(Ok(event)) => reduce(event, &mut listed, read),
            Some(Err(error)) if !has_told && is_ours::<K>() && is_unknown_kind(&error) => {
                warn!(%kind, "the API server does not know the kind; there is none until its CRD is applied");
                Some(Update::Reset(Vec::new()))
            }
            Some(Err(error)) => {
                warn!(%kind, %error, "watch failed; what is known stays in force and the watch is tried again");
                None
            }
        };
        if let Some(update) = update {
            has_told = true;
            if sender.send(update).await.is_err() {
                return;
            }
        }
        if let Some(pause) = pause
            && tokio::time::timeout(pause, sender.closed()).await.is_ok()
        {
            return;
        }
    }
}

/// The pauses before a failed watch is tried again: doubling, with jitter, as every node waits for the same server.
struct Pauses(backon::ExponentialBackoff);

impl Pauses {
    fn new() -> Self {
        let retry = backon::ExponentialBuilder::default().with_min_delay(RETRY_MIN).with_max_delay(RETRY_MAX);
        Self(retry.with_jitter().without_max_times().build())
    }

    fn next(&mut self) -> Duration {
        self.0.next().unwrap_or(RETRY_MAX)
    }
}

/// What an event means, with the objects of a list gathered until it is complete.
fn reduce<T>(
    event: watcher::Event<DynamicObject>,
    listed: &mut Vec<T>,
    read: fn(DynamicObject) -> Option<T>,
) -> Option<Update<T>> {
    match event {
        watcher::Event::Init => {
            listed.clear();
            None
        }
        watcher::Event::InitApply(object) => {
            listed.extend(read(slim(object)));
            None
        }
        watcher::Event::InitDone => Some(Update::Reset(std::mem::take(listed))),
        watcher::Event::Apply(object) => {
            let gone = Gone::of(&object);
            // What is not understood any more must not stay in force in its former form.
            Some(read(slim(object)).map_or(Update::Delete(gone), Update::Apply))
        }
        watcher::Event::Delete(object) => Some(Update::Delete(Gone::of(&object))),
    }
}

/// Who wrote which field is half of many an object, and a list of all pods is in memory at once.
fn slim(mut object: DynamicObject) -> DynamicObject {
    object.metadata.managed_fields = None;
    object
}

fn parse<K: Resource<DynamicType = ()> + DeserializeOwned>(object: DynamicObject) -> Option<K> {
    let kind = K::kind(&());
    let key = ObjectKey::of(&object);
    let parsed = object.try_parse();
    parsed
        .inspect_err(|error| {
            warn!(%kind, object = %key, %error, "object is not understood and is left out; correct the field that is named");
        })
        .ok()
}

/// Whether the kind is a custom resource of ours. Every server knows the kinds of Kubernetes: without `NetworkPolicy`
/// all would be allowed.
fn is_ours<K: Resource<DynamicType = ()>>() -> bool {
    K::group(&()) == api::GROUP
}

fn is_unknown_kind(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{
        core::v1::{Namespace, Node, Pod},
        networking::v1::NetworkPolicy,
    };

    use super::*;

    #[test]
    fn only_custom_resources_may_be_unknown() {
        // (kind, may be unknown)
        let cases = [
            ("Pod", is_ours::<Pod>(), false),
            ("Namespace", is_ours::<Namespace>(), false),
            ("Node", is_ours::<Node>(), false),
            ("NetworkPolicy", is_ours::<NetworkPolicy>(), false),
            ("IPPool", is_ours::<api::IPPool>(), true),
            ("BGPPeer", is_ours::<api::BGPPeer>(), true),
        ];
        for (kind, ours, expected) in cases {
            assert_eq!(ours, expected, "{kind}");
        }
    }

    fn object(labels: &serde_json::Value) -> DynamicObject {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "x", "name": "web", "uid": "u1", "managedFields": [{"manager": "kubectl"}]},
            "spec": {"nodeSelector": labels, "containers": []},
        }))
        .unwrap()
    }

    #[test]
    fn what_is_not_understood_any_more_does_not_stay_in_force() {
        let key = ObjectKey { namespace: "x".to_owned(), name: "web".to_owned() };
        let gone = Gone { key, uid: "u1".to_owned() };
        let good = || object(&serde_json::json!({"disk": "ssd"}));
        let bad = || object(&serde_json::json!(["disk"]));
        let told = |event| match reduce::<Pod>(event, &mut Vec::new(), parse) {
            Some(Update::Apply(pod)) => Ok(pod.name_any()),
            Some(Update::Delete(gone)) => Err(gone),
            other => panic!("{other:?}"),
        };
        // (why, event, pod that is there or what is gone)
        let cases = [
            ("new", watcher::Event::Apply(good()), Ok("web".to_owned())),
            ("not understood", watcher::Event::Apply(bad()), Err(gone.clone())),
            ("gone", watcher::Event::Delete(good()), Err(gone.clone())),
            ("gone without being understood", watcher::Event::Delete(bad()), Err(gone)),
        ];
        for (why, event, expected) in cases {
            assert_eq!(told(event), expected, "{why}");
        }
        let mut listed: Vec<Pod> = Vec::new();
        for event in [watcher::Event::InitApply(bad()), watcher::Event::InitApply(good())] {
            assert!(reduce(event, &mut listed, parse).is_none());
        }
        assert_eq!(listed.len(), 1, "one that is not understood costs the others nothing");
    }

    #[test]
    fn who_wrote_which_field_is_not_kept() {
        let pod: Pod = parse(slim(object(&serde_json::json!({"disk": "ssd"})))).unwrap();
        assert_eq!(pod.metadata.managed_fields, None);
        assert_eq!(pod.spec.unwrap().node_selector.unwrap()["disk"], "ssd");
    }
}
