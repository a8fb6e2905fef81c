//! The AS path.

mod codec;

use std::fmt;

pub(super) use codec::put_asn;

/// How the AS numbers of a segment belong together (RFC 4271 section 4.3, RFC 5065).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentKind {
    /// An unordered set, made by aggregation.
    Set,
    /// The ASes that a route passed through, the latest first.
    Sequence,
    /// The same within a confederation.
    ConfedSequence,
    /// A set within a confederation.
    ConfedSet,
}

impl SegmentKind {
    fn code(self) -> u8 {
        match self {
            Self::Set => 1,
            Self::Sequence => 2,
            Self::ConfedSequence => 3,
            Self::ConfedSet => 4,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Set, Self::Sequence, Self::ConfedSequence, Self::ConfedSet]
            .into_iter()
            .find(|kind| kind.code() == code)
    }

    /// Whether it only has a meaning inside a confederation.
    pub fn is_confed(self) -> bool {
        matches!(self, Self::ConfedSequence | Self::ConfedSet)
    }
}

/// A run of AS numbers of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsPathSegment {
    /// How they belong together.
    pub kind: SegmentKind,
    /// 1 to 255 of them: the length has one octet on the wire.
    pub asns: Vec<u32>,
}

/// The ASes that a route came through, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsPath {
    /// In the order of the wire.
    pub segments: Vec<AsPathSegment>,
}

/// A segment's length is one octet on the wire.
const SEGMENT_ASNS_MAX: usize = 255;

impl AsPath {
    /// A path of one sequence; the empty path if there are no ASes.
    pub fn sequence(asns: impl IntoIterator<Item = u32>) -> Self {
        let asns: Vec<u32> = asns.into_iter().collect();
        let segments = asns
            .chunks(SEGMENT_ASNS_MAX)
            .map(|chunk| AsPathSegment { kind: SegmentKind::Sequence, asns: chunk.to_vec() })
            .collect();
        Self { segments }
    }

    /// Whether no AS is in it: the route is from our own AS.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The length for the decision: a set counts 1, confederation segments 0 (RFC 4271 section 9.1.2.2, RFC 5065).
    pub fn length(&self) -> usize {
        let count = |segment: &AsPathSegment| match segment.kind {
            SegmentKind::Sequence => segment.asns.len(),
            SegmentKind::Set => 1,
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => 0,
        };
        self.segments.iter().map(count).sum()
    }

    /// The AS that the route came from last: the first of the first sequence outside the confederation.
    pub fn neighbor_as(&self) -> Option<u32> {
        let first = self.segments.iter().find(|segment| !segment.kind.is_confed())?;
        (first.kind == SegmentKind::Sequence).then(|| first.asns.first().copied())?
    }

    /// The AS that the route began in: the last of the path, if that is not a set.
    pub fn origin_as(&self) -> Option<u32> {
        let last = self.segments.iter().rfind(|segment| !segment.kind.is_confed())?;
        (last.kind == SegmentKind::Sequence).then(|| last.asns.last().copied())?
    }

    /// Every AS in it, in the order of the wire.
    pub fn asns(&self) -> impl Iterator<Item = u32> + '_ {
        self.segments.iter().flat_map(|segment| segment.asns.iter().copied())
    }

    /// How often the AS occurs in it.
    pub fn occurrences(&self, asn: u32) -> usize {
        self.asns().filter(|found| *found == asn).count()
    }

    /// The path with the AS put in front this many times (RFC 4271 section 5.1.2).
    ///
    /// A segment that is full is left alone and a new one opened before it.
    #[must_use]
    pub fn prepended(&self, asn: u32, times: usize) -> Self {
        let mut path = self.clone();
        for _ in 0..times {
            match path.segments.first_mut() {
                Some(first) if first.kind == SegmentKind::Sequence && first.asns.len() < SEGMENT_ASNS_MAX => {
                    first.asns.insert(0, asn);
                }
                _ => {
                    let segment = AsPathSegment { kind: SegmentKind::Sequence, asns: vec![asn] };
                    path.segments.insert(0, segment);
                }
            }
        }
        path
    }
}

impl fmt::Display for AsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            let asns: Vec<String> = segment.asns.iter().map(u32::to_string).collect();
            match segment.kind {
                SegmentKind::Sequence => write!(f, "{space}{}", asns.join(" "))?,
                SegmentKind::Set => write!(f, "{space}{{{}}}", asns.join(","))?,
                SegmentKind::ConfedSequence => write!(f, "{space}({})", asns.join(" "))?,
                SegmentKind::ConfedSet => write!(f, "{space}[{}]", asns.join(","))?,
            }
        }
        Ok(())
    }
}
