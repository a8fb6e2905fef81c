//! The two packets of SCTP that a probe needs, RFC 9260: INIT and INIT ACK. Pure.
//!
//! The nonce is the Initiate Tag of the INIT: whoever answers must use it as Verification Tag
//! (section 5.1). The server's name travels in the State Cookie.

/// IP protocol number of SCTP.
pub const PROTOCOL_NUMBER: i32 = 132;
const CHUNK_INIT: u8 = 1;
const CHUNK_INIT_ACK: u8 = 2;
const PARAMETER_STATE_COOKIE: u16 = 7;
const COMMON_HEADER: usize = 12;
/// Chunk header, initiate tag, window, streams out and in, initial TSN.
const INIT_FIXED: usize = 20;
/// Any window that is at least 1500 is legal (section 3.3.2).
const WINDOW_BYTES: u32 = 65536;

/// An SCTP packet that is an INIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init {
    /// The asking port.
    pub source_port: u16,
    /// The asked port.
    pub destination_port: u16,
    /// The nonce; never 0.
    pub initiate_tag: u32,
}

/// An SCTP packet that is an INIT ACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitAck {
    /// The asked port.
    pub source_port: u16,
    /// The asking port.
    pub destination_port: u16,
    /// The nonce of the INIT that it answers.
    pub verification_tag: u32,
    /// What the server wants back, here its name.
    pub cookie: String,
}

impl Init {
    /// The packet's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let chunk = init_chunk(CHUNK_INIT, self.initiate_tag, &[]);
        packet(self.source_port, self.destination_port, 0, &chunk)
    }

    /// The INIT in these bytes, if they are one with a good checksum.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (source_port, destination_port, _, chunk) = open(bytes)?;
        let is_init = chunk.first() == Some(&CHUNK_INIT) && chunk.len() >= INIT_FIXED;
        is_init.then(|| Self { source_port, destination_port, initiate_tag: be32(chunk, 4) })
    }
}

impl InitAck {
    /// The packet's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut parameter = PARAMETER_STATE_COOKIE.to_be_bytes().to_vec();
        let length = u16::try_from(4 + self.cookie.len()).unwrap_or(u16::MAX);
        parameter.extend(length.to_be_bytes());
        parameter.extend(self.cookie.bytes().take(usize::from(length) - 4));
        parameter.resize(parameter.len().next_multiple_of(4), 0);
        // The server keeps no state; its own tag only has to be other than 0.
        let chunk = init_chunk(CHUNK_INIT_ACK, 1, &parameter);
        packet(self.source_port, self.destination_port, self.verification_tag, &chunk)
    }

    /// The INIT ACK in these bytes, if they are one with a good checksum.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (source_port, destination_port, verification_tag, chunk) = open(bytes)?;
        let parameter = chunk.get(INIT_FIXED..)?;
        if chunk[0] != CHUNK_INIT_ACK || parameter.len() < 4 || be16(parameter, 0) != PARAMETER_STATE_COOKIE {
            return None;
        }
        let cookie = parameter.get(4..usize::from(be16(parameter, 2)))?;
        let cookie = String::from_utf8(cookie.to_vec()).ok()?;
        Some(Self { source_port, destination_port, verification_tag, cookie })
    }
}

fn init_chunk(kind: u8, initiate_tag: u32, parameters: &[u8]) -> Vec<u8> {
    let length = u16::try_from(INIT_FIXED + parameters.len()).unwrap_or(u16::MAX);
    let mut chunk = vec![kind, 0];
    chunk.extend(length.to_be_bytes());
    chunk.extend(initiate_tag.to_be_bytes());
    chunk.extend(WINDOW_BYTES.to_be_bytes());
    // One stream each way.
    chunk.extend([0, 1, 0, 1]);
    chunk.extend(initiate_tag.to_be_bytes());
    chunk.extend(parameters);
    chunk
}

fn packet(source_port: u16, destination_port: u16, verification_tag: u32, chunk: &[u8]) -> Vec<u8> {
    let mut bytes = source_port.to_be_bytes().to_vec();
    bytes.extend(destination_port.to_be_bytes());
    bytes.extend(verification_tag.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(chunk);
    // Section 6.8 and appendix A: CRC32c over the packet with a zero checksum, least byte first.
    let checksum = crc32c(&bytes).to_le_bytes();
    bytes[8..COMMON_HEADER].copy_from_slice(&checksum);
    bytes
}

fn open(bytes: &[u8]) -> Option<(u16, u16, u32, &[u8])> {
    if bytes.len() < COMMON_HEADER + 4 {
        return None;
    }
    let mut cleared = bytes.to_vec();
    cleared[8..COMMON_HEADER].fill(0);
    let is_whole = crc32c(&cleared).to_le_bytes() == bytes[8..COMMON_HEADER];
    is_whole.then(|| (be16(bytes, 0), be16(bytes, 2), be32(bytes, 4), &bytes[COMMON_HEADER..]))
}

fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.iter().fold(u32::MAX, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
        }
        crc
    })
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    const INIT: Init = Init { source_port: 40000, destination_port: 9999, initiate_tag: 0xdead_beef };

    #[test]
    fn crc32c_agrees_with_the_check_value_of_its_definition() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn packets_come_back_as_they_went() {
        assert_eq!(Init::decode(&INIT.encode()), Some(INIT));
        for name in ["", "default/web", "abc"] {
            let ack = InitAck {
                source_port: 9999,
                destination_port: 40000,
                verification_tag: INIT.initiate_tag,
                cookie: name.into(),
            };
            assert_eq!(InitAck::decode(&ack.encode()), Some(ack), "{name:?}");
        }
    }

    #[test]
    fn damaged_and_foreign_bytes_are_no_packets() {
        let good = INIT.encode();
        for length in 0..good.len() {
            assert_eq!(Init::decode(&good[..length]), None, "cut to {length}");
        }
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 0x10;
            assert_eq!(Init::decode(&bad), None, "bit of byte {place} changed");
        }
        assert_eq!(InitAck::decode(&good), None, "an INIT is no INIT ACK");
    }
}
