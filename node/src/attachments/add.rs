//! ADD: pod, address, host side, policy, link up; in this order, and all of it or nothing.

use std::{net::IpAddr, sync::Arc, time::Duration};

use cni::{
    protocol::{AddRequest, Grant},
    response::{CniError, ErrorCode},
    veth::Alias,
};
use felix::{
    kernel::endpoint::Endpoints,
    model::route::{RouteSource, RouteTarget},
    reconcile::link::HostSide,
};
use ipam::{local::OutOfAddresses, owner::Owner};
use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1::Pod;
use tracing::{info, warn};

use super::{Attachments, now, pods::is_terminated};
use crate::shared::{Endpoint, PodIdentity};

/// How long ADD waits for a block that is under way or an address that comes out of its cooldown.
const ADDRESS_TIME_MAX: Duration = Duration::from_secs(10);

/// How long ADD waits for policy to serve the endpoint; usually some milliseconds.
const POLICY_TIME_MAX: Duration = Duration::from_secs(10);

impl Attachments {
    /// Gives the attachment its addresses and does the host's side.
    ///
    /// # Errors
    /// `TRY_AGAIN_LATER` for what time may mend; then nothing of it remains.
    pub(super) async fn add(&self, request: AddRequest) -> Result<Grant, CniError> {
        let started = now();
        let pod = self.pods.find(&self.context.client, &request.pod).await?;
        if is_terminated(&pod) {
            let message = format!("pod {}/{} has ended", request.pod.namespace, request.pod.name);
            return Err(CniError::new(ErrorCode::TRY_AGAIN_LATER, message));
        }
        let owner = owner(&request, &pod);
        let _turn = self.turns.take(&request.attachment).await;
        // Until the endpoint is there nothing but this says that the addresses are in use.
        self.state.change(|inner| inner.under_way.insert(owner.clone()));
        let attached = self.attach(&request, &pod, &owner).await;
        self.state.change(|inner| inner.under_way.remove(&owner));
        let addresses = attached?;
        self.unreported.notify_one();
        info!(pod = %owner.pod, interface = %request.host_interface, ?addresses, millis = now().millis_since(started), "pod attached");
        Ok(self.granted(&addresses))
    }

    /// Addresses and the host's side, or nothing of them.
    async fn attach(
        &self,
        request: &AddRequest,
        pod: &Arc<Pod>,
        owner: &Owner,
    ) -> Result<Vec<IpAddr>, CniError> {
        self.take_over(owner, request).await?;
        let addresses = self.assign(owner).await?;
        let wired = self.wire(request, pod, owner, &addresses).await;
        if let Err(error) = wired {
            warn!(pod = %owner.pod, interface = %request.host_interface, cause = %error.details, "ADD failed and is undone");
            self.detach(owner);
            return Err(error);
        }
        Ok(addresses)
    }

    /// A newer sandbox of the same pod takes the place of the former one, whose DEL may come late or never. An older
    /// one, whose ADD comes late, takes nobody's.
    async fn take_over(&self, owner: &Owner, request: &AddRequest) -> Result<(), CniError> {
        let rivals: Vec<(Rival, Arc<Endpoint>)> = self.state.read(|inner| {
            let endpoints = inner.endpoints.values();
            endpoints.filter_map(|it| Some((rival(it, owner, request)?, it.clone()))).collect()
        });
        if let Some((_, newer)) = rivals.iter().find(|(rival, _)| *rival == Rival::Newer) {
            let message = format!("pod {} has a newer sandbox by now", owner.pod);
            return Err(CniError::new(ErrorCode::TRY_AGAIN_LATER, message)
                .with_details(format!("its interface is {}", newer.interface)));
        }
        let former = rivals.into_iter().map(|(_, endpoint)| endpoint);
        for endpoint in former {
            info!(pod = %endpoint.pod, interface = %endpoint.interface, "a newer sandbox takes over");
            self.detach(&endpoint_owner(&endpoint));
            let interface = endpoint.interface.clone();
            let removed = blocking("removal", move || {
                Ok(Endpoints::open()?.remove(&endpoint.interface, &endpoint.alias)?)
            })
            .await;
            if let Err(error) = removed {
                warn!(interface, cause = %error.details, "the former sandbox keeps its interface; it passes nothing");
            }
        }
        Ok(())
    }

