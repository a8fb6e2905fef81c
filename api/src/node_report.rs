//! `NodeReport`: what people read about a node; no node watches it.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::Condition;

/// What people read about a node: sessions with reasons, counts, conditions. Written on change and at most every 30 s.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tortie.dev",
    version = "v1alpha1",
    kind = "NodeReport",
    plural = "nodereports",
    singular = "nodereport",
    shortname = "nr",
    status = "NodeReportStatus",
    derive = "PartialEq",
    doc = "What people read about a node: BGP sessions with reasons, counts and conditions. Written by the node's daemon.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Peers up","type":"integer","jsonPath":".status.peersEstablished"}"#,
    printcolumn = r#"{"name":"Peers","type":"integer","jsonPath":".status.peersConfigured"}"#,
    printcolumn = r#"{"name":"Endpoints","type":"integer","jsonPath":".status.endpoints"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct NodeReportSpec {}

/// What the node's daemon observed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeReportStatus {
    /// How many BGP sessions are established.
    #[serde(default)]
    pub peers_established: u32,
    /// How many BGP peers are configured.
    #[serde(default)]
    pub peers_configured: u32,
    /// How many pods of this node have network.
    #[serde(default)]
    pub endpoints: u32,
    /// How many policies are in force here.
    #[serde(default)]
    pub policies: u32,
    /// Each BGP session.
    #[serde(default)]
    pub peers: Vec<PeerReport>,
    /// `Ready`, `Routing`, `Policy`, `Addresses` and what was set aside.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// One BGP session as people read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerReport {
    /// Where the peer comes from: `BGPPeer` of this name, or the other node's name in a mesh.
    pub name: String,
    /// The peer's address.
    pub address: String,
    /// The peer's AS number.
    pub as_number: u32,
    /// State of the session machine, as in RFC 4271 section 8.
    pub state: String,
    /// Since when it is in this state, RFC 3339.
    pub since: String,
    /// State of BFD, as in RFC 5880 section 6.2, where it watches the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<String>,
    /// Why the session last ended, with the side that ended it; empty if it never did.
    #[serde(default)]
    pub last_error: String,
}
