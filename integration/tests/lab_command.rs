//! `cargo lab` as a person uses it: side by side, with and without root, and gone whatever way it ends.
//!
//! Needs root, which one test gives up.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use integration::lab::control::{self, PodLine, Request, Status};
use integration::lab::testing::LIMIT;
use integration::lab::wait::until;
use integration::probe::Finding;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LAB: &str = env!("CARGO_BIN_EXE_lab");
/// A user without any rights: `nobody`.
const NOBODY: u32 = 65534;

/// A supervisor and the folder for its user's labs.
struct Supervisor {
    process: Child,
    name: &'static str,
    folder: PathBuf,
}

impl Supervisor {
    /// Returns when the lab is ready.
    fn start(name: &'static str, folder: &Path, shape: &[&str], user: Option<u32>) -> Self {
        let mut command = lab(folder);
        command.args(["supervise", "--name", name]).args(shape).stdout(Stdio::piped());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut process = command.spawn().unwrap();
        let mut steps = String::new();
        process.stdout.take().unwrap().read_to_string(&mut steps).unwrap();
        assert!(steps.contains("every node is ready"), "{steps}");
        Self { process, name, folder: folder.into() }
    }

    fn directory(&self) -> PathBuf {
        self.folder.join("tortie-lab").join(self.name)
    }

    fn status(&self) -> Status {
        control::ask(&self.directory(), &Request::Status).unwrap()
    }

    fn run(&self, command: &str, arguments: &[&str]) -> String {
        let output = lab(&self.folder).args([command, "--name", self.name]).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command} {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }

    /// Nothing is there any more: no process, no directory.
    fn assert_gone(mut self, processes: &[u32]) {
        let _ = self.process.wait();
        let directory = self.directory();
        eventually("the directory goes", || !directory.exists());
        for process in processes {
            eventually(&format!("process {process} ends"), || !is_running(*process));
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn lab(folder: &Path) -> Command {
    let mut command = Command::new(LAB);
    command.env("XDG_RUNTIME_DIR", folder).stdin(Stdio::null());
    command
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let found = runtime.block_on(until(LIMIT, async || check().then_some(())));
    assert!(found.is_some(), "{what}: never");
}

/// A process that nobody has waited for yet is no longer one.
fn is_running(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains("Z (zombie)"))
}

fn processes(status: &Status) -> Vec<u32> {
    let nodes = status.nodes.iter().flat_map(|node| [node.holder.unwrap(), node.daemon.unwrap()]);
    nodes.chain(status.routers.iter().map(|router| router.holder.unwrap())).collect()
}

fn host_links() -> String {
    std::fs::read_to_string("/proc/net/dev")
        .unwrap()
        .lines()
        .map(|line| line.split(':').next().unwrap_or(""))
        .collect()
}

const SMALL: [&str; 6] = ["--racks", "1", "--nodes", "2", "--tors", "1"];

#[test]
fn labs_run_side_by_side_and_answer_for_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let links = host_links();
    let one = Supervisor::start("one", folder.path(), &SMALL, None);
    let two = Supervisor::start("two", folder.path(), &SMALL, None);
    for lab in [&one, &two] {
        let line =
            lab.run("probe", &["node:node-1", "node:node-2", "8080", "--protocol", "udp", "--family", "6"]);
        let finding: Finding = serde_json::from_str(&line).unwrap();
        assert!(finding.allowed, "{finding:?}");
        assert_eq!(finding.seen_as, Some("fd00:10:1::11".parse().unwrap()));
        assert_eq!(line.lines().count(), 1);
        assert!(lab.run("status", &[]).contains("node-2  rack-1  65102  10.10.1.12  fd00:10:1::12"));
        let kubeconfig = lab.run("kubeconfig", &[]);
        assert_eq!(Path::new(kubeconfig.trim()), lab.directory().join("kubeconfig"));
    }
    assert_eq!(host_links(), links, "the machine's own network is as before");
    let processes = [processes(&one.status()), processes(&two.status())];
    one.run("down", &[]);
    assert!(!one.directory().exists(), "down returns when all is gone");
    one.assert_gone(&processes[0]);
    assert!(processes[1].iter().all(|process| is_running(*process)), "the other lab goes on");
    two.signal(Signal::SIGINT);
    two.assert_gone(&processes[1]);
}

#[test]
fn nothing_outlives_a_supervisor_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let lab = Supervisor::start("killed", folder.path(), &SMALL, None);
    let processes = processes(&lab.status());
    assert_eq!(processes.len(), 6);
    lab.signal(Signal::SIGKILL);
    lab.assert_gone(&processes);
}

#[test]
fn no_root_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let lab = Supervisor::start("user", folder.path(), &SMALL, Some(NOBODY));
    apply_pod(&lab);
    let mut pods: Vec<PodLine> = Vec::new();
    eventually("the pod has its addresses", || {
        pods = lab.status().pods;
        pods.first().is_some_and(|pod| pod.addresses.len() == 2)
    });
    eventually("the pod answers the world", || {
        let line = lab.run("probe", &["external:internet", "default/web", "8080"]);
        serde_json::from_str::<Finding>(&line).unwrap().allowed
    });
    let inside = lab.run("exec", &["web", "--", "cat", "/proc/net/dev"]);
    assert!(inside.contains("eth0"), "{inside}");
    let processes = processes(&lab.status());
    lab.run("down", &[]);
    lab.assert_gone(&processes);
}

#[test]
fn what_is_not_there_is_named_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (&["status", "--name", "none"][..], "no lab 'none' runs: start it with `cargo lab up --name none`"),
        (&["down", "--name", "a/b"], "'a/b' cannot name a lab: 1 to 32 letters, digits and dashes"),
        (&["supervise", "--racks", "9"], "racks is 9, must be 1 to 5"),
        (&["supervise", "--mesh", "--racks", "2"], "mesh needs all nodes in one rack"),
    ];
    for (arguments, expected) in cases {
        let output = lab(folder.path()).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{arguments:?}: {said}");
    }
}

/// By the lab's own kubeconfig, as anybody would.
fn apply_pod(lab: &Supervisor) {
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  \
                    - {name: server, image: lab, ports: [{containerPort: 8080}]}\n";
    let file = lab.folder.join("pod.yaml");
    std::fs::write(&file, manifest).unwrap();
    let status = Command::new(integration::kube::kubectl(|_| {}).unwrap())
        .arg("--kubeconfig")
        .arg(lab.directory().join("kubeconfig"))
        .args(["apply", "--filename"])
        .arg(&file)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}
