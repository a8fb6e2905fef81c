//! `tortiectl bgp`: sessions and routes, all of them or one.

use std::{fmt::Write as _, net::IpAddr};

use anyhow::{Result, anyhow};
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

/// The peer of this name or address.
///
/// # Errors
/// There is none; the text names those that there are.
pub fn find_peer(peers: Vec<PeerStatus>, wanted: &str) -> Result<PeerStatus> {
    let names: Vec<String> = peers.iter().map(|peer| peer.name.clone()).collect();
    let found = peers.into_iter().find(|peer| peer.name == wanted || peer.address == wanted);
    found.ok_or_else(|| anyhow!("no peer `{wanted}` here; the peers are: {}", names.join(", ")))
}

/// Everything about one session, a line for each thing that is known.
pub fn peer(peer: &PeerStatus) -> String {
    let families = peer.families.iter().map(|family| {
        let (received, accepted, advertised) = (family.received, family.accepted, family.advertised);
        (family.family.as_str(), format!("{received} received, {accepted} accepted, {advertised} advertised"))
    });
    let seconds = |secs: Option<u64>| secs.map(|secs| format!("{secs} s")).unwrap_or_default();
    let lines = [
        ("Peer", format!("{} at {}, AS {}", peer.name, peer.address, peer.asn)),
        ("State", format!("{} for {}", peer.state, human(peer.since_secs))),
        ("Local address", peer.local_address.clone().unwrap_or_default()),
        ("Router ID", peer.remote_router_id.clone().unwrap_or_default()),
        ("Hold time", seconds(peer.hold_time_secs.map(u64::from))),
        ("BFD", peer.bfd.clone().unwrap_or_default()),
        ("Capabilities", peer.capabilities.join(", ")),
        ("Ended", format!("{} times", peer.flaps)),
        ("Next dial in", seconds(peer.next_dial_secs)),
        ("Last down", peer.last_error.clone()),
        ("Last error sent", peer.last_error_sent.clone()),
        ("Last error received", peer.last_error_received.clone()),
    ];
    let mut text = String::new();
    for (name, value) in lines.into_iter().chain(families).filter(|(_, value)| !value.is_empty()) {
        // A String takes everything.
        let _ = writeln!(text, "{:<21}{value}", format!("{name}:"));
    }
    text
}

/// The route of exactly this prefix; for an address, of the longest prefix that it is in.
///
/// # Errors
/// What is asked for is neither, or there is no such route.
pub fn find_route(routes: Vec<RouteStatus>, destination: &str) -> Result<RouteStatus> {
    let address: Option<IpAddr> = destination.parse().ok();
    let wanted = api::prefix::parse(destination).ok();
    if address.is_none() && wanted.is_none() {
        return Err(anyhow!("`{destination}` is neither an address nor a prefix such as 10.0.0.0/8"));
    }
    let matching = routes.into_iter().filter_map(|route| {
        let prefix = api::prefix::parse(&route.prefix).ok()?;
        let is_wanted = match address {
            Some(address) => prefix.contains(address),
            None => Some(prefix) == wanted,
        };
        is_wanted.then_some((prefix.prefix(), route))
    });
    let longest = matching.max_by_key(|(length, _)| *length);
    longest.map(|(_, route)| route).ok_or_else(|| anyhow!("BGP knows no route to {destination}"))
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
