//! The top-of-rack routers as `BGPPeer`s: lines like `rack-1: as 64601, 10.10.1.251, 10.10.1.252`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use api::BGPPeer;
use api::bgp_peer::BGPPeerSpec;
use api::names::RACK_LABEL;

/// What stands in place of a rack for all nodes.
const EVERY_NODE: &str = "*";

/// Most routers that are read: more than racks of one cluster have, and few enough to create one after the other.
const PEERS_MAX: usize = 1024;

/// Longest value of a Node label.
const RACK_BYTES_MAX: usize = 63;

const EXAMPLE: &str = "write a line like `rack-1: as 64601, 10.10.1.251, 10.10.1.252`";

/// The routers of this text; `#` begins a comment.
///
/// # Errors
/// The line that is not understood, and what to write instead.
pub(super) fn parse(text: &str) -> Result<Vec<BGPPeer>, String> {
    let mut lines = Lines::default();
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            lines.add(line).map_err(|problem| format!("line {}, `{line}`: {problem}", at + 1))?;
        }
    }
    Ok(lines.peers)
}

#[derive(Default)]
struct Lines {
    peers: Vec<BGPPeer>,
    known: BTreeSet<(String, IpAddr)>,
    /// Which rack took a name.
    racks: BTreeMap<String, (String, usize)>,
}

impl Lines {
    fn add(&mut self, line: &str) -> Result<(), String> {
        let (rack, routers) = line.split_once(':').ok_or_else(|| format!("a colon is missing; {EXAMPLE}"))?;
        let (rack, mut words) = (rack.trim(), routers.split(',').map(str::trim));
        check_rack(rack)?;
        let as_number = as_number(words.next().unwrap_or_default())?;
        let addresses: Vec<IpAddr> = words.map(address).collect::<Result<_, _>>()?;
        if addresses.is_empty() {
            return Err(format!("no router is given; {EXAMPLE}"));
        }
        for address in addresses {
            self.add_router(rack, as_number, address)?;
        }
        Ok(())
    }

    fn add_router(&mut self, rack: &str, as_number: u32, address: IpAddr) -> Result<(), String> {
        if !self.known.insert((rack.to_owned(), address)) {
            return Err(format!("{address} stands twice for {rack}; remove one"));
        }
        if self.peers.len() == PEERS_MAX {
            return Err(format!("more than {PEERS_MAX} routers; create the others as BGPPeer objects"));
        }
        let name = self.name(rack)?;
        let spec =
            BGPPeerSpec { node_selector: selector(rack), ..BGPPeerSpec::new(address.to_string(), as_number) };
        self.peers.push(BGPPeer::new(&name, spec));
        Ok(())
    }

    /// `tor-RACK-1`, counted from 1 in each rack, of letters that names of objects may have.
    fn name(&mut self, rack: &str) -> Result<String, String> {
        let base =
            if rack == EVERY_NODE { "all".to_owned() } else { rack.to_lowercase().replace(['_', '.'], "-") };
        let (taken_by, number) = self.racks.entry(base.clone()).or_insert_with(|| (rack.to_owned(), 0));
        if taken_by != rack {
            return Err(format!(
                "{taken_by} and {rack} would have peers of the same name; create one's as BGPPeer objects"
            ));
        }
        *number += 1;
        Ok(format!("tor-{base}-{number}"))
    }
}

/// As Kubernetes has it for the value of a label, which begins and ends with a letter or digit.
fn check_rack(rack: &str) -> Result<(), String> {
    let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_value = rack.len() <= RACK_BYTES_MAX && rack.chars().all(is_inner);
    if rack == EVERY_NODE || is_value && is_edge(rack.chars().next()) && is_edge(rack.chars().last()) {
        return Ok(());
    }
    Err(format!(
        "`{rack}` is not the value of a Node label {RACK_LABEL}; write one like rack-1, or * for all nodes"
    ))
}

fn as_number(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix("as ").or_else(|| text.strip_prefix("AS "));
    let number = number.and_then(|number| number.trim().parse().ok()).filter(|number| *number != 0);
    number.ok_or_else(|| format!("`{text}` is not the routers' AS number, 1 to 4294967295; {EXAMPLE}"))
}

fn address(text: &str) -> Result<IpAddr, String> {
    let address = text.parse().map_err(|_| format!("`{text}` is not an IP address; {EXAMPLE}"))?;
    let is_link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if is_link_local || IpAddr::is_unspecified(&address) || address.is_multicast() {
        return Err(format!("{address} is not an address that nodes can connect to; write the router's own"));
    }
    Ok(address)
}

