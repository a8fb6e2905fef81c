//! Building blocks of nftables messages: header, nested attributes, numbers in network order.

use crate::kernel::socket::{Request, attribute};
use crate::program::{Name, TABLE};

use super::uapi;

/// Says that an attribute's value is a list of attributes.
const NESTED: u16 = 0x8000;

/// A message to the nftables subsystem about our table; attributes follow.
pub(super) fn message(kind: u16, flags: i32, attributes: &[u8]) -> Request {
    let header = [uapi::NFPROTO_INET, 0, 0, 0];
    Request {
        message_type: (uapi::SUBSYSTEM << 8) | kind,
        flags: u16::try_from(flags).unwrap_or_default(),
        payload: [&header[..], attributes].concat(),
    }
}

/// One of the two messages between which a transaction lies.
pub(super) fn batch_edge(kind: u16, attributes: &[u8]) -> Request {
    let [high, low] = uapi::SUBSYSTEM.to_be_bytes();
    Request { message_type: kind, flags: 0, payload: [&[0, 0, high, low], attributes].concat() }
}

/// Appends an attribute whose value is what `inner` writes.
pub(super) fn nested(bytes: &mut Vec<u8>, kind: u16, inner: impl FnOnce(&mut Vec<u8>)) {
    let mut value = Vec::new();
    inner(&mut value);
    attribute(bytes, kind | NESTED, &value);
}

/// Appends a number in network order.
pub(super) fn number(bytes: &mut Vec<u8>, kind: u16, value: u32) {
    attribute(bytes, kind, &value.to_be_bytes());
}

/// Appends a text with its final zero.
pub(super) fn text(bytes: &mut Vec<u8>, kind: u16, value: &str) {
    attribute(bytes, kind, &[value.as_bytes(), &[0]].concat());
}

/// Appends the name of our table, which begins every message.
pub(super) fn table(bytes: &mut Vec<u8>) {
    text(bytes, uapi::ANY_TABLE, TABLE);
}

/// The attributes that name an object of our table.
pub(super) fn named(kind: u16, name: &Name) -> Vec<u8> {
    let mut bytes = Vec::new();
    table(&mut bytes);
    text(&mut bytes, kind, name.as_str());
    bytes
}

/// Appends one entry of user data as nft writes it: type, length, value.
pub(super) fn userdata(bytes: &mut Vec<u8>, kind: u8, value: &[u8]) {
    bytes.push(kind);
    bytes.push(u8::try_from(value.len()).expect("comments are at most 128 bytes"));
    bytes.extend_from_slice(value);
}

/// A comment as a value of user data.
pub(super) fn comment(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

/// A number in network order, read.
pub(super) fn read_number(value: &[u8]) -> Option<u32> {
    value.first_chunk().copied().map(u32::from_be_bytes)
}

/// A text without its final zero, read.
pub(super) fn read_text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
}
