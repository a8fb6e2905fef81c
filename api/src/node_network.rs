//! `NodeNetwork`: what other nodes and the IPAM service need to know of a node, one object per node.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::Condition;

/// What others need to know of a node's network; its status is written by the node's daemon.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tortie.dev",
    version = "v1alpha1",
    kind = "NodeNetwork",
    plural = "nodenetworks",
    singular = "nodenetwork",
    shortname = "nn",
    status = "NodeNetworkStatus",
    derive = "PartialEq",
    doc = "What others need to know of a node's network. Written by the node's daemon; not for people to edit.",
    printcolumn = r#"{"name":"IPv4","type":"string","jsonPath":".status.ipv4.address"}"#,
    printcolumn = r#"{"name":"IPv6","type":"string","jsonPath":".status.ipv6.address"}"#,
    printcolumn = r#"{"name":"AS","type":"integer","jsonPath":".status.asNumber"}"#,
    printcolumn = r#"{"name":"Router ID","type":"string","jsonPath":".status.routerID"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct NodeNetworkSpec {}

/// What the node's daemon chose and holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeNetworkStatus {
    /// The node's IPv4 address and why it was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<ChosenAddress>,
    /// The node's IPv6 address and why it was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<ChosenAddress>,
    /// The node's AS number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_number: Option<u32>,
    /// The node's BGP identifier.
    #[serde(rename = "routerID", default, skip_serializing_if = "Option::is_none")]
    pub router_id: Option<String>,
    /// UID of the Node object that the daemon runs under.
    #[serde(rename = "nodeUID", default)]
    pub node_uid: String,
    /// Blocks that the node's kernel holds, with or without an `IPBlock` object.
    #[serde(default)]
    pub held_blocks: Vec<String>,
    /// The newest epoch of the IPAM service that the node has seen.
    #[serde(default)]
    pub epoch_seen: i64,
    /// `AddressConflict` and the like.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// An address of the node and the reason for its choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChosenAddress {
    /// The address.
    pub address: String,
    /// Why this one, for people.
    pub reason: String,
}
