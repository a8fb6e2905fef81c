//! Start: first the kernel's facts, then the objects, then the socket. Nothing is given before that.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Result;
use cni::veth::Alias;
use felix::{
    kernel::endpoint::{EndpointFact, Endpoints, gateway_route},
    model::route::{Ownership, RouteSource, RouteTarget},
};
use ipam::{local::Endpoint as Held, moment::Moment, owner::Owner};
use ipnetwork::IpNetwork;
use tracing::{info, warn};

use super::{
    Attachments, Objects,
    add::blocking,
    now,
    pods::{Pods, has_uid},
};
use crate::{
    shared::{Endpoint, PodIdentity},
    snapshot::API_SILENCE_MAX,
};

/// Brings addresses and endpoints to what the kernel and the objects say.
///
/// # Errors
/// The kernel cannot be read; a watch ended.
pub(super) async fn restore(attachments: &Attachments, objects: &mut Objects) -> Result<()> {
    let found = blocking("reading of endpoints", || Ok(Endpoints::open()?.read(&Ownership::NODE)?)).await;
    let found = found.map_err(|error| anyhow::anyhow!("{}: {}", error.message, error.details))?;
    wait_for_objects(attachments, objects).await?;
    let endpoints = known_endpoints(attachments, found);
    let former = attachments.context.shared.endpoints.borrow().by_interface.clone();
    // Policy goes on from here, whatever keeps the rest: a Node object that is absent, BGP that cannot start.
    attachments.state.change(|inner| {
        inner.endpoints.clone_from(&endpoints);
        inner.endpoints_in_sync = true;
    });
    let mut routing = attachments.context.shared.routing.subscribe();
    routing.wait_for(|progress| progress.node_is_known).await?;
    take_up(attachments, objects, &endpoints);
    for endpoint in endpoints.values() {
        for address in &endpoint.addresses {
            let target = RouteTarget::Link { interface: endpoint.interface.clone() };
            attachments.context.routes.set(RouteSource::Local, IpNetwork::from(*address), Some(target));
        }
    }
    withdraw_former(attachments, &former, &endpoints);
    let (gateway, target) = gateway_route();
    attachments.context.routes.set(RouteSource::Local, gateway, Some(target));
    objects.tell_addresses(attachments);
    attachments.state.change(|inner| inner.in_sync = true);
    attachments.context.routes.in_sync(RouteSource::Local);
    attachments.clean_freed().await;
    info!(
        endpoints = attachments.state.read(|inner| inner.endpoints.len()),
        "addresses and endpoints are restored"
    );
    Ok(())
}

async fn wait_for_objects(attachments: &Attachments, objects: &mut Objects) -> Result<()> {
    let in_time = tokio::time::timeout(API_SILENCE_MAX, objects.in_sync(attachments)).await;
    match (in_time, attachments.context.snapshots.attachments()) {
        (Ok(result), _) => result,
        (Err(_), Some(kept)) => {
            warn!("the API server is silent; attachments start from the last-good snapshot");
            objects.restore(attachments, kept);
            Ok(())
        }
        (Err(_), None) => {
            warn!("the API server is silent and there is no snapshot; attachments wait for its first answer");
            objects.in_sync(attachments).await
        }
    }
}

/// The endpoints that the kernel has, with the pods that their aliases name.
fn known_endpoints(
    attachments: &Attachments,
    found: BTreeMap<String, EndpointFact>,
) -> BTreeMap<String, Arc<Endpoint>> {
    let pods = attachments.pods.snapshot();
    let mut endpoints = BTreeMap::new();
    for found in found.into_values() {
        let Some(alias) = Alias::parse(&found.alias) else {
            // An ADD that died before its first step on the host's side, or a foreign hand: it serves nobody.
            warn!(interface = %found.interface, alias = %found.alias, "interface without an alias of ours is left alone; it passes nothing");
            continue;
        };
        let nameless = Endpoint {
            interface: found.interface.clone(),
            index: found.index,
            since: Moment::NEVER,
            pod: PodIdentity { namespace: String::new(), name: String::new(), uid: alias.pod_uid },
            alias: found.alias,
            container_id: alias.container_id,
            ifname: alias.ifname,
            addresses: found.addresses.into_iter().collect(),
            object: None,
        };
        let endpoint = with_pod(&nameless, &pods).unwrap_or(nameless);
        endpoints.insert(found.interface, Arc::new(endpoint));
    }
    endpoints
}

