//! What `tortiectl` and the daemons say to each other over the control socket.
//!
//! A message is its length as a big-endian `u32`, then that many bytes of JSON. The client sends one [`Request`] and
//! reads one [`Reply`]; a connection may carry several such pairs. Fields may be added; none changes its meaning.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Longest message that either side reads, in bytes: a full table of some 100,000 routes fits.
pub const MESSAGE_LENGTH_MAX: u32 = 64 * 1024 * 1024;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "show", rename_all = "kebab-case")]
pub enum Request {
    /// The node as a whole: [`NodeStatus`].
    Node,
    /// Every BGP session: a list of [`PeerStatus`].
    Peers,
    /// Every prefix with all its paths: a list of [`RouteStatus`].
    Routes,
    /// The node's blocks and who holds their addresses: a list of [`BlockStatus`].
    Ipam,
    /// What is in force for one pod of this node: [`PodPolicyStatus`].
    Policy {
        /// The pod's namespace.
        namespace: String,
        /// The pod's name.
        pod: String,
    },
    /// Changes what is logged, in the syntax of the `--log-level` flag.
    LogLevel {
        /// For example `info` or `bgp=debug,info`.
        level: String,
    },
}

/// What the daemon answers: the value that the request names, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply<T> {
    /// The value.
    Value(T),
    /// Why there is none, with the remedy.
    Error(String),
}

/// The node as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The Node's name; the router's host name where there is no cluster.
    pub node: String,
    /// The daemon's version.
    pub version: String,
    /// For how long the daemon has been running, in seconds.
    pub uptime_secs: u64,
    /// The node's own AS number.
    pub asn: u32,
    /// The node's BGP identifier.
    pub router_id: String,
    /// The node's addresses, each with the reason for its choice.
    pub addresses: Vec<AddressStatus>,
    /// Prefixes that this node originates.
    pub originated: Vec<String>,
    /// How many sessions are established.
    pub peers_established: usize,
    /// How many peers are configured.
    pub peers_configured: usize,
    /// How many pods of this node have network.
    pub endpoints: usize,
    /// How many policies are in force here.
    pub policies: usize,
    /// What works and what does not, and why.
    pub conditions: Vec<ConditionStatus>,
}

/// One of the node's addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressStatus {
    /// The address.
    pub address: String,
    /// Why it was chosen.
    pub reason: String,
}

/// One observation about the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionStatus {
    /// What is observed: `Routing`, `Policy`, `Addresses`, `API` ...
    pub name: String,
    /// Whether it holds.
    pub holds: bool,
    /// Why, with object, cause and remedy.
    pub message: String,
}

/// One BGP session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Where the peer comes from: a `BGPPeer`, the other node of a mesh, a neighbour of the TOML file.
    pub name: String,
    /// The peer's address.
    pub address: String,
    /// The peer's AS number.
    pub asn: u32,
    /// State of the session machine, as in RFC 4271 section 8.
    pub state: String,
    /// For how long it has been in this state, in seconds.
    pub since_secs: u64,
    /// Counts for each family in use.
    pub families: Vec<FamilyStatus>,
    /// Hold time that was agreed, in seconds; absent while there is no session.
    pub hold_time_secs: Option<u16>,
    /// State of BFD, as in RFC 5880 section 6.2; absent where it does not watch the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<String>,
    /// The last NOTIFICATION that we sent, and how long ago; empty if there was none.
    #[serde(default)]
    pub last_error_sent: String,
    /// The last NOTIFICATION that the peer sent, and how long ago; empty if there was none.
    #[serde(default)]
    pub last_error_received: String,
    /// Our end of the session, while there is one.
    #[serde(default)]
    pub local_address: Option<String>,
    /// The peer's BGP identifier, while there is a session.
    #[serde(default)]
    pub remote_router_id: Option<String>,
    /// What the peer said it can do.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// When we dial next, in seconds; absent if we do not.
    #[serde(default)]
    pub next_dial_secs: Option<u64>,
    /// How often the session has ended since the daemon started.
    pub flaps: u64,
    /// Why the session ended last, with the side that ended it; empty if it never did.
    pub last_error: String,
}

/// Counts of one family in one session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyStatus {
    /// `ipv4-unicast` or `ipv6-unicast`.
    pub family: String,
    /// Prefixes that the peer announces.
    pub received: usize,
    /// Of these, the prefixes that import policy accepted.
    pub accepted: usize,
    /// Prefixes that we announce to the peer.
    pub advertised: usize,
}

/// One prefix and all paths to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// The prefix.
    pub prefix: String,
    /// Every path, the best first.
    pub paths: Vec<PathStatus>,
}