    /// The attachment's addresses; waits for a block under way.
    async fn assign(&self, owner: &Owner) -> Result<Vec<IpAddr>, CniError> {
        let assigned = tokio::time::timeout(ADDRESS_TIME_MAX, async {
            loop {
                let (error, changed) = match self.state.assign(owner) {
                    Ok(addresses) => return addresses,
                    Err(waiting) => *waiting,
                };
                self.unreported.notify_one();
                if self.clean_freed().await > 0 {
                    continue;
                }
                let _ = tokio::time::timeout(retry_after(&error), changed).await;
            }
        });
        if let Ok(addresses) = assigned.await {
            return Ok(addresses);
        }
        self.state.assign(owner).map_err(|waiting| {
            let (error, _) = *waiting;
            CniError::new(ErrorCode::TRY_AGAIN_LATER, error.to_string())
                .with_details(format!("waited {} s", ADDRESS_TIME_MAX.as_secs()))
        })
    }

    /// Alias, neighbours, routes; then policy; then the link goes up.
    async fn wire(
        &self,
        request: &AddRequest,
        pod: &Arc<Pod>,
        owner: &Owner,
        addresses: &[IpAddr],
    ) -> Result<(), CniError> {
        let side = HostSide {
            interface: request.host_interface.clone(),
            alias: Alias::of(&request.attachment, &owner.pod_uid).text(),
            addresses: addresses.to_vec(),
            pod_mac: request.pod_mac.0,
        };
        let alias = side.alias.clone();
        // Raised before its route, as the kernel takes none by an interface that is down. Nothing passes all the
        // same: the pod's end is down until the answer, and an interface without a chain drops.
        let sysctls = self.context.sysctls.clone();
        blocking("host side", move || {
            let mut endpoints = Endpoints::with_sysctls(sysctls)?;
            endpoints.prepare(&side)?;
            Ok(endpoints.raise(&side.interface)?)
        })
        .await?;
        for address in addresses {
            let target = RouteTarget::Link { interface: request.host_interface.clone() };
            self.context
                .routes
                .install(RouteSource::Local, IpNetwork::from(*address), target)
                .await
                .map_err(|error| kernel_error("route", &error))?;
        }
        let endpoint = Endpoint {
            interface: request.host_interface.clone(),
            index: request.host_ifindex,
            since: now(),
            pod: identity(request, owner),
            alias,
            container_id: request.attachment.container_id.clone(),
            ifname: request.attachment.ifname.clone(),
            addresses: addresses.to_vec(),
            object: Some(pod.clone()),
        };
        let ((), generation) = self.state.change(|inner| {
            inner.endpoints.insert(endpoint.interface.clone(), Arc::new(endpoint.clone()));
        });
        self.policy_serves(generation).await
    }

    /// Waits until the kernel's policy serves the endpoints of this generation.
    async fn policy_serves(&self, generation: u64) -> Result<(), CniError> {
        let mut policy = self.context.shared.policy.subscribe();
        let served =
            policy.wait_for(|progress| progress.in_sync && progress.endpoints_generation >= generation);
        let served = tokio::time::timeout(POLICY_TIME_MAX, served).await.is_ok_and(|served| served.is_ok());
        if served {
            return Ok(());
        }
        let cause = self.context.shared.policy.borrow().kernel_error.clone();
        Err(CniError::new(ErrorCode::TRY_AGAIN_LATER, "policy is not in the kernel yet").with_details(
            cause.unwrap_or_else(|| {
                "the policy watches are not in sync; is the API server reachable?".to_owned()
            }),
        ))
    }
}

/// Another sandbox of the pod that has the interface's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rival {
    /// It was made before.
    Former,
    /// It was made after: this request is late.
    Newer,
}

