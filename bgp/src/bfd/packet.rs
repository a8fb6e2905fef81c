//! The control packet, from bytes and to bytes (RFC 5880 section 4.1).

use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Length of a packet without authentication, in bytes.
pub const PACKET_BYTES: usize = 24;
const VERSION: u8 = 1;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// State of a session as its owner tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Held down by its administrator; says nothing of the way.
    AdminDown,
    /// Nothing has come.
    Down,
    /// Packets come; it is not known whether ours arrive.
    Init,
    /// Packets pass both ways.
    Up,
}

impl State {
    /// All of them, by their number in the packet.
    pub const ALL: [Self; 4] = [Self::AdminDown, Self::Down, Self::Init, Self::Up];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdminDown => "AdminDown",
            Self::Down => "Down",
            Self::Init => "Init",
            Self::Up => "Up",
        })
    }
}

/// Why a session left the state Up last; the number of RFC 5880 section 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// No diagnostic.
    pub const NONE: Self = Self(0);
    /// Nothing came for the detection time.
    pub const TIME_EXPIRED: Self = Self(1);
    /// The neighbour says that it is down.
    pub const NEIGHBOR_SIGNALED: Self = Self(3);
    /// Its administrator holds it down.
    pub const ADMINISTRATIVELY_DOWN: Self = Self(7);

    /// Of five bits.
    fn from_bits(bits: u8) -> Self {
        Self(bits & 0x1f)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "no diagnostic",
            1 => "control detection time expired",
            2 => "echo function failed",
            3 => "neighbor signaled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            other => return write!(f, "diagnostic {other}"),
        })
    }
}

/// One control packet. Intervals are told in microseconds, at most 71 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of the wire format")]
pub struct Packet {
    /// Why the sender's session went down last.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// An answer with `is_final` is asked for.
    pub is_poll: bool,
    /// This is the answer to a poll.
    pub is_final: bool,
    /// The sender's BFD goes on while its control plane restarts.
    pub is_control_plane_independent: bool,
    /// The sender wants no periodic packets while both are up.
    pub is_demand: bool,
    /// Intervals without a packet that end the session.
    pub multiplier: NonZeroU8,
    /// The sender's name for the session.
    pub my_discriminator: NonZeroU32,
    /// The receiver's name for it; `None` while the sender does not know it.
    pub your_discriminator: Option<NonZeroU32>,
    /// The sender does not want to send more often.
    pub desired_min_transmit: Duration,
    /// The sender cannot take packets more often; zero: none at all.
    pub required_min_receive: Duration,
}

/// Why bytes are no packet that we may act on (RFC 5880 section 6.8.6); they are discarded and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Fewer bytes than a packet, or than its own length field says.
    #[error("{0} bytes are too few")]
    Short(usize),
    /// Another version than 1.
    #[error("version {0}")]
    Version(u8),
    /// The length field is less than a packet's.
    #[error("length field {0}")]
    Length(u8),
    /// The sender uses authentication, and no session of ours does.
    #[error("authentication is not configured")]
    Authentication,
    /// The multipoint bit is reserved.
    #[error("multipoint bit")]
    Multipoint,
    /// Detection by zero intervals.
    #[error("detection multiplier 0")]
    Multiplier,
    /// The sender has no name for the session.
    #[error("sender's discriminator 0")]
    Discriminator,
    /// A sender in this state must know our discriminator.
    #[error("state {0} without our discriminator")]
    Nameless(State),
}

