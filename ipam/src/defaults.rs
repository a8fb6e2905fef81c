//! What an empty cluster is set up with, read from the `ConfigMap` `tortie-config`.

use std::collections::BTreeMap;

use api::bgp_configuration::BGPConfigurationSpec;
use api::ip_pool::IPPoolSpec;
use api::names::DEFAULT_ASN;
use api::{BGPConfiguration, BGPPeer, IPPool, prefix};

use crate::block::HOST_BITS_MAX;
use crate::pool::Family;

mod tor_peers;

#[cfg(test)]
mod tests;

/// Annotation of the `ConfigMap` that says that the cluster was set up from it. While it is
/// there nothing is created, so that what a user deleted stays deleted; remove it to have
/// the missing objects created anew.
pub const SET_UP_ANNOTATION: &str = "tortie.dev/set-up";

/// Key of the ranges, separated by commas, at most one of each family.
pub const POD_CIDRS_KEY: &str = "podCIDRs";
/// Key of the AS number.
pub const ASN_KEY: &str = "asn";
/// Key of the Node label whose value is the node's AS number.
pub const ASN_LABEL_KEY: &str = "asnNodeLabel";
/// Key of the top-of-rack routers, one line for each rack.
pub const TOR_PEERS_KEY: &str = "torPeers";

/// Longest text that a label key may have: 253 for its prefix, a slash, 63 for its name.
const LABEL_KEY_MAX: usize = 317;

/// The objects of a new cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// One pool for each range.
    pub pools: Vec<IPPool>,
    /// The one configuration.
    pub bgp: BGPConfiguration,
    /// One peer for each router.
    pub peers: Vec<BGPPeer>,
}

/// A value that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct InvalidValue {
    /// The key in the `ConfigMap`.
    pub key: &'static str,
    /// What is wrong and what to write instead.
    pub problem: String,
}

impl Defaults {
    /// Reads the `ConfigMap`'s data.
    ///
    /// # Errors
    /// Every value that cannot be used; then nothing is created, so that a correction meets a
    /// cluster that is still empty.
    pub fn read(data: &BTreeMap<String, String>) -> Result<Self, Vec<InvalidValue>> {
        let mut problems = Vec::new();
        let mut note = |problem: InvalidValue| problems.push(problem);
        let pools = pools(data).map_err(&mut note);
        let asn = asn(data).map_err(&mut note);
        let label = asn_label(data).map_err(&mut note);
        let peers = peers(data).map_err(&mut note);
        match (pools, asn, label, peers) {
            (Ok(pools), Ok(as_number), Ok(as_number_label), Ok(peers)) => {
                // Nodes that hear of each other by routers need no sessions of their own.
                let node_to_node_mesh_enabled = peers.is_empty();
                let spec = BGPConfigurationSpec {
                    as_number,
                    as_number_label,
                    node_to_node_mesh_enabled,
                    ..Default::default()
                };
                Ok(Self { pools, bgp: BGPConfiguration::new("default", spec), peers })
            }
            _ => Err(problems),
        }
    }
}

fn pools(data: &BTreeMap<String, String>) -> Result<Vec<IPPool>, InvalidValue> {
    let invalid = |problem| InvalidValue { key: POD_CIDRS_KEY, problem };
    let text = data.get(POD_CIDRS_KEY).map(String::as_str).unwrap_or_default();
    let example = "write the ranges of pods, like 10.244.0.0/16,fd00:10:244::/56";
    let mut pools: BTreeMap<Family, IPPool> = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let cidr = prefix::parse(part).map_err(invalid)?;
        let family = Family::of(&cidr);
        let block_size = (cidr.prefix() > default_block_size(family)).then_some(cidr.prefix());
        let spec = IPPoolSpec {
            cidr: cidr.to_string(),
            block_size,
            nat_outgoing: true,
            disabled: false,
            node_selector: api::selector::all_text(),
        };
        let name = format!("default-{}", family.to_string().to_lowercase());
        if pools.insert(family, IPPool::new(&name, spec)).is_some() {
            return Err(invalid(format!(
                "`{text}` has two {family} ranges; write one and create an IPPool for the other"
            )));
        }
    }
    if pools.is_empty() {
        Err(invalid(format!("no range is given; {example}")))
    } else {
        Ok(pools.into_values().collect())
    }
}

/// As the IPPool's own default.
fn default_block_size(family: Family) -> u8 {
    let size = match family {
        Family::V4 => 26,
        Family::V6 => 122,
    };
    size.max(family.bits() - HOST_BITS_MAX)
}

fn asn(data: &BTreeMap<String, String>) -> Result<u32, InvalidValue> {
    let Some(text) = data.get(ASN_KEY).map(|text| text.trim()).filter(|text| !text.is_empty()) else {
        return Ok(DEFAULT_ASN);
    };
    text.parse().ok().filter(|asn| *asn != 0).ok_or_else(|| InvalidValue {
        key: ASN_KEY,
        problem: format!("`{text}` is not an AS number; write one of 1 to 4294967295, like {DEFAULT_ASN}"),
    })
}

fn peers(data: &BTreeMap<String, String>) -> Result<Vec<BGPPeer>, InvalidValue> {
    let text = data.get(TOR_PEERS_KEY).map(String::as_str).unwrap_or_default();
    let mut peers = tor_peers::parse(text).map_err(|problem| InvalidValue { key: TOR_PEERS_KEY, problem })?;
    if matches!(asn_label(data), Ok(None)) {
        for peer in &mut peers {
            // Nodes of one AS learn each other's routes from a router of another one, whether it replaces their number
            // or not. They announce nothing but their own, so that no loop can form.
            peer.spec.allowed_local_as_numbers = 1;
        }
    }
    Ok(peers)
}

fn asn_label(data: &BTreeMap<String, String>) -> Result<Option<String>, InvalidValue> {
    let Some(text) = data.get(ASN_LABEL_KEY).map(|text| text.trim()).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if text.len() <= LABEL_KEY_MAX && text.chars().all(is_fine) {
        Ok(Some(text.to_owned()))
    } else {
        Err(InvalidValue {
            key: ASN_LABEL_KEY,
            problem: format!("`{text}` is not the key of a Node label; write one like example.com/asn"),
        })
    }
}
