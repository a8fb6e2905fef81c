//! The objects that policy reads: watches to compiler changes, one at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Result, anyhow};
use api::{IPBlock, IPPool};
use felix::{
    compile::{Change, Compiler, Listing, Outcome},
    ingest::{self, IngestError},
    model::{self, ObjectKey},
    program::InterfaceName,
};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    networking::v1::NetworkPolicy,
};
use kube::{ResourceExt, api::DynamicObject};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::{PodObject, PolicyContext, blocks::Blocks};
use crate::{
    config::Problem,
    shared::{Endpoint, Endpoints},
    snapshot::PolicySnapshot,
    watch::{Scope, Update, watch, watch_as},
};

/// A policy, and why it was not understood if it was not: then it isolates what it selects and allows nothing.
type Ingested = (model::Policy, Option<IngestError>);

/// What came from one of the watches.
enum Arrival {
    Pods(Box<Update<Pod>>),
    Namespaces(Update<Namespace>),
    Policies(Update<Ingested>),
    Pools(Update<IPPool>),
    Blocks(Update<IPBlock>),
    Endpoints,
}

/// What one arrival did.
#[derive(Default)]
pub(super) struct Step {
    pub(super) outcome: Outcome,
    /// Objects that were set aside by it.
    pub(super) problems: Vec<Problem>,
    /// The generation of endpoints that the compiler has now, where it changed.
    pub(super) generation: Option<u64>,
}

/// The watches and what they told.
pub(super) struct Objects {
    pods: mpsc::Receiver<Update<Pod>>,
    namespaces: mpsc::Receiver<Update<Namespace>>,
    policies: mpsc::Receiver<Update<Ingested>>,
    pools: mpsc::Receiver<Update<IPPool>>,
    ip_blocks: mpsc::Receiver<Update<IPBlock>>,
    endpoints: watch::Receiver<Endpoints>,
    waiting: VecDeque<Arrival>,
    blocks: Blocks,
    attached: BTreeMap<InterfaceName, std::sync::Arc<Endpoint>>,
    set_aside: BTreeMap<ObjectKey, Problem>,
    synced: Synced,
}

/// Of what the first list has come.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each kind")]
struct Synced {
    pods: bool,
    namespaces: bool,
    policies: bool,
    pools: bool,
    blocks: bool,
    endpoints: bool,
}

impl Synced {
    fn all(self) -> bool {
        let Self { pods, namespaces, policies, pools, blocks, endpoints } = self;
        pods && namespaces && policies && pools && blocks && endpoints
    }
}

impl Objects {
    pub(super) fn watch(context: &PolicyContext) -> Self {
        let client = &context.client;
        let mut endpoints = context.shared.endpoints.subscribe();
        endpoints.mark_changed();
        Self {
            pods: watch(client, Scope::default()),
            namespaces: watch(client, Scope::default()),
            policies: watch_as::<NetworkPolicy, _>(client, Scope::default(), |object| {
                Some(read_policy(object))
            }),
            pools: watch(client, Scope::default()),
            ip_blocks: watch(client, Scope::default()),
            endpoints,
            waiting: VecDeque::new(),
            blocks: Blocks::default(),
            attached: BTreeMap::new(),
            set_aside: BTreeMap::new(),
            synced: Synced::default(),
        }
    }

    /// Whether the first list of every kind has come and been taken.
    pub(super) fn in_sync(&self) -> bool {
        self.synced.all()
    }

    /// Whether the kernel's own endpoints are known, which no API server is needed for.
    pub(super) fn has_endpoints(&self) -> bool {
        self.synced.endpoints
    }

