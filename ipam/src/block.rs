//! One block's addresses: who has which, and which may be given next.
//!
//! ```text
//!            assign                    release
//! Free ───────────────────▶ Used ───────────────────▶ Unclean
//!  ▲                                                     │
//!  └──────────── cleaned (its conntrack entries are gone)┘
//! ```
//!
//! Every address of a block may be given, the first and the last too, also for IPv4: pods hold
//! a /32 or /128 behind a routed link, so that no address means a network or a broadcast.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::moment::Moment;
use crate::owner::Owner;

#[cfg(test)]
mod tests;

/// Most host bits that a block may have: /20 for IPv4, /116 for IPv6. It bounds the memory of
/// a block and the size of its status.
pub const HOST_BITS_MAX: u8 = 12;

/// Place of an address inside its block, counted from 0 at the block's first address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ordinal(u16);

impl Ordinal {
    /// The number itself, below 4096.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is known of the free addresses of a block when its life on this node begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreeSince {
    /// Nobody was served by them since this node was given the block.
    Ever,
    /// Somebody may have been until then: the record of it is lost.
    JustNow(Moment),
}

/// An address in use: by whom and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whom the address serves.
    pub owner: Owner,
    /// Since when.
    pub since: Moment,
}

/// Why a range cannot be a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cidr} has more than {HOST_BITS_MAX} host bits: blocks are at most /20 (IPv4) or /116 (IPv6)")]
pub struct TooLarge {
    /// The range.
    pub cidr: IpNetwork,
}

/// Why a block gave no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignError {
    /// Every address serves somebody.
    #[error("every address is in use")]
    Full,
    /// The free addresses were released too short a time ago, or still have conntrack entries.
    #[error("the free addresses were released a moment ago")]
    Cooling {
        /// When the first of them can be given; `None` while they wait for their conntrack entries.
        ready_at: Option<Moment>,
    },
}

/// The address already serves somebody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} already serves {by}")]
pub struct Taken {
    /// The address.
    pub address: IpAddr,
    /// Whom it serves.
    pub by: Owner,
}

/// How many addresses of a block are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Addresses of the block.
    pub size: u32,
    /// Those that serve somebody.
    pub used: u32,
    /// Those that serve nobody, in cooldown or not.
    pub free: u32,
}

/// One block and the state of each of its addresses.
#[derive(Clone, Debug)]
pub struct Block {
    cidr: IpNetwork,
    used: BTreeMap<Ordinal, Lease>,
    /// Free and clean, longest unused first: that is the order in which they are given.
    /// `Moment::NEVER` are those that were never used.
    free: BTreeSet<(Moment, Ordinal)>,
    /// Free, but flows of the former owner may still be in this host's conntrack table.
    unclean: BTreeMap<Ordinal, Moment>,
}

impl Block {
    /// A block in which nobody is served yet.
    ///
    /// # Errors
    /// [`TooLarge`] if the range has more than [`HOST_BITS_MAX`] host bits.
    pub fn new(cidr: IpNetwork, free_since: FreeSince) -> Result<Self, TooLarge> {
        let size = size_of(&cidr)?;
        let mut block = Self { cidr, used: BTreeMap::new(), free: BTreeSet::new(), unclean: BTreeMap::new() };
        for ordinal in (0..size).map(Ordinal) {
            match free_since {
                FreeSince::Ever => {
                    block.free.insert((Moment::NEVER, ordinal));
                }
                FreeSince::JustNow(now) => {
                    block.unclean.insert(ordinal, now);
                }
            }
        }
        Ok(block)
    }

    /// The block's range.
    #[must_use]
    pub fn cidr(&self) -> IpNetwork {
        self.cidr
    }

    /// The place of this address, if the block contains it.
    pub fn ordinal(&self, address: IpAddr) -> Option<Ordinal> {
        let offset = match (self.cidr, address) {
            (IpNetwork::V4(block), IpAddr::V4(address)) if block.contains(address) => {
                u128::from(address.to_bits() - block.network().to_bits())
            }
            (IpNetwork::V6(block), IpAddr::V6(address)) if block.contains(address) => {
                address.to_bits() - block.network().to_bits()
            }
            _ => return None,
        };
        u16::try_from(offset).ok().map(Ordinal)
    }

    /// The place with this number, if the block has it.
    pub fn ordinal_numbered(&self, number: u32) -> Option<Ordinal> {
        let size = size_of(&self.cidr).ok()?;
        u16::try_from(number).ok().filter(|n| *n < size).map(Ordinal)
    }

    /// The address at this place.
    #[must_use]
    pub fn address(&self, ordinal: Ordinal) -> IpAddr {
        match self.cidr {
            IpNetwork::V4(block) => IpAddr::V4((block.network().to_bits() + u32::from(ordinal.0)).into()),
            IpNetwork::V6(block) => IpAddr::V6((block.network().to_bits() + u128::from(ordinal.0)).into()),
        }
    }

    /// Gives the address that was unused longest, never one released within the cooldown.
    ///
    /// # Errors
    /// [`AssignError::Full`] if all are in use, [`AssignError::Cooling`] if those that are not
    /// must rest for a while.
    pub fn assign(
        &mut self,
        now: Moment,
        cooldown_millis: u64,
        owner: Owner,
    ) -> Result<Ordinal, AssignError> {
        self.forget_the_future(now);
        self.longest_unused(now, cooldown_millis)?;
        let (_, ordinal) = self.free.pop_first().expect("longest_unused found one");
        self.used.insert(ordinal, Lease { owner, since: now });
        Ok(ordinal)
    }

