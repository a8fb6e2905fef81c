//! `AS_PATH` and `AS4_PATH` as bytes, and how the two become one path.

use bytes::{BufMut, BytesMut};
use nom::IResult;
use nom::bytes::complete::take;
use nom::number::complete::be_u8;

use super::{AsPath, AsPathSegment, SEGMENT_ASNS_MAX, SegmentKind};
use crate::wire::AS_TRANS;

impl AsPath {
    /// The path in this attribute value.
    ///
    /// # Errors
    /// What is malformed (RFC 7606 section 7.2, RFC 7607).
    pub(in crate::wire) fn decode(mut value: &[u8], four_octet_as: bool) -> Result<Self, &'static str> {
        let mut segments = Vec::new();
        while !value.is_empty() {
            let (rest, (code, count, asns)) =
                segment(value, four_octet_as).map_err(|_| "a path segment overruns the attribute")?;
            value = rest;
            let kind = SegmentKind::from_code(code).ok_or("a path segment of unknown type")?;
            if count == 0 {
                return Err("a path segment without an AS");
            }
            let asns = asns_of(asns, four_octet_as);
            if asns.contains(&0) {
                return Err("AS 0 in the path");
            }
            segments.push(AsPathSegment { kind, asns });
        }
        Ok(Self { segments })
    }

    /// Appends the path as an attribute value. Segments longer than one can be on the wire are split.
    pub(in crate::wire) fn encode(&self, four_octet_as: bool, out: &mut BytesMut) {
        for segment in &self.segments {
            for asns in segment.asns.chunks(SEGMENT_ASNS_MAX) {
                out.put_u8(segment.kind.code());
                out.put_u8(u8::try_from(asns.len()).unwrap_or(u8::MAX));
                for asn in asns {
                    put_asn(*asn, four_octet_as, out);
                }
            }
        }
    }

    /// Whether a two-octet `AS_PATH` cannot say all of it.
    pub(in crate::wire) fn needs_four_octets(&self) -> bool {
        self.asns().any(|asn| u16::try_from(asn).is_err())
    }

    /// The path without what only a confederation understands, as `AS4_PATH` must be (RFC 6793 section 3).
    pub(in crate::wire) fn without_confed(&self) -> Self {
        let segments = self.segments.iter().filter(|segment| !segment.kind.is_confed()).cloned().collect();
        Self { segments }
    }

    /// This `AS_PATH` of two octets with the `AS4_PATH` put in: what `AS4_PATH` lacks at
    /// the front is taken from here; an `AS4_PATH` longer than this is ignored (RFC 6793 section 4.2.3).
    pub(in crate::wire) fn merged_with(self, as4_path: &Self) -> Self {
        let as4_path = as4_path.without_confed();
        let Some(missing) = self.length().checked_sub(as4_path.length()) else {
            return self;
        };
        let mut segments = self.leading(missing);
        for segment in as4_path.segments {
            match segments.last_mut() {
                Some(last)
                    if (last.kind, segment.kind) == (SegmentKind::Sequence, SegmentKind::Sequence)
                        && last.asns.len() + segment.asns.len() <= SEGMENT_ASNS_MAX =>
                {
                    last.asns.extend(segment.asns);
                }
                _ => segments.push(segment),
            }
        }
        Self { segments }
    }

    /// The segments that make up this much of the path's length, confederation segments among them included.
    fn leading(self, mut length: usize) -> Vec<AsPathSegment> {
        let mut leading = Vec::new();
        for mut segment in self.segments {
            match segment.kind {
                SegmentKind::ConfedSequence | SegmentKind::ConfedSet => {}
                _ if length == 0 => break,
                SegmentKind::Sequence => {
                    segment.asns.truncate(length);
                    length -= segment.asns.len();
                }
                SegmentKind::Set => length -= 1,
            }
            leading.push(segment);
        }
        leading
    }
}

/// Type, number of ASes, and their octets.
fn segment(input: &[u8], four_octet_as: bool) -> IResult<&[u8], (u8, u8, &[u8])> {
    let (rest, code) = be_u8(input)?;
    let (rest, count) = be_u8(rest)?;
    let (rest, asns) = take(usize::from(count) * if four_octet_as { 4 } else { 2 })(rest)?;
    Ok((rest, (code, count, asns)))
}

fn asns_of(octets: &[u8], four_octet_as: bool) -> Vec<u32> {
    if four_octet_as {
        octets.as_chunks::<4>().0.iter().map(|asn| u32::from_be_bytes(*asn)).collect()
    } else {
        octets.as_chunks::<2>().0.iter().map(|asn| u32::from(u16::from_be_bytes(*asn))).collect()
    }
}

/// Appends an AS number; `AS_TRANS` stands for what two octets cannot say.
pub(in crate::wire) fn put_asn(asn: u32, four_octet_as: bool, out: &mut BytesMut) {
    if four_octet_as {
        out.put_u32(asn);
    } else {
        out.put_u16(u16::try_from(asn).unwrap_or(AS_TRANS));
    }
}
