//! IPPool objects read into checked values. A pool that cannot be used has a fault of its own
//! and takes no other pool with it.

use std::collections::BTreeMap;

use api::IPPool;
use api::prefix;
use api::selector::Selector;
use ipnetwork::IpNetwork;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::block::HOST_BITS_MAX;
use crate::moment::Moment;

#[cfg(test)]
mod tests;

/// Annotation of every IPPool with the IPAM service's epoch: nodes watch pools anyway, and so
/// they learn of a new epoch without a request of their own.
pub const EPOCH_ANNOTATION: &str = "tortie.dev/ipam-epoch";

/// The condition of an IPPool that tells whether blocks are given from it.
pub const READY: &str = "Ready";

/// The reason of [`READY`] when every block is taken and a node needs one.
pub const OUT_OF_BLOCKS: &str = "OutOfBlocks";

/// Number of blocks in a pool is capped here; only IPv6 pools have more.
const BLOCKS_BITS_MAX: u8 = 64;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of this range.
    #[must_use]
    pub fn of(prefix: &IpNetwork) -> Self {
        match prefix {
            IpNetwork::V4(_) => Self::V4,
            IpNetwork::V6(_) => Self::V6,
        }
    }

    /// Bits of an address.
    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A pool that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Name of the object.
    pub name: String,
    /// The range.
    pub cidr: IpNetwork,
    /// Prefix length of its blocks.
    pub block_size: u8,
    /// Whether nothing new is given from it.
    pub disabled: bool,
    /// Which nodes get blocks.
    pub node_selector: Selector,
    /// Whether its status says that a node got less than it needs.
    pub out_of_blocks: bool,
}

impl Pool {
    /// IPv4 or IPv6.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(&self.cidr)
    }

    /// Whether a node with these labels gets blocks and addresses.
    #[must_use]
    pub fn serves(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.disabled && self.node_selector.matches(labels)
    }

    /// How many blocks the pool has, capped at 2^64.
    pub(crate) fn blocks(&self) -> u128 {
        1 << (self.block_size - self.cidr.prefix()).min(BLOCKS_BITS_MAX)
    }

    /// How many addresses the pool has, capped at `i64::MAX`.
    #[must_use]
    pub fn addresses(&self) -> i64 {
        let bits = self.family().bits() - self.cidr.prefix();
        1_i64.checked_shl(u32::from(bits)).filter(|_| bits < 63).unwrap_or(i64::MAX)
    }
}

/// Why a pool cannot be used, for its `Ready` condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolFault {
    /// One word.
    pub reason: &'static str,
    /// What is wrong and the remedy.
    pub message: String,
}

/// All pools, sorted by whether they can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pools {
    /// Those that can, by name.
    pub valid: BTreeMap<String, Pool>,
    /// Those that cannot, by name.
    pub faulty: BTreeMap<String, PoolFault>,
    /// Highest epoch that any pool is annotated with.
    pub epoch: i64,
}

impl Pools {
    /// Reads the objects. Of two pools that overlap, the older one stays (of the same second:
    /// the first by name), so that a new object never stops a pool that works.
    pub fn read(objects: &[IPPool]) -> Self {
        let mut pools = Self { epoch: objects.iter().map(epoch_of).max().unwrap_or(0), ..Self::default() };
        let mut by_age: Vec<&IPPool> = objects.iter().collect();
        by_age.sort_by_key(|pool| (created(pool), name_of(&pool.metadata).to_owned()));
        for object in by_age {
            let name = name_of(&object.metadata).to_owned();
            match read_one(object).and_then(|pool| pools.not_overlapping(pool)) {
                Ok(pool) => {
                    pools.valid.insert(name, pool);
                }
                Err(fault) => {
                    pools.faulty.insert(name, fault);
                }
            }
        }
        pools
    }

    /// The pools of this family from which a node with these labels is served.
    pub fn serving(
        &self,
        family: Family,
        labels: &BTreeMap<String, String>,
    ) -> impl Iterator<Item = &Pool> + Clone {
        self.valid.values().filter(move |pool| pool.family() == family && pool.serves(labels))
    }

    /// The pool that contains this range.
    #[must_use]
    pub fn containing(&self, cidr: IpNetwork) -> Option<&Pool> {
        self.valid.values().find(|pool| prefix::covers(pool.cidr, cidr))
    }

    fn not_overlapping(&self, pool: Pool) -> Result<Pool, PoolFault> {
        match self.valid.values().find(|older| prefix::overlap(older.cidr, pool.cidr)) {
            None => Ok(pool),
            Some(older) => Err(PoolFault {
                reason: "CIDROverlap",
                message: format!(
                    "spec.cidr {} overlaps {} of the older IPPool {}; delete this pool and create it with another range",
                    pool.cidr, older.cidr, older.name
                ),
            }),
        }
    }
}

/// The epoch that this pool is annotated with; 0 if none.
pub(crate) fn epoch_of(pool: &IPPool) -> i64 {
    let annotations = pool.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(EPOCH_ANNOTATION)?.parse().ok()).unwrap_or(0)
}

/// The object's name.
pub(crate) fn name_of(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

fn created(object: &IPPool) -> Moment {
    // An object without creation time is not yet stored: younger than all.
    object
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(Moment::from_unix_millis(u64::MAX), |time| time.0.into())
}

fn read_one(object: &IPPool) -> Result<Pool, PoolFault> {
    let cidr = prefix::parse(&object.spec.cidr)
        .map_err(|error| PoolFault { reason: "InvalidCIDR", message: format!("spec.cidr: {error}") })?;
    let block_size = object.spec.block_size();
    let bits = Family::of(&cidr).bits();
    let (shortest, longest) = ((bits - HOST_BITS_MAX).max(cidr.prefix()), bits);
    if !(shortest..=longest).contains(&block_size) {
        return Err(PoolFault {
            reason: "InvalidBlockSize",
            message: format!(
                "spec.blockSize {block_size} is impossible in {cidr}: it must be {shortest} to {longest}; \
                 delete this pool and create it with such a block size"
            ),
        });
    }
    let node_selector = Selector::parse(&object.spec.node_selector).map_err(|error| PoolFault {
        reason: "InvalidNodeSelector",
        message: format!("spec.nodeSelector `{}`: {error}", object.spec.node_selector),
    })?;
    let out_of_blocks = object.status.iter().flat_map(|status| &status.conditions);
    let out_of_blocks =
        out_of_blocks.filter(|condition| condition.type_ == READY).any(|ready| ready.reason == OUT_OF_BLOCKS);
    let (name, disabled) = (name_of(&object.metadata).to_owned(), object.spec.disabled);
    Ok(Pool { name, cidr, block_size, disabled, node_selector, out_of_blocks })
}
