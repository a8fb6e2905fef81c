//! Pods that are gone from the API and from the kernel without a DEL: what they had is taken back.

use std::{collections::BTreeSet, sync::Arc};

use felix::{kernel::endpoint::Endpoints, model::route::Ownership};
use ipam::owner::Owner;
use tracing::{info, warn};

use super::{
    Attachments,
    add::{blocking, endpoint_owner},
    pods::has_uid,
};
use crate::shared::Endpoint;

impl Attachments {
    /// Takes back what pods have that are gone from the API and have no interface any more: their DEL never came.
    /// Whether some are left whose interface is still there; their DEL may be under way.
    pub(super) async fn release_absent(&self) -> bool {
        let pods = self.pods.snapshot();
        self.name_endpoints(&pods);
        if !pods.in_sync {
            return false;
        }
        let is_absent = |uid: &str| !pods.by_key.values().any(|pod| has_uid(pod, uid));
        let (mut gone, absent) = self.state.read(|inner| {
            let leases = inner.local.leases().into_iter().filter(|(address, owner)| {
                let is_idle = inner.endpoint_of(*address).is_none() && !inner.under_way.contains(owner);
                is_idle && is_absent(&owner.pod_uid)
            });
            let leases: BTreeSet<Owner> = leases.map(|(_, owner)| owner).collect();
            let endpoints = inner.endpoints.values().filter(|endpoint| is_absent(&endpoint.pod.uid));
            (leases, endpoints.cloned().collect::<Vec<_>>())
        });
        let linkless = without_link(&absent).await;
        let is_some_left = linkless.len() < absent.len();
        gone.extend(linkless.iter().map(|endpoint| endpoint_owner(endpoint)));
        for owner in gone {
            info!(pod = %owner.pod, "pod and interface are gone without a DEL; what it had is taken back");
            self.detach(&owner);
        }
        is_some_left
    }
}

/// Those of the endpoints whose interface is not in the kernel; none if the kernel cannot be asked.
async fn without_link(endpoints: &[Arc<Endpoint>]) -> Vec<Arc<Endpoint>> {
    if endpoints.is_empty() {
        return Vec::new();
    }
    let found = blocking("reading of endpoints", || Ok(Endpoints::open()?.read(&Ownership::NODE)?)).await;
    match found {
        Ok(found) => {
            endpoints.iter().filter(|endpoint| !found.contains_key(&endpoint.interface)).cloned().collect()
        }
        Err(error) => {
            warn!(cause = %error.details, "interfaces of pods that are gone cannot be looked for; trying again");
            Vec::new()
        }
    }
}
