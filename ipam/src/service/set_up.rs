//! Sets an empty cluster up, once: default pools and BGP configuration from the `ConfigMap`.

use std::time::Duration;

use api::names::CONFIG_MAP;
use api::{BGPConfiguration, BGPPeer, IPPool};
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{is_status, now};
use crate::defaults::{Defaults, InvalidValue, SET_UP_ANNOTATION};
use crate::pool::EPOCH_ANNOTATION;

/// How often the `ConfigMap` is read until the cluster is set up.
const RETRY: Duration = Duration::from_secs(1);

/// How far the set-up is, as far as this replica knows.
pub(super) struct SetUp {
    client: Client,
    config_maps: Api<ConfigMap>,
    is_done: bool,
    next_try: Instant,
    /// Version of the `ConfigMap` whose problems were told.
    told: Option<String>,
}

/// What a try brought.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing to do or nothing to tell.
    Quiet,
    /// The `ConfigMap` has values that cannot be used.
    Invalid(ObjectReference, Vec<InvalidValue>),
    /// The objects are there.
    Done(ObjectReference),
}

impl SetUp {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        let config_maps = Api::namespaced(client.clone(), namespace);
        Self { client, config_maps, is_done: false, next_try: Instant::now(), told: None }
    }

    /// Creates what is missing unless the `ConfigMap` says that this was done. Pools are created
    /// only where there are none but the default ones: a user's own pools are an answer too.
    pub(super) async fn run<'a>(
        &mut self,
        pool_names: impl Iterator<Item = &'a str>,
        epoch: i64,
    ) -> kube::Result<Outcome> {
        if self.is_done || Instant::now() < self.next_try {
            return Ok(Outcome::Quiet);
        }
        self.next_try = Instant::now() + RETRY;
        let Some(config) = self.config_maps.get_opt(CONFIG_MAP).await? else { return Ok(Outcome::Quiet) };
        if config.annotations().contains_key(SET_UP_ANNOTATION) {
            self.is_done = true;
            return Ok(Outcome::Quiet);
        }
        let defaults = match Defaults::read(&config.data.clone().unwrap_or_default()) {
            Ok(defaults) => defaults,
            Err(problems) => return Ok(self.invalid(&config, problems)),
        };
        let is_default = |name: &str| defaults.pools.iter().any(|pool| pool.name_any() == name);
        if pool_names.into_iter().all(is_default) {
            self.create_pools(&defaults, epoch).await?;
        }
        self.create_bgp(&defaults).await?;
        self.create_peers(&defaults).await?;
        self.mark_done().await?;
        Ok(Outcome::Done(config.object_ref(&())))
    }

    fn invalid(&mut self, config: &ConfigMap, problems: Vec<InvalidValue>) -> Outcome {
        if self.told == config.resource_version() {
            return Outcome::Quiet;
        }
        self.told = config.resource_version();
        for InvalidValue { key, problem } in &problems {
            warn!(
                object = format!("ConfigMap {CONFIG_MAP}"),
                cause = format!("{key}: {problem}"),
                remedy = "correct the value; nothing is created before",
                "set-up refused"
            );
        }
        Outcome::Invalid(config.object_ref(&()), problems)
    }

    async fn create_pools(&self, defaults: &Defaults, epoch: i64) -> kube::Result<()> {
        let pools: Api<IPPool> = Api::all(self.client.clone());
        for pool in &defaults.pools {
            let mut pool = pool.clone();
            pool.annotations_mut().insert(EPOCH_ANNOTATION.to_owned(), epoch.to_string());
            let created = pools.create(&PostParams::default(), &pool).await;
            note_created(&format!("IPPool {} {}", pool.name_any(), pool.spec.cidr), created)?;
        }
        Ok(())
    }

    async fn create_bgp(&self, defaults: &Defaults) -> kube::Result<()> {
        let configurations: Api<BGPConfiguration> = Api::all(self.client.clone());
        if !configurations.list_metadata(&ListParams::default().limit(1)).await?.items.is_empty() {
            return Ok(());
        }
        let created = configurations.create(&PostParams::default(), &defaults.bgp).await;
        note_created(&format!("BGPConfiguration {}", defaults.bgp.name_any()), created)
    }

    /// Peers are created only where there are none but these: a user's own are an answer too.
    async fn create_peers(&self, defaults: &Defaults) -> kube::Result<()> {
        let peers: Api<BGPPeer> = Api::all(self.client.clone());
        let is_ours = |name: &str| defaults.peers.iter().any(|peer| peer.name_any() == name);
        let present = peers.list_metadata(&ListParams::default()).await?;
        if !present.iter().all(|peer| is_ours(&peer.name_any())) {
            return Ok(());
        }
        for peer in &defaults.peers {
            let created = peers.create(&PostParams::default(), peer).await;
            note_created(&format!("BGPPeer {} {}", peer.name_any(), peer.spec.peer_ip), created)?;
        }
        Ok(())
    }

    async fn mark_done(&mut self) -> kube::Result<()> {
        let annotations = json!({ SET_UP_ANNOTATION: now().to_rfc3339() });
        let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
        self.config_maps.patch(CONFIG_MAP, &PatchParams::default(), &patch).await?;
        self.is_done = true;
        Ok(())
    }
}

/// What exists already is as good as created: an earlier try ended between two requests.
fn note_created<K>(object: &str, created: kube::Result<K>) -> kube::Result<()> {
    match created {
        Ok(_) => {
            info!(object, cause = format!("ConfigMap {CONFIG_MAP}"), "created for a new cluster");
            Ok(())
        }
        Err(error) if is_status(&error, 409) => Ok(()),
        Err(error) => Err(error),
    }
}
