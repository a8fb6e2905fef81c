//! The model to the program, one change at a time.
//!
//! ```text
//! Change -> Model ----------------------------+
//!   policy    -> policy::compile (pure)  -> Chains: policy chains, groups, static sets
//!   pod, ns   -> Members: sets of addresses, kept by indexes          |-> Draft -> Delta
//!   endpoint  -> Dispatch: verdict maps, anti-spoofing, hairpin      |
//!   pool      -> nat                                                 +
//! ```
//!
//! The program depends on the current objects alone, never on the order in which they came; the work for
//! a change is proportional to what the change touches. Only policies that select a pod of this node
//! have chains, and only those chains have sets.

mod base;
mod chains;
mod change;
mod clause;
mod dispatch;
mod draft;
mod fold;
mod members;
mod named;
mod nat;
mod policy;
mod spans;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub use base::{HostAccess, Settings};
pub use change::{Change, Fault, Listing, Outcome};

use chains::Chains;
use dispatch::Dispatch;
use draft::Draft;
use members::Members;

use crate::model::{Endpoint, Model, Namespace, ObjectKey, Pod, Policy, Pool};
use crate::program::{Delta, InterfaceName, Program};

/// Called with the key of each policy before it is compiled; a test makes it panic.
pub type CompileHook = Arc<dyn Fn(&ObjectKey) + Send + Sync>;

/// The state of the compiler: the model, the program, and the indexes between them.
pub struct Compiler {
    settings: Settings,
    model: Model,
    members: Members,
    chains: Chains,
    dispatch: Dispatch,
    draft: Draft,
    hook: Option<CompileHook>,
}

impl Compiler {
    /// A compiler without objects; its program drops whatever comes from a workload interface.
    pub fn new(settings: Settings) -> Self {
        let program = base::program(&settings);
        Self {
            settings,
            model: Model::default(),
            members: Members::default(),
            chains: Chains::default(),
            dispatch: Dispatch::default(),
            draft: Draft::new(program),
            hook: None,
        }
    }

    /// The same, with `hook` called before each policy is compiled: a fault injected there must
    /// cost that policy alone.
    pub fn with_hook(settings: Settings, hook: CompileHook) -> Self {
        Self { hook: Some(hook), ..Self::new(settings) }
    }

    /// The settings that the compiler was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The objects as they are now.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What the kernel shall hold.
    pub fn program(&self) -> &Program {
        self.draft.program()
    }

    /// What the change does to the program. Saying the same again does nothing.
    pub fn apply(&mut self, change: Change) -> Outcome {
        let fault = match change {
            Change::Namespace(namespace) => self.set_namespace(&namespace.name.clone(), Some(namespace)),
            Change::NamespaceGone(name) => self.set_namespace(&name, None),
            Change::Pod(pod) => self.set_pod(&pod.key.clone(), Some(pod)),
            Change::PodGone(key) => self.set_pod(&key, None),
            Change::Policy(policy) => self.set_policy(policy),
            Change::PolicyGone(key) => self.remove_policy(&key),
            Change::Endpoint(endpoint) => self.set_endpoint(endpoint.interface, Some(endpoint)),
            Change::EndpointGone(interface) => self.set_endpoint(interface, None),
            Change::Pool(pool) => self.set_pool(&pool.name.clone(), Some(pool)),
            Change::PoolGone(name) => self.set_pool(&name, None),
        };
        Outcome { delta: self.finish(), faults: fault.into_iter().collect() }
    }

    /// What the list, which is all there is of its kind, does to the program.
    pub fn reset(&mut self, listing: Listing) -> Outcome {
        let mut outcome = Outcome::default();
        for change in change::changes(listing, &self.model) {
            outcome.append(self.apply(change));
        }
        outcome
    }

    /// The delta that puts the pod's chains, sets and dispatch in place; after it is in the kernel the
    /// interface may come up.
    pub fn add_endpoint(&mut self, endpoint: Endpoint) -> Delta {
        self.apply(Change::Endpoint(endpoint)).delta
    }

    /// The delta that takes the endpoint out; its interface drops from then on.
    pub fn remove_endpoint(&mut self, interface: InterfaceName) -> Delta {
        self.apply(Change::EndpointGone(interface)).delta
    }

    fn set_namespace(&mut self, name: &str, namespace: Option<Namespace>) -> Option<Fault> {
        match namespace {
            Some(namespace) => drop(self.model.namespaces.insert(name.to_owned(), namespace)),
            None => drop(self.model.namespaces.remove(name)),
        }
        self.members.namespace_changed(name, &self.model.namespaces, &mut self.draft);
        None
    }

