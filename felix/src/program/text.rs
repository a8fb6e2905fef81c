//! The program as text, in the language of `nft -f`.

use std::fmt::{self, Display, Formatter};

use super::{
    Action, Base, Chain, ConntrackStates, Element, Field, Hook, HookKind, Match, Name, Part, Program, Rule,
    Set, SetKey, TABLE, Value, Verdict, VerdictMap,
};

/// Longest comment that nft keeps (`NFTNL_UDATA_COMMENT_MAXLEN`).
const COMMENT_MAX: usize = 128;

/// The text as a comment that nft can print and read again.
pub(super) fn comment(text: &str) -> String {
    let plain = text.chars().map(|c| if c == '"' || !(' '..='~').contains(&c) { '?' } else { c });
    plain.take(COMMENT_MAX - 1).collect()
}

impl Display for Program {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "table inet {TABLE} {{")?;
        for (name, set) in &self.sets {
            write_set(f, name, set)?;
        }
        for (name, map) in &self.maps {
            write_map(f, name, map)?;
        }
        for (name, chain) in &self.chains {
            write_chain(f, name, chain)?;
        }
        writeln!(f, "}}")
    }
}

fn write_set(f: &mut Formatter<'_>, name: &Name, set: &Set) -> fmt::Result {
    writeln!(f, "\tset {name} {{\n\t\ttype {}", set.key)?;
    if set.interval {
        writeln!(f, "\t\tflags interval")?;
    }
    if !set.comment.is_empty() {
        writeln!(f, "\t\tcomment \"{}\"", set.comment)?;
    }
    let elements: Vec<String> = set.elements.iter().map(ToString::to_string).collect();
    write_elements(f, &elements)
}

fn write_map(f: &mut Formatter<'_>, name: &Name, map: &VerdictMap) -> fmt::Result {
    writeln!(f, "\tmap {name} {{\n\t\ttype ifname : verdict")?;
    let elements = map.elements.iter().map(|(interface, verdict)| format!("\"{interface}\" : {verdict}"));
    write_elements(f, &elements.collect::<Vec<_>>())
}

/// One element a line: a golden file then shows the one that changed.
fn write_elements(f: &mut Formatter<'_>, elements: &[String]) -> fmt::Result {
    if !elements.is_empty() {
        writeln!(f, "\t\telements = {{")?;
        for element in elements {
            writeln!(f, "\t\t\t{element},")?;
        }
        writeln!(f, "\t\t}}")?;
    }
    writeln!(f, "\t}}")
}

fn write_chain(f: &mut Formatter<'_>, name: &Name, chain: &Chain) -> fmt::Result {
    writeln!(f, "\tchain {name} {{")?;
    if let Some(base) = &chain.base {
        writeln!(f, "\t\t{base}")?;
    }
    for rule in &chain.rules {
        writeln!(f, "\t\t{rule}")?;
    }
    writeln!(f, "\t}}")
}

impl Display for Base {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            HookKind::Filter => "filter",
            HookKind::Nat => "nat",
        };
        let hook = match self.hook {
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
        };
        write!(f, "type {kind} hook {hook} priority {}; policy accept;", self.priority)
    }
}

impl Display for SetKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "ipv4_addr",
            Self::V6 => "ipv6_addr",
            Self::Ports => "inet_proto . inet_service",
            Self::V4Ports => "ipv4_addr . inet_proto . inet_service",
            Self::V6Ports => "ipv6_addr . inet_proto . inet_service",
            Self::InterfaceV4 => "ifname . ipv4_addr",
            Self::InterfaceV6 => "ifname . ipv6_addr",
            Self::Interfaces => "ifname . ifname",
        })
    }
}

impl Display for Element {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parts().iter().map(ToString::to_string).collect();
        f.write_str(&parts.join(" . "))
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first.fmt(f);
        }
        match prefix_length(&self.first.bytes(), &self.last.bytes()) {
            Some(bits) if !matches!(self.first, Value::Port(_)) => write!(f, "{}/{bits}", self.first),
            _ => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// The number of leading bits that are common if the span is exactly one prefix.
fn prefix_length(first: &[u8], last: &[u8]) -> Option<u32> {
    let bits = |bytes: &[u8]| bytes.iter().fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
    let width = u32::try_from(first.len() * 8).ok()?;
    let (first, last) = (bits(first), bits(last));
    let host = (first ^ last).count_ones();
    let mask = if host == 128 { u128::MAX } else { (1 << host) - 1 };
    (first & mask == 0 && last & mask == mask && first ^ last == mask).then(|| width - host)
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => address.fmt(f),
            Self::Byte(byte) => byte.fmt(f),
            Self::Port(port) => port.fmt(f),
            Self::Interface(name) => write!(f, "\"{name}\""),
        }
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for condition in &self.matches {
            write!(f, "{condition} ")?;
        }
        if self.counter {
            f.write_str("counter ")?;
        }
        self.action.fmt(f)?;
        if !self.comment.is_empty() {
            write!(f, " comment \"{}\"", self.comment)?;
        }
        Ok(())
    }
}

impl Display for Match {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let not = |negated: &bool| if *negated { "!= " } else { "" };
        match self {
            Self::NameStartsWith { field, prefix, negated } => {
                write!(f, "{field} {}\"{prefix}*\"", not(negated))
            }
            Self::Equals(field, value) => write!(f, "{field} {value}"),
            Self::Between(field, first, last) => write!(f, "{field} {first}-{last}"),
            Self::Prefix(field, value, bits) => write!(f, "{field} {value}/{bits}"),
            Self::Conntrack(states) => write!(f, "ct state {states}"),
            Self::InSet { fields, set, negated } => {
                let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
                write!(f, "{} {}@{set}", fields.join(" . "), not(negated))
            }
        }
    }
}

impl Display for ConntrackStates {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let all = [(self.established, "established"), (self.related, "related"), (self.invalid, "invalid")];
        let names: Vec<&str> = all.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        f.write_str(&names.join(","))
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InInterface => "iifname",
            Self::OutInterface => "oifname",
            Self::Protocol => "meta l4proto",
            Self::V4Source => "ip saddr",
            Self::V4Destination => "ip daddr",
            Self::V6Source => "ip6 saddr",
            Self::V6Destination => "ip6 daddr",
            Self::DestinationPort => "th dport",
            Self::IcmpType => "icmp type",
            Self::IcmpCode => "icmp code",
            Self::Icmpv6Type => "icmpv6 type",
        })
    }
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict(verdict) => verdict.fmt(f),
            Self::Dispatch(field, map) => write!(f, "{field} vmap @{map}"),
            Self::Masquerade => f.write_str("masquerade"),
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}
