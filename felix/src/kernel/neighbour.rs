//! Neighbour entries: which hardware address an address on a link has.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::address::{family, octets};
use super::socket::{Reply, Request, Socket, SocketError, attribute, attributes};
use crate::reconcile::neighbour::{Neighbour, NeighbourOp, NeighbourState};

const HEADER_BYTES: usize = 12;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NDA_IFINDEX: u16 = 8;
const NUD_INCOMPLETE: u16 = 0x01;
const NUD_STALE: u16 = 0x04;
const NUD_FAILED: u16 = 0x20;
const NUD_PERMANENT: u16 = 0x80;

/// The neighbours of one interface, both families, by address.
///
/// # Errors
/// What [`Socket::dump`] says; ENODEV if there is no such interface.
pub fn list(socket: &mut Socket, index: u32) -> Result<BTreeMap<IpAddr, Neighbour>, SocketError> {
    let mut payload = vec![0; HEADER_BYTES];
    attribute(&mut payload, NDA_IFINDEX, &index.to_ne_bytes());
    let request = Request { message_type: libc::RTM_GETNEIGH, flags: 0, payload };
    let replies = socket.dump(&request)?;
    Ok(replies.iter().filter_map(|reply| decode(reply, index)).collect())
}

fn decode(reply: &Reply, index: u32) -> Option<(IpAddr, Neighbour)> {
    let header = reply.payload.get(..HEADER_BYTES)?;
    if reply.message_type != libc::RTM_NEWNEIGH || header[4..8] != index.to_ne_bytes() {
        return None;
    }
    let state = match u16::from_ne_bytes([header[8], header[9]]) {
        0 | NUD_INCOMPLETE | NUD_FAILED => NeighbourState::Unresolved,
        bits if bits & NUD_PERMANENT != 0 => NeighbourState::Permanent,
        _ => NeighbourState::Learnt,
    };
    let (mut address, mut mac) = (None, None);
    for (kind, value) in attributes(&reply.payload[HEADER_BYTES..]) {
        match kind {
            NDA_DST => address = read_address(value),
            NDA_LLADDR => mac = value.try_into().ok(),
            _ => {}
        }
    }
    Some((address?, Neighbour { mac, state }))
}

fn read_address(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}

/// Writes these entries of one interface, in one send.
///
/// # Errors
/// The first refusal; the others may still have been written.
pub fn apply(socket: &mut Socket, index: u32, ops: &[NeighbourOp]) -> Result<(), SocketError> {
    let requests: Vec<Request> = ops.iter().map(|op| request(index, op)).collect();
    for outcome in socket.batch(&requests)? {
        outcome?;
    }
    Ok(())
}

fn request(index: u32, op: &NeighbourOp) -> Request {
    let NeighbourOp::SetStale { address, mac } = op;
    let mut payload = vec![0; HEADER_BYTES];
    payload[0] = family(*address);
    payload[4..8].copy_from_slice(&index.to_ne_bytes());
    payload[8..10].copy_from_slice(&NUD_STALE.to_ne_bytes());
    attribute(&mut payload, NDA_DST, &octets(*address));
    attribute(&mut payload, NDA_LLADDR, mac);
    let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
    let flags = u16::try_from(flags).unwrap_or_default();
    Request { message_type: libc::RTM_NEWNEIGH, flags, payload }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn bytes_from_the_kernel_never_panic(payload in proptest::collection::vec(0_u8.., 0..80)) {
            let _ = decode(&Reply { message_type: libc::RTM_NEWNEIGH, flags: 0, payload }, 0);
        }

        #[test]
        fn what_is_written_is_read_back(octets: [u8; 16], mac: [u8; 6], is_v4: bool) {
            let v4 = [octets[0], octets[1], octets[2], octets[3]];
            let address = if is_v4 { IpAddr::from(v4) } else { IpAddr::from(octets) };
            let request = request(7, &NeighbourOp::SetStale { address, mac });
            let reply =
                Reply { message_type: request.message_type, flags: 0, payload: request.payload };
            let neighbour = Neighbour { mac: Some(mac), state: NeighbourState::Learnt };
            proptest::prop_assert_eq!(decode(&reply, 7), Some((address, neighbour)));
            proptest::prop_assert_eq!(decode(&reply, 8), None, "another interface's");
        }
    }
}