    /// Gives the compiler the snapshot's objects of those kinds of which no list has come; a list replaces them.
    pub(super) fn restore(&self, compiler: &mut Compiler, mut kept: PolicySnapshot) {
        // Endpoints may have brought pods that the snapshot is too old for.
        let known: BTreeSet<ObjectKey> = kept.pods.iter().map(|pod| pod.key.clone()).collect();
        let newer = compiler.model().pods.values().filter(|pod| !known.contains(&pod.key));
        kept.pods.extend(newer.map(|pod| pod.as_ref().clone()));
        let Synced { pods, namespaces, policies, pools, .. } = self.synced;
        let listings = [
            (pods, Listing::Pods(kept.pods)),
            (namespaces, Listing::Namespaces(kept.namespaces)),
            (policies, Listing::Policies(kept.policies)),
            (pools, Listing::Pools(kept.pools)),
        ];
        for (_, listing) in listings.into_iter().filter(|(has_come, _)| !has_come) {
            compiler.reset(listing);
        }
    }

    /// What is set aside now, and why.
    pub(super) fn problems(&self) -> Vec<Problem> {
        self.set_aside.values().cloned().collect()
    }

    /// Waits until there is something to take; cancel-safe, as what came is kept.
    pub(super) async fn wait(&mut self) -> Result<()> {
        if !self.waiting.is_empty() {
            return Ok(());
        }
        let gone = || anyhow!("a watch of policy ended by itself");
        let arrival = tokio::select! {
            // A pod that starts waits for its endpoint; everything else can wait for that.
            biased;
            changed = self.endpoints.changed() => changed.map(|()| Arrival::Endpoints)?,
            update = self.policies.recv() => Arrival::Policies(update.ok_or_else(gone)?),
            update = self.namespaces.recv() => Arrival::Namespaces(update.ok_or_else(gone)?),
            update = self.pods.recv() => Arrival::Pods(Box::new(update.ok_or_else(gone)?)),
            update = self.ip_blocks.recv() => Arrival::Blocks(update.ok_or_else(gone)?),
            update = self.pools.recv() => Arrival::Pools(update.ok_or_else(gone)?),
        };
        self.waiting.push_back(arrival);
        Ok(())
    }

    /// Takes one arrival into the compiler, if one is there without waiting.
    pub(super) fn take(&mut self, compiler: &mut Compiler) -> Result<Option<Step>> {
        let Some(arrival) = self.next_arrival()? else { return Ok(None) };
        let step = match arrival {
            Arrival::Pods(update) => self.take_pods(compiler, *update),
            Arrival::Namespaces(update) => self.take_namespaces(compiler, update),
            Arrival::Policies(update) => self.take_policies(compiler, update),
            Arrival::Pools(update) => self.take_pools(compiler, update),
            Arrival::Blocks(update) => self.take_blocks(compiler, update),
            Arrival::Endpoints => self.take_endpoints(compiler),
        };
        Ok(Some(step))
    }

    fn next_arrival(&mut self) -> Result<Option<Arrival>> {
        if let Some(arrival) = self.waiting.pop_front() {
            return Ok(Some(arrival));
        }
        if self.endpoints.has_changed()? {
            return Ok(Some(Arrival::Endpoints));
        }
        let arrival = self.policies.try_recv().map(Arrival::Policies);
        let arrival = arrival.or_else(|_| self.namespaces.try_recv().map(Arrival::Namespaces));
        let arrival = arrival.or_else(|_| self.pods.try_recv().map(|update| Arrival::Pods(Box::new(update))));
        let arrival = arrival.or_else(|_| self.ip_blocks.try_recv().map(Arrival::Blocks));
        Ok(arrival.or_else(|_| self.pools.try_recv().map(Arrival::Pools)).ok())
    }

    fn take_pods(&mut self, compiler: &mut Compiler, update: Update<Pod>) -> Step {
        let outcome = match update {
            Update::Reset(all) => {
                self.synced.pods = true;
                self.blocks.pods_reset();
                let pods = all.iter().filter_map(|object| self.blocks.pod(object)).collect();
                compiler.reset(Listing::Pods(pods))
            }
            Update::Apply(object) if self.blocks.is_former(&object) => Outcome::default(),
            Update::Apply(object) => compiler.apply(self.pod_change(&object)),
            Update::Delete(gone) if self.blocks.pod_gone(&gone) => {
                compiler.apply(Change::PodGone(ObjectKey::new(&gone.key.namespace, &gone.key.name)))
            }
            Update::Delete(_) => Outcome::default(),
        };
        Step { outcome, ..Step::default() }
    }

