//! What the runtime hands over: environment variables and a network configuration on standard input.
//!
//! Parsed once, here; what leaves this module is valid. Errors carry the specification's codes.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Deserialize;

use crate::protocol::{Attachment, PodReference, ValidAttachment};
use crate::response::{CniError, CniVersion, ErrorCode};

/// Longest container ID in bytes: the interface's alias must hold it, and an alias has 255 bytes.
const CONTAINER_ID_LENGTH_MAX: usize = 128;

/// Longest interface name in bytes (`IFNAMSIZ` without the final zero).
const INTERFACE_NAME_LENGTH_MAX: usize = 15;

/// Longest network name in bytes: it travels in every message to the daemon.
const NETWORK_NAME_LENGTH_MAX: usize = 128;

/// Least MTU in bytes: RFC 8200 §5 wants 1280 of every link that carries IPv6.
const MTU_MIN: u32 = 1280;

/// Largest MTU in bytes that a veth takes.
const MTU_MAX: u32 = 65_535;

/// Where the daemon listens unless the network configuration says otherwise.
const SOCKET: &str = "/run/tortie/cni.sock";

/// What `CNI_COMMAND` can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make an attachment.
    Add,
    /// Take it back.
    Del,
    /// Is it still as ADD left it?
    Check,
    /// Take back what is not in the list.
    Gc,
    /// Could ADD be served?
    Status,
    /// Which versions are spoken?
    Version,
}

impl Command {
    /// The command in `CNI_COMMAND`.
    ///
    /// # Errors
    /// Code 4 if the variable is missing or says something else.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, CniError> {
        match variable("CNI_COMMAND").as_deref() {
            Some("ADD") => Ok(Self::Add),
            Some("DEL") => Ok(Self::Del),
            Some("CHECK") => Ok(Self::Check),
            Some("GC") => Ok(Self::Gc),
            Some("STATUS") => Ok(Self::Status),
            Some("VERSION") => Ok(Self::Version),
            Some(other) => Err(environment(format!("CNI_COMMAND is {}", quoted(other)))
                .with_details("one of ADD, DEL, CHECK, GC, STATUS, VERSION")),
            None => Err(environment("CNI_COMMAND is not set")
                .with_details("this program is a CNI plugin; a container runtime calls it")),
        }
    }

    /// The oldest version of the specification that has this command.
    pub fn since(self) -> CniVersion {
        match self {
            Self::Add | Self::Del | Self::Version => CniVersion::V0_3_1,
            Self::Check => CniVersion::V0_4_0,
            Self::Gc | Self::Status => CniVersion::V1_1_0,
        }
    }
}

/// The network configuration on standard input, as far as it concerns us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// `cniVersion`: in which words to answer.
    pub version: CniVersion,
    /// `name` of the network.
    pub network: String,
    /// `mtu` in bytes; without it the daemon decides.
    pub mtu: Option<u32>,
    /// `socket`: path of the daemon's socket.
    pub socket: String,
    /// `defaultRoute`: whether the pod's default routes lead through this interface; without it
    /// they do for `eth0` alone.
    pub default_route: Option<bool>,
    /// Addresses asked for by the `ips` capability or `args.cni.ips`.
    pub requested_addresses: Vec<IpAddr>,
    /// `prevResult`, if there is one.
    pub previous: Option<PreviousResult>,
    /// `cni.dev/valid-attachments`; `None` if the key is absent.
    pub valid_attachments: Option<Vec<ValidAttachment>>,
}

/// What CHECK needs of the result that ADD printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PreviousResult {
    /// All addresses of the result.
    #[serde(default)]
    pub ips: Vec<PreviousAddress>,
}

/// One address of a former result.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PreviousAddress {
    /// The address with its prefix length.
    pub address: IpNetwork,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawConfiguration {
    cni_version: Option<String>,
    name: Option<String>,
    #[serde(default)]
    mtu: u32,
    socket: Option<String>,
    default_route: Option<bool>,
    #[serde(default)]
    runtime_config: RawRuntimeConfig,
    #[serde(default)]
    args: RawArgs,
    prev_result: Option<PreviousResult>,
    #[serde(rename = "cni.dev/valid-attachments")]
    valid_attachments: Option<Vec<RawAttachment>>,
}

#[derive(Default, Deserialize)]
struct RawRuntimeConfig {
    #[serde(default)]
    ips: Vec<String>,
}

#[derive(Default, Deserialize)]
struct RawArgs {
    #[serde(default)]
    cni: RawRuntimeConfig,
}

