//! A rule as the kernel's expressions: load a field into a register, compare, act.
//!
//! Registers are numbered as the kernel prints them, so that what is read back is what was written.

use std::net::Ipv6Addr;

use crate::kernel::socket::attribute;
use crate::program::{Action, ConntrackStates, Field, Match, Name, Rule, Value, Verdict};

use super::message::{nested, number, text};
use super::uapi;

/// Register of verdicts.
const REGISTER_VERDICT: u32 = 0;
/// First of the registers of 16 bytes.
const REGISTER_1: u32 = 1;
/// First of the registers of 4 bytes, which share their memory with those of 16.
const REGISTER32_00: u32 = 8;
/// Bytes of a small register; fields of a concatenation begin at multiples of it.
const REGISTER_BYTES: usize = 4;

const COMPARE_EQUAL: u32 = 0;
const COMPARE_NOT_EQUAL: u32 = 1;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const CONNTRACK_STATE: u32 = 0;
const IPPROTO_ICMP: u8 = 1;
const IPPROTO_ICMPV6: u8 = 58;

/// The rule's expressions, each a list element.
pub(super) fn expressions(rule: &Rule) -> Vec<u8> {
    let mut writer = Writer::default();
    for condition in &rule.matches {
        writer.condition(condition);
    }
    if rule.counter {
        writer.expression("counter", |_| {});
    }
    match &rule.action {
        Action::Verdict(verdict) => writer.expression("immediate", |data| {
            number(data, 1, REGISTER_VERDICT);
            nested(data, 2, |value| self::verdict(value, verdict));
        }),
        Action::Dispatch(field, map) => {
            writer.load(*field, 0);
            writer.lookup(map, false, true);
        }
        Action::Masquerade => writer.expression("masq", |_| {}),
    }
    writer.bytes
}

/// Appends a verdict as data, of a rule or of a map's element.
pub(super) fn verdict(bytes: &mut Vec<u8>, verdict: &Verdict) {
    let code = match verdict {
        Verdict::Accept => uapi::VERDICT_ACCEPT,
        Verdict::Drop => uapi::VERDICT_DROP,
        Verdict::Return => uapi::VERDICT_RETURN,
        Verdict::Jump(_) => uapi::VERDICT_JUMP,
        Verdict::Goto(_) => uapi::VERDICT_GOTO,
    };
    nested(bytes, uapi::DATA_VERDICT, |inner| {
        attribute(inner, uapi::VERDICT_CODE, &code.to_be_bytes());
        if let Some(chain) = verdict.chain() {
            text(inner, uapi::VERDICT_CHAIN, chain.as_str());
        }
    });
}

/// Bytes of a field in a register.
fn length(field: Field) -> usize {
    match field {
        Field::InInterface | Field::OutInterface | Field::V6Source | Field::V6Destination => 16,
        Field::V4Source | Field::V4Destination => 4,
        Field::DestinationPort => 2,
        Field::Protocol | Field::IcmpType | Field::IcmpCode | Field::Icmpv6Type => 1,
    }
}

/// The register that begins at this 4-byte word, as the kernel prints it.
fn register(word: u32) -> u32 {
    if word.is_multiple_of(4) { REGISTER_1 + word / 4 } else { REGISTER32_00 + word }
}

/// What a field needs to be there at all, as a property and its only value.
fn needs(field: Field) -> &'static [(u32, u8)] {
    match field {
        Field::V4Source | Field::V4Destination => &[(META_NFPROTO, uapi::NFPROTO_IPV4)],
        Field::V6Source | Field::V6Destination => &[(META_NFPROTO, uapi::NFPROTO_IPV6)],
        // Both tests: protocol 1 in an IPv6 packet must not pass for a "Packet Too Big".
        Field::IcmpType | Field::IcmpCode => {
            &[(META_NFPROTO, uapi::NFPROTO_IPV4), (META_L4PROTO, IPPROTO_ICMP)]
        }
        Field::Icmpv6Type => &[(META_NFPROTO, uapi::NFPROTO_IPV6), (META_L4PROTO, IPPROTO_ICMPV6)],
        Field::InInterface | Field::OutInterface | Field::Protocol | Field::DestinationPort => &[],
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    /// What earlier expressions of the rule have made sure of.
    known: Vec<(u32, u8)>,
}

impl Writer {
    fn expression(&mut self, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
        nested(&mut self.bytes, uapi::LIST_ELEMENT, |element| {
            text(element, uapi::EXPRESSION_NAME, name);
            nested(element, uapi::EXPRESSION_DATA, data);
        });
    }

    fn condition(&mut self, condition: &Match) {
        match condition {
            Match::NameStartsWith { field, prefix, negated } => {
                self.load(*field, 0);
                self.compare(if *negated { COMPARE_NOT_EQUAL } else { COMPARE_EQUAL }, prefix.as_bytes());
            }
            Match::Equals(field, value) => {
                self.load(*field, 0);
                self.compare(COMPARE_EQUAL, &value.bytes());
            }
            Match::Between(field, first, last) => {
                self.load(*field, 0);
                self.range(&first.bytes(), &last.bytes());
            }
            Match::Prefix(field, value, bits) => self.prefix(*field, value, *bits),
            Match::Conntrack(states) => self.conntrack(*states),
            Match::InSet { fields, set, negated } => {
                self.concatenation(fields);
                self.lookup(set, *negated, false);
            }
        }
    }

