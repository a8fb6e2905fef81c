//! `BGPPeer`: a router that the nodes it selects peer with.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// A router that the selected nodes peer with.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tortie.dev",
    version = "v1alpha1",
    kind = "BGPPeer",
    plural = "bgppeers",
    singular = "bgppeer",
    derive = "PartialEq",
    doc = "A router outside the cluster that the selected nodes peer with: a top-of-rack switch, mostly.",
    printcolumn = r#"{"name":"Peer","type":"string","jsonPath":".spec.peerIP"}"#,
    printcolumn = r#"{"name":"AS","type":"integer","jsonPath":".spec.asNumber"}"#,
    printcolumn = r#"{"name":"Nodes","type":"string","jsonPath":".spec.nodeSelector"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("!has(self.holdTimeSeconds) || self.holdTimeSeconds == 0 || self.holdTimeSeconds >= 3", "spec.holdTimeSeconds must be 0 (no keepalives) or 3 to 65535 (RFC 4271 section 4.2)"),
    validation = ("!(has(self.ttlSecurity) && has(self.ebgpMultihop))", "spec.ttlSecurity and spec.ebgpMultihop both say how far the router is: keep one")
)]
pub struct BGPPeerSpec {
    /// Which nodes peer with it, in the selector language.
    #[serde(default = "crate::selector::all_text")]
    #[schemars(length(max = 1024))]
    pub node_selector: String,

    /// The router's address, IPv4 or IPv6.
    #[serde(rename = "peerIP")]
    #[x_kube(validation = ("isIP(self)", "spec.peerIP must be an IPv4 or IPv6 address"))]
    #[schemars(length(min = 2, max = 45))]
    pub peer_ip: String,

    /// The router's AS number, 1 to 4294967295.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub as_number: u32,

    /// TCP port of the router.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,

    /// Hold time that is offered to this peer, in seconds; the `BGPConfiguration`'s where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 65535))]
    pub hold_time_seconds: Option<u16>,

    /// Whether the nodes wait for the router to connect and never connect themselves.
    #[serde(default)]
    pub passive: bool,

    /// Where this is set, BFD (RFC 5880) watches the way to the router: one that fails ends the session within some
    /// intervals instead of the hold time. The router must have BFD for its side. `bfd: {}` takes the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<BfdSpec>,

    /// Which key of the Secret `tortie-bgp-passwords` in `kube-system` has the TCP MD5 password of the session
    /// (RFC 2385), 1 to 80 bytes. While the Secret or the key is missing the session stays down. A changed
    /// password is taken without a reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self.matches('^[-._a-zA-Z0-9]+$')", "spec.passwordKey must be a key of a Secret: letters, digits, `-`, `_` and `.`"))]
    #[schemars(length(min = 1, max = 253))]
    pub password_key: Option<String>,

    /// Generalized TTL security (RFC 5082): within how many hops the router must be, 1 for the same link. The router must
    /// have it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 255))]
    pub ttl_security: Option<u8>,

    /// How many hops a router of another AS may be away; 1, the same link, where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 255))]
    pub ebgp_multihop: Option<u8>,

    /// From which address the nodes connect, and to which they let the router connect.
    #[serde(default)]
    pub source_address: SourceAddress,

    /// How often the nodes' own AS number may stand in the path of a route from this router; 0 to 10. With 1 nodes of one
    /// AS learn each other's routes from routers of another AS.
    #[serde(rename = "numAllowedLocalASNumbers", default)]
    #[schemars(range(max = 10))]
    pub allowed_local_as_numbers: u8,

    /// How many prefixes of each family the router may announce; any number where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_prefixes: Option<MaxPrefixesSpec>,

    /// Keeps the sessions down for as long as it is set. The router is told this text (RFC 9003), at most 255 bytes; it
    /// may be empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub shutdown: Option<String>,
}

impl BGPPeerSpec {
    /// The router at this address and in this AS as a peer of every node, with the defaults.
    pub fn new(peer_ip: impl Into<String>, as_number: u32) -> Self {
        Self {
            node_selector: crate::selector::all_text(),
            peer_ip: peer_ip.into(),
            as_number,
            port: default_port(),
            hold_time_seconds: None,
            passive: false,
            bfd: None,
            password_key: None,
            ttl_security: None,
            ebgp_multihop: None,
            source_address: SourceAddress::default(),
            allowed_local_as_numbers: 0,
            max_prefixes: None,
            shutdown: None,
        }
    }
}

/// How many prefixes a router may announce, and what happens beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaxPrefixesSpec {
    /// Limit for each family.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub limit: u32,

    /// `Shutdown` ends the session, `Discard` takes no more than the limit, `Warn` takes all and says so.
    #[serde(default)]
    pub action: MaxPrefixesAction,

    /// After how many seconds a session that ended for it is tried again; where it is not set, when this object changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub restart_seconds: Option<u32>,
}

/// What happens to a router that announces too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum MaxPrefixesAction {
    /// The session ends and the router's routes go.
    #[default]
    Shutdown,
    /// What is beyond the limit is not taken.
    Discard,
    /// A log line says so.
    Warn,
}

/// How BFD watches a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BfdSpec {
    /// The node sends no more often, in milliseconds.
    #[serde(default = "default_bfd_interval")]
    #[schemars(range(min = 10, max = 60000))]
    pub transmit_interval_millis: u32,

    /// The router is asked to send no more often, in milliseconds.
    #[serde(default = "default_bfd_interval")]
    #[schemars(range(min = 10, max = 60000))]
    pub receive_interval_millis: u32,

    /// So many intervals of silence mean that the way failed.
    #[serde(default = "default_bfd_multiplier")]
    #[schemars(range(min = 1, max = 255))]
    pub detect_multiplier: u8,
}

fn default_bfd_interval() -> u32 {
    300
}

fn default_bfd_multiplier() -> u8 {
    3
}

/// The node's end of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum SourceAddress {
    /// The address of the node, of the router's family.
    UseNodeIP,
    /// Whatever the kernel chooses for the way to the router.
    #[default]
    None,
}

fn default_port() -> u16 {
    179
}