#[derive(Deserialize)]
struct RawAttachment {
    #[serde(rename = "containerID")]
    container_id: String,
    ifname: String,
}

impl Configuration {
    /// The configuration in these bytes of JSON, for a request of this kind.
    ///
    /// # Errors
    /// Code 6 if it cannot be read, 1 for a version that we do not speak or that does not have the
    /// command, 7 for a value that makes no sense.
    pub fn read(json: &[u8], command: Command) -> Result<Self, CniError> {
        let raw: RawConfiguration = serde_json::from_slice(json).map_err(|error| {
            CniError::new(
                ErrorCode::DECODING_FAILURE,
                "the network configuration on standard input cannot be read",
            )
            .with_details(error.to_string())
        })?;
        let version = version(raw.cni_version.as_deref(), command)?;
        let mut requested_addresses = Vec::new();
        for text in raw.runtime_config.ips.iter().chain(&raw.args.cni.ips) {
            requested_addresses.push(requested_address(text)?);
        }
        Ok(Self {
            version,
            network: network_name(raw.name)?,
            mtu: mtu(raw.mtu)?,
            socket: socket(raw.socket)?,
            default_route: raw.default_route,
            requested_addresses,
            previous: raw.prev_result,
            valid_attachments: raw.valid_attachments.map(|list| list.into_iter().map(Into::into).collect()),
        })
    }
}

impl From<RawAttachment> for ValidAttachment {
    fn from(raw: RawAttachment) -> Self {
        Self { container_id: raw.container_id, ifname: raw.ifname }
    }
}

/// The version to answer in when nothing else of the request could be read.
pub fn version_for_errors(json: &[u8]) -> CniVersion {
    #[derive(Deserialize)]
    struct VersionOnly {
        #[serde(rename = "cniVersion")]
        cni_version: String,
    }
    let read = serde_json::from_slice::<VersionOnly>(json).ok();
    read.and_then(|version| CniVersion::parse(&version.cni_version)).unwrap_or(CniVersion::NEWEST)
}

fn version(text: Option<&str>, command: Command) -> Result<CniVersion, CniError> {
    let incompatible = |message: String| {
        CniError::new(ErrorCode::INCOMPATIBLE_VERSION, message).with_details(format!(
            "set cniVersion to one of {}",
            CniVersion::ALL.map(CniVersion::text).join(", ")
        ))
    };
    let text = text.ok_or_else(|| incompatible("cniVersion is missing".into()))?;
    let version = CniVersion::parse(text)
        .ok_or_else(|| incompatible(format!("cniVersion {} is not spoken", quoted(text))))?;
    if version < command.since() {
        return Err(incompatible(format!("cniVersion {text} has no {command:?} command")));
    }
    Ok(version)
}

fn network_name(name: Option<String>) -> Result<String, CniError> {
    let name = name.unwrap_or_default();
    if is_identifier(&name, NETWORK_NAME_LENGTH_MAX) {
        return Ok(name);
    }
    Err(configuration(format!("name {} is no network name", quoted(&name))))
}

fn mtu(mtu: u32) -> Result<Option<u32>, CniError> {
    match mtu {
        0 => Ok(None),
        MTU_MIN..=MTU_MAX => Ok(Some(mtu)),
        _ => Err(configuration(format!("mtu {mtu} is not between {MTU_MIN} and {MTU_MAX}"))
            .with_details("leave it out to take the uplink's")),
    }
}

fn socket(path: Option<String>) -> Result<String, CniError> {
    let path = path.unwrap_or_else(|| SOCKET.into());
    if path.starts_with('/') && !path.contains('\0') {
        return Ok(path);
    }
    Err(configuration(format!("socket {} is no absolute path", quoted(&path))))
}

/// Takes `10.1.2.3` and `10.1.2.3/24`: the specification's `ips` may carry a prefix length, which means
/// nothing on a routed interface.
fn requested_address(text: &str) -> Result<IpAddr, CniError> {
    let network: Result<IpNetwork, _> = text.parse();
    network
        .map(|network| network.ip())
        .map_err(|_| configuration(format!("{} in ips is no address", quoted(text))))
}

/// ADD and CHECK: an attachment with its pod's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which attachment.
    pub attachment: Attachment,
    /// `CNI_NETNS`: path of the pod's network namespace.
    pub netns: String,
}

