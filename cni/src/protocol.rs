//! What the plugin and the daemon say to each other on `/run/tortie/cni.sock`.
//!
//! Each message is a big-endian `u32` length and as many bytes of JSON. A connection carries any number
//! of requests, each answered in order; the plugin sends one and leaves.
//!
//! ```text
//! ADD     plugin: makes the pair, host end DOWN  ->  Add     daemon: address, alias, neighbour, route,
//!                                                            policy, link up
//!         plugin: carries out the pod's side     <-  Granted
//! DEL     plugin: removes the interface          ->  Del     daemon: policy, route, address
//!                                                <-  Done
//! CHECK                                          ->  Check   daemon: compares its own side
//!         plugin: compares the pod's side        <-  Granted
//! GC                                             ->  Gc      daemon: as DEL for each that is not valid
//!         plugin: removes these interfaces       <-  Stale
//! STATUS                                         ->  Status
//!                                                <-  Done, or an error with code 50 or 51
//! ```

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::mac::MacAddress;
use crate::response::{CniError, ErrorCode};

/// The version of this protocol; a message with another one is refused whole.
pub const PROTOCOL_VERSION: u32 = 1;

/// Longest message in bytes. The largest one is GC's list: 4,000 attachments of 200 bytes are 800 KB.
pub const FRAME_LENGTH_MAX: usize = 1 << 20;

/// Bytes of the length that precedes every message.
pub const FRAME_HEADER_LENGTH: usize = 4;

/// One interface of one container on one network: the specification's key of an attachment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// `name` of the network configuration.
    pub network: String,
    /// `CNI_CONTAINERID`: the sandbox, not the pod.
    pub container_id: String,
    /// `CNI_IFNAME`: the interface's name inside the pod.
    pub ifname: String,
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of container {} on network {}", self.ifname, self.container_id, self.network)
    }
}

/// Whom an attachment serves, from `CNI_ARGS`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodReference {
    /// `K8S_POD_NAMESPACE`.
    pub namespace: String,
    /// `K8S_POD_NAME`.
    pub name: String,
    /// `K8S_POD_UID`; runtimes of old do not send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// What the plugin asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Give this attachment its addresses and do the host's side; answered by [`Answer::Granted`].
    Add(AddRequest),
    /// Take everything back from this attachment; its interface is gone already. Answered by
    /// [`Answer::Done`], also for an attachment that never was.
    Del(DelRequest),
    /// Compare the host's side with what it should be; answered by [`Answer::Granted`].
    Check(CheckRequest),
    /// Can you serve ADD? Answered by [`Answer::Done`].
    Status,
    /// Take everything back from all attachments of this network which are not in the list and are
    /// older than this request; answered by [`Answer::Stale`].
    Gc(GcRequest),
}

/// ADD: the pair exists, its host end is down and bears no alias yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddRequest {
    /// Which attachment.
    pub attachment: Attachment,
    /// Whom it serves.
    pub pod: PodReference,
    /// `CNI_NETNS`: path of the pod's network namespace.
    pub netns: String,
    /// Name of the pair's host end, in the namespace of the daemon.
    pub host_interface: String,
    /// Index of the pair's host end.
    pub host_ifindex: u32,
    /// Link-layer address of the pod's end.
    pub pod_mac: MacAddress,
    /// Addresses that the runtime asks for by name (`ips` capability, `IP` in `CNI_ARGS`); usually none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requested_addresses: Vec<IpAddr>,
}

/// DEL: the interface is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelRequest {
    /// Which attachment.
    pub attachment: Attachment,
    /// Name that the pair's host end had.
    pub host_interface: String,
}

/// CHECK: is the attachment still as ADD left it?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// Which attachment.
    pub attachment: Attachment,
    /// Name of the pair's host end.
    pub host_interface: String,
    /// The addresses that ADD answered, from the runtime's `prevResult`.
    pub addresses: Vec<IpAddr>,
}

/// GC: the attachments that are still in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GcRequest {
    /// The network whose attachments are meant; those of other networks stay.
    pub network: String,
    /// All attachments of that network that the runtime knows.
    pub valid: Vec<ValidAttachment>,
    /// When the runtime asked, in milliseconds of the Unix epoch: what was attached later it cannot know. Absent from
    /// plugins of old, whose question counts as asked when it arrives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at_millis: Option<u64>,
}