fn selector(rack: &str) -> String {
    if rack == EVERY_NODE { api::selector::all_text() } else { format!("{RACK_LABEL} == '{rack}'") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_that_are_understood() {
        // (why, text, peers as name, selector, address, AS number)
        let cases: [(&str, &str, &[&str]); 5] = [
            ("none", " \n# rack-1: as 1, 10.0.0.1\n", &[]),
            (
                "two routers of a rack",
                "rack-1: as 64601, 10.10.1.251, 10.10.1.252",
                &[
                    "tor-rack-1-1 topology.kubernetes.io/rack == 'rack-1' 10.10.1.251 64601",
                    "tor-rack-1-2 topology.kubernetes.io/rack == 'rack-1' 10.10.1.252 64601",
                ],
            ),
            (
                "routers of a rack with an AS each, and both families",
                "R_1: as 64601 , 10.10.1.251\nR_1:AS 64602,fd00::1 # spare",
                &[
                    "tor-r-1-1 topology.kubernetes.io/rack == 'R_1' 10.10.1.251 64601",
                    "tor-r-1-2 topology.kubernetes.io/rack == 'R_1' fd00::1 64602",
                ],
            ),
            ("all nodes", "*: as 4294967295, 192.0.2.1", &["tor-all-1 all() 192.0.2.1 4294967295"]),
            (
                "one router of two racks",
                "a: as 1, 192.0.2.1\nb: as 1, 192.0.2.1",
                &[
                    "tor-a-1 topology.kubernetes.io/rack == 'a' 192.0.2.1 1",
                    "tor-b-1 topology.kubernetes.io/rack == 'b' 192.0.2.1 1",
                ],
            ),
        ];
        for (why, text, expected) in cases {
            let peers = parse(text).unwrap();
            let shown: Vec<String> = peers.iter().map(shown).collect();
            assert_eq!(shown, expected, "{why}");
        }
    }

    fn shown(peer: &BGPPeer) -> String {
        let (name, spec) = (peer.metadata.name.as_deref().unwrap_or_default(), &peer.spec);
        format!("{name} {} {} {}", spec.node_selector, spec.peer_ip, spec.as_number)
    }

    #[test]
    fn lines_that_are_not_name_the_remedy() {
        // (why, text, part of the problem)
        let cases = [
            (
                "no colon",
                "rack-1 10.0.0.1",
                "line 1, `rack-1 10.0.0.1`: a colon is missing; write a line like",
            ),
            (
                "no AS",
                "\nrack-1: 10.0.0.1",
                "line 2, `rack-1: 10.0.0.1`: `10.0.0.1` is not the routers' AS number",
            ),
            ("AS 0", "rack-1: as 0, 10.0.0.1", "`as 0` is not the routers' AS number"),
            ("AS of 33 bits", "rack-1: as 4294967296, 10.0.0.1", "is not the routers' AS number"),
            ("no router", "rack-1: as 1", "no router is given"),
            ("no address", "rack-1: as 1, tor-a", "`tor-a` is not an IP address"),
            ("link-local", "rack-1: as 1, fe80::1", "is not an address that nodes can connect to"),
            ("no rack", ": as 1, 10.0.0.1", "is not the value of a Node label"),
            ("no label value", "rack'1: as 1, 10.0.0.1", "is not the value of a Node label"),
            ("twice", "a: as 1, 10.0.0.1, 10.0.0.1", "10.0.0.1 stands twice for a"),
            (
                "same names",
                "a_b: as 1, 10.0.0.1\na.b: as 1, 10.0.0.2",
                "a_b and a.b would have peers of the same name",
            ),
        ];
        for (why, text, expected) in cases {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(expected), "{why}: {problem}");
        }
    }

    #[test]
    fn there_is_a_limit() {
        let line = |number: usize| format!("r{number}: as 1, 10.0.0.1\n");
        let text = (0..PEERS_MAX).map(line).collect::<Vec<_>>().concat();
        assert_eq!(parse(&text).unwrap().len(), PEERS_MAX);
        assert!(parse(&(text + "more: as 1, 10.0.0.1")).unwrap_err().contains("more than 1024 routers"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn names_are_different(racks in prop::collection::vec("[a-z0-9*_.A-Z-]{1,4}", 0..6)) {
            let lines: Vec<String> = racks.iter().enumerate()
                .map(|(number, rack)| format!("{rack}: as 1, 10.0.0.{number}\n")).collect();
            let text = lines.concat();
            if let Ok(peers) = parse(&text) {
                let names: BTreeSet<_> = peers.iter().map(|peer| peer.metadata.name.clone()).collect();
                prop_assert_eq!(names.len(), peers.len());
            }
        }
    }
}