impl Attachments {
    /// Gives those endpoints their pods of which the kernel's alias was all that was known at the start, because the
    /// snapshot was older: until then they have no labels and pass nothing.
    pub(super) fn name_endpoints(&self, pods: &Pods) {
        let named: Vec<Endpoint> = self.state.read(|inner| {
            let nameless = inner.endpoints.values().filter(|endpoint| endpoint.pod.name.is_empty());
            nameless.filter_map(|endpoint| with_pod(endpoint, pods)).collect()
        });
        if named.is_empty() {
            return;
        }
        self.state.change(|inner| {
            for endpoint in named {
                info!(pod = %endpoint.pod, interface = %endpoint.interface, "the pod of a restored interface is known now");
                inner.endpoints.insert(endpoint.interface.clone(), Arc::new(endpoint));
            }
        });
    }
}

/// The endpoint with the pod of its UID, if there is one.
fn with_pod(endpoint: &Endpoint, pods: &Pods) -> Option<Endpoint> {
    let (key, object) = pods.by_key.iter().find(|(_, pod)| has_uid(pod, &endpoint.pod.uid))?;
    let pod = PodIdentity {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        uid: endpoint.pod.uid.clone(),
    };
    Some(Endpoint { pod, object: Some(object.clone()), ..endpoint.clone() })
}

/// Takes back the routes that a former run of this compartment asked for and that lead to nobody any more.
fn withdraw_former(
    attachments: &Attachments,
    former: &BTreeMap<String, Arc<Endpoint>>,
    endpoints: &BTreeMap<String, Arc<Endpoint>>,
) {
    let is_held = |address| endpoints.values().any(|endpoint| endpoint.addresses.contains(address));
    for address in former.values().flat_map(|endpoint| &endpoint.addresses).filter(|it| !is_held(it)) {
        attachments.context.routes.set(RouteSource::Local, IpNetwork::from(*address), None);
    }
}

/// Tells the addresses what the kernel holds, before any object.
fn take_up(attachments: &Attachments, objects: &Objects, endpoints: &BTreeMap<String, Arc<Endpoint>>) {
    let held: Vec<Held> = endpoints
        .values()
        .map(|endpoint| {
            let pod = match endpoint.pod.name.as_str() {
                "" => String::new(),
                _ => endpoint.pod.to_string(),
            };
            let owner = Owner::new(&endpoint.pod.uid, &endpoint.container_id, &endpoint.ifname, pod);
            Held { owner, addresses: endpoint.addresses.clone() }
        })
        .collect();
    let observed = attachments.context.routes.observed(RouteSource::Local).into_iter();
    let blackholes: Vec<IpNetwork> =
        observed.filter(|(_, target)| *target == RouteTarget::Blackhole).map(|(prefix, _)| prefix).collect();
    let identity = objects.identity(&attachments.context.node_name);
    let (refused, _) = attachments.state.change(|inner| {
        inner.local.set_node(identity);
        inner.local.restore(now(), &held, &blackholes)
    });
    for (address, owner) in refused {
        warn!(%address, %owner, "two interfaces have this address; the second one gets no other until its pod is made anew");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{ObjectKey, Update};

    #[test]
    fn a_restored_interface_gets_its_pod_by_the_uid_alone() {
        let pod = |uid: &str| {
            serde_json::from_value(serde_json::json!({"metadata": {
                "namespace": "default", "name": "web", "uid": uid, "labels": {"app": "web"},
            }}))
            .unwrap()
        };
        let nameless = Endpoint {
            interface: "tort0123456789a".to_owned(),
            index: 7,
            since: Moment::NEVER,
            pod: PodIdentity { namespace: String::new(), name: String::new(), uid: "u1".to_owned() },
            alias: String::new(),
            container_id: "c".to_owned(),
            ifname: "eth0".to_owned(),
            addresses: Vec::new(),
            object: None,
        };
        // (why, UID of the pod that the API has, named)
        let cases = [("its own pod", "u1", true), ("the next pod of the name", "u2", false)];
        for (why, uid, expected) in cases {
            let cache = crate::attachments::PodCache::default();
            cache.update(Update::Reset(vec![pod(uid)]));
            let named = with_pod(&nameless, &cache.snapshot());
            assert_eq!(named.is_some(), expected, "{why}");
            let Some(named) = named else { continue };
            let key = ObjectKey { namespace: named.pod.namespace.clone(), name: named.pod.name.clone() };
            assert_eq!(key.to_string(), "default/web", "{why}");
            assert!(named.object.is_some_and(|object| object.metadata.labels.is_some()), "{why}");
        }
    }
}
