//! `tortiectl ipam show`.

use api::control::BlockStatus;

use crate::{
    duration::human,
    table::{Align, table},
};

/// The node's blocks, then every address in use.
pub fn blocks(blocks: &[BlockStatus]) -> String {
    let columns = [
        ("BLOCK", Align::Left),
        ("POOL", Align::Left),
        ("IN USE", Align::Right),
        ("ADDRESSES", Align::Right),
        ("STATE", Align::Left),
    ];
    let rows = blocks.iter().map(|block| {
        vec![
            block.cidr.clone(),
            block.pool.clone(),
            block.allocations.len().to_string(),
            block.addresses.to_string(),
            state(block),
        ]
    });
    let overview = table(&columns, rows.collect(), "This node has no blocks.");
    format!("{overview}\n{}", allocations(blocks))
}

fn state(block: &BlockStatus) -> String {
    match (block.problem.as_str(), block.draining) {
        ("", false) => "in use".to_owned(),
        ("", true) => "draining".to_owned(),
        (problem, _) => problem.to_owned(),
    }
}

fn allocations(blocks: &[BlockStatus]) -> String {
    let columns =
        [("ADDRESS", Align::Left), ("POD", Align::Left), ("INTERFACE", Align::Left), ("SINCE", Align::Left)];
    let rows = blocks.iter().flat_map(|block| &block.allocations).map(|allocation| {
        vec![
            allocation.address.clone(),
            allocation.pod.clone(),
            allocation.interface.clone(),
            human(allocation.since_secs),
        ]
    });
    table(&columns, rows.collect(), "No addresses are in use.")
}
