//! The OPEN message (RFC 4271 section 4.2, RFC 5492, RFC 6793, RFC 9072).

use bytes::{BufMut, Bytes, BytesMut};
use nom::IResult;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16, be_u32};

use super::header::{MessageType, frame};
use super::{Capability, DecodeError, Notification, RouterId};

/// The AS number that stands in two octets for one that needs four (RFC 6793).
pub const AS_TRANS: u16 = 23456;

const VERSION: u8 = 4;
/// The only optional parameter in use (RFC 5492).
const PARAMETER_CAPABILITIES: u8 = 2;
/// Length and type that announce parameters with lengths of two octets (RFC 9072 section 2).
const EXTENDED_PARAMETERS: u8 = 255;
/// The shortest hold time beside none (RFC 4271 section 4.2).
const HOLD_TIME_SECS_MIN: u16 = 3;

/// The first message of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The sender's AS: the one of the four-octet capability if there is one.
    pub asn: u32,
    /// The hold time it proposes, in seconds: 0 (none) or at least 3.
    pub hold_time_secs: u16,
    /// Its BGP Identifier.
    pub router_id: RouterId,
    /// What it can do, in the order of the wire.
    pub capabilities: Vec<Capability>,
}

/// The fields before the optional parameters.
struct Fixed {
    version: u8,
    asn: u16,
    hold_time_secs: u16,
    router_id: u32,
}

impl Open {
    pub(super) fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let malformed = |what: &str| DecodeError::new(Notification::open_malformed(), what);
        let (rest, fixed) = fixed(body).map_err(|_| malformed("OPEN is cut short"))?;
        if fixed.version != VERSION {
            let reason = format!("version {}", fixed.version);
            return Err(DecodeError::new(Notification::unsupported_version(), reason));
        }
        let capabilities = capabilities(rest)?;
        if capabilities.iter().any(Capability::is_damaged_four_octet_as) {
            return Err(malformed("four-octet AS capability has not four octets"));
        }
        let four_octet = capabilities.iter().find_map(|capability| match capability {
            Capability::FourOctetAs(asn) => Some(*asn),
            _ => None,
        });
        let asn = four_octet.unwrap_or(u32::from(fixed.asn));
        if asn == 0 {
            return Err(DecodeError::new(Notification::bad_peer_as(), "AS 0 (RFC 7607)"));
        }
        if (1..HOLD_TIME_SECS_MIN).contains(&fixed.hold_time_secs) {
            let reason = format!("hold time of {} s", fixed.hold_time_secs);
            return Err(DecodeError::new(Notification::unacceptable_hold_time(), reason));
        }
        let router_id = RouterId::new(fixed.router_id)
            .ok_or_else(|| DecodeError::new(Notification::bad_bgp_identifier(), "BGP Identifier 0"))?;
        Ok(Self { asn, hold_time_secs: fixed.hold_time_secs, router_id, capabilities })
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut body = BytesMut::new();
        body.put_u8(VERSION);
        body.put_u16(u16::try_from(self.asn).unwrap_or(AS_TRANS));
        body.put_u16(self.hold_time_secs);
        body.put_u32(self.router_id.get());
        let mut capabilities = BytesMut::new();
        self.capabilities.iter().for_each(|capability| capability.encode(&mut capabilities));
        put_parameters(&mut body, &capabilities);
        frame(MessageType::Open, &body)
    }
}

/// Appends the capabilities as one optional parameter, in the form of RFC 9072 if they are long.
fn put_parameters(body: &mut BytesMut, capabilities: &[u8]) {
    // 255 itself is avoided: some speakers take it for RFC 9072 whatever follows.
    match u8::try_from(capabilities.len() + 2) {
        Ok(2) => body.put_u8(0),
        Ok(length) if length < EXTENDED_PARAMETERS => {
            body.put_slice(&[length, PARAMETER_CAPABILITIES, length - 2]);
            body.put_slice(capabilities);
        }
        _ => {
            // More than a message holds is cut by `frame`; our own capabilities are far shorter.
            let length = u16::try_from(capabilities.len()).unwrap_or(u16::MAX - 3);
            body.put_slice(&[EXTENDED_PARAMETERS, EXTENDED_PARAMETERS]);
            body.put_u16(length + 3);
            body.put_u8(PARAMETER_CAPABILITIES);
            body.put_u16(length);
            body.put_slice(capabilities);
        }
    }
}

fn fixed(input: &[u8]) -> IResult<&[u8], Fixed> {
    let (input, version) = be_u8(input)?;
    let (input, asn) = be_u16(input)?;
    let (input, hold_time_secs) = be_u16(input)?;
    let (input, router_id) = be_u32(input)?;
    Ok((input, Fixed { version, asn, hold_time_secs, router_id }))
}

/// All capabilities of all optional parameters.
fn capabilities(input: &[u8]) -> Result<Vec<Capability>, DecodeError> {
    let malformed = |_| DecodeError::new(Notification::open_malformed(), "optional parameters overrun");
    let (is_extended, mut parameters) = parameter_block(input).map_err(malformed)?;
    let mut capabilities = Vec::new();
    while !parameters.is_empty() {
        let (rest, (kind, mut value)) = parameter(is_extended, parameters).map_err(malformed)?;
        parameters = rest;
        if kind != PARAMETER_CAPABILITIES {
            let reason = format!("optional parameter {kind}");
            return Err(DecodeError::new(Notification::unsupported_optional_parameter(), reason));
        }
        while !value.is_empty() {
            let (rest, (code, content)) = parameter(false, value).map_err(malformed)?;
            value = rest;
            capabilities.push(Capability::decode(code, content));
        }
    }
    Ok(capabilities)
}

type NomError<'a> = nom::Err<nom::error::Error<&'a [u8]>>;

/// Whether lengths have two octets, and the block of parameters, which must end the message.
fn parameter_block(input: &[u8]) -> Result<(bool, &[u8]), NomError<'_>> {
    let (rest, length) = be_u8(input)?;
    // RFC 9072 section 2: the type decides; the length before it should be 255 but is ignored if not 0.
    let is_extended = length != 0 && rest.first() == Some(&EXTENDED_PARAMETERS);
    let (rest, length) = if is_extended {
        let (rest, _) = be_u8(rest)?;
        be_u16(rest)?
    } else {
        (rest, u16::from(length))
    };
    let (after, block) = take(length)(rest)?;
    if after.is_empty() {
        Ok((is_extended, block))
    } else {
        Err(nom::Err::Error(nom::error::Error::new(after, nom::error::ErrorKind::Eof)))
    }
}

/// Type (or code), length and value.
fn parameter(is_extended: bool, input: &[u8]) -> IResult<&[u8], (u8, &[u8])> {
    let (rest, kind) = be_u8(input)?;
    let (rest, length) = if is_extended {
        be_u16(rest)?
    } else {
        let (rest, length) = be_u8(rest)?;
        (rest, u16::from(length))
    };
    let (rest, value) = take(length)(rest)?;
    Ok((rest, (kind, value)))
}