    fn pod_change(&mut self, object: &Pod) -> Change {
        match self.blocks.pod(object) {
            Some(pod) => Change::Pod(pod),
            None => Change::PodGone(ingest::pod::key(object)),
        }
    }

    fn take_namespaces(&mut self, compiler: &mut Compiler, update: Update<Namespace>) -> Step {
        let outcome = match update {
            Update::Reset(all) => {
                self.synced.namespaces = true;
                compiler.reset(Listing::Namespaces(all.iter().map(ingest::namespace::namespace).collect()))
            }
            Update::Apply(object) => compiler.apply(Change::Namespace(ingest::namespace::namespace(&object))),
            Update::Delete(gone) => compiler.apply(Change::NamespaceGone(gone.key.name)),
        };
        Step { outcome, ..Step::default() }
    }

    fn take_policies(&mut self, compiler: &mut Compiler, update: Update<Ingested>) -> Step {
        let before = self.set_aside.clone();
        let outcome = match update {
            Update::Reset(all) => {
                self.synced.policies = true;
                self.set_aside.clear();
                let policies = all.into_iter().map(|ingested| self.policy(ingested)).collect();
                compiler.reset(Listing::Policies(policies))
            }
            Update::Apply(ingested) => {
                let policy = self.policy(ingested);
                compiler.apply(Change::Policy(policy))
            }
            Update::Delete(gone) => {
                let key = ObjectKey::new(&gone.key.namespace, &gone.key.name);
                self.set_aside.remove(&key);
                compiler.apply(Change::PolicyGone(key))
            }
        };
        for fault in &outcome.faults {
            let problem = Problem::new("NetworkPolicy", &fault.policy.to_string(), &fault.reason);
            self.set_aside.insert(fault.policy.clone(), problem);
        }
        let fresh = self.set_aside.iter().filter(|(key, problem)| before.get(*key) != Some(problem));
        let problems = fresh.map(|(_, problem)| problem.clone()).collect();
        Step { outcome, problems, generation: None }
    }

    fn policy(&mut self, (policy, error): Ingested) -> model::Policy {
        self.set_aside.remove(&policy.key);
        if let Some(error) = error {
            let problem = Problem::new("NetworkPolicy", &policy.key.to_string(), error.to_string());
            self.set_aside.insert(policy.key.clone(), problem);
        }
        policy
    }

    fn take_pools(&mut self, compiler: &mut Compiler, update: Update<IPPool>) -> Step {
        let readable = |object: &IPPool| match ingest::ip_pool::ip_pool(object) {
            Ok(pool) => Some(pool),
            Err(error) => {
                warn!(object = %object.name_any(), %error, "pool is left out of NAT");
                None
            }
        };
        let outcome = match update {
            Update::Reset(all) => {
                self.synced.pools = true;
                compiler.reset(Listing::Pools(all.iter().filter_map(readable).collect()))
            }
            Update::Apply(object) => compiler
                .apply(readable(&object).map_or_else(|| Change::PoolGone(object.name_any()), Change::Pool)),
            Update::Delete(gone) => compiler.apply(Change::PoolGone(gone.key.name)),
        };
        Step { outcome, ..Step::default() }
    }

    /// Blocks say earlier than `Pod.status`, and with more authority, which address is whose.
    fn take_blocks(&mut self, compiler: &mut Compiler, update: Update<IPBlock>) -> Step {
        self.synced.blocks |= matches!(update, Update::Reset(_));
        let mut outcome = Outcome::default();
        for pod in self.blocks.update(update) {
            outcome.append(compiler.apply(Change::Pod(pod)));
        }
        Step { outcome, ..Step::default() }
    }

