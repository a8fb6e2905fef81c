//! One plugin and how it is called by the specification's rules, version 1.0 and 1.1.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{Contender, PodName};
use crate::lab::netns::NetworkNamespace;

/// Where the daemon puts its plugin and its configuration, in the node.
const OWN_DIRECTORY: &str = "/opt/cni/bin";
const OWN_CONFIGURATION: &str = "/etc/cni/net.d/10-tortie.conflist";
/// Container IDs differ within one run; a run has its node to itself.
static CONTAINERS: AtomicU64 = AtomicU64::new(1);

/// A sandbox that is attached.
pub(super) struct Container {
    id: String,
    namespace: NetworkNamespace,
    pod: PodName,
}

impl Container {
    /// A new sandbox of that pod, as the contender finds it.
    pub(super) fn create(contender: Contender, pod: &PodName) -> Result<Self> {
        let namespace = NetworkNamespace::create()?;
        if contender == Contender::PtpWithoutDetection {
            namespace.set(&[("ipv6/conf/all/accept_dad", "0"), ("ipv6/conf/default/accept_dad", "0")])?;
        }
        let number = CONTAINERS.fetch_add(1, Ordering::Relaxed);
        Ok(Self { id: format!("{number:064x}"), namespace, pod: pod.clone() })
    }

    pub(super) fn namespace(&self) -> &NetworkNamespace {
        &self.namespace
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.handle().as_raw_fd())
    }
}

/// A plugin with its configuration.
pub(super) struct Plugin {
    program: PathBuf,
    directory: PathBuf,
    configuration: Vec<u8>,
}

impl Plugin {
    /// The contender's plugin.
    ///
    /// # Errors
    /// When the daemon has not put its configuration down.
    pub(super) fn of(contender: Contender, reference: &Path) -> Result<Self> {
        let (directory, configuration) = match contender {
            Contender::Tortie => (Path::new(OWN_DIRECTORY), own_configuration()?),
            Contender::Ptp => (reference, reference_configuration("ptp", 96)),
            Contender::PtpWithoutDetection => {
                (reference, reference_configuration("ptp-without-detection", 97))
            }
        };
        let kind = configuration["type"].as_str().unwrap_or_default();
        Ok(Self {
            program: directory.join(kind),
            directory: directory.to_owned(),
            configuration: configuration.to_string().into_bytes(),
        })
    }

    /// Executes the plugin and waits for its end.
    ///
    /// # Errors
    /// With what the plugin printed.
    pub(super) fn call(&self, verb: &str, container: &Container) -> Result<()> {
        let PodName { namespace, name, uid } = &container.pod;
        let arguments = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};\
             K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={uid}",
            container.id
        );
        let mut process = Command::new(&self.program)
            .env_clear()
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &container.id)
            .env("CNI_NETNS", container.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &self.directory)
            .env("CNI_ARGS", arguments)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("start of {}", self.program.display()))?;
        let mut stdin = process.stdin.take().context("no pipe to the plugin")?;
        stdin.write_all(&self.configuration)?;
        drop(stdin);
        let mut output = String::new();
        process.stdout.take().context("no pipe to the plugin")?.read_to_string(&mut output)?;
        if process.wait()?.success() {
            return Ok(());
        }
        bail!("{verb} by {}: {}", self.program.display(), output.trim())
    }
}

/// What a runtime gives our plugin: its part of the list, with the list's name and version.
fn own_configuration() -> Result<Value> {
    let text = fs::read(OWN_CONFIGURATION).with_context(|| format!("read {OWN_CONFIGURATION}"))?;
    let list: Value = serde_json::from_slice(&text)?;
    let mut plugin = list["plugins"][0].clone();
    for key in ["cniVersion", "name"] {
        plugin[key] = list[key].clone();
    }
    Ok(plugin)
}

/// Both families, default routes, and a range that never runs out. The leases are in the node's own /run.
fn reference_configuration(name: &str, second_octet: u8) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": name,
        "type": "ptp",
        "ipMasq": false,
        "mtu": 1500,
        "ipam": {
            "type": "host-local",
            "dataDir": "/run/bench",
            "ranges": [
                [{"subnet": format!("10.{second_octet}.0.0/16")}],
                [{"subnet": format!("fd00:{second_octet}::/64")}],
            ],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        },
    })
}
