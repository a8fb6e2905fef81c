//! What a link loses when it is set down comes back when it is up again: the gateway's address and the neighbours.
//!
//! The kernel takes a link-local address and all neighbours away with the link; routes are their writer's to repair.

use std::{collections::BTreeSet, sync::Arc};

use cni::{protocol::Attachment, veth::pod_mac};
use felix::{
    kernel::{
        endpoint::Endpoints,
        monitor::{Event, Monitor, Topic},
    },
    reconcile::link::HostSide,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Attachments, add::blocking};
use crate::shared::Endpoint;

/// Most events that are looked at together: links that change in one burst are prepared in one pass.
const EVENTS_MAX: usize = 1024;

/// Prepares again whatever pod interface has changed, until `stop`.
pub(super) async fn run(attachments: Arc<Attachments>, stop: CancellationToken) {
    let (_monitor, mut events) = match Monitor::start(&[Topic::Links]) {
        Ok(started) => started,
        Err(error) => {
            warn!(%error, "links of pods are not watched: one that is set down loses its gateway until it is made anew");
            return stop.cancelled().await;
        }
    };
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            // Cancel-safe: events that are not taken stay in the channel.
            count = events.recv_many(&mut batch, EVENTS_MAX) => if count == 0 {
                return stop.cancelled().await;
            },
            () = stop.cancelled() => return,
        }
        prepare(&attachments, &std::mem::take(&mut batch)).await;
    }
}

/// Prepares those of the endpoints whose interface is up and was told of.
async fn prepare(attachments: &Attachments, events: &[Event]) {
    let is_all = events.contains(&Event::Overrun);
    let told: BTreeSet<&str> = events
        .iter()
        .filter_map(|event| match event {
            Event::Link { link, is_gone: false } if link.is_up => Some(link.name.as_str()),
            _ => None,
        })
        .collect();
    let sides: Vec<HostSide> = attachments.state.read(|inner| {
        let endpoints = inner.endpoints.values();
        endpoints
            .filter(|it| is_all || told.contains(it.interface.as_str()))
            .map(|it| host_side(it))
            .collect()
    });
    if sides.is_empty() {
        return;
    }
    let sysctls = attachments.context.sysctls.clone();
    let prepared = blocking("host sides of pods", move || {
        let mut endpoints = Endpoints::with_sysctls(sysctls)?;
        for side in sides {
            // It may have gone meanwhile; the others are prepared all the same.
            if let Err(error) = endpoints.prepare(&side) {
                debug!(interface = %side.interface, %error, "interface is not prepared again");
            }
        }
        Ok(())
    });
    if let Err(error) = prepared.await {
        warn!(cause = %error.details, "links of pods that changed cannot be looked at");
    }
}

fn host_side(endpoint: &Endpoint) -> HostSide {
    // Under a network of another name the address is wrong, and the neighbour entry heals by itself: it is stale.
    let attachment = Attachment {
        network: api::names::CNI_NETWORK.to_owned(),
        container_id: endpoint.container_id.clone(),
        ifname: endpoint.ifname.clone(),
    };
    HostSide {
        interface: endpoint.interface.clone(),
        alias: endpoint.alias.clone(),
        addresses: endpoint.addresses.clone(),
        pod_mac: pod_mac(&attachment).0,
    }
}
