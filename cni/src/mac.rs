//! Link-layer addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A link-layer address, in JSON as `aa:bb:cc:dd:ee:ff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.map(|octet| format!("{octet:02x}"));
        f.write_str(&pairs.join(":"))
    }
}

/// A text is not six pairs of hexadecimal digits with colons between them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no link-layer address; expected six hexadecimal pairs such as 02:00:5e:10:00:01")]
pub struct MacAddressError(String);

impl FromStr for MacAddress {
    type Err = MacAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || MacAddressError(text.chars().take(32).collect());
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2 && part.is_ascii()).ok_or_else(refuse)?;
            if !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(refuse());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| refuse())?;
        }
        if parts.next().is_some() { Err(refuse()) } else { Ok(Self(octets)) }
    }
}

impl Serialize for MacAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::MacAddress;

    #[test]
    fn link_layer_addresses_are_read_strictly() {
        let cases = [
            ("02:00:5e:10:00:01", Some([2, 0, 0x5e, 0x10, 0, 1])),
            ("02:00:5E:10:00:01", Some([2, 0, 0x5e, 0x10, 0, 1])),
            ("02:00:5e:10:00", None),
            ("02:00:5e:10:00:01:02", None),
            ("+2:00:5e:10:00:01", None),
            ("2:0:5e:10:0:1", None),
            ("é:00:5e:10:00:01", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<MacAddress>().ok().map(|mac| mac.0), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn link_layer_addresses_survive_text(octets in any::<[u8; 6]>()) {
            prop_assert_eq!(MacAddress(octets).to_string().parse::<MacAddress>().expect("its own text"), MacAddress(octets));
        }
    }
}
