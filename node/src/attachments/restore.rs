//! Start: first the kernel's facts, then the objects, then the socket. Nothing is given before that.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Result;
use cni::veth::Alias;
use felix::{
    kernel::endpoint::{EndpointFact, Endpoints, gateway_route},
    model::route::{Ownership, RouteSource, RouteTarget},
};
use ipam::{local::Endpoint as Held, owner::Owner};
use ipnetwork::IpNetwork;
use tracing::{info, warn};

use super::{Attachments, Objects, add::blocking, now, pods::has_uid};
use crate::{
    shared::{Endpoint, PodIdentity},
    watch::ObjectKey,
};

/// How long the API server may stay silent before the last-good snapshot is used.
const API_SILENCE_MAX: Duration = Duration::from_secs(5);

/// Brings addresses and endpoints to what the kernel and the objects say.
///
/// # Errors
/// The kernel cannot be read; a watch ended.
pub(super) async fn restore(attachments: &Attachments, objects: &mut Objects) -> Result<()> {
    let found = blocking("reading of endpoints", || Ok(Endpoints::open()?.read(&Ownership::NODE)?)).await;
    let found = found.map_err(|error| anyhow::anyhow!("{}: {}", error.message, error.details))?;
    wait_for_objects(attachments, objects).await?;
    let mut routing = attachments.context.shared.routing.subscribe();
    routing.wait_for(|progress| progress.in_sync).await?;
    let endpoints = known_endpoints(attachments, found);
    take_up(attachments, objects, &endpoints);
    for endpoint in endpoints.values() {
        for address in &endpoint.addresses {
            let target = RouteTarget::Link { interface: endpoint.interface.clone() };
            attachments.context.routes.set(RouteSource::Local, IpNetwork::from(*address), Some(target));
        }
    }
    withdraw_former(attachments, &endpoints);
    let (gateway, target) = gateway_route();
    attachments.context.routes.set(RouteSource::Local, gateway, Some(target));
    objects.tell_addresses(attachments);
    attachments.state.change(|inner| {
        inner.endpoints = endpoints;
        inner.in_sync = true;
    });
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
        let pod = pods.by_key.iter().find(|(_, pod)| has_uid(pod, &alias.pod_uid));
        let key =
            pod.map_or(ObjectKey { namespace: String::new(), name: String::new() }, |(key, _)| key.clone());
        let endpoint = Endpoint {
            interface: found.interface.clone(),
            pod: PodIdentity { namespace: key.namespace, name: key.name, uid: alias.pod_uid },
            alias: found.alias,
            container_id: alias.container_id,
            ifname: alias.ifname,
            addresses: found.addresses.into_iter().collect(),
            object: pod.map(|(_, pod)| pod.clone()),
        };
        endpoints.insert(found.interface, Arc::new(endpoint));
    }
    endpoints
}

/// Takes back the routes that a former run of this compartment asked for and that lead to nobody any more.
fn withdraw_former(attachments: &Attachments, endpoints: &BTreeMap<String, Arc<Endpoint>>) {
    let is_held = |address| endpoints.values().any(|endpoint| endpoint.addresses.contains(address));
    let former = attachments.context.shared.endpoints.borrow().by_interface.clone();
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
