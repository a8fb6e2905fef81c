//! The embedded API server by the clients that the product uses: watches, server-side apply,
//! conflicts, outages.

#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    clippy::needless_pass_by_value,
    reason = "tests panic, tables are long and made of literals"
)]

use std::{collections::BTreeMap, fmt::Debug, net::TcpListener, time::Duration};

use futures::{Stream, StreamExt};
use integration::apiserver::ApiServer;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ConfigMap, Namespace, Pod},
};
use kube::{
    Api, Client, Config, Resource, ResourceExt,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
        PostParams, Preconditions,
    },
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt, reflector,
        wait::{await_condition, conditions},
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// How long anything may take that a test waits for.
const LIMIT: Duration = Duration::from_mins(1);

fn start() -> (ApiServer, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = ApiServer::start(vec![listener]).unwrap();
    let client = client(&server);
    (server, client)
}

fn client(server: &ApiServer) -> Client {
    let url = format!("http://{}", server.addresses()[0]).parse().unwrap();
    Client::try_from(Config::new(url)).unwrap()
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: nothing within {LIMIT:?}"))
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    let mut object = ConfigMap {
        data: Some(BTreeMap::from([("x".to_owned(), value.to_owned())])),
        ..ConfigMap::default()
    };
    object.metadata.name = Some(name.to_owned());
    object
}

fn code(error: kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason.clone()),
        other => panic!("no refusal: {other}"),
    }
}

/// What a watcher tells, in short.
fn told<K: ResourceExt>(event: &Event<K>) -> String {
    match event {
        Event::Init => "init".to_owned(),
        Event::InitApply(object) => format!("init {}", object.name_any()),
        Event::InitDone => "done".to_owned(),
        Event::Apply(object) => format!("apply {}", object.name_any()),
        Event::Delete(object) => format!("delete {}", object.name_any()),
    }
}

async fn expect<K>(
    stream: &mut (impl Stream<Item = Result<Event<K>, watcher::Error>> + Unpin),
    expected: &[&str],
) where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    for text in expected {
        let event = within(text, stream.next()).await.unwrap().unwrap();
        assert_eq!(told(&event), *text);
    }
}

#[tokio::test]
async fn watchers_follow_in_every_way_they_can_start() {
    let (_server, client) = start();
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
        watcher::Config::default().page_size(1),
    ] {
        let why = format!("{config:?}");
        let mut stream = Box::pin(watcher(api.clone(), config));
        expect(&mut stream, &["init", "init a", "done"]).await;
        api.create(&PostParams::default(), &config_map("b", "1")).await.unwrap();
        expect(&mut stream, &["apply b"]).await;
        api.delete("b", &DeleteParams::default()).await.unwrap();
        expect(&mut stream, &["delete b"]).await;
        drop(stream);
        assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 1, "{why}");
    }
}

#[tokio::test]
async fn metadata_alone_can_be_watched() {
    let (_server, client) = start();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let metadata: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client, "default");
    let mut stream = Box::pin(watcher(metadata.clone(), watcher::Config::default()));
    expect(&mut stream, &["init", "init a", "done"]).await;
    api.create(&PostParams::default(), &config_map("b", "1")).await.unwrap();
    expect(&mut stream, &["apply b"]).await;
    assert_eq!(metadata.list(&ListParams::default()).await.unwrap().items.len(), 2);
}

#[tokio::test]
async fn a_forgotten_history_makes_watchers_list_again() {
    let (server, client) = start();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let old = api.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    api.create(&PostParams::default(), &config_map("b", "1")).await.unwrap();
    server.forget_history();
    let mut events = api.watch(&kube::api::WatchParams::default(), &old).await.unwrap().boxed();
    match within("an event", events.next()).await.unwrap().unwrap() {
        kube::core::WatchEvent::Error(status) => {
            assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
        }
        other => panic!("a watch from a forgotten version got {other:?}"),
    }
}

#[tokio::test]
async fn an_outage_cuts_watches_and_they_catch_up() {
    let (server, client) = start();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let (reader, writer) = reflector::store();
    let stream = watcher(api.clone(), watcher::Config::default()).default_backoff();
    let mut stream = Box::pin(reflector(writer, stream));
    expect_first_init(&mut stream).await;
    server.set_outage(true);
    within("an error during the outage", async { while !matches!(stream.next().await, Some(Err(_))) {} })
        .await;
    assert!(api.list(&ListParams::default()).await.is_err(), "the server answers during the outage");
    server.set_outage(false);
    api.create(&PostParams::default(), &config_map("after", "1")).await.unwrap();
    within("the object made after the outage", async {
        while !reader.state().iter().any(|object| object.name_any() == "after") {
            stream.next().await;
        }
    })
    .await;
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    within("the end", stopped).await.unwrap().unwrap();
}