/// One attachment that is in use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidAttachment {
    /// The sandbox.
    pub container_id: String,
    /// The interface's name inside the pod.
    pub ifname: String,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The host's side is complete, and this is what the pod's side shall be.
    Granted(Grant),
    /// It is so.
    Done,
    /// These attachments have been taken back; their interfaces may go.
    Stale(Vec<StaleAttachment>),
    /// It is not so, and why.
    Error(CniError),
}

/// What belongs to one attachment, as far as its pod can see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The pod's addresses with the gateway of each family; at least one, at most one of each family.
    pub addresses: Vec<GrantedAddress>,
    /// Link-layer address of both gateways.
    pub gateway_mac: MacAddress,
    /// MTU of both ends in bytes; a value in the network configuration has precedence.
    pub mtu: u32,
}

/// One address of a pod; its prefix is always the whole address, /32 or /128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantedAddress {
    /// The pod's own address.
    pub address: IpAddr,
    /// The next hop of everything else, of the same family.
    pub gateway: IpAddr,
}

/// An attachment that garbage collection took back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaleAttachment {
    /// Which attachment it was.
    pub attachment: Attachment,
    /// Name of the pair's host end, which the plugin now removes if its alias says the same.
    pub host_interface: String,
}

/// A message on the socket cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The message is longer than anyone has reason to send.
    #[error("message of {0} bytes; at most {FRAME_LENGTH_MAX} are accepted")]
    TooLong(usize),
    /// The other side speaks another version: plugin and daemon are not of one release.
    #[error(
        "protocol version {0}, but this side speaks {PROTOCOL_VERSION}; install plugin and daemon of one release"
    )]
    Version(u64),
    /// Not JSON, or not what this protocol says.
    #[error("malformed message: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl From<ProtocolError> for CniError {
    fn from(error: ProtocolError) -> Self {
        let code = match error {
            ProtocolError::TooLong(_) | ProtocolError::Malformed(_) => ErrorCode::DECODING_FAILURE,
            // Both sides are replaced one after the other in an upgrade.
            ProtocolError::Version(_) => ErrorCode::TRY_AGAIN_LATER,
        };
        Self::new(code, "plugin and daemon do not understand each other").with_details(error.to_string())
    }
}

#[derive(Serialize)]
struct Outgoing<'a, T> {
    version: u32,
    body: &'a T,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Incoming<T> {
    #[expect(dead_code, reason = "checked before the rest is read, see VersionOnly")]
    version: u64,
    body: T,
}

/// A request as it goes over the socket, length included.
///
/// # Errors
/// `TooLong` for a GC list beyond [`FRAME_LENGTH_MAX`].
pub fn encode_request(request: &Request) -> Result<Vec<u8>, ProtocolError> {
    encode(request)
}

/// An answer as it goes over the socket, length included.
///
/// # Errors
/// `TooLong` for a list of stale attachments beyond [`FRAME_LENGTH_MAX`].
pub fn encode_answer(answer: &Answer) -> Result<Vec<u8>, ProtocolError> {
    encode(answer)
}

/// How many bytes of JSON follow this length.
///
/// # Errors
/// `TooLong` beyond [`FRAME_LENGTH_MAX`]; the connection cannot be used any more.
pub fn frame_length(header: [u8; FRAME_HEADER_LENGTH]) -> Result<usize, ProtocolError> {
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if length > FRAME_LENGTH_MAX { Err(ProtocolError::TooLong(length)) } else { Ok(length) }
}

/// The request in these bytes, which follow the length.
///
/// # Errors
/// `Version` and `Malformed`.
pub fn decode_request(json: &[u8]) -> Result<Request, ProtocolError> {
    decode(json)
}

/// The answer in these bytes, which follow the length.
///
/// # Errors
/// `Version` and `Malformed`.
pub fn decode_answer(json: &[u8]) -> Result<Answer, ProtocolError> {
    decode(json)
}

fn encode<T: Serialize>(body: &T) -> Result<Vec<u8>, ProtocolError> {
    let json = serde_json::to_vec(&Outgoing { version: PROTOCOL_VERSION, body })?;
    let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= FRAME_LENGTH_MAX);
    let length = length.ok_or(ProtocolError::TooLong(json.len()))?;
    Ok([&length.to_be_bytes(), json.as_slice()].concat())
}

/// The version is read first and alone, so that another release's message is refused for its version
/// and not for a field that it has and we have not.
fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, ProtocolError> {
    let VersionOnly { version } = serde_json::from_slice(json)?;
    if version != u64::from(PROTOCOL_VERSION) {
        return Err(ProtocolError::Version(version));
    }
    Ok(serde_json::from_slice::<Incoming<T>>(json)?.body)
}

#[cfg(test)]
mod tests;
