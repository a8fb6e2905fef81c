//! A real cluster: kubeadm, kubelet, containerd, kube-proxy and CoreDNS on machines in the lab's racks.
//!
//! ```text
//! programs, images (cache) -> underlay (racks, routers) -> machines -> kubeadm init, join -> apply -> Ready
//! ```
//!
//! A machine is made from namespaces only (`machine`); it hangs on the cables that a node of the other lab has, in the
//! same racks. Its disks are folders on a real disk, its memory goes when its power is cut.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;
use tokio::process::Child;

mod cgroup;
mod config;
mod deploy;
mod files;
mod forward;
mod images;
pub mod machine;
mod mounts;
mod node;
mod oci;
pub mod pause;
mod services;
mod serving;
pub(crate) mod sweep;
pub mod testing;

pub use config::{ProxyMode, SERVICE_CIDRS};
pub use images::LAB_IMAGE;
pub(crate) use services::path;

use cgroup::Groups;
use config::API_PORT;
use forward::Forward;
use node::{Folders, Machine};

use crate::kube::VERSION;
use crate::lab::directory::Directory;
use crate::lab::error::LabError;
use crate::lab::process::Launch;
use crate::lab::programs::Programs;
use crate::lab::steps::Steps;
use crate::lab::topology::{Node, Shape, Space, Topology};
use crate::lab::underlay::Underlay;

/// Where the disks of machines are: on a real disk, which memory file systems are not.
const DISKS_PARENT: &str = "/var/tmp";

/// A running cluster. `end` leaves nothing of it; dropping it leaves that to the sweeper of its directory.
pub struct KubeadmLab {
    machines: BTreeMap<String, tokio::sync::Mutex<Machine>>,
    forward: Forward,
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    client: Client,
    underlay: Underlay,
    disks: TempDir,
}

impl std::fmt::Debug for KubeadmLab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubeadmLab").field("machines", &self.machines).finish_non_exhaustive()
    }
}

impl KubeadmLab {
    /// A cluster of this shape with our manifest applied, once every node is Ready.
    ///
    /// # Errors
    /// When the shape cannot be, a program is missing, the machine refuses something, or kubeadm fails; its directory
    /// is then removed, and the text says what.
    pub async fn start(
        shape: Shape,
        proxy: ProxyMode,
        programs: Programs,
        directory: Directory,
        steps: &Steps,
    ) -> Result<Self, LabError> {
        let lab = Self::start_bare(shape, proxy, programs, directory, steps).await?;
        match lab.deploy(steps).await {
            Ok(()) => Ok(lab),
            Err(error) => {
                lab.end().await;
                Err(error)
            }
        }
    }

