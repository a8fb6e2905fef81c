//! What runs on a machine: containerd, and the kubelet once kubeadm has configured it, as systemd would keep them.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::files::{KUBELET_PROCESS, KUBELET_STOPPED};
use super::mounts::PROGRAMS;

/// Between two looks at what has ended or what kubeadm asks for.
const PAUSE: Duration = Duration::from_millis(50);
/// Looks for containerd's answer before the machine gives up: a minute.
const READY_LOOKS_MAX: u32 = 1200;
/// Looks between the end of a service and its next start: a second, so that one that fails at once does not spin.
const RESTART_LOOKS: u32 = 20;
/// kubeadm writes it when the kubelet shall run.
const KUBELET_CONFIG: &str = "/var/lib/kubelet/config.yaml";
const KUBELET_FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";
const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";

/// Where a machine looks for programs.
pub(crate) fn path() -> String {
    format!("{PROGRAMS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

/// Keeps the services running and reaps what others leave behind, for ever.
///
/// # Errors
/// When containerd cannot be started or does not answer.
pub(super) fn run(ready: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let mut containerd = Service::new("containerd", || true, Vec::new);
    let mut kubelet = Service::new("kubelet", kubelet_is_wanted, kubelet_arguments);
    containerd.keep()?;
    for _ in 0..READY_LOOKS_MAX {
        if std::os::unix::net::UnixStream::connect(CONTAINERD_SOCKET).is_ok() {
            ready()?;
            return keep(&mut containerd, &mut kubelet);
        }
        std::thread::sleep(PAUSE);
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "containerd does not answer, see containerd.log"))
}

fn keep(containerd: &mut Service, kubelet: &mut Service) -> io::Result<()> {
    loop {
        while let Some(ended) = reap() {
            containerd.ended(ended);
            kubelet.ended(ended);
        }
        containerd.keep()?;
        kubelet.keep()?;
        tell(kubelet.process)?;
        std::thread::sleep(PAUSE);
    }
}

/// A process that has ended, if there is one: as process 1 we are everybody's last parent.
fn reap() -> Option<Pid> {
    match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(process, _) | WaitStatus::Signaled(process, ..)) => Some(process),
        _ => None,
    }
}

/// One program that is started again whenever it has ended and is wanted.
struct Service {
    program: &'static str,
    is_wanted: fn() -> bool,
    arguments: fn() -> Vec<String>,
    process: Option<Pid>,
    looks_to_start: u32,
}

impl Service {
    fn new(program: &'static str, is_wanted: fn() -> bool, arguments: fn() -> Vec<String>) -> Self {
        Self { program, is_wanted, arguments, process: None, looks_to_start: 0 }
    }

    fn ended(&mut self, process: Pid) {
        if self.process == Some(process) {
            self.process = None;
            self.looks_to_start = RESTART_LOOKS;
        }
    }

    fn keep(&mut self) -> io::Result<()> {
        self.looks_to_start = self.looks_to_start.saturating_sub(1);
        if self.process.is_some() || self.looks_to_start > 0 || !(self.is_wanted)() {
            return Ok(());
        }
        let log =
            OpenOptions::new().create(true).append(true).open(format!("/var/log/{}.log", self.program))?;
        let program = Path::new(PROGRAMS).join(self.program);
        let child = Command::new(&program)
            .args((self.arguments)())
            .env("PATH", path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
        // Reaped with all others, so the handle is not waited on.
        self.process = i32::try_from(child.id()).ok().map(Pid::from_raw);
        Ok(())
    }
}

fn kubelet_is_wanted() -> bool {
    Path::new(KUBELET_CONFIG).exists() && !Path::new(KUBELET_STOPPED).exists()
}

/// As in the drop-in that packages of kubeadm bring for systemd.
fn kubelet_arguments() -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
        "--kubeconfig=/etc/kubernetes/kubelet.conf",
        "--config=/var/lib/kubelet/config.yaml",
    ]
    .map(str::to_owned)
    .into();
    arguments.extend(kubeadm_flags(&fs::read_to_string(KUBELET_FLAGS).unwrap_or_default()));
    arguments
}

/// The flags in kubeadm's `KUBELET_KUBEADM_ARGS="..."`.
fn kubeadm_flags(text: &str) -> Vec<String> {
    let values = text.lines().filter_map(|line| line.strip_prefix("KUBELET_KUBEADM_ARGS="));
    values.flat_map(|value| value.trim_matches('"').split_whitespace().map(str::to_owned)).collect()
}

/// Tells the stand-in for `systemctl` which process is the kubelet.
fn tell(kubelet: Option<Pid>) -> io::Result<()> {
    let text = kubelet.map(|process| process.to_string()).unwrap_or_default();
    if fs::read_to_string(KUBELET_PROCESS).unwrap_or_default() == text {
        return Ok(());
    }
    fs::write(KUBELET_PROCESS, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_that_kubeadm_wrote() {
        let cases = [
            ("quoted", "KUBELET_KUBEADM_ARGS=\"--a=b --c=d\"\n", vec!["--a=b", "--c=d"]),
            ("another variable", "OTHER=\"--a\"\n", vec![]),
            ("none", "", vec![]),
        ];
        for (why, text, expected) in cases {
            assert_eq!(kubeadm_flags(text), expected, "{why}");
        }
    }
}
