//! A router of the topology -> the text of its program's configuration file.

use std::fmt::Write as _;

use ipnetwork::IpNetwork;

use super::topology::{Neighbor, Router};

/// For how long neighbours keep the routes of a router that restarts, in seconds.
const RESTART_TIME_SECS: u16 = 60;

/// The configuration file of `tortie-bgp`.
pub fn own(router: &Router) -> String {
    let originate: Vec<String> = router.originate.iter().map(|prefix| format!("\"{prefix}\"")).collect();
    let mut text = format!(
        "asn = {}\nrouter_id = \"{}\"\nhold_time_secs = {}\nkernel_routes = true\noriginate = [{}]\n\
         import_default_routes = true\ngraceful_restart = {{ restart_time_secs = {RESTART_TIME_SECS} }}\n",
        router.asn,
        router.address,
        router.hold_time_secs,
        originate.join(", "),
    );
    for Neighbor { name, address, asn, next_hop_ipv6 } in &router.neighbors {
        let _ = write!(
            text,
            "\n[[neighbors]]\nname = \"{name}\"\naddress = \"{address}\"\nremote_asn = {asn}\n\
             next_hop_ipv6 = \"{next_hop_ipv6}\"\n"
        );
        if let Some(millis) = router.bfd_interval_millis {
            let _ = writeln!(
                text,
                "bfd = {{ transmit_interval_millis = {millis}, receive_interval_millis = {millis} }}"
            );
        }
    }
    text
}

/// The configuration file of BIRD 2.
///
/// Static routes exist to be announced; they stay out of the kernel, where they would only
/// shadow the connected route of the same prefix.
pub fn bird(router: &Router) -> String {
    let mut text = format!(
        "log stderr all;\nrouter id {};\ngraceful restart wait {RESTART_TIME_SECS};\n\n\
         protocol device {{ scan time 2; }}\n",
        router.address
    );
    for (family, is_ipv4) in [("ipv4", true), ("ipv6", false)] {
        let _ = write!(
            text,
            "\nprotocol kernel kernel_{family} {{\n  {family} {{ import none; export where source = RTS_BGP; }};\n  \
             merge paths yes limit 64;\n  persist;\n  graceful restart;\n}}\n\
             protocol static static_{family} {{\n  {family};\n"
        );
        for prefix in router.originate.iter().filter(|prefix| prefix.is_ipv4() == is_ipv4) {
            let _ = writeln!(text, "  route {} blackhole;", canonical(prefix));
        }
        text.push_str("}\n");
    }
    if let Some(millis) = router.bfd_interval_millis {
        let _ = write!(
            text,
            "\nprotocol bfd {{\n  interface \"*\" {{ interval {millis} ms; multiplier 3; }};\n}}\n"
        );
    }
    for neighbor in &router.neighbors {
        push_bird_neighbor(&mut text, router, neighbor);
    }
    text
}

fn push_bird_neighbor(text: &mut String, router: &Router, neighbor: &Neighbor) {
    let Neighbor { name, address, asn, next_hop_ipv6 } = neighbor;
    // Names with a dash are not words of BIRD's language.
    let word = name.replace('-', "_");
    let hold = router.hold_time_secs;
    // Graceful: what may be a restart of the neighbor is treated as one.
    let bfd = router.bfd_interval_millis.map_or("", |_| "bfd graceful;\n  ");
    let _ = write!(
        text,
        "\nprotocol bgp {word} {{\n  local as {};\n  neighbor {address} as {asn};\n  hold time {hold};\n  \
         keepalive time {};\n  connect retry time 1;\n  connect delay time 1;\n  error wait time 1, 2;\n  \
         graceful restart on;\n  graceful restart time {RESTART_TIME_SECS};\n  {bfd}\
         ipv4 {{ import all; export all; next hop self; }};\n  \
         ipv6 {{ import all; export all; next hop address {next_hop_ipv6}; }};\n}}\n",
        router.asn,
        hold / 3,
    );
}

fn canonical(prefix: &IpNetwork) -> String {
    format!("{}/{}", prefix.network(), prefix.prefix())
}

#[cfg(test)]
mod tests {
    use super::super::topology::{Shape, Topology};
    use super::*;

    fn tor() -> Router {
        let topology = Topology::new(Shape { racks: 1, nodes: 1, ..Shape::default() }).unwrap();
        topology.routers[1].clone()
    }

    #[test]
    fn own_router_reads_its_file_as_toml() {
        let table: toml::Table = own(&tor()).parse().unwrap();
        assert_eq!(table["asn"].as_integer(), Some(64601));
        assert_eq!(table["router_id"].as_str(), Some("10.10.1.251"));
        let neighbors = table["neighbors"].as_array().unwrap();
        let names: Vec<_> = neighbors.iter().map(|n| n["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["spine", "node-1"]);
        assert_eq!(neighbors[1]["next_hop_ipv6"].as_str(), Some("fd00:10:1::251"));
        assert_eq!(neighbors[0]["next_hop_ipv6"].as_str(), Some("fd00:20:1::2"));
    }

    #[test]
    fn bird_gets_words_it_can_read() {
        let text = bird(&tor());
        for line in [
            "protocol bgp node_1 {",
            "  neighbor 10.10.1.11 as 65101;",
            "  route 10.10.1.0/24 blackhole;",
            "  route fd00:10:1::/64 blackhole;",
            "  ipv6 { import all; export all; next hop address fd00:10:1::251; };",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
