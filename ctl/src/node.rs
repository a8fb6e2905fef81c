//! `tortiectl node status`.

use api::control::NodeStatus;

use crate::{
    duration::human,
    table::{Align, table},
};

/// The node as a whole: facts, then what works and what does not.
pub fn status(node: &NodeStatus) -> String {
    let facts = [
        ("Node", node.node.clone()),
        ("Version", format!("{}, up {}", node.version, human(node.uptime_secs))),
        ("AS", node.asn.to_string()),
        ("Router ID", node.router_id.clone()),
        ("Addresses", addresses(node)),
        ("Advertises", or_nothing(&node.originated.join(", "))),
        ("BGP peers", format!("{} of {} established", node.peers_established, node.peers_configured)),
        ("Pods", node.endpoints.to_string()),
        ("Policies", node.policies.to_string()),
    ];
    let facts: Vec<String> = facts.iter().map(|(name, value)| format!("{name:<12}{value}")).collect();
    let rows = node.conditions.iter().map(|condition| {
        let verdict = if condition.holds { "ok" } else { "FAILED" };
        vec![condition.name.clone(), verdict.to_owned(), condition.message.clone()]
    });
    let columns = [("CONDITION", Align::Left), ("STATE", Align::Left), ("REASON", Align::Left)];
    format!("{}\n\n{}", facts.join("\n"), table(&columns, rows.collect(), "No conditions."))
}

fn addresses(node: &NodeStatus) -> String {
    let texts: Vec<String> =
        node.addresses.iter().map(|address| format!("{} ({})", address.address, address.reason)).collect();
    or_nothing(&texts.join(", "))
}

fn or_nothing(text: &str) -> String {
    if text.is_empty() { "none" } else { text }.to_owned()
}
