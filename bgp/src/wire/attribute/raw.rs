//! The list of attributes of an UPDATE, cut into attributes without looking into them.

use nom::IResult;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16};

use super::kind::EXTENDED_LENGTH;

/// An attribute as it stands in the message.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) struct RawAttribute<'a> {
    pub(in crate::wire) flags: u8,
    pub(in crate::wire) code: u8,
    pub(in crate::wire) value: &'a [u8],
    /// Flags, type, length and value, to be sent back in a NOTIFICATION.
    pub(in crate::wire) whole: &'a [u8],
}

impl<'a> RawAttribute<'a> {
    /// The attributes of the list, and whether the last one overran it.
    pub(in crate::wire) fn split(mut list: &'a [u8]) -> (Vec<Self>, bool) {
        let mut attributes = Vec::new();
        while !list.is_empty() {
            let Ok((rest, attribute)) = Self::parse(list) else {
                return (attributes, true);
            };
            attributes.push(attribute);
            list = rest;
        }
        (attributes, false)
    }

    fn parse(input: &'a [u8]) -> IResult<&'a [u8], Self> {
        let (rest, flags) = be_u8(input)?;
        let (rest, code) = be_u8(rest)?;
        let (rest, length) = if flags & EXTENDED_LENGTH == 0 {
            let (rest, length) = be_u8(rest)?;
            (rest, u16::from(length))
        } else {
            be_u16(rest)?
        };
        let (rest, value) = take(length)(rest)?;
        let whole = &input[..input.len() - rest.len()];
        Ok((rest, Self { flags, code, value, whole }))
    }
}
