//! Capabilities: what a speaker says in its OPEN that it can do (RFC 5492).

use bytes::{BufMut, Bytes, BytesMut};

use super::Family;

/// One capability of an OPEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Routes of one of our families (RFC 4760, code 1).
    MultiProtocol(Family),
    /// Routes of a family that we do not know (code 1).
    MultiProtocolOther {
        /// Its Address Family Identifier.
        afi: u16,
        /// Its Subsequent Address Family Identifier.
        safi: u8,
    },
    /// `ROUTE-REFRESH` messages (RFC 2918, code 2; 128 is taken too and never sent).
    RouteRefresh,
    /// Next hops of another family (RFC 8950, code 5).
    ExtendedNextHop(Vec<ExtendedNextHop>),
    /// Messages of up to 65535 octets (RFC 8654, code 6).
    ExtendedMessage,
    /// Graceful restart (RFC 4724, RFC 8538, code 64).
    GracefulRestart(GracefulRestart),
    /// AS numbers of four octets, and the sender's own (RFC 6793, code 65).
    FourOctetAs(u32),
    /// Marked ends of a refresh (RFC 7313, code 70).
    EnhancedRouteRefresh,
    /// One that we do not know, or a known one with a length it cannot have; ignored, kept for display.
    Unknown {
        /// Its code.
        code: u8,
        /// Its value.
        value: Bytes,
    },
}

/// Routes of one family may have next hops of another (RFC 8950 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedNextHop {
    /// AFI of the routes.
    pub afi: u16,
    /// SAFI of the routes.
    pub safi: u16,
    /// AFI of the next hop.
    pub next_hop_afi: u16,
}

impl ExtendedNextHop {
    /// IPv4 unicast routes with IPv6 next hops: the only one we use.
    pub const IPV4_OVER_IPV6: Self = Self { afi: 1, safi: 1, next_hop_afi: 2 };
}

/// What a speaker promises about its restart (RFC 4724 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// R: the speaker has just restarted.
    pub restarting: bool,
    /// N: a NOTIFICATION or an expired hold timer counts as a restart too (RFC 8538).
    pub notification: bool,
    /// How long the session may be away, in seconds; at most 4095 on the wire.
    pub restart_time_secs: u16,
    /// The families that it can keep; families that are not ours are left out.
    pub families: Vec<GracefulFamily>,
}

/// One family of the graceful restart capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulFamily {
    /// The family.
    pub family: Family,
    /// F: the speaker kept forwarding for it while it restarted.
    pub forwarding: bool,
}

const MULTI_PROTOCOL: u8 = 1;
const ROUTE_REFRESH: u8 = 2;
const EXTENDED_NEXT_HOP: u8 = 5;
const EXTENDED_MESSAGE: u8 = 6;
const GRACEFUL_RESTART: u8 = 64;
const FOUR_OCTET_AS: u8 = 65;
const ENHANCED_ROUTE_REFRESH: u8 = 70;
/// Route refresh as it was before RFC 2918; some speakers send only this one.
const ROUTE_REFRESH_LEGACY: u8 = 128;

/// The restart time has 12 bits.
const RESTART_TIME_SECS_MAX: u16 = 0x0fff;
const FLAG_RESTARTING: u16 = 0x8000;
const FLAG_NOTIFICATION: u16 = 0x4000;
const FLAG_FORWARDING: u8 = 0x80;

/// A capability's length is one octet.
const VALUE_LEN_MAX: usize = 255;

impl Capability {
    /// Its code.
    pub fn code(&self) -> u8 {
        match self {
            Self::MultiProtocol(_) | Self::MultiProtocolOther { .. } => MULTI_PROTOCOL,
            Self::RouteRefresh => ROUTE_REFRESH,
            Self::ExtendedNextHop(_) => EXTENDED_NEXT_HOP,
            Self::ExtendedMessage => EXTENDED_MESSAGE,
            Self::GracefulRestart(_) => GRACEFUL_RESTART,
            Self::FourOctetAs(_) => FOUR_OCTET_AS,
            Self::EnhancedRouteRefresh => ENHANCED_ROUTE_REFRESH,
            Self::Unknown { code, .. } => *code,
        }
    }