impl Packet {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`PacketError`] for what must be discarded.
    pub fn decode(bytes: &[u8]) -> Result<Self, PacketError> {
        let head: &[u8; PACKET_BYTES] = bytes.first_chunk().ok_or(PacketError::Short(bytes.len()))?;
        let [first, flags, multiplier, length, ..] = *head;
        if first >> 5 != VERSION {
            return Err(PacketError::Version(first >> 5));
        }
        if usize::from(length) < PACKET_BYTES {
            return Err(PacketError::Length(length));
        }
        if usize::from(length) > bytes.len() {
            return Err(PacketError::Short(bytes.len()));
        }
        if flags & MULTIPOINT != 0 {
            return Err(PacketError::Multipoint);
        }
        if flags & AUTHENTICATION != 0 {
            return Err(PacketError::Authentication);
        }
        let packet = Self {
            diagnostic: Diagnostic::from_bits(first),
            state: State::ALL[usize::from(flags >> 6)],
            is_poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            is_control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            is_demand: flags & DEMAND != 0,
            multiplier: NonZeroU8::new(multiplier).ok_or(PacketError::Multiplier)?,
            my_discriminator: NonZeroU32::new(word(head, 4)).ok_or(PacketError::Discriminator)?,
            your_discriminator: NonZeroU32::new(word(head, 8)),
            desired_min_transmit: micros(word(head, 12)),
            required_min_receive: micros(word(head, 16)),
        };
        match packet.state {
            State::Init | State::Up if packet.your_discriminator.is_none() => {
                Err(PacketError::Nameless(packet.state))
            }
            _ => Ok(packet),
        }
    }

    /// The datagram; no echo is offered.
    pub fn encode(&self) -> [u8; PACKET_BYTES] {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let mut bytes = [0; PACKET_BYTES];
        bytes[0] = VERSION << 5 | self.diagnostic.0;
        bytes[1] = (self.state as u8) << 6
            | flag(self.is_poll, POLL)
            | flag(self.is_final, FINAL)
            | flag(self.is_control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | flag(self.is_demand, DEMAND);
        bytes[2] = self.multiplier.get();
        bytes[3] = 24;
        let words = [
            self.my_discriminator.get(),
            self.your_discriminator.map_or(0, NonZeroU32::get),
            in_micros(self.desired_min_transmit),
            in_micros(self.required_min_receive),
            0,
        ];
        for (place, word) in bytes[4..].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

fn word(bytes: &[u8; PACKET_BYTES], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn micros(word: u32) -> Duration {
    Duration::from_micros(u64::from(word))
}

fn in_micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Written by hand from the figure of RFC 5880 section 4.1: Up, Poll, diagnostic 1, 3 x, 300 ms and 50 ms.
    const UP: [u8; PACKET_BYTES] = [
        0x21, 0xe0, 3, 24, 0, 0, 0, 7, 0, 0, 1, 0, 0x00, 0x04, 0x93, 0xe0, 0x00, 0x00, 0xc3, 0x50, 0, 0, 0, 0,
    ];

    fn up() -> Packet {
        Packet {
            diagnostic: Diagnostic::TIME_EXPIRED,
            state: State::Up,
            is_poll: true,
            is_final: false,
            is_control_plane_independent: false,
            is_demand: false,
            multiplier: NonZeroU8::new(3).expect("not zero"),
            my_discriminator: NonZeroU32::new(7).expect("not zero"),
            your_discriminator: NonZeroU32::new(256),
            desired_min_transmit: Duration::from_millis(300),
            required_min_receive: Duration::from_millis(50),
        }
    }

    #[test]
    fn a_packet_is_as_the_figure_draws_it() {
        assert_eq!(Packet::decode(&UP), Ok(up()));
        assert_eq!(up().encode(), UP);
    }

    #[test]
    fn what_must_be_discarded_is() {
        let with = |changes: &[(usize, u8)]| {
            let mut bytes = UP.to_vec();
            for (at, value) in changes {
                bytes[*at] = *value;
            }
            bytes
        };
        let longer = |length: u8| [with(&[(3, length)]), vec![0; 4]].concat();
        // (why, bytes, expected)
        let cases = [
            ("nothing", vec![], Err(PacketError::Short(0))),
            ("cut", UP[..23].to_vec(), Err(PacketError::Short(23))),
            ("version 0", with(&[(0, 0x01)]), Err(PacketError::Version(0))),
            ("version 2", with(&[(0, 0x41)]), Err(PacketError::Version(2))),
            ("length below a packet", with(&[(3, 23)]), Err(PacketError::Length(23))),
            ("length beyond the datagram", with(&[(3, 25)]), Err(PacketError::Short(24))),
            ("bytes behind the packet", longer(24), Ok(up())),
            ("longer packet of a later version 1", longer(28), Ok(up())),
            ("multipoint", with(&[(1, 0xe1)]), Err(PacketError::Multipoint)),
            ("authentication", with(&[(1, 0xe4)]), Err(PacketError::Authentication)),
            ("multiplier 0", with(&[(2, 0)]), Err(PacketError::Multiplier)),
            ("no discriminator", with(&[(7, 0)]), Err(PacketError::Discriminator)),
            ("up, not knowing us", with(&[(10, 0)]), Err(PacketError::Nameless(State::Up))),
            ("init, not knowing us", with(&[(1, 0x80), (10, 0)]), Err(PacketError::Nameless(State::Init))),
        ];
        for (why, bytes, expected) in cases {
            assert_eq!(Packet::decode(&bytes), expected, "{why}");
        }
        for (flags, state) in [(0x00, State::AdminDown), (0x40, State::Down)] {
            let packet = Packet::decode(&with(&[(1, flags), (10, 0)])).expect("a first packet");
            assert_eq!((packet.state, packet.your_discriminator), (state, None));
        }
    }

    proptest! {
        #[test]
        fn bytes_never_panic_and_a_packet_survives(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(packet) = Packet::decode(&bytes) {
                prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
            }
        }
    }
}
