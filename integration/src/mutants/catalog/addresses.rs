//! Mutants of what gives blocks and addresses.

use super::Mutant;
use crate::mutants::killer::Killer;

const fn inside(filter: &'static str) -> Killer {
    Killer::inside("ipam", filter)
}

const BLOCK: Killer = inside("block::tests");
const LOCAL: Killer = inside("local::tests");
const PLAN: Killer = inside("plan::tests");

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "cooldown-ignored",
        breaks: "an address is given again right after its release",
        file: "ipam/src/block.rs",
        text: "if since != Moment::NEVER && ready_at > now {",
        replacement: "if since != Moment::NEVER && ready_at > now.plus_millis(cooldown_millis) {",
        killer: inside("block::tests::longest_unused"),
    },
    Mutant {
        name: "address-given-twice",
        breaks: "an address stays free after it was given",
        file: "ipam/src/block.rs",
        text: "self.free.pop_first().expect(",
        replacement: "self.free.first().copied().expect(",
        killer: BLOCK,
    },
    Mutant {
        name: "used-address-restored",
        breaks: "an address that serves one pod is noted for another",
        file: "ipam/src/block.rs",
        text: "if !lease.owner.is_same_attachment(&owner) {",
        replacement: "if lease.owner.is_same_attachment(&owner) && lease.owner != owner {",
        killer: inside("block::tests::restoring"),
    },
    Mutant {
        name: "conntrack-not-awaited",
        breaks: "an address is given while flows of its former owner are tracked",
        file: "ipam/src/block.rs",
        text: "self.unclean.insert(ordinal, now);
        Some(lease)",
        replacement: "self.free.insert((now, ordinal));
        Some(lease)",
        killer: BLOCK,
    },
    Mutant {
        name: "draining-block-gives",
        breaks: "a block that the service takes back gives addresses",
        file: "ipam/src/local/held.rs",
        text: "if object.draining || object.is_deleting {",
        replacement: "if object.is_deleting {",
        killer: inside("local::tests::draining"),
    },
    Mutant {
        name: "deleted-block-gives",
        breaks: "a block whose object is being deleted gives addresses",
        file: "ipam/src/local/held.rs",
        text: "if object.draining || object.is_deleting {",
        replacement: "if object.draining {",
        killer: inside("local::tests::when_a_block_is_used"),
    },
    Mutant {
        name: "foreign-uid-accepted",
        breaks: "a block of another Node object of the same name is used",
        file: "ipam/src/local/held.rs",
        text: "if node_uid.is_empty() || object.node_uid != node_uid {",
        replacement: "if node_uid.is_empty() {",
        killer: inside("local::tests::when_a_block_is_used"),
    },
    Mutant {
        name: "epoch-ignored",
        breaks: "a block is begun that the service has not confirmed",
        file: "ipam/src/local/held.rs",
        text: "if object.epoch < memory.epoch {",
        replacement: "if object.epoch < 0 {",
        killer: inside("local::tests::when_a_block_is_used"),
    },
    Mutant {
        name: "claim-ignored",
        breaks: "a block is begun of which another node has a part",
        file: "ipam/src/local/held.rs",
        text: "self.claim.clone().map(Pending::Claimed)",
        replacement: "self.claim.clone().filter(|_| false).map(Pending::Claimed)",
        killer: inside("local::tests::when_a_block_is_used"),
    },
    Mutant {
        name: "returned-block-begun-again",
        breaks: "a returned block that a backup brings back is used",
        file: "ipam/src/local/held.rs",
        text: "if object.status.released || memory.has_returned(&object.uid) {",
        replacement: "if object.status.released {",
        killer: LOCAL,
    },
    Mutant {
        name: "add-repeated-gives-another",
        breaks: "asking twice for one attachment gives two addresses",
        file: "ipam/src/local/assign.rs",
        text: "let mut addresses = self.addresses_of(owner);",
        replacement: "let mut addresses: Vec<IpAddr> = Vec::new();",
        killer: inside("local::tests::one_address"),
    },
    Mutant {
        name: "overlap-unchecked",
        breaks: "two pools share addresses",
        file: "ipam/src/pool.rs",
        text: "prefix::overlap(older.cidr, pool.cidr)",
        replacement: "older.cidr == pool.cidr",
        killer: inside("pool::tests::of_two_that_overlap"),
    },
    Mutant {
        name: "echo-not-awaited",
        breaks: "blocks are given before every node said what it holds",
        file: "ipam/src/ledger.rs",
        text: "(Some(network), _) => network.epoch_seen < self.epoch,",
        replacement: "(Some(_), _) => false,",
        killer: inside("plan::tests::nothing_is_given"),
    },
    Mutant {
        name: "vanished-block-unnoticed",
        breaks: "a lost object does not raise the epoch",
        file: "ipam/src/ledger.rs",
        text: "let mut reasons = self.vanished(view);",
        replacement: "let mut reasons: Vec<Raised> = self.vanished(view).into_iter().take(0).collect();",
        killer: inside("ledger::tests::what_raises_the_epoch"),
    },
    Mutant {
        name: "held-range-given",
        breaks: "a range that a kernel holds without an object is given to another node",
        file: "ipam/src/plan/claims.rs",
        text: "objects.chain(held)
",
        replacement: "objects.chain(held.take(0))
",
        killer: inside("plan::tests::what_a_kernel_holds"),
    },
    Mutant {
        name: "returned-range-not-rested",
        breaks: "a returned range goes to another node at once",
        file: "ipam/src/plan/space.rs",
        text: "now.millis_since(**at) >= RANGE_REST_MILLIS && ",
        replacement: "now >= **at && ",
        killer: PLAN,
    },
    Mutant {
        name: "living-node-robbed",
        breaks: "a node that is cut off but alive loses its blocks",
        file: "ipam/src/ledger.rs",
        text: "is_long_gone && !gave_sign && ",
        replacement: "let _ = gave_sign;
        is_long_gone && ",
        killer: inside("plan::tests::the_blocks_of_a_deleted_node"),
    },
];
