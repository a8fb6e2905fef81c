//! Which sessions must reset to obey a new configuration, and why.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{NeighborConfig, SpeakerConfig};

/// What a new configuration did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigureReport {
    /// Names of neighbors that are new.
    pub added: Vec<String>,
    /// Names of neighbors that are gone; their sessions ended.
    pub removed: Vec<String>,
    /// Neighbors whose session starts anew.
    pub reset: Vec<SessionReset>,
    /// Names of neighbors that changed with their session up.
    pub updated: Vec<String>,
}

/// A session that had to start anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionReset {
    /// The neighbor's name.
    pub neighbor: String,
    /// The neighbor's address.
    pub address: IpAddr,
    /// The fields that cannot change within a session.
    pub because: Vec<String>,
}

/// The report of what `new` means after `old`; carried out by the speaker.
pub(crate) fn diff(old: &SpeakerConfig, new: &SpeakerConfig) -> ConfigureReport {
    let former: BTreeMap<IpAddr, &NeighborConfig> = by_address(old);
    let wanted: BTreeMap<IpAddr, &NeighborConfig> = by_address(new);
    let everywhere = speaker_reasons(old, new);
    let is_changed_everywhere = soft_fields(old) != soft_fields(new);
    let mut report = ConfigureReport::default();
    let gone = former.iter().filter(|(address, _)| !wanted.contains_key(*address));
    report.removed = gone.map(|(_, neighbor)| neighbor.name.clone()).collect();
    for (address, neighbor) in wanted {
        let Some(before) = former.get(&address) else {
            report.added.push(neighbor.name.clone());
            continue;
        };
        let mut because = everywhere.clone();
        because.extend(neighbor_reasons((old, before), (new, neighbor)));
        if !because.is_empty() {
            report.reset.push(SessionReset { neighbor: neighbor.name.clone(), address, because });
        } else if *before != neighbor || is_changed_everywhere {
            report.updated.push(neighbor.name.clone());
        }
    }
    report
}

fn by_address(config: &SpeakerConfig) -> BTreeMap<IpAddr, &NeighborConfig> {
    config.neighbors.iter().map(|neighbor| (neighbor.address, neighbor)).collect()
}

/// What of the speaker changes without any session's OPEN.
fn soft_fields(config: &SpeakerConfig) -> (usize, bool) {
    (config.multipath_max, config.import_default_routes)
}

/// What the OPENs of all sessions say. The timers of graceful restart that stay with us are not among it.
fn speaker_reasons(old: &SpeakerConfig, new: &SpeakerConfig) -> Vec<String> {
    let restart_time =
        |config: &SpeakerConfig| config.graceful_restart.map(|restart| restart.restart_time_secs);
    let changes = [
        ("asn", old.asn != new.asn),
        ("router_id", old.router_id != new.router_id),
        ("graceful_restart", restart_time(old) != restart_time(new)),
    ];
    named(&changes)
}

/// What this session's OPEN or its TCP connection says.
fn neighbor_reasons(
    old: (&SpeakerConfig, &NeighborConfig),
    new: (&SpeakerConfig, &NeighborConfig),
) -> Vec<String> {
    let hold_time = |(speaker, neighbor): (&SpeakerConfig, &NeighborConfig)| {
        neighbor.hold_time_secs.unwrap_or(speaker.hold_time_secs)
    };
    let changes = [
        ("remote_asn", old.1.remote_asn != new.1.remote_asn),
        ("hold_time_secs", hold_time(old) != hold_time(new)),
        ("port", old.1.port != new.1.port),
        ("local_address", old.1.local_address != new.1.local_address),
        ("families", old.1.families != new.1.families),
        ("ebgp_multihop", old.1.ebgp_multihop != new.1.ebgp_multihop),
        ("ttl_security_hops", old.1.ttl_security_hops != new.1.ttl_security_hops),
        // Another key can be given to the kernel while the connection runs; signing cannot begin or end so.
        ("password", old.1.password.is_some() != new.1.password.is_some()),
        // Another reason for what is down already resets nothing.
        ("hold", old.1.hold.is_some() != new.1.hold.is_some()),
    ];
    named(&changes)
}

fn named(changes: &[(&str, bool)]) -> Vec<String> {
    changes.iter().filter(|(_, is_changed)| *is_changed).map(|(field, _)| (*field).to_owned()).collect()
}
