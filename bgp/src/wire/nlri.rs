//! Prefixes as they stand in UPDATE messages: a length in bits, then as many octets as needed.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use nom::bytes::complete::take;
use nom::error::{Error, ErrorKind};
use nom::number::complete::be_u8;
use nom::{Err, IResult};

use super::Family;

/// All prefixes of a field, host bits zeroed; multicast ones are left out (RFC 4271 section 6.3: a
/// prefix that makes no sense is ignored by itself). None if the field cannot be read to its end.
pub(super) fn decode(family: Family, mut field: &[u8]) -> Option<Vec<IpNetwork>> {
    let mut prefixes = Vec::new();
    while !field.is_empty() {
        let (rest, prefix) = prefix(family, field).ok()?;
        field = rest;
        if !prefix.ip().is_multicast() || prefix.prefix() < multicast_len(family) {
            prefixes.push(prefix);
        }
    }
    Some(prefixes)
}

/// The length of the prefix that all multicast addresses share.
fn multicast_len(family: Family) -> u8 {
    match family {
        Family::Ipv4Unicast => 4,
        Family::Ipv6Unicast => 8,
    }
}

fn prefix(family: Family, input: &[u8]) -> IResult<&[u8], IpNetwork> {
    let (rest, bits) = be_u8(input)?;
    if bits > family.prefix_len_max() {
        return Err(Err::Error(Error::new(input, ErrorKind::Verify)));
    }
    let (rest, octets) = take(octets_of(bits))(rest)?;
    let network = match family {
        Family::Ipv4Unicast => ipv4(octets, bits),
        Family::Ipv6Unicast => ipv6(octets, bits),
    };
    network.map(|network| (rest, network)).ok_or(Err::Error(Error::new(input, ErrorKind::Verify)))
}

fn ipv4(octets: &[u8], bits: u8) -> Option<IpNetwork> {
    let address = Ipv4Addr::from(padded::<4>(octets));
    let network = Ipv4Network::new(address, bits).ok()?;
    Ipv4Network::new(network.network(), bits).ok().map(IpNetwork::V4)
}

fn ipv6(octets: &[u8], bits: u8) -> Option<IpNetwork> {
    let address = Ipv6Addr::from(padded::<16>(octets));
    let network = Ipv6Network::new(address, bits).ok()?;
    Ipv6Network::new(network.network(), bits).ok().map(IpNetwork::V6)
}

fn padded<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut address = [0; N];
    let length = octets.len().min(N);
    address[..length].copy_from_slice(&octets[..length]);
    address
}

fn octets_of(bits: u8) -> usize {
    usize::from(bits.div_ceil(8))
}

/// How many octets the prefix takes.
pub(super) fn encoded_len(prefix: &IpNetwork) -> usize {
    1 + octets_of(prefix.prefix())
}

/// Appends the prefix.
pub(super) fn encode(prefix: &IpNetwork, out: &mut BytesMut) {
    let octets = octets_of(prefix.prefix());
    out.put_u8(prefix.prefix());
    match prefix {
        IpNetwork::V4(network) => out.put_slice(&network.network().octets()[..octets]),
        IpNetwork::V6(network) => out.put_slice(&network.network().octets()[..octets]),
    }
}

/// The longest beginning of the list that fits into `room` octets, and the rest.
pub(super) fn split_to_fit(prefixes: &[IpNetwork], room: usize) -> (&[IpNetwork], &[IpNetwork]) {
    let mut used = 0;
    let fitting = prefixes.iter().take_while(|prefix| {
        used += encoded_len(prefix);
        used <= room
    });
    let count = fitting.count();
    prefixes.split_at(count)
}
