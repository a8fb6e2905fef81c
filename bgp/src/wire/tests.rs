//! Tables of bytes and what they mean. Every row can be read beside the RFC that it is from.

mod properties;
mod revised_errors;
mod small_messages;
mod updates;
mod vectors;

use super::*;

/// The bytes written as hexadecimal digits; spaces are for the reader.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let octet = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let (pairs, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty(), "an odd number of digits in {text}");
    pairs.iter().map(octet).collect()
}

/// A message of this type with this body.
fn message(kind: u8, body: &[u8]) -> Bytes {
    let length = u16::try_from(HEADER_LEN + body.len()).unwrap();
    let mut bytes = vec![0xff; 16];
    bytes.extend(length.to_be_bytes());
    bytes.push(kind);
    bytes.extend(body);
    Bytes::from(bytes)
}

/// An UPDATE with these fields.
fn update_message(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Bytes {
    let mut body = Vec::new();
    for field in [withdrawn, attributes] {
        body.extend(u16::try_from(field.len()).unwrap().to_be_bytes());
        body.extend(field);
    }
    body.extend(nlri);
    message(2, &body)
}

/// An external peer, AS 65001, with four-octet AS numbers and both families.
fn external() -> SessionContext {
    SessionContext {
        four_octet_as: true,
        is_ebgp: true,
        peer_asn: 65001,
        enforce_first_as: true,
        families: Family::ALL.to_vec(),
        extended_message: false,
        extended_next_hop: false,
    }
}

fn internal() -> SessionContext {
    SessionContext { is_ebgp: false, ..external() }
}

fn two_octet() -> SessionContext {
    SessionContext { four_octet_as: false, ..external() }
}

/// The update in the message, which must be one.
fn decoded_update(bytes: &Bytes, context: &SessionContext, why: &str) -> Update {
    match decode(bytes, context) {
        Ok(Message::Update(update)) => *update,
        other => panic!("{why}: {other:?}"),
    }
}
