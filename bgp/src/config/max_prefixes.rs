//! How many prefixes a neighbor may tell.

use serde::{Deserialize, Serialize};

/// How many prefixes of each family a neighbor may tell, and what happens beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPrefixes {
    /// In each family, stale and rejected ones included; at least 1.
    pub limit: usize,
    /// What happens beyond.
    #[serde(default)]
    pub action: MaxPrefixesAction,
    /// After how many seconds a session that ended for it is tried again; never if none, until the configuration of
    /// the neighbor changes.
    #[serde(default)]
    pub restart_secs: Option<u32>,
}

/// What happens to a neighbor that tells too much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaxPrefixesAction {
    /// It is told Cease / Maximum Number of Prefixes Reached, and its routes go.
    #[default]
    Shutdown,
    /// What is beyond the limit is not taken, and counted; what was taken stays.
    Discard,
    /// An event says so.
    Warn,
}
