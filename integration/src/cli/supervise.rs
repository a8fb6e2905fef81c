//! A lab in the background: `up` starts `supervise` and copies its steps until all is ready.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};
use tokio::net::UnixListener;

use super::{ApiArgument, RouterArgument, ShapeArguments};
use crate::kubeadm::KubeadmLab;
use crate::lab::control::SOCKET;
use crate::lab::directory::{self, Directory};
use crate::lab::programs::Programs;
use crate::lab::steps::Steps;
use crate::lab::supervisor::{EndSignals, serve};
use crate::lab::{Lab, user};

/// Starts the supervisor in the background; returns once the lab is ready.
pub(super) fn up(name: &str, shape: &ShapeArguments, builds: bool) -> Result<()> {
    let directory = directory::of(name)?;
    if directory::is_alive(&directory) {
        bail!("lab '{name}' runs already: end it with `cargo lab down --name {name}`");
    }
    // Asked for once: cargo may put a new file in the place of this program.
    let programs = Programs::beside_this()?;
    if builds {
        super::leaf_runtime()?.block_on(programs.build(true))?;
    }
    let mut supervisor = Command::new(programs.lab())
        .args(["supervise", "--name", name])
        .args(words(shape))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut steps = supervisor.stdout.take().context("no pipe to the supervisor")?;
    io::copy(&mut steps, &mut io::stdout())?;
    // It closes its stdout when it is ready, or by ending.
    if directory::is_alive(&directory) {
        return Ok(());
    }
    bail!("the lab ended: {}", supervisor.wait()?)
}

/// Owns a lab until it is asked to end it.
pub(super) fn supervise(name: &str, shape: &ShapeArguments) -> Result<()> {
    user::become_root()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = EndSignals::catch()?;
        let programs = Programs::beside_this()?;
        let directory = Directory::create(&directory::of(name)?, programs.lab())?;
        let listener = UnixListener::bind(directory.file(SOCKET))?;
        let log = directory.log("lab")?;
        log_to(&log)?;
        let steps = Steps::to(io::stdout());
        if shape.kubeadm {
            // Not cancel-safe, and need not be: what is dropped here is removed by the sweeper of its directory.
            let lab = tokio::select! {
                lab = KubeadmLab::start(shape.shape(), shape.proxy, programs, directory, &steps) => lab?,
                () = signals.come() => bail!("stopped while starting"),
            };
            steps.show(&kubeadm_usage(name, lab.kubeconfig(), lab.kubectl_program()));
            close_terminal(&log)?;
            serve(lab, &listener, &mut signals).await;
            return Ok(());
        }
        // Not cancel-safe, and need not be: a lab that is being built is dropped whole.
        let lab = tokio::select! {
            lab = Lab::start(shape.shape(), programs, directory, &steps) => lab?,
            () = signals.come() => bail!("stopped while starting"),
        };
        steps.show(&usage(name, lab.kubeconfig()));
        close_terminal(&log)?;
        serve(lab, &listener, &mut signals).await;
        Ok(())
    })
}

/// What a person can do with a lab.
pub(super) fn usage(name: &str, kubeconfig: &Path) -> String {
    let option = if name == "lab" { String::new() } else { format!(" --name {name}") };
    format!(
        "export KUBECONFIG={}\n\
         cargo lab status{option}\n\
         cargo lab shell{option} node-1        # then: tortiectl bgp peers\n\
         cargo lab probe{option} node:node-1 external:internet 80\n\
         cargo lab down{option}",
        kubeconfig.display()
    )
}

/// What a person can do with a kubeadm cluster.
fn kubeadm_usage(name: &str, kubeconfig: &Path, kubectl: &Path) -> String {
    let option = if name == "lab" { String::new() } else { format!(" --name {name}") };
    format!(
        "export KUBECONFIG={}\n\
         {} get nodes,pods -A -o wide\n\
         cargo lab status{option}\n\
         cargo lab shell{option} node-1        # then: kubectl get pods -A, ctr -n k8s.io containers ls\n\
         cargo lab down{option}",
        kubeconfig.display(),
        kubectl.display()
    )
}

/// Events of the lab itself go to its log.
pub(super) fn log_to(log: &File) -> io::Result<()> {
    let writer = Mutex::new(log.try_clone()?);
    // A second lab in one process keeps the first one's log.
    let _ = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).try_init();
    Ok(())
}

/// From now on what is said goes to the log, and whoever copied our steps sees their end.
pub(super) fn close_terminal(log: &File) -> io::Result<()> {
    io::stdout().flush()?;
    nix::unistd::dup2_stdout(log)?;
    nix::unistd::dup2_stderr(log)?;
    Ok(())
}

fn words(shape: &ShapeArguments) -> Vec<String> {
    let router = match shape.router {
        RouterArgument::Own => "own",
        RouterArgument::Bird => "bird",
    };
    let api = match shape.api {
        ApiArgument::Embedded => "embedded",
        ApiArgument::Etcd => "etcd",
    };
    let mut words: Vec<String> = [
        ("--nodes", shape.nodes.to_string()),
        ("--racks", shape.racks.to_string()),
        ("--tors", shape.tors.to_string()),
        ("--router", router.to_owned()),
        ("--api", api.to_owned()),
        ("--hold-time-secs", shape.hold_time_secs.to_string()),
    ]
    .into_iter()
    .flat_map(|(option, value)| [option.to_owned(), value])
    .collect();
    words.extend(shape.bfd.iter().flat_map(|millis| ["--bfd".to_owned(), millis.to_string()]));
    words.extend(shape.mesh.then(|| "--mesh".to_owned()));
    if shape.kubeadm {
        // Not the option of where objects live: the two contradict each other.
        words.retain(|word| word != "--api" && word != api);
        words.extend(["--kubeadm".to_owned(), "--proxy".into(), shape.proxy.word().into()]);
    }
    words
}
