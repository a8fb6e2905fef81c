//! ADD: the pair, then one request to the daemon, then the pod's side.
//!
//! ```text
//! create the pair, host end DOWN -> daemon: Add -> pod's side -> result
//!        |                            |               |
//!        '-- name taken: whose? ------+---------------+--> undo: remove the pair, daemon: Del
//! ```
//!
//! The host end stays down until the daemon brings it up, which it does after the policy: no packet of
//! the pod is forwarded before.

use ipnetwork::IpNetwork;

use crate::client::{self, ClientError, Patience};
use crate::netlink::Netlink;
use crate::netns::{self, Link, Netns};
use crate::protocol::{AddRequest, Answer, Attachment, DelRequest, Grant, Request};
use crate::request::{Arguments, Configuration, Target};
use crate::response::{AddResult, CniError, ErrorCode};
use crate::veth::{self, Owner, Pair, PodSide, Wishes};

/// Makes the attachment. After an error nothing of it is left in the kernel, unless it was there before.
///
/// # Errors
/// The specification's codes; 100 and 101 for what the kernel refused.
pub fn run(
    configuration: &Configuration,
    target: &Target,
    arguments: Arguments,
) -> Result<AddResult, CniError> {
    if configuration.previous.is_some() {
        return Err(CniError::new(ErrorCode::INVALID_CONFIGURATION, "this plugin makes the pod's interface")
            .with_details("put it first in the list of plugins"));
    }
    let netns = Netns::open(&target.netns)?;
    let mut netlink = netns::netlink()?;
    let pair = Pair::of(&target.attachment, configuration.mtu);
    let host = create(&mut netlink, &pair, &netns, &target.attachment)?;
    let request = add_request(configuration, target, arguments, &pair, host.index);
    attach(&mut netlink, configuration, &request, &netns, &host)
        .map(|side| result(&pair, &side, &request))
        .map_err(|error| undo(&mut netlink, configuration, &request, error))
}

/// The pair's host end. A name that is taken by what a former ADD of the same attachment left behind
/// in another namespace is freed; whatever works is left alone.
fn create(
    netlink: &mut Netlink,
    pair: &Pair,
    netns: &Netns,
    attachment: &Attachment,
) -> Result<Link, CniError> {
    if netns::create(netlink, pair, netns)?.is_none() {
        free_name(netlink, pair, netns, attachment)?;
        netns::create(netlink, pair, netns)?
            .ok_or_else(|| conflict(&pair.host_name, "it was made meanwhile"))?;
    }
    netns::link(netlink, &pair.host_name)?.ok_or_else(|| conflict(&pair.host_name, "it vanished at once"))
}

fn free_name(
    netlink: &mut Netlink,
    pair: &Pair,
    netns: &Netns,
    attachment: &Attachment,
) -> Result<(), CniError> {
    let inside = netns.inside(|| netns::link(&mut netns::netlink()?, &pair.pod_name))?;
    if inside.is_some() {
        return Err(conflict(
            &pair.pod_name,
            "it exists in the container already; DEL comes before a second ADD",
        ));
    }
    let Some(host) = netns::link(netlink, &pair.host_name)? else { return Ok(()) };
    match veth::owner(&host.alias, attachment) {
        Owner::Nobody | Owner::Attachment => netns::remove(netlink, host.index),
        Owner::Other => Err(conflict(&pair.host_name, &format!("its alias is {:?}", host.alias))),
    }
}

fn conflict(interface: &str, details: &str) -> CniError {
    CniError::new(ErrorCode::INTERFACE_CONFLICT, format!("interface {interface} is in the way"))
        .with_details(details)
}

fn add_request(
    configuration: &Configuration,
    target: &Target,
    arguments: Arguments,
    pair: &Pair,
    host_ifindex: u32,
) -> AddRequest {
    let mut requested_addresses = configuration.requested_addresses.clone();
    requested_addresses.extend(arguments.requested_address);
    AddRequest {
        attachment: target.attachment.clone(),
        pod: arguments.pod,
        netns: target.netns.clone(),
        host_interface: pair.host_name.clone(),
        host_ifindex,
        pod_mac: pair.pod_mac,
        requested_addresses,
    }
}

/// Everything after the pair's creation.
fn attach(
    netlink: &mut Netlink,
    configuration: &Configuration,
    request: &AddRequest,
    netns: &Netns,
    host: &Link,
) -> Result<PodSide, CniError> {
    let grant = grant(&configuration.socket, request)?;
    let wishes = Wishes { mtu: configuration.mtu, default_route: configuration.default_route };
    let side = PodSide::of(&request.attachment.ifname, &grant, wishes)?;
    if host.mtu != Some(side.mtu) {
        netns::set_mtu(netlink, host.index, side.mtu)?;
    }
    netns.inside(|| netns::configure(&side))?;
    Ok(side)
}

fn grant(socket: &str, request: &AddRequest) -> Result<Grant, CniError> {
    match client::ask(socket, &Request::Add(request.clone()), Patience::FOR_ADD)? {
        Answer::Granted(grant) => Ok(grant),
        other => Err(client::unexpected(&other)),
    }
}

/// Removes the pair and lets the daemon take back what it gave. The first error is the one that counts;
/// what goes wrong here is added to its details.
fn undo(
    netlink: &mut Netlink,
    configuration: &Configuration,
    request: &AddRequest,
    error: CniError,
) -> CniError {
    let removed = netns::remove(netlink, request.host_ifindex);
    let taken_back = Request::Del(DelRequest {
        attachment: request.attachment.clone(),
        host_interface: request.host_interface.clone(),
    });
    let told = match client::ask(&configuration.socket, &taken_back, Patience::NONE) {
        // A daemon that is away finds by itself that the interface is gone.
        Ok(_) | Err(ClientError::Away { .. }) => Ok(()),
        Err(ClientError::Answer(error)) => Err(error),
    };
    let also: Vec<_> = [removed, told].into_iter().filter_map(Result::err).collect();
    also.into_iter().fold(error, |error, also| {
        let details = format!("{}; and while undoing: {also}", error.details);
        error.with_details(details)
    })
}

fn result(pair: &Pair, side: &PodSide, request: &AddRequest) -> AddResult {
    let gateway = |is_ipv4| side.neighbours.iter().find(|(ip, _)| ip.is_ipv4() == is_ipv4).map(|(ip, _)| *ip);
    let addresses = side.addresses.iter();
    AddResult {
        host_interface: pair.host_name.clone(),
        host_mac: pair.host_mac,
        pod_interface: pair.pod_name.clone(),
        pod_mac: pair.pod_mac,
        netns: request.netns.clone(),
        mtu: side.mtu,
        addresses: addresses.filter_map(|ip| Some((IpNetwork::from(*ip), gateway(ip.is_ipv4())?))).collect(),
        routes: side.reported_routes(),
    }
}
