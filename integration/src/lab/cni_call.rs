//! Calls of the CNI plugins by the specification's rules for runtimes, version 1.1.0.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::process::{Launch, Place, Spawner};

/// Where the runtime looks for plugins, in the node.
const PLUGIN_DIRECTORY: &str = "/opt/cni/bin";
/// The one interface that the lab gives to its pods.
const INTERFACE: &str = "eth0";

/// The pod that a call is about.
#[derive(Clone, Debug)]
pub(super) struct Attachment {
    pub(super) container_id: String,
    pub(super) netns: PathBuf,
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) uid: String,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{plugin}: {message} (code {code})")]
pub(super) struct CallError {
    plugin: String,
    message: String,
    code: u64,
}

/// A network configuration list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NetworkList {
    cni_version: String,
    name: String,
    plugins: Vec<Map<String, Value>>,
}

impl NetworkList {
    /// The list that a runtime takes: of all in that folder the first by name.
    pub(super) fn first_in(directory: &Path) -> io::Result<Option<Self>> {
        let mut files: Vec<PathBuf> = match directory.read_dir() {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        files.retain(|file| file.extension().is_some_and(|extension| extension == "conflist"));
        files.sort();
        let Some(file) = files.first() else { return Ok(None) };
        let text = std::fs::read_to_string(file)?;
        let list = Self::parse(&text).ok_or_else(|| {
            io::Error::other(format!("{} is no network configuration list", file.display()))
        })?;
        Ok(Some(list))
    }

    fn parse(text: &str) -> Option<Self> {
        let list: Value = serde_json::from_str(text).ok()?;
        let plugins = list["plugins"].as_array()?.iter().map(|plugin| plugin.as_object().cloned());
        Some(Self {
            cni_version: list["cniVersion"].as_str()?.into(),
            name: list["name"].as_str()?.into(),
            plugins: plugins.collect::<Option<_>>()?,
        })
    }

    /// What one plugin reads on stdin: its own part, the list's name and version, the result so far.
    fn input(&self, plugin: &Map<String, Value>, previous: Option<&Value>) -> Value {
        let mut input = plugin.clone();
        input.insert("cniVersion".into(), self.cni_version.clone().into());
        input.insert("name".into(), self.name.clone().into());
        if let Some(previous) = previous {
            input.insert("prevResult".into(), previous.clone());
        }
        Value::Object(input)
    }
}

/// Calls plugins in the namespaces of one node.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) spawner: Spawner,
    pub(super) node: Place,
}

impl Caller {
    /// The result of the last plugin of the list.
    pub(super) async fn add(&self, list: &NetworkList, attachment: &Attachment) -> Result<Value, CallError> {
        let mut result = None;
        for plugin in &list.plugins {
            let output = self.call("ADD", list, plugin, attachment, result.as_ref()).await?;
            result = Some(output);
        }
        result.ok_or_else(|| failed("network", "the list names no plugin"))
    }

    /// Takes back what ADD made; plugins in reverse.
    pub(super) async fn del(
        &self,
        list: &NetworkList,
        attachment: &Attachment,
        result: Option<&Value>,
    ) -> Result<(), CallError> {
        for plugin in list.plugins.iter().rev() {
            self.call("DEL", list, plugin, attachment, result).await?;
        }
        Ok(())
    }

    async fn call(
        &self,
        command: &str,
        list: &NetworkList,
        plugin: &Map<String, Value>,
        attachment: &Attachment,
        previous: Option<&Value>,
    ) -> Result<Value, CallError> {
        let kind = plugin.get("type").and_then(Value::as_str).unwrap_or_default();
        let mut launch = Launch::new(Path::new(PLUGIN_DIRECTORY).join(kind)).at(self.node.clone());
        launch.environment = Some(environment(command, attachment));
        launch.stdin = Stdio::piped();
        launch.stdout = Stdio::piped();
        let input = list.input(plugin, previous).to_string();
        let (is_success, output) =
            self.run(launch, &input).await.map_err(|error| failed(kind, &error.to_string()))?;
        outcome(kind, is_success, &output)
    }