    fn take_endpoints(&mut self, compiler: &mut Compiler) -> Step {
        let endpoints = self.endpoints.borrow_and_update().clone();
        self.synced.endpoints |= endpoints.in_sync;
        let mut outcome = Outcome::default();
        let wanted: BTreeMap<InterfaceName, _> = endpoints
            .by_interface
            .iter()
            .filter_map(|(name, endpoint)| Some((InterfaceName::new(name).ok()?, endpoint.clone())))
            .collect();
        for interface in self.attached.keys().filter(|interface| !wanted.contains_key(*interface)) {
            outcome.append(compiler.apply(Change::EndpointGone(*interface)));
        }
        for (interface, endpoint) in &wanted {
            if self.attached.get(interface) == Some(endpoint) {
                continue;
            }
            outcome.append(self.attach(compiler, *interface, endpoint));
        }
        self.attached = wanted;
        Step { outcome, problems: Vec::new(), generation: Some(endpoints.generation) }
    }

    /// The pod as ADD saw it goes first where the watch has not told of it yet: an endpoint is never without labels.
    fn attach(&mut self, compiler: &mut Compiler, interface: InterfaceName, endpoint: &Endpoint) -> Outcome {
        let mut outcome = Outcome::default();
        let key = ObjectKey::new(&endpoint.pod.namespace, &endpoint.pod.name);
        let known = compiler.model().pods.get(&key);
        let is_known = known.is_some_and(|pod| pod.has_uid(&endpoint.pod.uid));
        if let (false, Some(object)) = (is_known, endpoint.object.as_ref()) {
            let object: &PodObject = object;
            outcome.append(compiler.apply(self.pod_change(object)));
        }
        let attached = model::Endpoint {
            interface,
            pod: key,
            pod_uid: endpoint.pod.uid.clone(),
            addresses: endpoint.addresses.clone(),
        };
        outcome.append(compiler.apply(Change::Endpoint(attached)));
        outcome
    }
}

/// The policy of this object, whatever is in it.
fn read_policy(object: DynamicObject) -> Ingested {
    let name = object.name_any();
    let key = ObjectKey::new(&object.namespace().unwrap_or_default(), &name);
    let spec = object.data.get("spec").cloned().unwrap_or_default();
    match object.try_parse::<NetworkPolicy>() {
        Ok(object) => ingest::network_policy::network_policy(&object),
        Err(error) => {
            let (policy, error) = ingest::network_policy::unparsable(key, &spec, &error.to_string());
            (policy, Some(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_never_absent_because_of_what_is_in_it() {
        let open = serde_json::json!([{}]);
        let (selector, garbage) =
            (serde_json::json!({"matchLabels": {"a": "b"}}), serde_json::json!("garbage"));
        // (why, selector, ingress, rules in force or none, whom it selects)
        let cases = [
            ("understood", &selector, &open, 1, "a == 'b'"),
            ("rules that are none", &selector, &garbage, 0, "a == 'b'"),
            ("a selector that is none", &garbage, &open, 0, "all()"),
        ];
        for (why, selector, ingress, rules, selects) in cases {
            let object: DynamicObject = serde_json::from_value(serde_json::json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"namespace": "x", "name": "p"},
                "spec": {"podSelector": selector, "ingress": ingress},
            }))
            .unwrap();
            let (policy, error) = read_policy(object);
            assert_eq!(policy.key, ObjectKey::new("x", "p"), "{why}");
            assert_eq!(policy.ingress.map(|rules| rules.len()), Some(rules), "{why}");
            assert_eq!(policy.pod_selector.to_string(), selects, "{why}");
            let names_it = error.map(|error| error.to_string().contains("NetworkPolicy x/p: object: "));
            assert_eq!(names_it, (rules == 0).then_some(true), "{why}");
        }
    }
}
