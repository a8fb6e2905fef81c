//! DEL and GC: routes, policy, conntrack entries and addresses of attachments that are gone.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use cni::{
    protocol::{Attachment, DelRequest, GcRequest, StaleAttachment},
    response::CniError,
    veth::{Alias, network_hash},
};
use felix::{kernel::conntrack::Conntrack, model::route::RouteSource};
use ipam::{moment::Moment, owner::Owner};
use ipnetwork::IpNetwork;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Attachments,
    add::{blocking, endpoint_owner},
    now,
};
use crate::shared::Endpoint;

/// One search of the conntrack table serves all addresses that are freed within this time: a search costs as much for
/// many as for one. An ADD that finds no other address does not wait for it.
const GATHER: Duration = Duration::from_millis(100);

impl Attachments {
    /// Takes everything back from the attachment; one that never was is fine.
    pub(super) async fn del(&self, request: &DelRequest) -> Result<(), CniError> {
        let attachment = &request.attachment;
        let _turn = self.turns.take(attachment).await;
        let mut owners: BTreeSet<Owner> = self.state.read(|inner| {
            let endpoints = inner.endpoints.values().filter(|endpoint| serves(endpoint, attachment));
            endpoints.map(|endpoint| endpoint_owner(endpoint)).collect()
        });
        // An attachment whose link vanished has no endpoint but still its addresses.
        owners.extend(self.state.read(|inner| {
            let leases = inner.local.leases().into_iter();
            leases.map(|(_, owner)| owner).filter(|owner| is_of(owner, attachment)).collect::<Vec<_>>()
        }));
        for owner in &owners {
            self.detach(owner);
            info!(pod = %owner.pod, container = %attachment.container_id, "pod detached");
        }
        Ok(())
    }

    /// Takes everything back from the attachments of the network that the runtime does not know any more; those that
    /// came after its question are none of them.
    pub(super) fn gc(&self, request: &GcRequest) -> Vec<StaleAttachment> {
        let valid: BTreeSet<(&str, &str)> = request
            .valid
            .iter()
            .map(|attachment| (attachment.container_id.as_str(), attachment.ifname.as_str()))
            .collect();
        let asked_at = request.asked_at_millis.map_or_else(now, Moment::from_unix_millis);
        let stale: Vec<Arc<Endpoint>> = self.state.read(|inner| {
            let endpoints = inner.endpoints.values();
            endpoints
                .filter(|endpoint| {
                    endpoint.since < asked_at
                        && is_of_network(endpoint, &request.network)
                        && !valid.contains(&(endpoint.container_id.as_str(), endpoint.ifname.as_str()))
                })
                .cloned()
                .collect()
        });
        let mut taken_back = Vec::new();
        for endpoint in stale {
            self.detach(&endpoint_owner(&endpoint));
            info!(pod = %endpoint.pod, container = %endpoint.container_id, "attachment is stale and taken back");
            let attachment = Attachment {
                network: request.network.clone(),
                container_id: endpoint.container_id.clone(),
                ifname: endpoint.ifname.clone(),
            };
            taken_back.push(StaleAttachment { attachment, host_interface: endpoint.interface.clone() });
        }
        taken_back
    }

    /// Removes what the owner has: first the way to it, then its flows, and last its claim to the addresses.
    pub(super) fn detach(&self, owner: &Owner) {
        self.state.change(|inner| {
            // An ADD that failed has routes, but no endpoint yet.
            let mut addresses = inner.local.release(now(), owner);
            inner.endpoints.retain(|_, endpoint| {
                let is_gone = endpoint_owner(endpoint).is_same_attachment(owner);
                if is_gone {
                    addresses.extend(&endpoint.addresses);
                }
                !is_gone
            });
            for address in addresses.into_iter().filter(|address| inner.endpoint_of(*address).is_none()) {
                self.context.routes.set(RouteSource::Local, IpNetwork::from(address), None);
            }
        });
        self.freed.notify_one();
        self.unreported.notify_one();
    }

    /// Deletes the conntrack entries of freed addresses, so that they can be given again; how many there were.
    ///
    /// An established flow of the former pod would otherwise follow the address to the next one.
    pub(super) async fn clean_freed(&self) -> usize {
        let addresses: Vec<IpAddr> = self.state.read(|inner| inner.local.to_clean());
        if addresses.is_empty() {
            return 0;
        }
        // While a route leads to the former pod, its peers make new entries as fast as old ones go.
        if self.context.routes.flush().await.is_err() {
            return 0;
        }
        let freed: BTreeSet<IpAddr> = addresses.iter().copied().collect();
        match blocking("deletion of conntrack entries", move || Ok(Conntrack::open()?.forget(&freed)?)).await
        {
            Ok(_) => {
                self.state.change(|inner| inner.local.cleaned(&addresses));
                addresses.len()
            }
            Err(error) => {
                warn!(cause = %error.details, "freed addresses wait: their conntrack entries cannot be deleted");
                0
            }
        }
    }
}

/// Cleans what was freed, until `stop`: a DEL does not wait for it, as the address is not given before.
#[expect(clippy::disallowed_methods, reason = "gathers what is freed at about the same time")]
pub(super) async fn clean(attachments: Arc<Attachments>, stop: CancellationToken) {
    loop {
        tokio::select! {
            // Cancel-safe: a notification that is not taken stays.
            () = attachments.freed.notified() => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            // Cancel-safe, both; what is not cleaned now is cleaned at the next start.
            () = tokio::time::sleep(GATHER) => {}
            () = stop.cancelled() => return,
        }
        attachments.clean_freed().await;
    }
}

fn serves(endpoint: &Endpoint, attachment: &Attachment) -> bool {
    endpoint.container_id == attachment.container_id && endpoint.ifname == attachment.ifname
}

/// The alias says whose it is; an endpoint is never without one.
fn is_of_network(endpoint: &Endpoint, network: &str) -> bool {
    Alias::parse(&endpoint.alias).is_some_and(|alias| alias.network_hash == network_hash(network))
}

fn is_of(owner: &Owner, attachment: &Attachment) -> bool {
    owner.attachment.as_ref().is_some_and(|known| {
        known.container_id == attachment.container_id && known.ifname == attachment.ifname
    })
}