    /// The capability with this code and value. One that we know with a length that it cannot
    /// have is `Unknown`: RFC 5492 has no error for it, so it is as if it were not there.
    pub(super) fn decode(code: u8, value: &[u8]) -> Self {
        let known = match (code, value) {
            (MULTI_PROTOCOL, &[afi_high, afi_low, _, safi]) => {
                Some(Self::multi_protocol(u16::from_be_bytes([afi_high, afi_low]), safi))
            }
            (ROUTE_REFRESH | ROUTE_REFRESH_LEGACY, &[]) => Some(Self::RouteRefresh),
            (EXTENDED_NEXT_HOP, value) => ExtendedNextHop::decode_all(value).map(Self::ExtendedNextHop),
            (EXTENDED_MESSAGE, &[]) => Some(Self::ExtendedMessage),
            (GRACEFUL_RESTART, value) => GracefulRestart::decode(value).map(Self::GracefulRestart),
            (FOUR_OCTET_AS, &[a, b, c, d]) => Some(Self::FourOctetAs(u32::from_be_bytes([a, b, c, d]))),
            (ENHANCED_ROUTE_REFRESH, &[]) => Some(Self::EnhancedRouteRefresh),
            _ => None,
        };
        known.unwrap_or_else(|| Self::Unknown { code, value: Bytes::copy_from_slice(value) })
    }

    fn multi_protocol(afi: u16, safi: u8) -> Self {
        match Family::from_codes(afi, safi) {
            Some(family) => Self::MultiProtocol(family),
            None => Self::MultiProtocolOther { afi, safi },
        }
    }

    /// Whether it is the four-octet AS capability with a wrong length: the one capability
    /// whose damage must not be ignored, because the sender's AS would be misread.
    pub(super) fn is_damaged_four_octet_as(&self) -> bool {
        matches!(self, Self::Unknown { code: FOUR_OCTET_AS, .. })
    }

    /// Appends code, length and value.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        let mut value = BytesMut::new();
        match self {
            Self::MultiProtocol(family) => put_family(&mut value, family.afi(), family.safi()),
            Self::MultiProtocolOther { afi, safi } => put_family(&mut value, *afi, *safi),
            Self::RouteRefresh | Self::ExtendedMessage | Self::EnhancedRouteRefresh => {}
            Self::ExtendedNextHop(triples) => triples.iter().for_each(|triple| triple.encode(&mut value)),
            Self::GracefulRestart(graceful) => graceful.encode(&mut value),
            Self::FourOctetAs(asn) => value.put_u32(*asn),
            Self::Unknown { value: bytes, .. } => value.put_slice(bytes),
        }
        value.truncate(VALUE_LEN_MAX);
        out.put_u8(self.code());
        out.put_u8(u8::try_from(value.len()).unwrap_or(u8::MAX));
        out.put_slice(&value);
    }
}

fn put_family(out: &mut BytesMut, afi: u16, safi: u8) {
    out.put_u16(afi);
    out.put_u8(0);
    out.put_u8(safi);
}

impl ExtendedNextHop {
    fn decode_all(value: &[u8]) -> Option<Vec<Self>> {
        let (triples, rest) = value.as_chunks::<6>();
        let decode = |triple: &[u8; 6]| {
            let word = |at: usize| u16::from_be_bytes([triple[at], triple[at + 1]]);
            Self { afi: word(0), safi: word(2), next_hop_afi: word(4) }
        };
        rest.is_empty().then(|| triples.iter().map(decode).collect())
    }

    fn encode(self, out: &mut BytesMut) {
        out.put_u16(self.afi);
        out.put_u16(self.safi);
        out.put_u16(self.next_hop_afi);
    }
}

impl GracefulRestart {
    fn decode(value: &[u8]) -> Option<Self> {
        let (head, families) = value.split_first_chunk::<2>()?;
        let (families, rest) = families.as_chunks::<4>();
        let flags = u16::from_be_bytes(*head);
        let decode = |&[afi_high, afi_low, safi, flags]: &[u8; 4]| {
            let family = Family::from_codes(u16::from_be_bytes([afi_high, afi_low]), safi)?;
            Some(GracefulFamily { family, forwarding: flags & FLAG_FORWARDING != 0 })
        };
        rest.is_empty().then(|| Self {
            restarting: flags & FLAG_RESTARTING != 0,
            notification: flags & FLAG_NOTIFICATION != 0,
            restart_time_secs: flags & RESTART_TIME_SECS_MAX,
            families: families.iter().filter_map(decode).collect(),
        })
    }

    fn encode(&self, out: &mut BytesMut) {
        let restarting = if self.restarting { FLAG_RESTARTING } else { 0 };
        let notification = if self.notification { FLAG_NOTIFICATION } else { 0 };
        out.put_u16(restarting | notification | self.restart_time_secs.min(RESTART_TIME_SECS_MAX));
        for family in &self.families {
            out.put_u16(family.family.afi());
            out.put_u8(family.family.safi());
            out.put_u8(if family.forwarding { FLAG_FORWARDING } else { 0 });
        }
    }
}
