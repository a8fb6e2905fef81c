//! The free ranges of one pool, and which of them a rack is given next.
//!
//! A pool is cut into at most 64 regions. A rack takes its blocks from regions that it has
//! alone, so that its ToR can aggregate them; it opens a new region when these are full, and
//! shares one only when no region is free.

use std::collections::{BTreeMap, BTreeSet};

use api::prefix;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use crate::moment::Moment;
use crate::pool::Pool;

/// How long a returned range rests before another node gets it: its addresses were given up
/// there a moment ago, and other nodes may still have flows to them.
pub(super) const RANGE_REST_MILLIS: u64 = 30_000;

/// Pools of at most so many blocks have 16 regions, larger ones 64.
const SMALL_POOL_BLOCKS: u128 = 1024;

/// Rack of a range's owner; `None` for a node whose object is gone.
pub(super) type Rack = Option<String>;

/// The taken and the free ranges of one pool.
#[derive(Clone, Debug)]
pub(super) struct Space {
    cidr: IpNetwork,
    block_size: u8,
    blocks: u128,
    region_blocks: u128,
    /// Taken block numbers, as first and last of each run; runs do not overlap.
    taken: BTreeMap<u128, u128>,
    racks: BTreeMap<u128, BTreeSet<Rack>>,
    returned: BTreeMap<u128, Moment>,
}

impl Space {
    pub(super) fn new(pool: &Pool, returned: &BTreeMap<IpNetwork, Moment>) -> Self {
        let blocks = pool.blocks();
        let regions = if blocks <= SMALL_POOL_BLOCKS { 16 } else { 64 };
        let mut space = Self {
            cidr: pool.cidr,
            block_size: pool.block_size,
            blocks,
            region_blocks: (blocks / regions).max(1),
            taken: BTreeMap::new(),
            racks: BTreeMap::new(),
            returned: BTreeMap::new(),
        };
        for (cidr, at) in returned.iter().filter(|(cidr, _)| prefix::covers(pool.cidr, **cidr)) {
            if let Some((first, last)) = space.numbers(*cidr)
                && first == last
            {
                space.returned.insert(first, *at);
            }
        }
        space
    }

    /// Marks a range as not to be given. Ranges outside of the pool are nothing to it.
    pub(super) fn take(&mut self, cidr: IpNetwork, rack: &Rack) {
        let Some((mut first, mut last)) = self.numbers(cidr) else { return };
        for region in first / self.region_blocks..=last / self.region_blocks {
            self.racks.entry(region).or_default().insert(rack.clone());
        }
        // Merge with every run that it touches, so that runs never overlap.
        while let Some((&start, &end)) = self.taken.range(..=last).next_back()
            && end >= first
        {
            self.taken.remove(&start);
            first = first.min(start);
            last = last.max(end);
        }
        self.taken.insert(first, last);
    }

    /// A free block for a node of this rack, which is taken from now on.
    pub(super) fn give(&mut self, now: Moment, rack: &Rack) -> Option<IpNetwork> {
        let regions = self.regions_for(rack);
        let number = regions.iter().find_map(|class| {
            let fresh = class.iter().find_map(|region| self.never_used(*region));
            fresh.or_else(|| self.longest_returned(now, class))
        })?;
        let cidr = self.block(number)?;
        self.take(cidr, rack);
        Some(cidr)
    }

    /// Whether a returned range can be given once it has rested.
    pub(super) fn has_resting(&self) -> bool {
        self.returned.keys().any(|number| self.run_over(*number).is_none())
    }

    /// The block of this pool's size that contains a range, or the range if it is larger.
    pub(super) fn enclosing(&self, cidr: IpNetwork) -> Option<IpNetwork> {
        let (first, last) = self.numbers(cidr)?;
        if first == last { self.block(first) } else { Some(cidr) }
    }

