//! The programs that the tests use as oracles, peers and servers. Debian's and Ubuntu's packages bring most; Kubernetes'
//! own are built from their modules, by a Go that is fetched where the distribution's is too old.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use super::say;

/// A program and the package that brings it.
const TOOLS: [(&str, &str); 14] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("bird", "bird2"),
    ("tcpdump", "tcpdump"),
    ("conntrack", "conntrack"),
    ("git", "git"),
    ("jq", "jq"),
    ("unshare", "util-linux"),
    // On the machines of a kubeadm cluster.
    ("runc", "runc"),
    ("xtables-nft-multi", "iptables"),
    ("strip", "binutils"),
    // Any release does: it fetches the one that we build with.
    ("go", "golang-go"),
    // libFuzzer is written in C++.
    ("c++", "g++"),
    ("update-ca-certificates", "ca-certificates"),
];

/// Where programs lie, beside `PATH`: a user's `PATH` lacks the `sbin` folders on Debian.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Makes sure that every tool is here, by installing the packages and building the programs of those that are not.
///
/// # Errors
/// What is still missing, and what a person can do.
pub(super) fn require() -> Result<()> {
    packages()?;
    crate::kube::build_all(|what| say(&format!("== tools: {what}")))?;
    Ok(())
}

fn packages() -> Result<()> {
    let packages = missing();
    if packages.is_empty() {
        return Ok(());
    }
    say(&format!("== tools: installing {}", packages.join(", ")));
    install(&packages)
        .with_context(|| format!("run `apt-get install {}` as root and try again", packages.join(" ")))?;
    match missing().as_slice() {
        [] => Ok(()),
        still => bail!("still missing after the installation: {}", still.join(", ")),
    }
}

fn missing() -> Vec<&'static str> {
    TOOLS.iter().filter(|(tool, _)| !is_here(tool)).map(|(_, package)| *package).collect()
}

fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(program)).any(|place| place.exists())
}

fn install(packages: &[&str]) -> Result<()> {
    let apt = |arguments: &[&str]| -> Result<()> {
        let status = Command::new("apt-get")
            .args(["-q", "-y"])
            .args(arguments)
            .args(if arguments == ["update"] { &[][..] } else { packages })
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Daemons that a package brings are not to start: the tests start their own.
            .env("RUNLEVEL", "1")
            .status()
            .context("apt-get")?;
        if status.success() { Ok(()) } else { bail!("apt-get {} failed", arguments.join(" ")) }
    };
    apt(&["update"])?;
    apt(&["install", "--no-install-recommends"])
}
