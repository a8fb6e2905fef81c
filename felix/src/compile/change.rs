//! What goes into the compiler and what comes out.

use std::any::Any;
use std::collections::BTreeSet;

use crate::model::{Endpoint, Model, Namespace, ObjectKey, Pod, Policy, Pool};
use crate::program::{Delta, InterfaceName};

/// One object came, changed or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A namespace is so now.
    Namespace(Namespace),
    /// No namespace of this name any more.
    NamespaceGone(String),
    /// A pod is so now.
    Pod(Pod),
    /// No such pod any more, or it has ended, or it uses its node's network.
    PodGone(ObjectKey),
    /// A policy is so now.
    Policy(Policy),
    /// No such policy any more.
    PolicyGone(ObjectKey),
    /// A pod is attached to this node.
    Endpoint(Endpoint),
    /// Nothing is attached at this interface any more.
    EndpointGone(InterfaceName),
    /// A pool is so now.
    Pool(Pool),
    /// No pool of this name any more.
    PoolGone(String),
}

/// All objects of one kind that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// All namespaces.
    Namespaces(Vec<Namespace>),
    /// All pods with network of their own that have not ended.
    Pods(Vec<Pod>),
    /// All policies.
    Policies(Vec<Policy>),
    /// All attachments to this node.
    Endpoints(Vec<Endpoint>),
    /// All pools.
    Pools(Vec<Pool>),
}

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What the kernel's program must go through; a change that changes nothing here gives an empty one.
    pub delta: Delta,
    /// Objects that were set aside.
    pub faults: Vec<Fault>,
}

impl Outcome {
    /// This outcome, then `later`.
    pub fn append(&mut self, later: Outcome) {
        self.delta.append(later.delta);
        self.faults.extend(later.faults);
    }
}

/// A policy that made the compiler fail: it isolates what it selects and allows nothing; all others go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("NetworkPolicy {policy}: {reason}")]
pub struct Fault {
    /// The policy.
    pub policy: ObjectKey,
    /// What happened.
    pub reason: String,
}

impl Fault {
    pub(super) fn of_panic(policy: &ObjectKey, panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "unknown reason".to_owned());
        let reason =
            format!("the policy compiler failed on it ({text}); it allows nothing until it is changed");
        Self { policy: policy.clone(), reason }
    }
}

/// The changes that make the model hold what the listing has, removals last: an address that moved
/// from one pod to another then never leaves the sets that both belong to.
pub(super) fn changes(listing: Listing, model: &Model) -> Vec<Change> {
    match listing {
        Listing::Namespaces(all) => {
            let gone = gone(model.namespaces.keys(), all.iter().map(|it| &it.name));
            joined(all, Change::Namespace, gone, Change::NamespaceGone)
        }
        Listing::Pods(all) => {
            let gone = gone(model.pods.keys(), all.iter().map(|it| &it.key));
            joined(all, Change::Pod, gone, Change::PodGone)
        }
        Listing::Policies(all) => {
            let gone = gone(model.policies.keys(), all.iter().map(|it| &it.key));
            joined(all, Change::Policy, gone, Change::PolicyGone)
        }
        Listing::Endpoints(all) => {
            let gone = gone(model.endpoints.keys(), all.iter().map(|it| &it.interface));
            joined(all, Change::Endpoint, gone, Change::EndpointGone)
        }
        Listing::Pools(all) => {
            let gone = gone(model.pools.keys(), all.iter().map(|it| &it.name));
            joined(all, Change::Pool, gone, Change::PoolGone)
        }
    }
}

fn gone<'a, K: Ord + Clone + 'a>(
    have: impl Iterator<Item = &'a K>,
    keep: impl Iterator<Item = &'a K>,
) -> Vec<K> {
    let keep: BTreeSet<&K> = keep.collect();
    have.filter(|key| !keep.contains(key)).cloned().collect()
}

fn joined<T, K>(all: Vec<T>, set: fn(T) -> Change, gone: Vec<K>, unset: fn(K) -> Change) -> Vec<Change> {
    all.into_iter().map(set).chain(gone.into_iter().map(unset)).collect()
}