    fn set_pod(&mut self, key: &ObjectKey, pod: Option<Pod>) -> Option<Fault> {
        match pod {
            Some(pod) => drop(self.model.pods.insert(key.clone(), Arc::new(pod))),
            None => drop(self.model.pods.remove(key)),
        }
        self.pod_changed(key);
        None
    }

    fn set_endpoint(&mut self, interface: InterfaceName, endpoint: Option<Endpoint>) -> Option<Fault> {
        let mut pods: BTreeSet<ObjectKey> = endpoint.iter().map(|it| it.pod.clone()).collect();
        let old = match endpoint {
            Some(endpoint) => self.model.endpoints.insert(interface, endpoint),
            None => self.model.endpoints.remove(&interface),
        };
        pods.extend(old.map(|it| it.pod));
        for pod in &pods {
            self.dispatch.index(pod, interface, &self.model);
        }
        for pod in &pods {
            self.pod_changed(pod);
        }
        self.dispatch.refresh(interface, &self.model, &mut self.chains, &mut self.members, &mut self.draft);
        None
    }

    fn pod_changed(&mut self, key: &ObjectKey) {
        let member = self.dispatch.member(key, &self.model);
        self.members.set(key, member, &self.model.namespaces, &mut self.draft);
        for interface in self.dispatch.interfaces_of(key) {
            self.dispatch.refresh(
                interface,
                &self.model,
                &mut self.chains,
                &mut self.members,
                &mut self.draft,
            );
        }
    }

    fn set_policy(&mut self, policy: Policy) -> Option<Fault> {
        let key = policy.key.clone();
        let (policy, compiled, fault) = compile_or_close(policy, self.hook.as_ref());
        self.chains.set_policy(
            &key,
            Some(compiled),
            &self.model.namespaces,
            &mut self.members,
            &mut self.draft,
        );
        let old = self.model.policies.insert(key.clone(), policy);
        self.policy_changed(&key, old.as_ref());
        fault
    }

    fn remove_policy(&mut self, key: &ObjectKey) -> Option<Fault> {
        let old = self.model.policies.remove(key);
        self.chains.set_policy(key, None, &self.model.namespaces, &mut self.members, &mut self.draft);
        self.policy_changed(key, old.as_ref());
        None
    }

    /// Refreshes the endpoints that the policy isolates now and did not, or the reverse; those that it isolates
    /// before and after call the chain that has already changed.
    fn policy_changed(&mut self, key: &ObjectKey, old: Option<&Policy>) {
        let new = self.model.policies.get(key);
        let isolates = |policy: Option<&Policy>, pod: &Pod| match policy {
            Some(policy) if policy.pod_selector.matches(&pod.labels) => {
                (policy.ingress.is_some(), policy.egress.is_some())
            }
            _ => (false, false),
        };
        let mut interfaces = self.dispatch.interfaces_in(&key.namespace);
        interfaces.retain(|interface| {
            let pod = self.model.endpoints.get(interface).and_then(|endpoint| self.model.pod_of(endpoint));
            pod.is_some_and(|pod| isolates(old, pod) != isolates(new, pod))
        });
        for interface in interfaces {
            self.dispatch.refresh(
                interface,
                &self.model,
                &mut self.chains,
                &mut self.members,
                &mut self.draft,
            );
        }
    }

    fn set_pool(&mut self, name: &str, pool: Option<Pool>) -> Option<Fault> {
        match pool {
            Some(pool) => drop(self.model.pools.insert(name.to_owned(), pool)),
            None => drop(self.model.pools.remove(name)),
        }
        nat::refresh(&self.model, &mut self.draft);
        None
    }

    fn finish(&mut self) -> Delta {
        self.chains.sweep(&mut self.members, &mut self.draft);
        self.draft.finish()
    }
}

/// The compiled policy; if compiling it panics, it isolates what it selects and allows nothing.
///
/// Compiling is pure and happens before any state changes, so that a panic leaves nothing half done.
fn compile_or_close(
    policy: Policy,
    hook: Option<&CompileHook>,
) -> (Policy, policy::CompiledPolicy, Option<Fault>) {
    let compiled = catch_unwind(AssertUnwindSafe(|| {
        if let Some(hook) = hook {
            hook(&policy.key);
        }
        policy::compile(&policy)
    }));
    match compiled {
        Ok(compiled) => (policy, compiled, None),
        Err(panic) => {
            let fault = Fault::of_panic(&policy.key, panic.as_ref());
            let policy = policy.failed_closed(fault.reason.clone());
            let compiled = policy::compile(&policy);
            (policy, compiled, Some(fault))
        }
    }
}

#[cfg(test)]
mod tests;