impl Target {
    /// The target that the environment names on this network.
    ///
    /// # Errors
    /// Code 4 naming the variable.
    pub fn read(network: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, CniError> {
        let netns = required("CNI_NETNS", &variable)?;
        if !netns.starts_with('/') || netns.contains('\0') {
            return Err(environment(format!("CNI_NETNS {} is no absolute path", quoted(&netns))));
        }
        Ok(Self { attachment: attachment(network, variable)?, netns })
    }
}

/// The attachment that the environment names on this network; all that DEL needs, because `CNI_NETNS`
/// may be empty or gone by then.
///
/// # Errors
/// Code 4 naming the variable.
pub fn attachment(network: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Attachment, CniError> {
    let container_id = required("CNI_CONTAINERID", &variable)?;
    if !is_identifier(&container_id, CONTAINER_ID_LENGTH_MAX) {
        return Err(environment(format!("CNI_CONTAINERID {} is no container ID", quoted(&container_id)))
            .with_details(format!(
                "letters, digits, '_', '.' and '-', at most {CONTAINER_ID_LENGTH_MAX}, a letter or digit first"
            )));
    }
    let ifname = required("CNI_IFNAME", &variable)?;
    if !is_interface_name(&ifname) {
        return Err(environment(format!("CNI_IFNAME {} is no interface name", quoted(&ifname)))
            .with_details(format!(
                "at most {INTERFACE_NAME_LENGTH_MAX} printable characters without '/', ':' and blanks"
            )));
    }
    Ok(Attachment { network: network.into(), container_id, ifname })
}

/// What `CNI_ARGS` says, as far as it concerns us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Whom the attachment serves.
    pub pod: PodReference,
    /// `IP`: an address that the caller asks for.
    pub requested_address: Option<IpAddr>,
}

impl Arguments {
    /// The arguments of an ADD. Unknown keys are left alone, with and without `IgnoreUnknown`: they
    /// are for other plugins of the chain.
    ///
    /// # Errors
    /// Code 4 if the pod is not named, or for what cannot be read.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, CniError> {
        let text = variable("CNI_ARGS").unwrap_or_default();
        let (mut namespace, mut name, mut uid, mut requested_address) = (None, None, None, None);
        for pair in text.split(';').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| environment(format!("CNI_ARGS has {} without '='", quoted(pair))))?;
            match key {
                "K8S_POD_NAMESPACE" => namespace = Some(value.to_owned()),
                "K8S_POD_NAME" => name = Some(value.to_owned()),
                "K8S_POD_UID" => uid = Some(value.to_owned()).filter(|uid| !uid.is_empty()),
                "IP" => requested_address = Some(argument_address(value)?),
                _ => {}
            }
        }
        let pod = PodReference { namespace: pod_name(namespace)?, name: pod_name(name)?, uid: pod_uid(uid)? };
        Ok(Self { pod, requested_address })
    }
}

fn argument_address(value: &str) -> Result<IpAddr, CniError> {
    value.parse().map_err(|_| environment(format!("CNI_ARGS has IP={}, which is no address", quoted(value))))
}

fn pod_name(value: Option<String>) -> Result<String, CniError> {
    value.filter(|name| is_identifier(name, 253)).ok_or_else(|| {
        environment("CNI_ARGS names no pod")
            .with_details("K8S_POD_NAMESPACE and K8S_POD_NAME are needed; Kubernetes' runtimes set them")
    })
}

fn pod_uid(value: Option<String>) -> Result<Option<String>, CniError> {
    match value {
        Some(uid) if !is_identifier(&uid, 64) => {
            Err(environment(format!("K8S_POD_UID {} in CNI_ARGS is no UID", quoted(&uid))))
        }
        other => Ok(other),
    }
}

fn required(name: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, CniError> {
    variable(name).filter(|value| !value.is_empty()).ok_or_else(|| environment(format!("{name} is not set")))
}

/// The specification's rule for names and container IDs.
fn is_identifier(text: &str, length_max: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    text.len() <= length_max
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(allowed)
}

fn is_interface_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':');
    (1..=INTERFACE_NAME_LENGTH_MAX).contains(&text.len())
        && !matches!(text, "." | "..")
        && text.bytes().all(allowed)
}

fn environment(message: impl Into<String>) -> CniError {
    CniError::new(ErrorCode::INVALID_ENVIRONMENT, message)
}

fn configuration(message: impl Into<String>) -> CniError {
    CniError::new(ErrorCode::INVALID_CONFIGURATION, message)
}

/// A foreign text, shortened and with control characters escaped, for one line of an error.
fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(64).collect::<String>())
}

#[cfg(test)]
mod tests;
