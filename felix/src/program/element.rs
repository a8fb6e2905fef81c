//! What sets hold.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{InterfaceName, SetKey};

/// From `first` to `last`, both included; a single value has both equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span<T> {
    /// The lowest value.
    pub first: T,
    /// The highest value.
    pub last: T,
}

impl<T: Copy + PartialEq> Span<T> {
    /// The span that holds `value` alone.
    pub fn single(value: T) -> Self {
        Self { first: value, last: value }
    }

    /// Whether the span holds one value alone.
    pub fn is_single(&self) -> bool {
        self.first == self.last
    }
}

impl<T: PartialOrd> Span<T> {
    /// Whether `value` lies inside.
    pub fn contains(&self, value: &T) -> bool {
        self.first <= *value && *value <= self.last
    }
}

/// One element of a set. In a set without intervals all spans are single values; in an interval
/// set no two elements overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// Of `SetKey::V4`.
    V4(Span<Ipv4Addr>),
    /// Of `SetKey::V6`.
    V6(Span<Ipv6Addr>),
    /// Of `SetKey::Ports`: IP protocol number and destination ports.
    Ports(u8, Span<u16>),
    /// Of `SetKey::V4Ports`.
    V4Ports(Span<Ipv4Addr>, u8, Span<u16>),
    /// Of `SetKey::V6Ports`.
    V6Ports(Span<Ipv6Addr>, u8, Span<u16>),
    /// Of `SetKey::InterfaceV4`.
    InterfaceV4(InterfaceName, Ipv4Addr),
    /// Of `SetKey::InterfaceV6`.
    InterfaceV6(InterfaceName, Ipv6Addr),
    /// Of `SetKey::Interfaces`.
    Interfaces(InterfaceName, InterfaceName),
}

/// One field of an element's concatenation, in key order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The lowest value.
    pub first: Value,
    /// The highest value; equal to `first` where the part is no range.
    pub last: Value,
}

/// A value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// An IPv4 address, 4 bytes.
    V4(Ipv4Addr),
    /// An IPv6 address, 16 bytes.
    V6(Ipv6Addr),
    /// An IP protocol number, ICMP type or code, address family: 1 byte.
    Byte(u8),
    /// A port, 2 bytes in network order.
    Port(u16),
    /// An interface name, 16 bytes.
    Interface(InterfaceName),
}

impl Value {
    /// The value as the kernel compares it: network byte order, without the padding to 4 bytes
    /// that a concatenation adds.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::V4(address) => address.octets().to_vec(),
            Self::V6(address) => address.octets().to_vec(),
            Self::Byte(byte) => vec![*byte],
            Self::Port(port) => port.to_be_bytes().to_vec(),
            Self::Interface(name) => name.bytes().to_vec(),
        }
    }
}

impl Element {
    /// The key type of the sets that can hold this element.
    pub fn key(&self) -> SetKey {
        match self {
            Self::V4(_) => SetKey::V4,
            Self::V6(_) => SetKey::V6,
            Self::Ports(..) => SetKey::Ports,
            Self::V4Ports(..) => SetKey::V4Ports,
            Self::V6Ports(..) => SetKey::V6Ports,
            Self::InterfaceV4(..) => SetKey::InterfaceV4,
            Self::InterfaceV6(..) => SetKey::InterfaceV6,
            Self::Interfaces(..) => SetKey::Interfaces,
        }
    }

    /// The fields of the element in the order of its key.
    pub fn parts(&self) -> Vec<Part> {
        match *self {
            Self::V4(span) => vec![v4(span)],
            Self::V6(span) => vec![v6(span)],
            Self::Ports(protocol, ports) => vec![single(Value::Byte(protocol)), port(ports)],
            Self::V4Ports(span, protocol, ports) => {
                vec![v4(span), single(Value::Byte(protocol)), port(ports)]
            }
            Self::V6Ports(span, protocol, ports) => {
                vec![v6(span), single(Value::Byte(protocol)), port(ports)]
            }
            Self::InterfaceV4(name, address) => {
                vec![single(Value::Interface(name)), single(Value::V4(address))]
            }
            Self::InterfaceV6(name, address) => {
                vec![single(Value::Interface(name)), single(Value::V6(address))]
            }
            Self::Interfaces(from, to) => {
                vec![single(Value::Interface(from)), single(Value::Interface(to))]
            }
        }
    }

    /// Whether any part is a true range, which only an interval set can hold.
    pub fn is_interval(&self) -> bool {
        self.parts().iter().any(|part| part.first != part.last)
    }
}

fn single(value: Value) -> Part {
    Part { first: value, last: value }
}

fn v4(span: Span<Ipv4Addr>) -> Part {
    Part { first: Value::V4(span.first), last: Value::V4(span.last) }
}

fn v6(span: Span<Ipv6Addr>) -> Part {
    Part { first: Value::V6(span.first), last: Value::V6(span.last) }
}

fn port(span: Span<u16>) -> Part {
    Part { first: Value::Port(span.first), last: Value::Port(span.last) }
}
