//! Which configurations can work.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{BfdConfig, NeighborConfig, PASSWORD_BYTES_MAX, SpeakerConfig};

/// Hold times of 1 and 2 seconds are forbidden (RFC 4271 section 4.2).
const HOLD_TIME_SECS_MIN: u16 = 3;
/// The restart time has 12 bits on the wire (RFC 4724 section 3).
const RESTART_TIME_SECS_MAX: u16 = 4095;
/// The text of a shutdown has one octet for its length (RFC 9003 section 2).
const SHUTDOWN_TEXT_BYTES_MAX: usize = 255;

/// As other routers allow.
const ALLOW_AS_IN_MAX: u8 = 10;

/// Shorter intervals are noise on a busy machine; longer ones are no faster than the hold timer.
const BFD_INTERVAL_MILLIS: RangeInclusive<u32> = 10..=60_000;

/// A field that cannot work, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {problem}; {remedy}")]
pub struct ConfigError {
    /// The field, with the neighbor's name if it is one of a neighbor.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

/// All that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors: Vec<String> = self.0.iter().map(ConfigError::to_string).collect();
        f.write_str(&errors.join("\n"))
    }
}

fn error(field: &str, problem: impl Into<String>, remedy: impl Into<String>) -> ConfigError {
    ConfigError { field: field.to_owned(), problem: problem.into(), remedy: remedy.into() }
}

impl SpeakerConfig {
    /// Nothing if the configuration can work.
    ///
    /// # Errors
    /// Everything that is wrong with it, neighbors included.
    pub fn check(&self) -> Result<(), ConfigErrors> {
        let mut errors = self.check_own_fields();
        for neighbor in &self.neighbors {
            errors.extend(neighbor.check(self.asn).err().into_iter().flat_map(|found| found.0));
        }
        errors.extend(self.check_unique());
        if errors.is_empty() { Ok(()) } else { Err(ConfigErrors(errors)) }
    }

    fn check_own_fields(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        if self.asn == 0 {
            errors.push(asn_zero("asn"));
        }
        errors.extend(check_hold_time("hold_time_secs", self.hold_time_secs));
        if self.multipath_max == 0 {
            errors.push(error("multipath_max", "0 leaves no next hop", "give at least 1"));
        }
        let restart_time_secs = self.graceful_restart.map_or(0, |restart| restart.restart_time_secs);
        if restart_time_secs > RESTART_TIME_SECS_MAX {
            let problem = format!("{restart_time_secs} does not fit the 12 bits of the OPEN");
            let remedy = format!("give at most {RESTART_TIME_SECS_MAX}");
            errors.push(error("graceful_restart.restart_time_secs", problem, remedy));
        }
        errors
    }

    fn check_unique(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        let (mut addresses, mut names) = (BTreeSet::new(), BTreeSet::new());
        for neighbor in &self.neighbors {
            if !addresses.insert(neighbor.address) {
                let problem = format!("{} is the address of another neighbor too", neighbor.address);
                errors.push(error(&neighbor.field("address"), problem, "keep one session for each address"));
            }
            if !names.insert(&neighbor.name) {
                errors.push(error(
                    &neighbor.field("name"),
                    "two neighbors have this name",
                    "name each differently",
                ));
            }
        }
        errors
    }
}

impl NeighborConfig {
    /// Nothing if a session with this neighbor can work; `local_asn` is our AS.
    ///
    /// # Errors
    /// Everything that is wrong with it, apart from clashes with other neighbors.
    pub fn check(&self, local_asn: u32) -> Result<(), ConfigErrors> {
        let mut errors = self.check_addresses();
        if self.remote_asn == 0 {
            errors.push(asn_zero(&self.field("remote_asn")));
        }
        if let Some(hold_time_secs) = self.hold_time_secs {
            errors.extend(check_hold_time(&self.field("hold_time_secs"), hold_time_secs));
        }
        if self.connect_retry_secs == 0 {
            let field = self.field("connect_retry_secs");
            errors.push(error(&field, "0 would dial without pause", "give at least 1"));
        }
        if self.port == 0 {
            errors.push(error(&self.field("port"), "0 is no port", "leave it out for 179"));
        }
        if self.families.is_empty() {
            let remedy = "leave it out for both families";
            errors.push(error(&self.field("families"), "a session needs a family", remedy));
        }
        errors.extend(self.check_protection());
        if self.allow_as_in > ALLOW_AS_IN_MAX {
            let problem = format!("{} would let loops grow long", self.allow_as_in);
            errors.push(error(&self.field("allow_as_in"), problem, "give 0 to 10; 1 is usual"));
        }
        if self.max_prefixes.is_some_and(|max| max.limit == 0) {
            let remedy = "give at least 1, or leave max_prefixes out";
            errors.push(error(&self.field("max_prefixes.limit"), "0 would take nothing", remedy));
        }
        if self.max_prefixes.is_some_and(|max| max.restart_secs == Some(0)) {
            let remedy = "give at least 1, or leave it out to stay down";
            let field = self.field("max_prefixes.restart_secs");
            errors.push(error(&field, "0 would only repeat it without pause", remedy));
        }
        if self.ebgp_multihop == Some(0) || (self.ebgp_multihop.is_some() && self.remote_asn == local_asn) {
            let problem = "it is for external neighbors and at least 1";
            errors.push(error(&self.field("ebgp_multihop"), problem, "leave it out or correct remote_asn"));
        }
        errors.extend(self.bfd.iter().flat_map(|bfd| self.check_bfd(*bfd)));
        if errors.is_empty() { Ok(()) } else { Err(ConfigErrors(errors)) }
    }