/// One path of a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathStatus {
    /// The peer that it was learnt from; `local` for what this node originates.
    pub peer: String,
    /// The next hop.
    pub next_hop: String,
    /// The AS path as text, nearest AS first.
    pub as_path: String,
    /// `LOCAL_PREF`, where it counts.
    pub local_pref: Option<u32>,
    /// `MULTI_EXIT_DISC`.
    pub med: Option<u32>,
    /// Communities of all three kinds, as text.
    pub communities: Vec<String>,
    /// Whether it is the best path.
    pub best: bool,
    /// Whether traffic uses it, alone or beside others.
    pub multipath: bool,
    /// Whether it is kept over the restart of its peer (RFC 4724).
    pub stale: bool,
    /// Why it is not the best: the step of the decision that dropped it, or why it is not eligible.
    pub reason: String,
}

/// One block of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockStatus {
    /// The block's prefix.
    pub cidr: String,
    /// Name of its pool.
    pub pool: String,
    /// How many addresses it has.
    pub addresses: u64,
    /// Whether it gives no more addresses.
    pub draining: bool,
    /// Why it is not used, if so; empty otherwise.
    pub problem: String,
    /// Which address serves which pod.
    pub allocations: Vec<AllocationStatus>,
}

/// One address in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationStatus {
    /// The address.
    pub address: String,
    /// Namespace and name of the pod; its UID where these are not known.
    pub pod: String,
    /// The host-side interface; empty while the pod is being made.
    pub interface: String,
    /// For how long, in seconds.
    pub since_secs: u64,
}

/// What is in force for one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodPolicyStatus {
    /// Namespace and name.
    pub pod: String,
    /// The pod's addresses.
    pub addresses: Vec<String>,
    /// The host-side interface.
    pub interface: String,
    /// What may reach the pod.
    pub ingress: DirectionStatus,
    /// What the pod may reach.
    pub egress: DirectionStatus,
}

/// One direction of a pod's policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectionStatus {
    /// Whether any policy selects the pod in this direction; if none does, everything passes.
    pub isolated: bool,
    /// The policies that select it, with what they let pass.
    pub policies: Vec<PolicyRulesStatus>,
}

/// One policy and its rules, as sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRulesStatus {
    /// Namespace and name.
    pub policy: String,
    /// What each rule lets pass.
    pub rules: Vec<String>,
    /// Why the policy could not be compiled, if so: then it lets nothing pass.
    pub error: String,
}

/// Writes one message.
///
/// # Errors
/// The writer's error; `InvalidInput` for a value that is too long.
pub fn write_message(writer: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= MESSAGE_LENGTH_MAX);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "message too long"))?;
    writer.write_all(&length.to_be_bytes())?;
    writer.write_all(&body)?;
    writer.flush()
}

/// Reads one message; nothing if the other side closed before its first byte.
///
/// # Errors
/// The reader's error; `InvalidData` for a length over the limit or for JSON of another shape.
pub fn read_message<T: DeserializeOwned>(reader: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0_u8; 4];
    match reader.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(length);
    if length > MESSAGE_LENGTH_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
    }
    let mut body = Vec::new();
    reader.take(u64::from(length)).read_to_end(&mut body)?;
    serde_json::from_slice(&body).map(Some).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_stable_spelling() {
        // (request, JSON)
        let cases = [
            (Request::Node, r#"{"show":"node"}"#),
            (Request::Peers, r#"{"show":"peers"}"#),
            (
                Request::Policy { namespace: "a".into(), pod: "b".into() },
                r#"{"show":"policy","namespace":"a","pod":"b"}"#,
            ),
        ];
        for (request, text) in cases {
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
            assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request);
        }
    }

    #[test]
    fn messages_are_framed() {
        let mut wire = Vec::new();
        write_message(&mut wire, &Request::Routes).unwrap();
        // (why, bytes, read)
        let cases: [(&str, Vec<u8>, Result<Option<Request>, io::ErrorKind>); 5] = [
            ("whole", wire.clone(), Ok(Some(Request::Routes))),
            ("closed before the first byte", Vec::new(), Ok(None)),
            ("cut in its body", wire[..8].to_vec(), Err(io::ErrorKind::UnexpectedEof)),
            ("absurd length", vec![0xff; 8], Err(io::ErrorKind::InvalidData)),
            ("no JSON", vec![0, 0, 0, 1, b'x'], Err(io::ErrorKind::InvalidData)),
        ];
        for (why, bytes, expected) in cases {
            let read = read_message::<Request>(&mut bytes.as_slice()).map_err(|error| error.kind());
            assert_eq!(read, expected, "{why}");
        }
    }
}