async fn expect_first_init<K: ResourceExt>(
    stream: &mut (impl Stream<Item = Result<Event<K>, watcher::Error>> + Unpin),
) {
    within("the first list", async { while !matches!(stream.next().await, Some(Ok(Event::InitDone))) {} })
        .await;
}

#[tokio::test]
async fn stale_writes_and_wrong_preconditions_are_conflicts() {
    let (_server, client) = start();
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let first = api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    assert_eq!(
        code(api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap_err()),
        (409, "AlreadyExists".to_owned())
    );
    let mut changed = first.clone();
    changed.data.as_mut().unwrap().insert("y".to_owned(), "2".to_owned());
    let second = api.replace("a", &PostParams::default(), &changed).await.unwrap();
    assert_ne!(first.resource_version(), second.resource_version());
    assert_eq!(
        code(api.replace("a", &PostParams::default(), &changed).await.unwrap_err()),
        (409, "Conflict".to_owned())
    );
    let same = api.replace("a", &PostParams::default(), &second).await.unwrap();
    assert_eq!(
        same.resource_version(),
        second.resource_version(),
        "a write that changes nothing makes no version"
    );
    let refused = DeleteParams {
        preconditions: Some(Preconditions { uid: Some("other".to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    assert_eq!(code(api.delete("a", &refused).await.unwrap_err()), (409, "Conflict".to_owned()));
    let stale = DeleteParams {
        preconditions: Some(Preconditions { uid: first.uid(), resource_version: first.resource_version() }),
        ..DeleteParams::default()
    };
    assert_eq!(code(api.delete("a", &stale).await.unwrap_err()), (409, "Conflict".to_owned()));
    let current = DeleteParams {
        preconditions: Some(Preconditions { uid: first.uid(), resource_version: second.resource_version() }),
        ..DeleteParams::default()
    };
    api.delete("a", &current).await.unwrap();
    assert_eq!(code(api.get("a").await.unwrap_err()), (404, "NotFound".to_owned()));
}

#[tokio::test]
async fn server_side_apply_keeps_owners_apart() {
    let (_server, client) = start();
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let apply = |manager: &'static str, data: Value, force: bool| {
        let api = api.clone();
        let object =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data});
        let params = PatchParams { force, ..PatchParams::apply(manager) };
        async move { api.patch("a", &params, &Patch::Apply(&object)).await }
    };
    apply("one", json!({"x": "1"}), false).await.unwrap();
    apply("two", json!({"y": "1"}), false).await.unwrap();
    assert_eq!(
        code(apply("two", json!({"x": "2", "y": "1"}), false).await.unwrap_err()),
        (409, "Conflict".to_owned())
    );
    let forced = apply("two", json!({"x": "2"}), true).await.unwrap();
    assert_eq!(forced.data, Some(BTreeMap::from([("x".to_owned(), "2".to_owned())])), "y was given up");
    let again = apply("two", json!({"x": "2"}), false).await.unwrap();
    assert_eq!(again.resource_version(), forced.resource_version(), "the same again makes no version");
}

#[tokio::test]
async fn pods_are_bound_run_and_deleted_as_kubelets_do() {
    let (_server, client) = start();
    let api: Api<Pod> = Api::namespaced(client.clone(), "default");
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"generateName": "web-"}, "spec": {"containers": [{"name": "c", "image": "i"}]}
    }))
    .unwrap();
    let name = api.create(&PostParams::default(), &pod).await.unwrap().name_any();
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}});
    let bind = |binding: &Value| {
        let request = kube::core::Request::new(Pod::url_path(&(), Some("default")));
        let request = request.create_subresource(
            "binding",
            &name,
            &PostParams::default(),
            serde_json::to_vec(binding).unwrap(),
        );
        client.request::<Value>(request.unwrap())
    };
    bind(&binding).await.unwrap();
    assert_eq!(code(bind(&binding).await.unwrap_err()), (409, "Conflict".to_owned()));
    let status =
        json!({"status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]}, "spec": {"nodeName": "n2"}});
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let mine = ListParams::default().fields("spec.nodeName=n1,status.phase=Running");
    assert_eq!(api.list(&mine).await.unwrap().items.len(), 1, "the status door must not change the node");
    let deleted = api
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .expect("a pod that waits is answered");
    assert_eq!(deleted.metadata.deletion_grace_period_seconds, Some(30));
    let uid = deleted.uid().unwrap();
    api.delete(&name, &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() })
        .await
        .unwrap();
    within("the pod's end", Box::pin(await_condition(api, &name, conditions::is_deleted(&uid))))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_lost_its_owner_goes() {
    let (_server, client) = start();
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let owner = api.create(&PostParams::default(), &config_map("owner", "1")).await.unwrap();
    let mut dependent = config_map("owned", "1");
    dependent.metadata.owner_references = Some(vec![owner.owner_ref(&()).unwrap()]);
    for (why, policy, survives) in [
        ("in the background", DeleteParams::background(), false),
        ("in the foreground", DeleteParams::foreground(), false),
        ("as an orphan", DeleteParams::orphan(), true),
    ] {
        let owner = match api.get_opt("owner").await.unwrap() {
            Some(owner) => owner,
            None => api.create(&PostParams::default(), &config_map("owner", "1")).await.unwrap(),
        };
        dependent.metadata.owner_references = Some(vec![owner.owner_ref(&()).unwrap()]);
        api.create(&PostParams::default(), &dependent).await.unwrap();
        api.delete("owner", &policy).await.unwrap();
        assert_eq!(api.get_opt("owner").await.unwrap(), None, "{why}");
        assert_eq!(api.get_opt("owned").await.unwrap().is_some(), survives, "{why}");
    }
}

#[tokio::test]
async fn leases_are_made_by_whoever_comes_first() {
    let (_server, client) = start();
    let api: Api<Lease> = Api::namespaced(client, "kube-system");
    let lease: Lease = serde_json::from_value(json!({
        "metadata": {"name": "l"}, "spec": {"holderIdentity": "a", "renewTime": "2026-01-01T00:00:00.000000Z"}
    }))
    .unwrap();
    let made = api.replace("l", &PostParams::default(), &lease).await.unwrap();
    let taken =
        json!({"metadata": {"resourceVersion": made.resource_version()}, "spec": {"holderIdentity": "b"}});
    api.patch("l", &PatchParams::default(), &Patch::Merge(&taken)).await.unwrap();
    let late = api.patch("l", &PatchParams::default(), &Patch::Merge(&taken)).await.unwrap_err();
    assert_eq!(code(late), (409, "Conflict".to_owned()), "the version is a precondition of a patch, too");
}

#[tokio::test]
async fn collections_are_deleted_by_selector() {
    let (_server, client) = start();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    for (name, tier) in [("a", "1"), ("b", "1"), ("c", "2")] {
        let mut object = config_map(name, "1");
        object.metadata.labels = Some(BTreeMap::from([("tier".to_owned(), tier.to_owned())]));
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    api.delete_collection(&DeleteParams::default(), &ListParams::default().labels("tier=1")).await.unwrap();
    let left: Vec<String> =
        api.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    assert_eq!(left, ["c"]);
}

#[tokio::test]
async fn pages_go_on_where_the_last_one_ended() {
    let (_server, client) = start();
    let api: Api<Namespace> = Api::all(client);
    let mut names = Vec::new();
    let mut params = ListParams::default().limit(3);
    let mut remaining = Vec::new();
    loop {
        let page = api.list(&params).await.unwrap();
        names.extend(page.iter().map(ResourceExt::name_any));
        remaining.push(page.metadata.remaining_item_count);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names, ["default", "kube-node-lease", "kube-public", "kube-system"]);
    assert_eq!(remaining, [Some(1), None]);
}

#[tokio::test]
async fn what_is_too_large_or_unknown_is_refused() {
    let (_server, client) = start();
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let large = config_map("large", &"x".repeat(4 << 20));
    assert_eq!(code(api.create(&PostParams::default(), &large).await.unwrap_err()).0, 413);
    let unknown = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    let api: Api<DynamicObject> = Api::all_with(client, &unknown);
    assert_eq!(code(api.list(&ListParams::default()).await.unwrap_err()), (404, "NotFound".to_owned()));
}
