//! `IPPool`: a range that pods' addresses come from.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::Condition;

/// A range of addresses that nodes are given blocks of.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "tortie.dev",
    version = "v1alpha1",
    kind = "IPPool",
    plural = "ippools",
    singular = "ippool",
    shortname = "ipp",
    status = "IPPoolStatus",
    derive = "PartialEq",
    doc = "A range of addresses that nodes are given blocks of; pods get theirs from the blocks of their node.",
    printcolumn = r#"{"name":"CIDR","type":"string","jsonPath":".spec.cidr"}"#,
    printcolumn = r#"{"name":"Block","type":"integer","jsonPath":".spec.blockSize"}"#,
    printcolumn = r#"{"name":"NAT","type":"boolean","jsonPath":".spec.natOutgoing"}"#,
    printcolumn = r#"{"name":"Disabled","type":"boolean","jsonPath":".spec.disabled"}"#,
    printcolumn = r#"{"name":"In use","type":"integer","jsonPath":".status.addressesInUse"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = ("isCIDR(self.cidr) && cidr(self.cidr) == cidr(self.cidr).masked()", "spec.cidr must be a prefix with its host bits zero, like 10.244.0.0/16"),
    validation = ("!isCIDR(self.cidr) || !has(self.blockSize) || (cidr(self.cidr).ip().family() == 4 ? (self.blockSize >= 20 && self.blockSize <= 32) : (self.blockSize >= 116 && self.blockSize <= 128))", "spec.blockSize must be 20 to 32 for IPv4 and 116 to 128 for IPv6"),
    validation = ("!isCIDR(self.cidr) || !has(self.blockSize) || self.blockSize >= cidr(self.cidr).prefixLength()", "spec.blockSize must not be shorter than the prefix length of spec.cidr"),
    validation = ("has(self.blockSize) == has(oldSelf.blockSize)", "spec.blockSize is immutable: make another pool and disable this one")
)]
pub struct IPPoolSpec {
    /// The range, as a prefix with its host bits zero. Immutable; must not overlap another pool.
    #[x_kube(validation = ("self == oldSelf", "spec.cidr is immutable: make another pool and disable this one"))]
    #[schemars(length(min = 4, max = 43))]
    pub cidr: String,

    /// Prefix length of the blocks that nodes are given: 26 for IPv4 and 122 for IPv6 where it is not set. Immutable.
    #[x_kube(validation = ("self == oldSelf", "spec.blockSize is immutable: make another pool and disable this one"))]
    #[schemars(range(min = 20, max = 128))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<u8>,

    /// Whether what pods send to addresses outside all pools leaves the node under the node's own address.
    #[serde(default)]
    pub nat_outgoing: bool,

    /// Whether no new block and no new address is given from this pool; what is in use stays.
    #[serde(default)]
    pub disabled: bool,

    /// Which nodes are given blocks, in the selector language: `all()`, `has(label)`, `label == 'value'`,
    /// `label in {'a', 'b'}`, combined by `&&`, `||`, `!` and parentheses.
    #[serde(default = "crate::selector::all_text")]
    #[schemars(length(max = 1024))]
    pub node_selector: String,
}

impl IPPoolSpec {
    /// Prefix length of this pool's blocks, with the family's default where none is set.
    pub fn block_size(&self) -> u8 {
        let default = if self.cidr.contains(':') { 122 } else { 26 };
        self.block_size.unwrap_or(default)
    }
}

/// What the IPAM service observed about a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IPPoolStatus {
    /// How many addresses the pool has; the largest number that fits for huge IPv6 pools.
    #[serde(default)]
    pub addresses: i64,
    /// How many addresses pods hold.
    #[serde(default)]
    pub addresses_in_use: i64,
    /// How many blocks nodes hold.
    #[serde(default)]
    pub blocks: i64,
    /// `Ready`: blocks are given from this pool, or why not.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}
