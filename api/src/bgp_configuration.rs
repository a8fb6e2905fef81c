//! `BGPConfiguration`: how the nodes that it selects speak BGP.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::names::DEFAULT_ASN;

/// How the selected nodes speak BGP. The configuration of lowest `precedence`, then of the first name, that selects a node is the node's.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tortie.dev",
    version = "v1alpha1",
    kind = "BGPConfiguration",
    plural = "bgpconfigurations",
    singular = "bgpconfiguration",
    shortname = "bgpconf",
    derive = "PartialEq",
    doc = "How the selected nodes speak BGP. Of the configurations that select a node the one of lowest precedence, then of the first name, is the node's.",
    printcolumn = r#"{"name":"AS","type":"integer","jsonPath":".spec.asNumber"}"#,
    printcolumn = r#"{"name":"Mesh","type":"boolean","jsonPath":".spec.nodeToNodeMeshEnabled"}"#,
    printcolumn = r#"{"name":"Precedence","type":"integer","jsonPath":".spec.precedence"}"#,
    printcolumn = r#"{"name":"Nodes","type":"string","jsonPath":".spec.nodeSelector"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("self.holdTimeSeconds == 0 || self.holdTimeSeconds >= 3", "spec.holdTimeSeconds must be 0 (no keepalives) or 3 to 65535 (RFC 4271 section 4.2)")
)]
pub struct BGPConfigurationSpec {
    /// Which nodes this is for, in the selector language.
    #[serde(default = "crate::selector::all_text")]
    #[schemars(length(max = 1024))]
    pub node_selector: String,

    /// Lower wins where several configurations select one node.
    #[serde(default = "default_precedence")]
    #[schemars(range(min = 0, max = 10000))]
    pub precedence: u32,

    /// AS number of the nodes, 1 to 4294967295.
    #[serde(default = "default_asn")]
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub as_number: u32,

    /// Node label whose value is the node's AS number; a node without the label has `asNumber`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub as_number_label: Option<String>,

    /// Whether every node peers with every other node (iBGP full mesh).
    #[serde(default = "yes")]
    pub node_to_node_mesh_enabled: bool,

    /// TCP port that the nodes listen on.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub listen_port: u16,

    /// Hold time that is offered to peers: 0 for none, else 3 to 65535 seconds. Keepalives go out every third of it.
    #[serde(default = "default_hold_time")]
    #[schemars(range(max = 65535))]
    pub hold_time_seconds: u16,

    /// How long peers keep this node's routes while its daemon restarts, in seconds; 0 switches graceful restart off.
    #[serde(default = "default_restart_time")]
    #[schemars(range(max = 4095))]
    pub graceful_restart_seconds: u16,

    /// Whether `0.0.0.0/0` and `::/0` are accepted from peers that are not nodes of this cluster.
    #[serde(default)]
    pub import_default_routes: bool,

    /// How many next hops a route may have at most.
    #[serde(default = "default_multipath")]
    #[schemars(range(min = 1, max = 128))]
    pub multipath_max_paths: u16,
}

fn default_precedence() -> u32 {
    100
}

fn default_asn() -> u32 {
    DEFAULT_ASN
}

fn yes() -> bool {
    true
}

fn default_port() -> u16 {
    179
}

fn default_hold_time() -> u16 {
    90
}

fn default_restart_time() -> u16 {
    60
}

fn default_multipath() -> u16 {
    64
}

impl Default for BGPConfigurationSpec {
    fn default() -> Self {
        Self {
            node_selector: crate::selector::all_text(),
            precedence: default_precedence(),
            as_number: default_asn(),
            as_number_label: None,
            node_to_node_mesh_enabled: true,
            listen_port: default_port(),
            hold_time_seconds: default_hold_time(),
            graceful_restart_seconds: default_restart_time(),
            import_default_routes: false,
            multipath_max_paths: default_multipath(),
        }
    }
}