    /// Regions by how well they suit the rack: its own, those that nobody has (beside its own
    /// first), those that it shares, all others.
    fn regions_for(&self, rack: &Rack) -> [Vec<u128>; 4] {
        let mut classes: [Vec<u128>; 4] = Default::default();
        let own = |region: u128| self.racks.get(&region).is_some_and(|racks| racks.contains(rack));
        for region in 0..self.blocks / self.region_blocks {
            let class = match self.racks.get(&region) {
                Some(racks) if racks.len() == 1 && racks.contains(rack) => 0,
                None => 1,
                Some(racks) if racks.contains(rack) => 2,
                Some(_) => 3,
            };
            classes[class].push(region);
        }
        classes[1].sort_by_key(|region| (!(*region > 0 && own(region - 1) || own(region + 1)), *region));
        classes
    }

    /// The first block of the region that is neither taken nor was returned.
    fn never_used(&self, region: u128) -> Option<u128> {
        let (mut number, last) = self.region(region);
        // Each turn passes one run or one returned block.
        while number <= last {
            if let Some(end) = self.run_over(number) {
                number = end + 1;
            } else if self.returned.contains_key(&number) {
                number += 1;
            } else {
                return Some(number);
            }
        }
        None
    }

    fn longest_returned(&self, now: Moment, regions: &[u128]) -> Option<u128> {
        let inside = regions.iter().flat_map(|region| {
            let (first, last) = self.region(*region);
            self.returned.range(first..=last)
        });
        let rested = inside.filter(|(number, at)| {
            now.millis_since(**at) >= RANGE_REST_MILLIS && self.run_over(**number).is_none()
        });
        rested.min_by_key(|(number, at)| (**at, **number)).map(|(number, _)| *number)
    }

    fn region(&self, region: u128) -> (u128, u128) {
        (region * self.region_blocks, (region + 1) * self.region_blocks - 1)
    }

    /// The last number of the run that takes this one.
    fn run_over(&self, number: u128) -> Option<u128> {
        self.taken.range(..=number).next_back().map(|(_, end)| *end).filter(|end| *end >= number)
    }

    /// Numbers of the first and the last block that a range touches.
    fn numbers(&self, cidr: IpNetwork) -> Option<(u128, u128)> {
        if !prefix::overlap(self.cidr, cidr) {
            return None;
        }
        if prefix::covers(cidr, self.cidr) {
            return Some((0, self.blocks - 1));
        }
        let (base, first, last) = match (self.cidr, cidr) {
            (IpNetwork::V4(pool), IpNetwork::V4(cidr)) => (
                u128::from(pool.network().to_bits()),
                u128::from(cidr.network().to_bits()),
                u128::from(cidr.broadcast().to_bits()),
            ),
            (IpNetwork::V6(pool), IpNetwork::V6(cidr)) => {
                (pool.network().to_bits(), cidr.network().to_bits(), cidr.broadcast().to_bits())
            }
            _ => return None,
        };
        let shift = self.host_bits();
        let (first, last) = ((first - base) >> shift, (last - base) >> shift);
        // Beyond the cap of 2^64 blocks nothing is given, so nothing need be marked.
        (first < self.blocks).then(|| (first, last.min(self.blocks - 1)))
    }

    fn block(&self, number: u128) -> Option<IpNetwork> {
        let offset = number << self.host_bits();
        match self.cidr {
            IpNetwork::V4(pool) => {
                let bits = pool.network().to_bits().checked_add(u32::try_from(offset).ok()?)?;
                Ipv4Network::new(bits.into(), self.block_size).ok().map(IpNetwork::V4)
            }
            IpNetwork::V6(pool) => {
                let bits = pool.network().to_bits().checked_add(offset)?;
                Ipv6Network::new(bits.into(), self.block_size).ok().map(IpNetwork::V6)
            }
        }
    }

    fn host_bits(&self) -> u8 {
        match self.cidr {
            IpNetwork::V4(_) => 32 - self.block_size,
            IpNetwork::V6(_) => 128 - self.block_size,
        }
    }
}
