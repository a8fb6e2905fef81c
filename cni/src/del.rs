//! DEL: the interface first, then the daemon's side.
//!
//! The interface goes before the address is free again, so that no two pods ever bear the same one.
//! What is gone already is a success, as the specification wants it, and so is a daemon that is away:
//! it finds the rest when it comes back.

use crate::client::{self, ClientError, Patience};
use crate::netlink::Netlink;
use crate::netns;
use crate::protocol::{Answer, Attachment, DelRequest, Request};
use crate::request::Configuration;
use crate::response::CniError;
use crate::veth::{self, Owner};

/// Takes the attachment back.
///
/// # Errors
/// Only what the kernel or a daemon that is there refuses.
pub fn run(configuration: &Configuration, attachment: &Attachment) -> Result<(), CniError> {
    let host_interface = veth::host_interface_name(attachment);
    remove_interface(&mut netns::netlink()?, attachment, &host_interface)?;
    let request = Request::Del(DelRequest { attachment: attachment.clone(), host_interface });
    match client::ask(&configuration.socket, &request, Patience::NONE) {
        Ok(Answer::Done) | Err(ClientError::Away { .. }) => Ok(()),
        Ok(other) => Err(client::unexpected(&other)),
        Err(ClientError::Answer(error)) => Err(error),
    }
}

/// Removes the attachment's pair by its host end. An interface of that name which serves somebody else
/// stays; it is not the one that is to go.
pub(crate) fn remove_interface(
    netlink: &mut Netlink,
    attachment: &Attachment,
    host_interface: &str,
) -> Result<(), CniError> {
    let Some(host) = netns::link(netlink, host_interface)? else { return Ok(()) };
    match veth::owner(&host.alias, attachment) {
        Owner::Nobody | Owner::Attachment => netns::remove(netlink, host.index),
        Owner::Other => Ok(()),
    }
}