    /// The same without our manifest: every node waits for a network.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_bare(
        shape: Shape,
        proxy: ProxyMode,
        programs: Programs,
        directory: Directory,
        steps: &Steps,
    ) -> Result<Self, LabError> {
        if !nix::unistd::getuid().is_root() || std::env::var_os(crate::lab::user::OUTER_USER).is_some() {
            let text = "a kubeadm cluster needs root: it mounts file systems and makes control groups";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text).into());
        }
        let topology = Topology::new(shape)?;
        let (disks, folders) = make(&programs, steps).await?;
        sweep::note(&directory, sweep::Kind::Disk, disks.path())?;
        let underlay = Underlay::build(topology, programs, directory).await?;
        underlay.start_routers().await?;
        steps.say("racks, cables and routers are there");
        let mut machines = boot(&underlay, &folders).await?;
        steps.say("machines have booted; containerd answers and has the images");
        match join_all(&underlay, &mut machines, proxy, steps).await {
            Ok((forward, kubeconfig, client)) => {
                let kubectl = folders.programs.join("kubectl");
                let machines = machines.into_iter();
                let machines =
                    machines.map(|m| (m.node().name.clone(), tokio::sync::Mutex::new(m))).collect();
                Ok(Self { machines, forward, kubectl, kubeconfig, client, underlay, disks })
            }
            Err(error) => {
                end(machines, underlay, disks).await;
                Err(error)
            }
        }
    }

    /// The network under the cluster.
    pub fn underlay(&self) -> &Underlay {
        &self.underlay
    }

    /// The program that the cluster's version brings.
    pub fn kubectl_program(&self) -> &Path {
        &self.kubectl
    }

    /// A client of the cluster's API server.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The kubeconfig file for programs on this machine.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// What `kubectl` prints, given that on its stdin.
    ///
    /// # Errors
    /// With its own words when it fails.
    pub async fn kubectl(&self, arguments: &[&str], input: &str) -> io::Result<String> {
        node::capture(&self.underlay, self.kubectl_launch(arguments), input).await
    }

    /// A running `kubectl`, with pipes.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_kubectl(&self, arguments: &[&str]) -> io::Result<Child> {
        let mut launch = self.kubectl_launch(arguments);
        launch.stdin = Stdio::piped();
        launch.stdout = Stdio::piped();
        launch.stderr = Stdio::piped();
        self.underlay.spawner().spawn(launch).await
    }

    fn kubectl_launch(&self, arguments: &[&str]) -> Launch {
        Launch::new(&self.kubectl)
            .arguments([Path::new("--kubeconfig"), &self.kubeconfig])
            .arguments(arguments)
    }

    /// The control groups of all machines.
    pub fn groups(&self) -> Vec<PathBuf> {
        sweep::groups(self.underlay.directory())
    }

    /// What a program prints that is run on a node, with Kubernetes' programs in its path.
    ///
    /// # Errors
    /// When there is no such node, or it has no power, or the program fails; with its own words.
    pub async fn on_node(&self, node: &str, program: &str, arguments: &[&str]) -> Result<String, LabError> {
        let machine = self.machine(node)?.lock().await;
        Ok(machine.run(&self.underlay, program, arguments).await?)
    }

    /// Cuts the power of a node: it is silent at once and forgets all but its disks.
    ///
    /// # Errors
    /// When there is no such node or its network's state stays.
    pub async fn cut_power(&self, node: &str) -> Result<(), LabError> {
        let mut machine = self.machine(node)?.lock().await;
        Ok(machine.cut_power(&self.underlay).await?)
    }

    /// Boots a node whose power was cut.
    ///
    /// # Errors
    /// When there is no such node or it does not boot.
    pub async fn boot(&self, node: &str) -> Result<(), LabError> {
        let mut machine = self.machine(node)?.lock().await;
        Ok(machine.boot(&self.underlay).await?)
    }

    /// Takes a node out of the cluster as `kubectl delete node` and `kubeadm reset` do.
    ///
    /// # Errors
    /// When there is no such node, or one of the two fails; with its words.
    pub async fn remove(&self, node: &str) -> Result<(), LabError> {
        self.kubectl(&["delete", "node", node], "").await?;
        let reset = ["reset", "--force", "--cri-socket", config::CRI_SOCKET];
        self.on_node(node, "kubeadm", &reset).await.map(drop)
    }

    /// Joins a node that is not in the cluster.
    ///
    /// # Errors
    /// When there is no such node or kubeadm fails; with its words.
    pub async fn join(&self, node: &str) -> Result<(), LabError> {
        let machine = self.machine(node)?.lock().await;
        join(&self.underlay, &machine, &self.underlay.topology().nodes[0]).await?;
        let node = machine.node().clone();
        drop(machine);
        self.label(&node).await
    }

    fn machine(&self, node: &str) -> Result<&tokio::sync::Mutex<Machine>, LabError> {
        self.machines.get(node).ok_or_else(|| LabError::Unknown(format!("node {node}")))
    }

    /// Ends everything in order; only what is kept for the next lab stays.
    pub async fn end(self) {
        self.forward.close().await;
        let machines = self.machines.into_values().map(tokio::sync::Mutex::into_inner).collect();
        end(machines, self.underlay, self.disks).await;
    }
}

async fn end(machines: Vec<Machine>, underlay: Underlay, disks: TempDir) {
    for ended in futures::future::join_all(machines.into_iter().map(Machine::end)).await {
        if let Err(error) = ended {
            tracing::warn!(%error, "a machine did not end well");
        }
    }
    underlay.end().await;
    let path = disks.path().to_owned();
    if let Err(error) = disks.close() {
        tracing::warn!(%error, disks = %path.display(), "disks of machines stay");
    }
}

