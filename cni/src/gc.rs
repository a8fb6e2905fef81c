//! GC: the daemon says which attachments are stale, their interfaces go here.

use std::time::SystemTime;

use crate::client::{self, Patience};
use crate::del;
use crate::netns;
use crate::protocol::{Answer, GcRequest, Request};
use crate::request::Configuration;
use crate::response::{CniError, ErrorCode};

/// Takes back all attachments of this network that are not in the configuration's list. All are tried;
/// the first error is the answer.
///
/// # Errors
/// Code 7 without a list: an absent list is not an empty one, and would mean every pod of the node.
/// Code 11 while the daemon is away, because it alone knows which attachments predate the request.
pub fn run(configuration: &Configuration) -> Result<(), CniError> {
    let valid = configuration.valid_attachments.clone().ok_or_else(|| {
        CniError::new(ErrorCode::INVALID_CONFIGURATION, "cni.dev/valid-attachments is missing")
    })?;
    let request = Request::Gc(GcRequest {
        network: configuration.network.clone(),
        valid,
        asked_at_millis: now_millis(),
    });
    let stale = match client::ask(&configuration.socket, &request, Patience::NONE)? {
        Answer::Stale(stale) => stale,
        other => return Err(client::unexpected(&other)),
    };
    let mut netlink = netns::netlink()?;
    let ours = stale.iter().filter(|entry| entry.attachment.network == configuration.network);
    let removed: Vec<_> = ours
        .map(|entry| del::remove_interface(&mut netlink, &entry.attachment, &entry.host_interface))
        .collect();
    removed.into_iter().collect()
}

/// Nothing on a host whose clock stands before 1970.
#[expect(clippy::disallowed_methods, reason = "the daemon compares with when it attached what")]
fn now_millis() -> Option<u64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}
