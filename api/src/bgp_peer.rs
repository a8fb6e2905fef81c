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
    validation = ("!has(self.holdTimeSeconds) || self.holdTimeSeconds == 0 || self.holdTimeSeconds >= 3", "spec.holdTimeSeconds must be 0 (no keepalives) or 3 to 65535 (RFC 4271 section 4.2)")
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

fn default_port() -> u16 {
    179
}