/// Programs and images, made if need be, and a place for disks.
async fn make(programs: &Programs, steps: &Steps) -> Result<(TempDir, Folders), LabError> {
    let disks = tempfile::Builder::new().prefix("tortie-lab-").tempdir_in(DISKS_PARENT)?;
    let images = disks.path().join("images");
    std::fs::create_dir(&images)?;
    let folder = crate::kube::programs(|text| steps.say(text)).map_err(io::Error::other)?;
    let own = programs.clone();
    let (kube, made) = (folder.clone(), images.clone());
    let making = move || {
        let kept = kube.join("images");
        images::make_parts(&kube, &kept)?;
        for part in images::parts() {
            let (from, to) = (kept.join(part.file()), made.join(part.file()));
            // The cache may be on another disk.
            std::fs::hard_link(&from, &to).or_else(|_| std::fs::copy(&from, &to).map(drop))?;
        }
        images::make_lab(own.lab(), &made)?;
        deploy::make_image(&own, &made)
    };
    tokio::task::spawn_blocking(making).await.map_err(io::Error::other)??;
    steps.say(&format!("Kubernetes {VERSION} and the images are there"));
    Ok((
        disks,
        Folders { disks: images.parent().unwrap_or(Path::new("/")).to_owned(), programs: folder, images },
    ))
}

/// All machines at once, with the images that each needs.
async fn boot(underlay: &Underlay, folders: &Folders) -> Result<Vec<Machine>, LabError> {
    let mut machines = Vec::new();
    for node in &underlay.topology().nodes {
        let groups = Groups::create(&format!("tortie-lab-{}-{}", std::process::id(), node.name))?;
        for group in groups.folders() {
            sweep::note(underlay.directory(), sweep::Kind::Group, group)?;
        }
        machines.push(Machine::new(node.clone(), folders.clone(), groups));
    }
    let booting = (0..).zip(&mut machines).map(async |(number, machine): (usize, &mut Machine)| {
        machine.boot(underlay).await?;
        for file in image_files(number == 0) {
            machine.import(underlay, &file).await?;
        }
        Ok::<_, io::Error>(())
    });
    let booted = futures::future::join_all(booting).await;
    match booted.into_iter().collect::<io::Result<Vec<()>>>() {
        Ok(_) => Ok(machines),
        Err(error) => {
            for machine in machines {
                let _ = machine.end().await;
            }
            Err(error.into())
        }
    }
}

fn image_files(is_control_plane: bool) -> Vec<String> {
    let parts = images::parts().into_iter().filter(|part| is_control_plane || !part.is_control_plane);
    let own = ["lab.tar", "pause.tar", deploy::IMAGE_FILE].map(str::to_owned);
    parts.map(|part| part.file()).chain(own).collect()
}

/// `kubeadm init` on the first machine, `kubeadm join` on all others.
async fn join_all(
    underlay: &Underlay,
    machines: &mut [Machine],
    proxy: ProxyMode,
    steps: &Steps,
) -> Result<(Forward, PathBuf, Client), LabError> {
    let (first, others) = machines.split_first().ok_or_else(|| LabError::Unknown("machine".into()))?;
    run_kubeadm(underlay, first, "init", &config::init(first.node(), proxy)).await?;
    let management = SocketAddr::new(IpAddr::V4(first.node().management), API_PORT);
    let forward = Forward::open(underlay.network(&Space::Root)?, management).await?;
    let text = first.run(underlay, "cat", &["/etc/kubernetes/admin.conf"]).await?;
    let inside = format!("{}:{API_PORT}", first.node().ipv4);
    let text = text.replace(&inside, &forward.address().to_string());
    let kubeconfig = underlay.directory().write("kubeconfig", &text)?;
    let client = client(&kubeconfig).await?;
    steps.say(&format!("kubeadm init is done on {}", first.node().name));
    let joining = others.iter().map(|machine| join(underlay, machine, first.node()));
    futures::future::try_join_all(joining).await?;
    deploy::label_all(&client, underlay.topology()).await?;
    steps.say("kubeadm join is done on the others; no node is Ready, because there is no network for pods");
    Ok((forward, kubeconfig, client))
}

async fn join(underlay: &Underlay, machine: &Machine, first: &Node) -> Result<(), LabError> {
    run_kubeadm(underlay, machine, "join", &config::join(machine.node(), first)).await
}

async fn run_kubeadm(underlay: &Underlay, machine: &Machine, verb: &str, text: &str) -> Result<(), LabError> {
    let name = format!("{}-kubeadm.yaml", machine.node().name);
    underlay.directory().write(&name, text)?;
    let inner = machine.process().unwrap_or_default();
    std::fs::write(format!("/proc/{inner}/root/run/kubeadm.yaml"), text)?;
    machine.run(underlay, "kubeadm", &[verb, "--config", "/run/kubeadm.yaml"]).await?;
    Ok(())
}

async fn client(kubeconfig: &Path) -> Result<Client, LabError> {
    let read = Kubeconfig::read_from(kubeconfig).map_err(io::Error::other)?;
    let config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    Ok(Client::try_from(config.map_err(io::Error::other)?)?)
}
