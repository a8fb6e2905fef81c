//! Names of kernel objects.

use std::fmt;
use std::sync::Arc;

/// Name of a chain, set or map in our table; made by the compiler alone, cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Bytes that the kernel and the text form of nft both take (`NFT_NAME_MAXLEN` is 256 with the NUL).
    pub const MAX: usize = 128;

    /// The name `text`.
    pub fn new(text: &str) -> Self {
        debug_assert!(!text.is_empty() && text.len() <= Self::MAX, "names come from the compiler: {text}");
        Self(Arc::from(text))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of a network interface, zero-padded as the kernel keeps it (`IFNAMSIZ`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName([u8; 16]);

/// The text is no interface name: 1 to 15 bytes of printable ASCII without `/`, `"`, `*` and blanks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no interface name: it needs 1 to 15 printable ASCII characters, none of them / \" * or blank"
)]
pub struct InvalidInterfaceName(pub String);

impl InterfaceName {
    /// The interface called `text`.
    ///
    /// # Errors
    /// `InvalidInterfaceName` if the kernel would not take it or a rule could not be matched on it alone.
    pub fn new(text: &str) -> Result<Self, InvalidInterfaceName> {
        let allowed = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'"' | b'*' | b'\\');
        if text.is_empty() || text.len() > 15 || !text.as_bytes().iter().all(allowed) {
            return Err(InvalidInterfaceName(text.to_owned()));
        }
        let mut bytes = [0; 16];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self(bytes))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        std::str::from_utf8(&self.0[..end]).expect("checked to be ASCII when made")
    }

    /// The name as the kernel compares it: 16 bytes, zero-padded.
    pub fn bytes(&self) -> [u8; 16] {
        self.0
    }

    /// Whether this is the host side of a pod.
    pub fn is_workload(&self) -> bool {
        self.as_str().starts_with(super::WORKLOAD_PREFIX)
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}