    fn check_bfd(&self, bfd: BfdConfig) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        let intervals = [
            ("bfd.transmit_interval_millis", bfd.transmit_interval_millis),
            ("bfd.receive_interval_millis", bfd.receive_interval_millis),
        ];
        let is_bad = |(_, millis): &(&str, u32)| !BFD_INTERVAL_MILLIS.contains(millis);
        for (field, millis) in intervals.into_iter().filter(is_bad) {
            let remedy = "give 10 to 60000; 300 is usual";
            errors.push(error(&self.field(field), format!("{millis} cannot work"), remedy));
        }
        if bfd.detect_multiplier == 0 {
            let field = self.field("bfd.detect_multiplier");
            errors.push(error(&field, "0 would end the session at once", "give at least 1; 3 is usual"));
        }
        errors
    }

    /// Nothing if the password can be used, or there is none.
    ///
    /// # Errors
    /// How long it is and may be.
    pub fn check_password(&self) -> Result<(), ConfigError> {
        let len = self.password.as_ref().map_or(1, |password| password.bytes().len());
        if (1..=PASSWORD_BYTES_MAX).contains(&len) {
            return Ok(());
        }
        let remedy = format!("give 1 to {PASSWORD_BYTES_MAX} bytes, or leave it out");
        Err(error(&self.field("password"), format!("it has {len} bytes"), remedy))
    }

    fn check_protection(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        if self.ttl_security_hops == Some(0) {
            let field = self.field("ttl_security_hops");
            errors.push(error(
                &field,
                "0 would let nothing through",
                "give 1 for a neighbor on the same link",
            ));
        }
        if self.ttl_security_hops.is_some() && self.ebgp_multihop.is_some() {
            let problem = "it says with ebgp_multihop both how far the neighbor is";
            errors.push(error(&self.field("ttl_security_hops"), problem, "keep one of the two"));
        }
        errors.extend(self.check_password().err());
        let text_len = self.hold.as_ref().map_or(0, |hold| hold.text().len());
        if text_len > SHUTDOWN_TEXT_BYTES_MAX {
            let problem = format!("the text has {text_len} bytes (RFC 9003)");
            let remedy = format!("give at most {SHUTDOWN_TEXT_BYTES_MAX}");
            errors.push(error(&self.field("hold"), problem, remedy));
        }
        errors
    }

    fn check_addresses(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        if !is_host_address(self.address) {
            let problem = format!("{} is no host's address", self.address);
            errors.push(error(&self.field("address"), problem, "give the neighbor's unicast address"));
        }
        let cannot_reach = |local: &IpAddr| {
            local.is_ipv4() != self.address.is_ipv4() || *local == self.address || !is_host_address(*local)
        };
        if let Some(local) = self.local_address.filter(cannot_reach) {
            let problem = format!("{local} cannot reach {}", self.address);
            let remedy = "give an address of this machine of the neighbor's family, or leave it out";
            errors.push(error(&self.field("local_address"), problem, remedy));
        }
        let next_hops = [
            ("next_hop_ipv4", self.next_hop_ipv4.map(IpAddr::V4)),
            ("next_hop_ipv6", self.next_hop_ipv6.map(IpAddr::V6)),
        ];
        for (field, next_hop) in next_hops {
            if let Some(next_hop) = next_hop.filter(|address| !is_host_address(*address)) {
                let problem = format!("{next_hop} is no host's address");
                errors.push(error(&self.field(field), problem, "give a unicast address of this machine"));
            }
        }
        errors
    }

    fn field(&self, field: &str) -> String {
        format!("neighbors.{}.{field}", self.name)
    }
}

fn asn_zero(field: &str) -> ConfigError {
    error(field, "AS 0 is reserved (RFC 7607)", "give the AS number")
}

fn check_hold_time(field: &str, secs: u16) -> Option<ConfigError> {
    let is_bad = (1..HOLD_TIME_SECS_MIN).contains(&secs);
    is_bad.then(|| {
        let problem = format!("{secs} is forbidden (RFC 4271)");
        error(field, problem, format!("give 0 for no keepalives or at least {HOLD_TIME_SECS_MIN}"))
    })
}

/// Whether packets can be sent to it as to one host.
pub(crate) fn is_host_address(address: IpAddr) -> bool {
    let is_special = address.is_unspecified() || address.is_multicast() || address.is_loopback();
    let is_other = match address {
        IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.to_ipv4_mapped().is_some(),
    };
    !is_special && !is_other
}
