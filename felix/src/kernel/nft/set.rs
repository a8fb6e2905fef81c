//! Sets and their elements as the kernel has them, both ways.
//!
//! | kind | backend | element on the wire |
//! |---|---|---|
//! | hash, one or several fields | rhashtable | key |
//! | interval, one field | red-black tree | two elements: the start, and behind the last value an end |
//! | interval, several fields | pipapo | key and key end |

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::kernel::socket::{attribute, attributes};
use crate::program::{Element, InterfaceName, Set, SetKey, Span};

use super::message::{self, nested, number, read_number, userdata};
use super::uapi;

/// Byte order of a key that is a number or text of this machine, in nft's user data.
const HOST_BYTE_ORDER: u32 = 1;

/// Type, bytes and byte order of each field of a key.
fn fields(key: SetKey) -> &'static [(u32, usize)] {
    const V4: (u32, usize) = (uapi::TYPE_IPV4, 4);
    const V6: (u32, usize) = (uapi::TYPE_IPV6, 16);
    const PROTOCOL: (u32, usize) = (uapi::TYPE_PROTOCOL, 1);
    const PORT: (u32, usize) = (uapi::TYPE_SERVICE, 2);
    match key {
        SetKey::V4 => &[V4],
        SetKey::V6 => &[V6],
        SetKey::Ports => &[PROTOCOL, PORT],
        SetKey::V4Ports => &[V4, PROTOCOL, PORT],
        SetKey::V6Ports => &[V6, PROTOCOL, PORT],
        SetKey::InterfaceV4 => &[IFNAME, V4],
        SetKey::InterfaceV6 => &[IFNAME, V6],
        SetKey::Interfaces => &[IFNAME, IFNAME],
    }
}

const IFNAME: (u32, usize) = (uapi::TYPE_IFNAME, 16);

/// The kernel's flags of a set of this kind.
pub(super) fn flags(set: &Set) -> u32 {
    match Layout::of(set.key, set.interval) {
        Layout::Hash => 0,
        Layout::Tree => uapi::SET_F_INTERVAL,
        Layout::Ranges => uapi::SET_F_INTERVAL | uapi::SET_F_CONCATENATION,
    }
}

/// Appends what fixes a set for good; also what is compared when it is read back.
pub(super) fn definition(bytes: &mut Vec<u8>, set: &Set) {
    let fields = fields(set.key);
    let flags = flags(set);
    let key_length = fields.iter().map(|(_, length)| length.next_multiple_of(4)).sum::<usize>();
    let key_type = fields.iter().fold(0, |all, (kind, _)| (all << uapi::TYPE_BITS) | kind);
    if flags != 0 {
        // The kernel shows none either.
        number(bytes, uapi::SET_FLAGS, flags);
    }
    number(bytes, uapi::SET_KEY_TYPE, key_type);
    number(bytes, uapi::SET_KEY_LENGTH, u32::try_from(key_length).unwrap_or_default());
    if Layout::of(set.key, set.interval) == Layout::Ranges {
        nested(bytes, uapi::SET_DESCRIPTION, |description| {
            nested(description, uapi::DESCRIPTION_CONCATENATION, |list| {
                for (_, length) in fields {
                    let length = u32::try_from(*length).unwrap_or_default();
                    nested(list, uapi::LIST_ELEMENT, |field| number(field, uapi::FIELD_LENGTH, length));
                }
            });
        });
    }
    if !set.comment.is_empty() {
        let mut data = Vec::new();
        userdata(&mut data, uapi::USERDATA_SET_COMMENT, &message::comment(&set.comment));
        attribute(bytes, uapi::SET_USERDATA, &data);
    }
}

/// Appends what fixes a map from interface name to verdict.
pub(super) fn map_definition(bytes: &mut Vec<u8>) {
    let mut data = Vec::new();
    // Without it nft prints the names as if they were written backwards.
    userdata(&mut data, uapi::USERDATA_SET_KEY_BYTE_ORDER, &HOST_BYTE_ORDER.to_ne_bytes());
    number(bytes, uapi::SET_FLAGS, uapi::SET_F_MAP);
    number(bytes, uapi::SET_KEY_TYPE, uapi::TYPE_IFNAME);
    number(bytes, uapi::SET_KEY_LENGTH, 16);
    number(bytes, uapi::SET_DATA_TYPE, uapi::DATA_TYPE_VERDICT);
    attribute(bytes, uapi::SET_USERDATA, &data);
}