    async fn run(&self, launch: Launch, input: &str) -> io::Result<(bool, String)> {
        let mut process = self.spawner.spawn(launch).await?;
        let mut stdin = process.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let mut output = String::new();
        process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?.read_to_string(&mut output).await?;
        Ok((process.wait().await?.success(), output))
    }
}

fn environment(command: &str, attachment: &Attachment) -> BTreeMap<OsString, OsString> {
    let Attachment { container_id, netns, namespace, pod, uid } = attachment;
    let arguments = format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={pod};\
         K8S_POD_INFRA_CONTAINER_ID={container_id};K8S_POD_UID={uid}"
    );
    BTreeMap::from([
        ("CNI_COMMAND".into(), command.into()),
        ("CNI_CONTAINERID".into(), container_id.into()),
        ("CNI_NETNS".into(), netns.into()),
        ("CNI_IFNAME".into(), INTERFACE.into()),
        ("CNI_PATH".into(), PLUGIN_DIRECTORY.into()),
        ("CNI_ARGS".into(), arguments.into()),
        ("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into()),
    ])
}

fn outcome(plugin: &str, is_success: bool, output: &str) -> Result<Value, CallError> {
    let value: Value = serde_json::from_str(output).unwrap_or(Value::Null);
    if is_success {
        return Ok(value);
    }
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let message = match (text("msg"), text("details")) {
        (message, _) if message.is_empty() => format!("failed without an error object: {}", output.trim()),
        (message, details) if details.is_empty() => message,
        (message, details) => format!("{message}: {details}"),
    };
    Err(CallError { plugin: plugin.into(), message, code: value["code"].as_u64().unwrap_or(0) })
}

/// The addresses in a plugin's result, without their lengths.
pub(super) fn addresses(result: &Value) -> Vec<IpAddr> {
    let ips = result["ips"].as_array().into_iter().flatten();
    ips.filter_map(|ip| ip["address"].as_str()?.split('/').next()?.parse().ok()).collect()
}

fn failed(plugin: &str, message: &str) -> CallError {
    CallError { plugin: plugin.into(), message: message.into(), code: 0 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIST: &str =
        r#"{"cniVersion":"1.1.0","name":"tortie","plugins":[{"type":"tortie-cni","mtu":1400}]}"#;

    #[test]
    fn a_plugin_reads_its_part_with_name_version_and_the_result_so_far() {
        let list = NetworkList::parse(LIST).unwrap();
        let plain = json!({"cniVersion": "1.1.0", "name": "tortie", "type": "tortie-cni", "mtu": 1400});
        assert_eq!(list.input(&list.plugins[0], None), plain);
        let mut chained = plain;
        chained["prevResult"] = json!({"ips": []});
        assert_eq!(list.input(&list.plugins[0], Some(&json!({"ips": []}))), chained);
        for bad in ["", "{}", r#"{"cniVersion":"1.1.0","name":"x","plugins":[1]}"#] {
            assert_eq!(NetworkList::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn outcomes_are_results_or_the_plugins_own_words() {
        let error = r#"{"cniVersion":"1.1.0","code":11,"msg":"no address","details":"pool full"}"#;
        let cases = [
            ("success", true, r#"{"ips":[]}"#, Ok(json!({"ips": []}))),
            ("success of DEL says nothing", true, "", Ok(Value::Null)),
            ("an error object", false, error, Err("p: no address: pool full (code 11)")),
            ("killed", false, "", Err("p: failed without an error object:  (code 0)")),
        ];
        for (why, is_success, output, expected) in cases {
            let found = outcome("p", is_success, output).map_err(|error| error.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{why}");
        }
    }

    #[test]
    fn addresses_come_without_their_length() {
        let result =
            json!({"ips": [{"address": "10.244.0.3/32"}, {"address": "fd00::3/128"}, {"address": 7}]});
        let expected: [IpAddr; 2] = ["10.244.0.3".parse().unwrap(), "fd00::3".parse().unwrap()];
        assert_eq!(addresses(&result), expected);
    }
}
