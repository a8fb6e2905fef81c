//! What the targets for single messages share.

use bgp::wire::{self, Family, Message, SessionContext};
use bytes::Bytes;

/// A message of this type with this body.
pub fn message(kind: u8, body: &[u8]) -> Bytes {
    let mut bytes = vec![0xff; 16];
    let length = u16::try_from(wire::HEADER_LEN + body.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.push(kind);
    bytes.extend(body);
    Bytes::from(bytes)
}

/// A session whose terms are the bits of the first octet, and the rest.
pub fn terms(data: &[u8]) -> Option<(SessionContext, &[u8])> {
    let (bits, rest) = data.split_first()?;
    let is = |bit: u8| bits & (1 << bit) != 0;
    let families =
        Family::ALL.into_iter().enumerate().filter(|(at, _)| is(*at as u8)).map(|(_, family)| family);
    let context = SessionContext {
        families: families.collect(),
        four_octet_as: is(2),
        is_ebgp: is(3),
        enforce_first_as: is(4),
        extended_message: is(5),
        extended_next_hop: is(6),
        peer_asn: 65001,
    };
    Some((context, rest))
}

/// Reads the message; one that means something must mean the same after it was written again.
pub fn check(kind: u8, body: &[u8], context: &SessionContext) {
    let Ok(read) = wire::decode(&message(kind, body), context) else { return };
    let Ok(written) = wire::encode(&read, context.encoding()) else { return };
    if !matches!(read, Message::Update(_)) {
        assert_eq!(written.len(), 1);
        assert_eq!(wire::decode(&written[0], context), Ok(read));
        return;
    }
    for bytes in written {
        assert!(bytes.len() <= context.encoding().message_len_max);
        assert!(wire::decode(&bytes, context).is_ok());
    }
}
