//! Choosing an address for a pod.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::Local;
use crate::block::AssignError;
use crate::moment::Moment;
use crate::owner::Owner;
use crate::pool::Family;

/// Why a pod got no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfAddresses {
    /// No pool serves this node.
    #[error("no IPPool serves this node; create one, enable one, or let its nodeSelector select the node")]
    NoPool,
    /// The pools serve this node, but nothing that it has of them can be given now.
    #[error("no {family} address left on this node in {}; {}{}", pools.join(", "), remedy(*block_under_way, *ready_at), pending.join(""))]
    Exhausted {
        /// The family that lacks.
        family: Family,
        /// The pools that would serve.
        pools: Vec<String>,
        /// Whether the service will send a block because this node has few addresses left: waiting helps.
        block_under_way: bool,
        /// When the next released address comes out of its cooldown.
        ready_at: Option<Moment>,
        /// What keeps blocks that this node has from being used, each a sentence with a leading `; `.
        pending: Vec<String>,
    },
}

fn remedy(block_under_way: bool, ready_at: Option<Moment>) -> &'static str {
    match (block_under_way, ready_at) {
        (true, _) => "a further block is under way",
        (false, Some(_)) => "released addresses are in cooldown",
        (false, None) => "add a pool or free addresses",
    }
}

impl Local {
    /// One address of each family that pools serve this node with. Asking again with the same
    /// owner gives the same addresses: CNI ADD may be repeated.
    ///
    /// # Errors
    /// [`OutOfAddresses`]; then nothing was given.
    pub fn assign(&mut self, now: Moment, owner: &Owner) -> Result<Vec<IpAddr>, OutOfAddresses> {
        let families: Vec<Family> = Family::ALL
            .into_iter()
            .filter(|family| self.pools.serving(*family, &self.node.labels).next().is_some())
            .collect();
        let mut addresses = self.addresses_of(owner);
        let missing: Vec<Family> = families
            .iter()
            .copied()
            .filter(|family| {
                !addresses.iter().any(|address| Family::of(&IpNetwork::from(*address)) == *family)
            })
            .collect();
        if families.is_empty() && addresses.is_empty() {
            return Err(OutOfAddresses::NoPool);
        }
        // All or nothing: choose the blocks of every family before taking from one.
        let chosen = missing.iter().map(|family| self.choose(now, *family)).collect::<Result<Vec<_>, _>>()?;
        for cidr in chosen {
            let held = self.blocks.get_mut(&cidr).expect("choose names a block of ours");
            let given = held.assign(now, self.cooldown_millis, owner.clone());
            addresses.push(given.expect("choose named a block with an address that can be given"));
        }
        for address in &addresses {
            // The owner's own address: this only notes the sandbox where it was not known.
            self.restore_address(now, *address, owner);
        }
        addresses.sort_unstable();
        Ok(addresses)
    }

    /// The addresses that this attachment has, at most one of each family, IPv4 first.
    #[must_use]
    pub fn addresses_of(&self, owner: &Owner) -> Vec<IpAddr> {
        // What only the status of a block says holds once the node has begun to use that block.
        let in_blocks = self.blocks.values().flat_map(|held| {
            held.leases().filter(|(_, known)| held.is_begun() || known.attachment.is_some())
        });
        let strays = self.strays.iter().map(|(address, lease)| (*address, &lease.owner));
        let mut known: Vec<(bool, IpAddr)> = in_blocks
            .chain(strays)
            .filter(|(_, known)| known.is_same_attachment(owner))
            .map(|(address, known)| (known.attachment.is_none(), address))
            .collect();
        known.sort_unstable();
        let mut addresses: Vec<IpAddr> = Vec::new();
        for (_, address) in known {
            if !addresses.iter().any(|chosen| chosen.is_ipv4() == address.is_ipv4()) {
                addresses.push(address);
            }
        }
        addresses.sort_unstable();
        addresses
    }

    /// The block with the address that was unused longest; of several the first.
    fn choose(&self, now: Moment, family: Family) -> Result<IpNetwork, OutOfAddresses> {
        let candidates = self.blocks.values().filter(|held| self.is_open(held, family));
        let mut best: Option<(Moment, IpNetwork)> = None;
        let mut ready_at: Option<Moment> = None;
        for held in candidates {
            match held.longest_unused(now, self.cooldown_millis) {
                Ok(since) => {
                    let candidate = (since, held.cidr());
                    best = Some(best.map_or(candidate, |best| best.min(candidate)));
                }
                Err(AssignError::Cooling { ready_at: Some(at) }) => {
                    ready_at = Some(ready_at.map_or(at, |earliest| earliest.min(at)));
                }
                Err(AssignError::Cooling { ready_at: None } | AssignError::Full) => {}
            }
        }
        best.map(|(_, cidr)| cidr).ok_or_else(|| self.exhausted(family, ready_at))
    }

    fn exhausted(&self, family: Family, ready_at: Option<Moment>) -> OutOfAddresses {
        let serving = self.pools.serving(family, &self.node.labels);
        let block_under_way = self.wants_more(family) && serving.clone().any(|pool| !pool.out_of_blocks);
        let pools = serving.map(|pool| pool.name.clone()).collect();
        let waiting = self.blocks.values().filter(|held| Family::of(&held.cidr()) == family);
        let pending = waiting
            .filter_map(|held| {
                held.pending(&self.node.uid, &self.memory).map(|why| format!("; block {} {why}", held.cidr()))
            })
            .collect();
        OutOfAddresses::Exhausted { family, pools, block_under_way, ready_at, pending }
    }
}