/// How the endpoint stands to the request: the kernel numbers interfaces in the order in which they are made, requests
/// arrive in any.
fn rival(endpoint: &Endpoint, owner: &Owner, request: &AddRequest) -> Option<Rival> {
    let is_rival = endpoint.pod.uid == owner.pod_uid
        && endpoint.ifname == request.attachment.ifname
        && endpoint.interface != request.host_interface;
    let is_newer = endpoint.index > request.host_ifindex;
    is_rival.then_some(if is_newer { Rival::Newer } else { Rival::Former })
}

/// How long until an attempt may succeed without any news.
fn retry_after(error: &OutOfAddresses) -> Duration {
    match error {
        OutOfAddresses::Exhausted { ready_at: Some(at), .. } => {
            Duration::from_millis(at.millis_since(now()).max(1))
        }
        _ => ADDRESS_TIME_MAX,
    }
}

/// Whom the addresses serve: the UID under which the runtime knows the pod, which for a static pod is not its object's.
fn owner(request: &AddRequest, pod: &Pod) -> Owner {
    let uid = request.pod.uid.clone().or_else(|| pod.metadata.uid.clone()).unwrap_or_default();
    let name = format!("{}/{}", request.pod.namespace, request.pod.name);
    Owner::new(uid, &request.attachment.container_id, &request.attachment.ifname, name)
}

/// The owner of an endpoint's addresses.
pub(super) fn endpoint_owner(endpoint: &Endpoint) -> Owner {
    Owner::new(&endpoint.pod.uid, &endpoint.container_id, &endpoint.ifname, endpoint.pod.to_string())
}

fn identity(request: &AddRequest, owner: &Owner) -> PodIdentity {
    PodIdentity {
        namespace: request.pod.namespace.clone(),
        name: request.pod.name.clone(),
        uid: owner.pod_uid.clone(),
    }
}

/// Runs what blocks on netlink outside of the runtime's thread.
pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> Result<T, CniError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(|error| kernel_error(what, error.as_ref())),
        Err(error) => Err(CniError::new(ErrorCode::KERNEL, what).with_details(error.to_string())),
    }
}

fn kernel_error(what: &str, error: &dyn std::error::Error) -> CniError {
    CniError::new(ErrorCode::KERNEL, format!("the kernel refuses the {what}")).with_details(error.to_string())
}

#[cfg(test)]
mod tests {
    use cni::{
        mac::MacAddress,
        protocol::{Attachment, PodReference},
    };
    use ipam::moment::Moment;

    use super::*;

    #[test]
    fn the_sandbox_that_was_made_last_wins() {
        let request = AddRequest {
            attachment: Attachment {
                network: "tortie".to_owned(),
                container_id: "c".to_owned(),
                ifname: "eth0".to_owned(),
            },
            pod: PodReference {
                namespace: "x".to_owned(),
                name: "web".to_owned(),
                uid: Some("u1".to_owned()),
            },
            netns: "/n".to_owned(),
            host_interface: "tort0".to_owned(),
            host_ifindex: 10,
            pod_mac: MacAddress([2; 6]),
            requested_addresses: Vec::new(),
        };
        let owner = Owner::new("u1", "c", "eth0", "x/web");
        // (why, interface, its number, UID of its pod, its name in the pod, rival)
        let cases = [
            ("made before", "tort1", 9, "u1", "eth0", Some(Rival::Former)),
            ("made after", "tort1", 11, "u1", "eth0", Some(Rival::Newer)),
            ("the request repeated", "tort0", 10, "u1", "eth0", None),
            ("another pod", "tort1", 11, "u2", "eth0", None),
            ("another interface of the pod", "tort1", 11, "u1", "net1", None),
        ];
        for (why, interface, index, uid, ifname, expected) in cases {
            let endpoint = Endpoint {
                interface: interface.to_owned(),
                index,
                since: Moment::NEVER,
                pod: PodIdentity { namespace: "x".to_owned(), name: "web".to_owned(), uid: uid.to_owned() },
                alias: String::new(),
                container_id: "other".to_owned(),
                ifname: ifname.to_owned(),
                addresses: Vec::new(),
                object: None,
            };
            assert_eq!(rival(&endpoint, &owner, &request), expected, "{why}");
        }
    }
}
