//! CHECK and STATUS: is the host's side as ADD left it, and can ADD be served?

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use cni::{
    mac::MacAddress,
    protocol::{CheckRequest, Grant, GrantedAddress},
    response::{CniError, ErrorCode},
};
use felix::{
    kernel::endpoint::{EndpointFact, Endpoints},
    model::route::Ownership,
};

use super::Attachments;

impl Attachments {
    /// What the attachment was granted, if the host's side still is so.
    ///
    /// # Errors
    /// `CHECK_FAILED` with what differs; `UNKNOWN_CONTAINER` for an attachment that is not known.
    pub(super) fn check(&self, request: &CheckRequest) -> Result<Grant, CniError> {
        let attachment = &request.attachment;
        let endpoint = self.state.read(|inner| inner.endpoints.get(&request.host_interface).cloned());
        let endpoint = endpoint.filter(|endpoint| endpoint.container_id == attachment.container_id);
        let Some(endpoint) = endpoint else {
            return Err(CniError::new(
                ErrorCode::UNKNOWN_CONTAINER,
                format!("{attachment} is not known here"),
            ));
        };
        let differs = |what: String| Err(CniError::new(ErrorCode::CHECK_FAILED, what));
        let ours: BTreeSet<IpAddr> = endpoint.addresses.iter().copied().collect();
        let theirs: BTreeSet<IpAddr> = request.addresses.iter().copied().collect();
        if !theirs.is_subset(&ours) {
            return differs(format!("the runtime says {theirs:?}, but {} has {ours:?}", endpoint.interface));
        }
        match read_endpoints() {
            Ok(facts) => match facts.get(&endpoint.interface) {
                None => return differs(format!("{} is gone", endpoint.interface)),
                Some(fact) if !fact.is_up => return differs(format!("{} is down", endpoint.interface)),
                Some(fact) if fact.addresses != ours => {
                    return differs(format!("the routes by {} are {:?}", endpoint.interface, fact.addresses));
                }
                Some(_) => {}
            },
            Err(error) => return differs(format!("{} cannot be looked at: {error}", endpoint.interface)),
        }
        Ok(self.granted(&endpoint.addresses))
    }

    /// Whether ADD can be served.
    ///
    /// # Errors
    /// `NOT_AVAILABLE` with what is being waited for.
    pub(super) fn status(&self) -> Result<(), CniError> {
        let policy_ready = self.context.shared.policy.borrow().in_sync;
        if policy_ready && self.state.read(|inner| inner.in_sync) {
            return Ok(());
        }
        let waits_for = if policy_ready { "blocks and pods" } else { "policy" };
        Err(CniError::new(
            ErrorCode::NOT_AVAILABLE,
            format!("the daemon is starting and waits for {waits_for}"),
        ))
    }

    /// What a pod with these addresses sees of the network.
    pub(super) fn granted(&self, addresses: &[IpAddr]) -> Grant {
        let granted = addresses.iter().map(|address| GrantedAddress {
            address: *address,
            gateway: match address {
                IpAddr::V4(_) => api::names::GATEWAY_IPV4.into(),
                IpAddr::V6(_) => api::names::GATEWAY_IPV6.into(),
            },
        });
        Grant {
            addresses: granted.collect(),
            gateway_mac: MacAddress(api::names::GATEWAY_MAC),
            mtu: self.uplink_mtu(),
        }
    }
}

fn read_endpoints() -> anyhow::Result<BTreeMap<String, EndpointFact>> {
    Ok(Endpoints::open()?.read(&Ownership::NODE)?)
}
