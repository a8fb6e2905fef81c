//! Commands that become another program inside a lab's namespaces.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, setns};

use crate::lab::control::{self, Location, Request};
use crate::lab::directory;
use crate::lab::netns::namespace_path;
use crate::lab::programs::Programs;

/// Runs a command in a pod's network; returns only when it could not be started.
pub(super) fn exec(name: &str, pod: &str, command: &[String]) -> Result<()> {
    let pod = if pod.contains('/') { pod.to_owned() } else { format!("default/{pod}") };
    enter(locate(name, pod)?)?;
    let (program, arguments) = command.split_first().context("no command given")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| program.clone())
}

/// Opens a shell on a node; returns only when it could not be started.
pub(super) fn shell(name: &str, node: &str) -> Result<()> {
    let programs = Programs::beside_this()?;
    let location = locate(name, format!("node:{node}"))?;
    if !is_ours(location.process, "pid") {
        return machine_shell(node, location.process);
    }
    enter(location)?;
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let mut path: OsString = programs.directory().into();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let error = Command::new(&shell)
        .env("PATH", path)
        .env("PS1", format!("{node}# "))
        .env("KUBECONFIG", "/run/lab/kubeconfig")
        .exec();
    Err(error).with_context(|| shell.to_string_lossy().into_owned())
}

/// On a machine of a kubeadm cluster processes are numbered anew, which only a new process takes part in.
fn machine_shell(node: &str, process: u32) -> Result<()> {
    let process = process.to_string();
    let error = Command::new("nsenter")
        .args(["--target", &process, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"])
        .args([
            "/usr/bin/env",
            "--chdir=/",
            &format!("PATH={}", crate::kubeadm::path()),
            &format!("PS1={node}# "),
        ])
        .args(["KUBECONFIG=/etc/kubernetes/admin.conf", "/bin/sh"])
        .exec();
    Err(error).context("nsenter")
}

fn locate(name: &str, endpoint: String) -> Result<Location> {
    Ok(control::ask(&directory::of(name)?, &Request::Locate { endpoint })?)
}

/// Enters the namespaces of an endpoint. This process must have one thread only.
fn enter(location: Location) -> Result<()> {
    if !nix::unistd::getuid().is_root() {
        join(location.supervisor, "user", CloneFlags::CLONE_NEWUSER)?;
    }
    // All are opened before the first is entered: another /proc may be mounted inside.
    let kinds = [
        ("net", CloneFlags::CLONE_NEWNET),
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("mnt", CloneFlags::CLONE_NEWNS),
    ];
    let files: Vec<(File, CloneFlags)> = kinds
        .into_iter()
        .filter(|(kind, _)| !is_ours(location.process, kind))
        .map(|(kind, flag)| Ok((open(location.process, kind)?, flag)))
        .collect::<Result<_>>()?;
    for (file, flag) in files {
        setns(file, flag)?;
    }
    Ok(())
}

/// Whether we are in that namespace already, and might not be allowed to enter it again.
fn is_ours(process: u32, kind: &str) -> bool {
    let link = |pid| std::fs::read_link(namespace_path(pid, kind));
    matches!((link(process), link(std::process::id())), (Ok(theirs), Ok(ours)) if theirs == ours)
}

fn join(process: u32, kind: &str, flag: CloneFlags) -> Result<()> {
    Ok(setns(open(process, kind)?, flag)?)
}

fn open(process: u32, kind: &str) -> Result<File> {
    let path = namespace_path(process, kind);
    File::open(&path).with_context(|| path.display().to_string())
}
