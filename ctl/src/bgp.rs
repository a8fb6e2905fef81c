//! `tortiectl bgp peers` and `tortiectl bgp routes`.

use api::control::{PathStatus, PeerStatus, RouteStatus};

use crate::{
    duration::human,
    table::{Align, table},
};

/// Where the state of BFD stands: beside the state of the session that it may end.
const BFD_COLUMN: usize = 5;

/// Every session, one row for each family; the state of BFD where it watches the way of some peer.
pub fn peers(peers: &[PeerStatus]) -> String {
    let is_watched = peers.iter().any(|peer| peer.bfd.is_some());
    let mut columns = vec![
        ("PEER", Align::Left),
        ("ADDRESS", Align::Left),
        ("AS", Align::Right),
        ("STATE", Align::Left),
        ("SINCE", Align::Left),
        ("FAMILY", Align::Left),
        ("RECEIVED", Align::Right),
        ("ACCEPTED", Align::Right),
        ("ADVERTISED", Align::Right),
        ("LAST ERROR", Align::Left),
    ];
    if is_watched {
        columns.insert(BFD_COLUMN, ("BFD", Align::Left));
    }
    let rows = peers.iter().flat_map(|peer| peer_rows(peer, is_watched)).collect();
    table(&columns, rows, "No BGP peers are configured for this node.")
}

/// The peer's columns stand in its first row alone.
fn peer_rows(peer: &PeerStatus, is_watched: bool) -> Vec<Vec<String>> {
    let mut head = vec![
        peer.name.clone(),
        peer.address.clone(),
        peer.asn.to_string(),
        peer.state.clone(),
        human(peer.since_secs),
    ];
    if is_watched {
        head.insert(BFD_COLUMN, peer.bfd.clone().unwrap_or_else(|| "-".to_owned()));
    }
    let counts = peer.families.iter().map(|family| {
        vec![
            family.family.clone(),
            family.received.to_string(),
            family.accepted.to_string(),
            family.advertised.to_string(),
        ]
    });
    let mut counts: Vec<Vec<String>> = counts.collect();
    if counts.is_empty() {
        counts.push(vec!["-".to_owned(); 4]);
    }
    let rows = counts.into_iter().enumerate().map(|(index, counts)| {
        let is_first = index == 0;
        let mut row = if is_first { head.clone() } else { vec![String::new(); head.len()] };
        row.extend(counts);
        row.push(if is_first { peer.last_error.clone() } else { String::new() });
        row
    });
    rows.collect()
}

/// Every prefix with all its paths: `*` used, `>` best, `s` kept over the restart of its peer.
pub fn routes(routes: &[RouteStatus]) -> String {
    let columns = [
        ("", Align::Left),
        ("PREFIX", Align::Left),
        ("NEXT HOP", Align::Left),
        ("FROM", Align::Left),
        ("LOCPREF", Align::Right),
        ("MED", Align::Right),
        ("AS PATH", Align::Left),
        ("WHY", Align::Left),
    ];
    let rows = routes.iter().flat_map(|route| {
        let paths = route.paths.iter().enumerate();
        paths.map(|(index, path)| path_row(if index == 0 { &route.prefix } else { "" }, path))
    });
    let text = table(&columns, rows.collect(), "No routes.");
    format!("{text}\n> best, * used beside the best, s stale (its peer restarts)\n")
}

fn path_row(prefix: &str, path: &PathStatus) -> Vec<String> {
    let mut marks = String::new();
    marks.push(if path.best {
        '>'
    } else if path.multipath {
        '*'
    } else {
        ' '
    });
    marks.push_str(if path.stale { "s" } else { "" });
    let number = |value: Option<u32>| value.map_or_else(String::new, |value| value.to_string());
    vec![
        marks,
        prefix.to_owned(),
        path.next_hop.clone(),
        path.peer.clone(),
        number(path.local_pref),
        number(path.med),
        path.as_path.clone(),
        path.reason.clone(),
    ]
}