/// Appends one element of a set, which may be two in the kernel.
pub(super) fn element(bytes: &mut Vec<u8>, set: Layout, element: &Element) {
    let parts = element.parts();
    let first: Vec<u8> = parts.iter().flat_map(|part| padded(part.first.bytes())).collect();
    let last: Vec<u8> = parts.iter().flat_map(|part| padded(part.last.bytes())).collect();
    match set {
        Layout::Hash => nested(bytes, uapi::LIST_ELEMENT, |inner| key(inner, uapi::ELEMENT_KEY, &first)),
        Layout::Ranges => nested(bytes, uapi::LIST_ELEMENT, |inner| {
            key(inner, uapi::ELEMENT_KEY, &first);
            key(inner, uapi::ELEMENT_KEY_END, &last);
        }),
        Layout::Tree => {
            nested(bytes, uapi::LIST_ELEMENT, |inner| key(inner, uapi::ELEMENT_KEY, &first));
            if let Some(end) = after(&last) {
                nested(bytes, uapi::LIST_ELEMENT, |inner| {
                    key(inner, uapi::ELEMENT_KEY, &end);
                    number(inner, uapi::ELEMENT_FLAGS, uapi::ELEMENT_F_INTERVAL_END);
                });
            }
        }
    }
}

/// Appends one key of an element.
pub(super) fn key(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    nested(bytes, kind, |inner| attribute(inner, uapi::DATA_VALUE, value));
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The next value, or `None` after the last one there is.
fn after(value: &[u8]) -> Option<Vec<u8>> {
    let mut next = value.to_vec();
    for byte in next.iter_mut().rev() {
        (*byte, _) = byte.overflowing_add(1);
        if *byte != 0 {
            return Some(next);
        }
    }
    None
}

/// The value before, or `None` before the first one.
fn before(value: &[u8]) -> Option<Vec<u8>> {
    let mut previous = value.to_vec();
    for byte in previous.iter_mut().rev() {
        let was_zero = *byte == 0;
        *byte = byte.wrapping_sub(1);
        if !was_zero {
            return Some(previous);
        }
    }
    None
}

/// How the kernel keeps a set's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Single keys.
    Hash,
    /// Starts and ends in one order.
    Tree,
    /// Keys with key ends.
    Ranges,
}

impl Layout {
    /// The layout of sets of this kind.
    pub(super) fn of(key: SetKey, interval: bool) -> Self {
        match (interval, fields(key).len()) {
            (false, _) => Self::Hash,
            (true, 1) => Self::Tree,
            (true, _) => Self::Ranges,
        }
    }
}

/// One element as the kernel dumps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RawElement {
    pub(super) key: Vec<u8>,
    pub(super) key_end: Option<Vec<u8>>,
    pub(super) is_interval_end: bool,
    /// The value of a map's element, as attributes.
    pub(super) data: Vec<u8>,
}

impl RawElement {
    /// The element in this list element's attributes.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut element = Self::default();
        let value =
            |bytes| attributes(bytes).find(|(kind, _)| *kind == uapi::DATA_VALUE).map(|(_, it)| it.to_vec());
        for (kind, bytes) in attributes(bytes) {
            match kind {
                uapi::ELEMENT_KEY => element.key = value(bytes)?,
                uapi::ELEMENT_KEY_END => element.key_end = Some(value(bytes)?),
                uapi::ELEMENT_FLAGS => {
                    element.is_interval_end = read_number(bytes)? & uapi::ELEMENT_F_INTERVAL_END != 0;
                }
                uapi::ELEMENT_DATA => element.data = bytes.to_vec(),
                _ => {}
            }
        }
        (!element.key.is_empty()).then_some(element)
    }
}