    /// When the address that [`Block::assign`] would give now was released.
    ///
    /// # Errors
    /// As [`Block::assign`].
    pub fn longest_unused(&self, now: Moment, cooldown_millis: u64) -> Result<Moment, AssignError> {
        let Some(&(since, _)) = self.free.first() else {
            return Err(if self.unclean.is_empty() {
                AssignError::Full
            } else {
                AssignError::Cooling { ready_at: None }
            });
        };
        let ready_at = since.min(now).plus_millis(cooldown_millis);
        if since != Moment::NEVER && ready_at > now {
            return Err(AssignError::Cooling { ready_at: Some(ready_at) });
        }
        Ok(since)
    }

    /// Marks an address as serving this owner because the kernel or the block's status says so.
    ///
    /// # Errors
    /// [`Taken`] if it serves another one.
    pub fn restore(&mut self, ordinal: Ordinal, owner: Owner, since: Moment) -> Result<(), Taken> {
        if let Some(lease) = self.used.get_mut(&ordinal) {
            if !lease.owner.is_same_attachment(&owner) {
                let by = lease.owner.clone();
                return Err(Taken { address: self.address(ordinal), by });
            }
            lease.owner.learn(owner);
            return Ok(());
        }
        self.take_from_free(ordinal);
        self.used.insert(ordinal, Lease { owner, since });
        Ok(())
    }

    /// Notes when a free address was last released. It is unclean until [`Block::cleaned`].
    /// Nothing happens to an address that serves somebody.
    pub fn restore_released(&mut self, ordinal: Ordinal, released: Moment) {
        if !self.used.contains_key(&ordinal) {
            self.take_from_free(ordinal);
            self.unclean.insert(ordinal, released);
        }
    }

    /// Notes that a free address was never used since this node has the block.
    pub fn restore_never_used(&mut self, ordinal: Ordinal) {
        if !self.used.contains_key(&ordinal) {
            self.take_from_free(ordinal);
            self.free.insert((Moment::NEVER, ordinal));
        }
    }

    /// Takes an address back and tells whom it served. It is given again only after
    /// [`Block::cleaned`] and the cooldown.
    pub fn release(&mut self, ordinal: Ordinal, now: Moment) -> Option<Lease> {
        let lease = self.used.remove(&ordinal)?;
        self.unclean.insert(ordinal, now);
        Some(lease)
    }

    /// Notes that this host's conntrack table has no entry of the address any more.
    pub fn cleaned(&mut self, ordinal: Ordinal) {
        if let Some(since) = self.unclean.remove(&ordinal) {
            self.free.insert((since, ordinal));
        }
    }

    /// Whom the address at this place serves.
    #[must_use]
    pub fn lease(&self, ordinal: Ordinal) -> Option<&Lease> {
        self.used.get(&ordinal)
    }

    /// The free addresses whose conntrack entries must go before they can be given.
    pub fn unclean(&self) -> impl Iterator<Item = Ordinal> {
        self.unclean.keys().copied()
    }

    /// The addresses in use, in ascending order.
    pub fn leases(&self) -> impl Iterator<Item = (Ordinal, &Lease)> {
        self.used.iter().map(|(ordinal, lease)| (*ordinal, lease))
    }

    /// The addresses that served somebody and are free now, with the moment of their release,
    /// in ascending order.
    #[must_use]
    pub fn released(&self) -> BTreeMap<Ordinal, Moment> {
        let clean = self.free.iter().filter(|(since, _)| *since != Moment::NEVER);
        let mut released: BTreeMap<_, _> = clean.map(|(since, ordinal)| (*ordinal, *since)).collect();
        released.extend(self.unclean.iter().map(|(ordinal, since)| (*ordinal, *since)));
        released
    }

    /// How many addresses are in use and free.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let used = u32::try_from(self.used.len()).unwrap_or(u32::MAX);
        let free = u32::try_from(self.free.len() + self.unclean.len()).unwrap_or(u32::MAX);
        Counts { size: used + free, used, free }
    }

    /// Whether the block serves nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    fn take_from_free(&mut self, ordinal: Ordinal) {
        self.unclean.remove(&ordinal);
        self.free.retain(|(_, free)| *free != ordinal);
    }

    /// A wall clock that was set back would leave addresses in cooldown until it has caught up;
    /// a release from the future counts as a release of now.
    fn forget_the_future(&mut self, now: Moment) {
        while let Some(&(since, ordinal)) = self.free.last()
            && since > now
        {
            self.free.pop_last();
            self.free.insert((now, ordinal));
        }
    }
}

/// Number of addresses in the range.
fn size_of(cidr: &IpNetwork) -> Result<u16, TooLarge> {
    let host_bits = match cidr {
        IpNetwork::V4(_) => 32 - cidr.prefix(),
        IpNetwork::V6(_) => 128 - cidr.prefix(),
    };
    if host_bits <= HOST_BITS_MAX { Ok(1 << host_bits) } else { Err(TooLarge { cidr: *cidr }) }
}
