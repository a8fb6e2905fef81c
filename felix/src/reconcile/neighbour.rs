//! (a pod's addresses and MAC, the host's neighbour entries) -> the entries to write.
//!
//! Entries are written as STALE: the first packet needs no resolution, and a pod that changes
//! its MAC is found again within seconds. With a permanent entry it never would be.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// How much the kernel believes an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourState {
    /// Asked for, or failed: there is no hardware address.
    Unresolved,
    /// Believed until it proves wrong.
    Learnt,
    /// Believed for ever; never ours.
    Permanent,
}

/// One entry of the host's neighbour table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The hardware address, where there is one.
    pub mac: Option<[u8; 6]>,
    /// How much the kernel believes it.
    pub state: NeighbourState,
}

/// One write to the neighbour table of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NeighbourOp {
    /// Create or replace, to be verified when it is next used.
    SetStale {
        /// The pod's address.
        address: IpAddr,
        /// The pod's hardware address.
        mac: [u8; 6],
    },
}

/// What to write so that each address can be reached at once.
///
/// An entry that the kernel learnt is newer than what we know and stays, also with another
/// MAC. Entries for other addresses, such as the pod's link-local one, are the kernel's own.
pub fn plan(addresses: &[IpAddr], mac: [u8; 6], observed: &BTreeMap<IpAddr, Neighbour>) -> Vec<NeighbourOp> {
    let is_learnt = |address: &&IpAddr| {
        observed
            .get(address)
            .is_some_and(|entry| entry.state == NeighbourState::Learnt && entry.mac.is_some())
    };
    let missing = addresses.iter().filter(|address| !is_learnt(address));
    missing.map(|address| NeighbourOp::SetStale { address: *address, mac }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_kernel_does_not_know_is_written() {
        use NeighbourState::{Learnt, Permanent, Unresolved};
        let pod = [2, 0, 0, 0, 0, 1];
        let other = [2, 0, 0, 0, 0, 9];
        let a: IpAddr = "10.244.0.5".parse().expect("an address");
        let b: IpAddr = "fd00::5".parse().expect("an address");
        let set = |address| NeighbourOp::SetStale { address, mac: pod };
        // (why, addresses, observed, expected)
        let cases = [
            ("new", vec![a, b], vec![], vec![set(a), set(b)]),
            ("known", vec![a, b], vec![(a, Some(pod), Learnt)], vec![set(b)]),
            ("the pod changed its MAC", vec![a], vec![(a, Some(other), Learnt)], vec![]),
            ("failed", vec![a], vec![(a, None, Unresolved)], vec![set(a)]),
            ("a permanent entry would never heal", vec![a], vec![(a, Some(pod), Permanent)], vec![set(a)]),
            ("others are left alone", vec![], vec![(b, Some(other), Learnt)], vec![]),
        ];
        for (why, addresses, observed, expected) in cases {
            let observed = observed
                .into_iter()
                .map(|(address, mac, state)| (address, Neighbour { mac, state }))
                .collect();
            assert_eq!(plan(&addresses, pod, &observed), expected, "{why}");
        }
    }
}