/// The elements of a set of this kind; `None` if they are not what this program writes.
pub(super) fn read_elements(key: SetKey, interval: bool, raw: Vec<RawElement>) -> Option<Vec<Element>> {
    match Layout::of(key, interval) {
        Layout::Hash => raw.iter().map(|raw| read_element(key, &raw.key, &raw.key)).collect(),
        Layout::Ranges => raw
            .iter()
            .map(|raw| read_element(key, &raw.key, raw.key_end.as_ref().unwrap_or(&raw.key)))
            .collect(),
        Layout::Tree => read_tree(key, raw),
    }
}

/// Starts and ends in order; at one value the end of the former comes before the start of the next.
fn read_tree(key: SetKey, mut raw: Vec<RawElement>) -> Option<Vec<Element>> {
    raw.sort_by(|a, b| (&a.key, !a.is_interval_end).cmp(&(&b.key, !b.is_interval_end)));
    let mut elements = Vec::new();
    let mut start: Option<Vec<u8>> = None;
    for raw in raw {
        match (raw.is_interval_end, start.take()) {
            (false, None) => start = Some(raw.key),
            (true, Some(first)) => elements.push(read_element(key, &first, &before(&raw.key)?)?),
            // nft marks the lowest value so where no interval begins.
            (true, None) => {}
            (false, Some(_)) => return None,
        }
    }
    if let Some(first) = start {
        elements.push(read_element(key, &first, &vec![0xff; first.len()])?);
    }
    Some(elements)
}

fn read_element(key: SetKey, first: &[u8], last: &[u8]) -> Option<Element> {
    let (mut first, mut last) = (Cursor(first), Cursor(last));
    let element = match key {
        SetKey::V4 => Element::V4(Span { first: first.v4()?, last: last.v4()? }),
        SetKey::V6 => Element::V6(Span { first: first.v6()?, last: last.v6()? }),
        SetKey::Ports => Element::Ports(same(first.byte()?, last.byte()?)?, ports(&mut first, &mut last)?),
        SetKey::V4Ports => {
            let span = Span { first: first.v4()?, last: last.v4()? };
            Element::V4Ports(span, same(first.byte()?, last.byte()?)?, ports(&mut first, &mut last)?)
        }
        SetKey::V6Ports => {
            let span = Span { first: first.v6()?, last: last.v6()? };
            Element::V6Ports(span, same(first.byte()?, last.byte()?)?, ports(&mut first, &mut last)?)
        }
        SetKey::InterfaceV4 => Element::InterfaceV4(first.interface()?, first.v4()?),
        SetKey::InterfaceV6 => Element::InterfaceV6(first.interface()?, first.v6()?),
        SetKey::Interfaces => Element::Interfaces(first.interface()?, first.interface()?),
    };
    first.0.is_empty().then_some(element)
}

fn same(first: u8, last: u8) -> Option<u8> {
    (first == last).then_some(first)
}

fn ports(first: &mut Cursor<'_>, last: &mut Cursor<'_>) -> Option<Span<u16>> {
    Some(Span { first: first.port()?, last: last.port()? })
}

/// Takes one field after the other off a padded key.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let field = *self.0.first_chunk()?;
        self.0 = self.0.get(LENGTH.next_multiple_of(4)..)?;
        Some(field)
    }

    fn v4(&mut self) -> Option<Ipv4Addr> {
        self.take::<4>().map(Ipv4Addr::from)
    }

    fn v6(&mut self) -> Option<Ipv6Addr> {
        self.take::<16>().map(Ipv6Addr::from)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn port(&mut self) -> Option<u16> {
        self.take::<2>().map(u16::from_be_bytes)
    }

    fn interface(&mut self) -> Option<InterfaceName> {
        read_interface(&self.take::<16>()?)
    }
}

/// The interface name in these 16 zero-padded bytes.
pub(super) fn read_interface(bytes: &[u8]) -> Option<InterfaceName> {
    let name = std::str::from_utf8(bytes).ok()?.trim_end_matches('\0');
    InterfaceName::new(name).ok()
}

#[cfg(test)]
mod tests;
