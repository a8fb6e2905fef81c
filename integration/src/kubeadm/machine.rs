//! A machine of the kubeadm cluster: `lab machine`, started by the supervisor in the network of a node.
//!
//! ```text
//! lab machine: groups, namespaces --fork--> process 1: file system, containerd, kubelet, reaping
//!              waits for it                  | dies by SIGKILL: a power cut, nothing of it is left
//! ```

#![allow(unsafe_code)]

use std::io::{self, Write as _};
use std::path::PathBuf;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

use super::mounts::{self, Sources};
use super::services;
use super::{cgroup, files};

/// What the outer process says before the number of the inner.
pub(super) const PROCESS: &str = "process ";
/// What the machine says once containerd answers.
pub(super) const READY: &str = "ready";

/// What `lab machine` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Machine {
    /// Its name in the cluster.
    #[arg(long)]
    pub hostname: String,
    /// Its address, for its own table of names.
    #[arg(long)]
    pub address: std::net::IpAddr,
    /// The folder of its disks.
    #[arg(long)]
    pub state: PathBuf,
    /// The folder of Kubernetes' programs.
    #[arg(long)]
    pub programs: PathBuf,
    /// The folder of images.
    #[arg(long)]
    pub images: PathBuf,
    /// A control group that it is put into; one for each hierarchy.
    #[arg(long = "group")]
    pub groups: Vec<PathBuf>,
}

/// Is the machine until its power is cut.
///
/// # Errors
/// With the step that the kernel refused.
pub fn run(machine: &Machine) -> io::Result<()> {
    cgroup::enter(&machine.groups)?;
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP
        | CloneFlags::CLONE_NEWPID;
    unshare(flags).map_err(|error| io::Error::other(format!("new namespaces: {error}")))?;
    // SAFETY: this process has one thread, so the child may do what any process may.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            say(&format!("{PROCESS}{child}"))?;
            waitpid(child, None).map(drop).map_err(io::Error::from)
        }
        ForkResult::Child => {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            boot(machine)
        }
    }
}

/// What process 1 does.
fn boot(machine: &Machine) -> io::Result<()> {
    nix::unistd::sethostname(&machine.hostname)?;
    let files = files::all(&machine.hostname, machine.address);
    mounts::become_root(&Sources {
        state: &machine.state,
        programs: &machine.programs,
        images: &machine.images,
        files: &files,
    })?;
    services::run(|| say(READY))
}

fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}
