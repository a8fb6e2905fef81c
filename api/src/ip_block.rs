//! `IPBlock`: a part of a pool that one node owns; named by its CIDR (`10-244-3-64-26`).

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// A part of a pool that one node owns. Its spec is written by the IPAM service alone, its status by the node alone.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tortie.dev",
    version = "v1alpha1",
    kind = "IPBlock",
    plural = "ipblocks",
    singular = "ipblock",
    shortname = "ipb",
    status = "IPBlockStatus",
    derive = "PartialEq",
    doc = "A part of a pool that one node owns and advertises. Written by the IPAM service and by the owning node; not for people to edit.",
    printcolumn = r#"{"name":"CIDR","type":"string","jsonPath":".spec.cidr"}"#,
    printcolumn = r#"{"name":"Node","type":"string","jsonPath":".spec.node"}"#,
    printcolumn = r#"{"name":"Pool","type":"string","jsonPath":".spec.pool"}"#,
    printcolumn = r#"{"name":"In use","type":"integer","jsonPath":".status.inUse"}"#,
    printcolumn = r#"{"name":"Draining","type":"boolean","jsonPath":".spec.draining"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct IPBlockSpec {
    /// The block's prefix. Immutable.
    #[x_kube(validation = ("self == oldSelf", "spec.cidr is immutable"))]
    pub cidr: String,
    /// Name of the `IPPool` that the block was cut from.
    pub pool: String,
    /// Name of the owning Node. Immutable.
    #[x_kube(validation = ("self == oldSelf", "spec.node is immutable"))]
    pub node: String,
    /// UID of the owning Node object: another machine of the same name is another owner.
    #[serde(rename = "nodeUID")]
    pub node_uid: String,
    /// Whether the node gives no more addresses from this block and returns it when it is empty.
    #[serde(default)]
    pub draining: bool,
    /// The service's epoch when the block was created; a node starts to use a block of the current epoch only.
    #[serde(default)]
    pub epoch: i64,
}

/// What the owning node says about its block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IPBlockStatus {
    /// How many addresses pods hold.
    #[serde(default)]
    pub in_use: i64,
    /// Which address serves which pod.
    #[serde(default)]
    pub allocations: Vec<Allocation>,
    /// When addresses that are free now were freed last, so that the longest unused one is given next.
    #[serde(default)]
    pub freed: Vec<Freed>,
    /// Whether the node holds nothing of a draining block any more.
    #[serde(default)]
    pub released: bool,
}

/// One address and the pod that it serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allocation {
    /// Place of the address in its block, counted from 0 at the block's first address.
    pub ordinal: u16,
    /// UID of the pod.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// Namespace and name of the pod, for people; empty when the node knows the UID alone.
    #[serde(default)]
    pub pod: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// One free address and when it was freed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Freed {
    /// Place of the address in its block, counted from 0 at the block's first address.
    pub ordinal: u16,
    /// When it was freed, RFC 3339.
    pub at: String,
}
