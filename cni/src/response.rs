//! What the plugin prints: the specification's result and error objects in every version we speak.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::mac::MacAddress;

/// A version of the CNI specification that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CniVersion {
    /// 0.3.1
    V0_3_1,
    /// 0.4.0: adds CHECK.
    V0_4_0,
    /// 1.0.0: drops `version` from the result's addresses.
    V1_0_0,
    /// 1.1.0: adds GC and STATUS, and `mtu` to the result's interfaces.
    V1_1_0,
}

impl CniVersion {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];

    /// The newest one.
    pub const NEWEST: Self = Self::V1_1_0;

    /// As it stands in `cniVersion`.
    pub fn text(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The version with this text, if we speak it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.text() == text)
    }
}

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

    /// The specification's error object.
    pub fn to_json(&self, version: CniVersion) -> Value {
        let mut object = json!({ "cniVersion": version.text(), "code": self.code.0, "msg": self.message });
        if !self.details.is_empty() {
            object["details"] = Value::from(self.details.as_str());
        }
        object
    }
}

/// What ADD achieved: a pair of interfaces, and addresses on its pod's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddResult {
    /// Name of the host end.
    pub host_interface: String,
    /// Link-layer address of the host end.
    pub host_mac: MacAddress,
    /// Name of the pod's end.
    pub pod_interface: String,
    /// Link-layer address of the pod's end.
    pub pod_mac: MacAddress,
    /// Path of the pod's network namespace.
    pub netns: String,
    /// MTU of both ends in bytes.
    pub mtu: u32,
    /// The pod's addresses, each with its gateway.
    pub addresses: Vec<(IpNetwork, IpAddr)>,
    /// Destinations that lead through the pod's end, each with its next hop.
    pub routes: Vec<(IpNetwork, IpAddr)>,
}

/// Index of the pod's end in the result's list of interfaces.
const POD_INTERFACE_INDEX: u32 = 1;

impl AddResult {
    /// The specification's result object.
    pub fn to_json(&self, version: CniVersion) -> Value {
        json!({
            "cniVersion": version.text(),
            "interfaces": [
                self.interface(version, &self.host_interface, self.host_mac, None),
                self.interface(version, &self.pod_interface, self.pod_mac, Some(&self.netns)),
            ],
            "ips": self.addresses.iter().map(|entry| address(version, *entry)).collect::<Vec<_>>(),
            "routes": self.routes.iter().map(|(to, via)| json!({ "dst": to, "gw": via })).collect::<Vec<_>>(),
            "dns": {},
        })
    }

    fn interface(&self, version: CniVersion, name: &str, mac: MacAddress, sandbox: Option<&str>) -> Value {
        let mut object = json!({ "name": name, "mac": mac });
        if let Some(sandbox) = sandbox {
            object["sandbox"] = Value::from(sandbox);
        }
        if version >= CniVersion::V1_1_0 {
            object["mtu"] = Value::from(self.mtu);
        }
        object
    }
}

fn address(version: CniVersion, (address, gateway): (IpNetwork, IpAddr)) -> Value {
    let mut object = json!({ "address": address, "gateway": gateway, "interface": POD_INTERFACE_INDEX });
    if version < CniVersion::V1_0_0 {
        object["version"] = Value::from(if address.is_ipv4() { "4" } else { "6" });
    }
    object
}

/// What VERSION answers.
pub fn versions(asked_in: CniVersion) -> Value {
    json!({
        "cniVersion": asked_in.text(),
        "supportedVersions": CniVersion::ALL.map(CniVersion::text),
    })
}

#[cfg(test)]
mod tests;
