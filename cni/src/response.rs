//! What the plugin prints: the specification's result and error objects in every version we speak.

use serde::{Deserialize, Serialize};

/// An error code of the CNI specification, or one of our own from 100 up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// The request's `cniVersion` is none that we speak.
    pub const INCOMPATIBLE_VERSION: Self = Self(1);
    /// A field of the network configuration has a value that we cannot serve.
    pub const UNSUPPORTED_FIELD: Self = Self(2);
    /// The container is unknown; the runtime need not ask for it again.
    pub const UNKNOWN_CONTAINER: Self = Self(3);
    /// A variable of the environment is missing or malformed.
    pub const INVALID_ENVIRONMENT: Self = Self(4);
    /// Input or output failed.
    pub const IO_FAILURE: Self = Self(5);
    /// The configuration, or what we got instead of it, cannot be read.
    pub const DECODING_FAILURE: Self = Self(6);
    /// The configuration can be read but says nothing sensible.
    pub const INVALID_CONFIGURATION: Self = Self(7);
    /// The same request may succeed a little later.
    pub const TRY_AGAIN_LATER: Self = Self(11);
    /// STATUS: the plugin cannot serve ADD.
    pub const NOT_AVAILABLE: Self = Self(50);
    /// STATUS: the plugin cannot serve ADD, and existing containers have limited connectivity.
    pub const NOT_AVAILABLE_LIMITED: Self = Self(51);
    /// The kernel refused something; the message says what and with which reason.
    pub const KERNEL: Self = Self(100);
    /// The interface exists already, or is not what this request thinks it is.
    pub const INTERFACE_CONFLICT: Self = Self(101);
    /// CHECK found a difference; the details name it.
    pub const CHECK_FAILED: Self = Self(102);
}

/// Why a request failed, in the words of the specification's error object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} (CNI code {})", code.0)]
pub struct CniError {
    /// What kind of failure it is, and so what the runtime may do about it.
    pub code: ErrorCode,
    /// One line for people.
    pub message: String,
    /// The cause and the remedy; may be empty.
    #[serde(default)]
    pub details: String,
}

impl CniError {
    /// An error without details.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: String::new() }
    }

    /// The same error with its cause and remedy.
    #[must_use]
    pub fn with_details(self, details: impl Into<String>) -> Self {
        Self { details: details.into(), ..self }
    }
}
