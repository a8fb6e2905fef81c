//! What the figures were taken on, and the plugins that ours is compared with.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use k8s_openapi::jiff::Timestamp;

use crate::checkout;

/// Where Debian's package puts the reference plugins.
pub(super) const REFERENCE_DIRECTORY: &str = "/usr/lib/cni";
/// Debian's package of the reference plugins.
const PACKAGE: &str = "containernetworking-plugins";

/// Name and value of all that a reader must know to compare two runs.
pub(super) fn facts(rounds: u16) -> Vec<(&'static str, String)> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let load = read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    vec![
        ("commit", checkout::version(Path::new(".")).unwrap_or_default()),
        ("date", Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string()),
        (
            "machine",
            format!(
                "{cores} cores, {processor}, {memory}, Linux {}",
                read("/proc/sys/kernel/osrelease").trim()
            ),
        ),
        ("load average at the start", load),
        ("reference plugins", said("dpkg-query", &["-W", "-f", "${Package} ${Version}", PACKAGE])),
        ("rounds", rounds.to_string()),
    ]
}

/// Installs the reference plugins where they are missing.
///
/// # Errors
/// When they are still missing then: without them there is nothing to compare with.
pub(super) fn ensure_reference_plugins() -> Result<()> {
    if reference_plugins_are_there() {
        return Ok(());
    }
    for arguments in [&["update"][..], &["install", "--yes", "--no-install-recommends", PACKAGE]] {
        let status =
            Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
        if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
            bail!(
                "apt-get {}: {status:?}; put ptp and host-local into {REFERENCE_DIRECTORY}",
                arguments.join(" ")
            );
        }
    }
    if reference_plugins_are_there() {
        return Ok(());
    }
    bail!("{PACKAGE} brought no ptp and host-local into {REFERENCE_DIRECTORY}")
}

fn reference_plugins_are_there() -> bool {
    ["ptp", "host-local"].iter().all(|plugin| Path::new(REFERENCE_DIRECTORY).join(plugin).is_file())
}

/// What a program prints, or nothing: these facts are not worth failing for.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn field(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim()).to_owned()
}