    /// Loads the fields side by side, each at the next multiple of 4 bytes.
    fn concatenation(&mut self, fields: &[Field]) {
        // First, because these tests use the first register.
        for field in fields {
            self.require(*field);
        }
        let mut word = 0;
        for field in fields {
            self.load(*field, word);
            word += u32::try_from(length(*field).div_ceil(REGISTER_BYTES)).unwrap_or_default();
        }
    }

    fn require(&mut self, field: Field) {
        for (property, value) in needs(field) {
            if !self.known.contains(&(*property, *value)) {
                self.known.push((*property, *value));
                self.meta(*property, 0);
                self.compare(COMPARE_EQUAL, &[*value]);
            }
        }
    }

    fn load(&mut self, field: Field, word: u32) {
        self.require(field);
        match field {
            Field::InInterface => self.meta(uapi::META_IIFNAME, word),
            Field::OutInterface => self.meta(uapi::META_OIFNAME, word),
            Field::Protocol => self.meta(META_L4PROTO, word),
            Field::V4Source => self.payload(NETWORK_HEADER, 12, 4, word),
            Field::V4Destination => self.payload(NETWORK_HEADER, 16, 4, word),
            Field::V6Source => self.payload(NETWORK_HEADER, 8, 16, word),
            Field::V6Destination => self.payload(NETWORK_HEADER, 24, 16, word),
            Field::DestinationPort => self.payload(TRANSPORT_HEADER, 2, 2, word),
            Field::IcmpType | Field::Icmpv6Type => self.payload(TRANSPORT_HEADER, 0, 1, word),
            Field::IcmpCode => self.payload(TRANSPORT_HEADER, 1, 1, word),
        }
    }

    fn meta(&mut self, key: u32, word: u32) {
        self.expression("meta", |data| {
            number(data, 1, register(word));
            number(data, 2, key);
        });
    }

    fn payload(&mut self, base: u32, offset: u32, length: u32, word: u32) {
        self.expression("payload", |data| {
            number(data, 1, register(word));
            number(data, 2, base);
            number(data, 3, offset);
            number(data, 4, length);
        });
    }

    fn compare(&mut self, operation: u32, value: &[u8]) {
        self.expression("cmp", |data| {
            number(data, 1, REGISTER_1);
            number(data, 2, operation);
            nested(data, 3, |inner| attribute(inner, uapi::DATA_VALUE, value));
        });
    }

    fn range(&mut self, first: &[u8], last: &[u8]) {
        self.expression("range", |data| {
            number(data, 1, REGISTER_1);
            number(data, 2, COMPARE_EQUAL);
            nested(data, 3, |inner| attribute(inner, uapi::DATA_VALUE, first));
            nested(data, 4, |inner| attribute(inner, uapi::DATA_VALUE, last));
        });
    }

    fn bitwise(&mut self, mask: &[u8]) {
        self.expression("bitwise", |data| {
            number(data, 1, REGISTER_1);
            number(data, 2, REGISTER_1);
            number(data, 3, u32::try_from(mask.len()).unwrap_or_default());
            nested(data, 4, |inner| attribute(inner, uapi::DATA_VALUE, mask));
            nested(data, 5, |inner| attribute(inner, uapi::DATA_VALUE, &vec![0; mask.len()]));
        });
    }

    fn prefix(&mut self, field: Field, value: &Value, bits: u8) {
        let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
        let mask = Ipv6Addr::from_bits(mask).octets();
        let value: Vec<u8> = value.bytes().iter().zip(mask).map(|(byte, mask)| byte & mask).collect();
        self.load(field, 0);
        self.bitwise(&mask);
        self.compare(COMPARE_EQUAL, &value);
    }

    fn conntrack(&mut self, states: ConntrackStates) {
        let bits = [(states.invalid, 1_u32), (states.established, 2), (states.related, 4)];
        let mask = bits.iter().filter(|(has, _)| *has).fold(0, |mask, (_, bit)| mask | bit);
        self.expression("ct", |data| {
            number(data, 1, REGISTER_1);
            number(data, 2, CONNTRACK_STATE);
        });
        // The state is a number of this machine, not of the network.
        self.bitwise(&mask.to_ne_bytes());
        self.compare(COMPARE_NOT_EQUAL, &0_u32.to_ne_bytes());
    }

    fn lookup(&mut self, set: &Name, negated: bool, has_verdict: bool) {
        self.expression("lookup", |data| {
            text(data, 1, set.as_str());
            number(data, 2, REGISTER_1);
            if has_verdict {
                number(data, 3, REGISTER_VERDICT);
            }
            number(data, 5, u32::from(negated));
        });
    }
}
