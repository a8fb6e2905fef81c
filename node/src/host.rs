//! What the machine itself does that takes packets or routes of pods away: found, told with its remedy, never changed.
//!
//! ```text
//! nftables, /proc, /etc/systemd, CNI folder ──read──> HostFacts ──findings──> conditions, Events, tortiectl
//! ```

use std::{collections::BTreeMap, path::PathBuf};

use api::names::CNI_CONFLIST;
use felix::kernel::nft::ForwardChain;

pub mod read;

#[cfg(test)]
mod tests;

/// What was found on the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Base chains of others at the forward hook.
    pub forward_chains: Vec<ForwardChain>,
    /// Whether kube-proxy translates by IPVS.
    pub has_ipvs: bool,
    /// The reverse path filter in force by interface: 0 off, 1 strict, 2 loose. Only those that lead off the machine.
    pub rp_filter: BTreeMap<String, u8>,
    /// Whether systemd-networkd runs and takes routes away that it did not make.
    pub networkd_takes_routes: bool,
    /// Whether `NetworkManager` runs and may take pods' interfaces for its own.
    pub network_manager_takes_interfaces: bool,
    /// CNI configurations that the runtime prefers to ours.
    pub foreign_conflists: Vec<PathBuf>,
}

/// Something on the machine that works against pods' network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Whether packets of pods are lost or pass without policy; otherwise they may be, one day.
    pub breaks: bool,
    /// What it is, what it does, and what helps.
    pub message: String,
}

/// What follows from the facts, in a fixed order.
pub fn findings(facts: &HostFacts) -> Vec<Finding> {
    let breaking = facts.forward_chains.iter().filter_map(forward_chain);
    let breaking = breaking.chain(facts.has_ipvs.then(ipvs));
    let possible = [
        rp_filter(&facts.rp_filter),
        firewalld(&facts.forward_chains),
        facts.networkd_takes_routes.then(|| {
            "systemd-networkd removes routes that it did not make whenever it configures a link anew; set \
             ManageForeignRoutes=no in the section [Network] of /etc/systemd/networkd.conf and restart it"
                .to_owned()
        }),
        facts.network_manager_takes_interfaces.then(|| {
            "NetworkManager may configure interfaces of pods; put [keyfile] and \
             unmanaged-devices=interface-name:tort* into /etc/NetworkManager/conf.d/tortie.conf and reload it"
                .to_owned()
        }),
        conflists(&facts.foreign_conflists),
    ];
    let breaking = breaking.map(|message| Finding { breaks: true, message });
    breaking.chain(possible.into_iter().flatten().map(|message| Finding { breaks: false, message })).collect()
}

/// A chain that drops by default and makes no exception for pods.
fn forward_chain(chain: &ForwardChain) -> Option<String> {
    if !chain.drops || (chain.accepts_from_pods && chain.accepts_to_pods) || is_firewalld(chain) {
        return None;
    }
    let ForwardChain { family, table, name, has_docker_user, .. } = chain;
    let command = if family == "ip6" { "ip6tables" } else { "iptables" };
    let into = if *has_docker_user { "DOCKER-USER" } else { name.as_str() };
    let remedy = match (family.as_str(), table.as_str()) {
        ("ip" | "ip6", "filter") => format!(
            "{command} -I {into} -i tort+ -j ACCEPT and {command} -I {into} -o tort+ -j ACCEPT let them pass (with \
             ufw: DEFAULT_FORWARD_POLICY=\"ACCEPT\" in /etc/default/ufw)"
        ),
        _ => format!(
            "nft insert rule {family} {table} {name} iifname 'tort*' accept and the same with oifname let them pass"
        ),
    };
    Some(format!(
        "chain {name} of table {family} {table} drops packets of pods, as its policy is drop; {remedy}"
    ))
}

fn is_firewalld(chain: &ForwardChain) -> bool {
    chain.table == "firewalld"
}

/// firewalld refuses at the end of its chain, whatever the policy, and its exceptions are by source.
fn firewalld(chains: &[ForwardChain]) -> Option<String> {
    chains.iter().any(is_firewalld).then(|| {
        "firewalld rejects forwarded packets that no zone lets pass; firewall-cmd --permanent --zone=trusted \
         --add-source=PREFIX for each IPPool, then firewall-cmd --reload"
            .to_owned()
    })
}

fn ipvs() -> String {
    "kube-proxy runs in IPVS mode, in which traffic to Services passes by policy; set mode: nftables in its \
     configuration and run kube-proxy --cleanup once on this node"
        .to_owned()
}

/// Strict reverse path filters drop what comes back another way; with one way off the machine there is none.
fn rp_filter(filters: &BTreeMap<String, u8>) -> Option<String> {
    const STRICT: u8 = 1;
    let strict: Vec<&str> =
        filters.iter().filter(|(_, filter)| **filter == STRICT).map(|(name, _)| name.as_str()).collect();
    if filters.len() < 2 || strict.is_empty() {
        return None;
    }
    Some(format!(
        "rp_filter is strict on {}: packets that come in by another interface than the answer would take are \
         dropped; set net.ipv4.conf.all.rp_filter=0 and net.ipv4.conf.INTERFACE.rp_filter=2 in /etc/sysctl.d",
        strict.join(", ")
    ))
}

fn conflists(foreign: &[PathBuf]) -> Option<String> {
    if foreign.is_empty() {
        return None;
    }
    let names: Vec<String> = foreign.iter().map(|path| path.display().to_string()).collect();
    Some(format!(
        "the runtime prefers {} to {CNI_CONFLIST}, as it takes the first by name; remove it if pods shall use Tortie",
        names.join(", ")
    ))
}
