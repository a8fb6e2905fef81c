//! A machine as the supervisor sees it: booted, commanded, and without power.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdout};

use super::cgroup::Groups;
use super::machine::{PROCESS, READY};
use super::{mounts, services};
use crate::lab::process::{Launch, Place};
use crate::lab::programs::installed;
use crate::lab::topology::{Cable, Node, Space, Topology};
use crate::lab::underlay::Underlay;

/// Until a machine has booted; a second or two on an idle machine.
const BOOT_LIMIT: Duration = Duration::from_mins(2);
/// Tries to flush a family's routes, each of which takes at least one away: more than a lab's nodes have.
const FLUSHES_MAX: usize = 64;
/// Metric of the route that a server has from its set-up; any that BGP brings is preferred.
const SETUP_METRIC: u32 = 20_000;
/// Plugins of the reference kind that every machine has.
const PLUGINS: [&str; 2] = ["loopback", "portmap"];
/// In a node: what kubeadm expects of a machine that forwards for pods.
const SETTINGS: [(&str, &str); 2] = [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")];

/// Where a machine's files are, and what is made for all machines alike.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    /// Above the disks of all machines.
    pub(super) disks: PathBuf,
    /// Kubernetes' programs.
    pub(super) programs: PathBuf,
    /// The images of this lab.
    pub(super) images: PathBuf,
}

/// One machine of the cluster.
#[derive(Debug)]
pub(super) struct Machine {
    node: Node,
    folders: Folders,
    groups: Groups,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    outer: Child,
    /// Process 1 of the machine, as this process numbers it.
    inner: u32,
}

impl Machine {
    /// A machine that has never been booted.
    pub(super) fn new(node: Node, folders: Folders, groups: Groups) -> Self {
        Self { node, folders, groups, running: None }
    }

    /// The node that it is.
    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// Process 1, unless its power is cut.
    pub(super) fn process(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.inner)
    }

    /// Boots it; returns once containerd answers.
    ///
    /// # Errors
    /// With what failed, or when it takes minutes.
    pub(super) async fn boot(&mut self, underlay: &Underlay) -> io::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        self.set_up_network(underlay).await?;
        let mut launch = self.launch(underlay)?;
        launch.stdin = Stdio::null();
        launch.stdout = Stdio::piped();
        launch.stderr = underlay.directory().log(&self.node.name)?.into();
        let mut outer = underlay.spawner().spawn(launch).await?;
        let stdout = outer.stdout.take().ok_or_else(|| io::Error::other("no stdout"))?;
        let inner = tokio::time::timeout(BOOT_LIMIT, hear(stdout)).await;
        let inner = inner.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| {
            let said = underlay.directory().last_logged(&self.node.name);
            io::Error::new(error.kind(), format!("{} does not boot: {error}: {said}", self.node.name))
        })?;
        self.running = Some(Running { outer, inner });
        Ok(())
    }

    fn launch(&self, underlay: &Underlay) -> io::Result<Launch> {
        let Folders { disks, programs, images } = &self.folders;
        let state = disks.join(&self.node.name);
        put_plugins(programs, &state.join(mounts::PLUGINS_DISK))?;
        let address = self.node.ipv4.to_string();
        let groups = self.groups.folders().iter().flat_map(|group| [Path::new("--group"), group]);
        Ok(Launch::new(underlay.programs().lab())
            .arguments(["machine", "--hostname", &self.node.name, "--address", &address])
            .arguments([Path::new("--state"), &state, Path::new("--programs"), programs])
            .arguments([Path::new("--images"), images])
            .arguments(groups)
            .at(network_of(underlay, &self.node)?))
    }

    /// Links up, addresses, and the default routes that a server is set up with: how it reaches other racks before BGP.
    async fn set_up_network(&self, underlay: &Underlay) -> io::Result<()> {
        let space = Space::Node(self.node.name.clone());
        underlay.network(&space)?.set(&SETTINGS)?;
        let text = set_up(underlay.topology(), &self.node);
        self.in_network(underlay, "ip", &["-force", "-batch", "-"], &text).await
    }

    /// Cuts the power: no process gets to say farewell, no packet leaves, and what was in memory is gone.
    ///
    /// # Errors
    /// When something of the network's state stays.
    pub(super) async fn cut_power(&mut self, underlay: &Underlay) -> io::Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let space = Space::Node(self.node.name.clone());
        for interface in interfaces(underlay.topology(), &self.node) {
            underlay.set_link(&space, interface, false)?;
        }
        kill_now(running.inner)?;
        running.outer.wait().await?;
        let groups = self.groups.clone();
        tokio::task::spawn_blocking(move || groups.empty()).await.map_err(io::Error::other)??;
        // A booting machine has an empty network; this one's namespace lives on because its cables end in it.
        self.flush_routes(underlay, "-4").await?;
        self.flush_routes(underlay, "-6").await?;
        self.in_network(underlay, "nft", &["flush", "ruleset"], "").await?;
        self.in_network(underlay, "conntrack", &["-F"], "").await
    }

    /// The kernel takes routes away by itself when links go down, also while we do; `ip` then fails on the first that it
    /// does not find any more, and the others are still there.
    async fn flush_routes(&self, underlay: &Underlay, family: &str) -> io::Result<()> {
        let flush = [family, "route", "flush", "table", "main"];
        for _ in 1..FLUSHES_MAX {
            if self.in_network(underlay, "ip", &flush, "").await.is_ok() {
                return Ok(());
            }
        }
        self.in_network(underlay, "ip", &flush, "").await
    }

    async fn in_network(
        &self,
        underlay: &Underlay,
        program: &str,
        arguments: &[&str],
        input: &str,
    ) -> io::Result<()> {
        let launch = Launch::new(installed(program)?).arguments(arguments);
        capture(underlay, launch.at(network_of(underlay, &self.node)?), input).await.map(drop)
    }

    /// What a program prints that is run on the machine.
    ///
    /// # Errors
    /// With its own words when it fails, or when the machine is without power.
    pub(super) async fn run(
        &self,
        underlay: &Underlay,
        program: &str,
        arguments: &[&str],
    ) -> io::Result<String> {
        let inner = self.process().ok_or_else(|| io::Error::other("the machine has no power"))?;
        let inner = inner.to_string();
        let launch = Launch::new(installed("nsenter")?)
            .arguments(["--target", &inner, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"])
            .arguments(["--", "/usr/bin/env", "-i", "HOME=/root"])
            .arguments([format!("PATH={}", services::path())])
            .arguments([program])
            .arguments(arguments);
        capture(underlay, launch, "").await
    }

    /// Puts an image into the machine's containerd.
    ///
    /// # Errors
    /// With containerd's words.
    pub(super) async fn import(&self, underlay: &Underlay, file: &str) -> io::Result<()> {
        let file = format!("{}/{file}", mounts::IMAGES);
        self.run(underlay, "ctr", &["--namespace", "k8s.io", "images", "import", &file]).await.map(drop)
    }

    /// Ends it for good: power, groups.
    ///
    /// # Errors
    /// When a group still holds a process.
    pub(super) async fn end(mut self) -> io::Result<()> {
        if let Some(mut running) = self.running.take() {
            let _ = kill_now(running.inner);
            running.outer.wait().await?;
        }
        let groups = self.groups;
        tokio::task::spawn_blocking(move || groups.remove()).await.map_err(io::Error::other)?
    }
}

/// The number of process 1, once the machine says that it is ready.
async fn hear(stdout: ChildStdout) -> io::Result<u32> {
    let mut lines = BufReader::new(stdout).lines();
    let mut inner = None;
    while let Some(line) = lines.next_line().await? {
        if let Some(number) = line.strip_prefix(PROCESS) {
            inner = number.parse().ok();
        }
        if let (READY, Some(inner)) = (line.as_str(), inner) {
            return Ok(inner);
        }
    }
    Err(io::Error::other("it ended"))
}

/// What the package of a machine's kubelet brings: the plugins that a runtime calls beside ours.
fn put_plugins(programs: &Path, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    PLUGINS.iter().try_for_each(|name| std::fs::copy(programs.join(name), folder.join(name)).map(drop))
}

fn kill_now(process: u32) -> io::Result<()> {
    let process = i32::try_from(process).map_err(io::Error::other)?;
    Ok(kill(Pid::from_raw(process), Signal::SIGKILL)?)
}

fn network_of(underlay: &Underlay, node: &Node) -> io::Result<Place> {
    let network = underlay.network(&Space::Node(node.name.clone()))?;
    Ok(Place { network: Some(network.handle().clone()), ..Place::default() })
}

/// What a program prints when it is given that input.
pub(super) async fn capture(underlay: &Underlay, mut launch: Launch, input: &str) -> io::Result<String> {
    launch.stdin = Stdio::piped();
    launch.stdout = Stdio::piped();
    launch.stderr = Stdio::piped();
    let name = launch.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut process = underlay.spawner().spawn(launch).await?;
    let stdin = process.stdin.take();
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read has a reason, which it says on stderr.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(write, process.wait_with_output());
    let output = output?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(io::Error::other(format!(
        "{name} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&said).trim()
    )))
}

/// The names of the machine's cables.
fn interfaces<'a>(topology: &'a Topology, node: &Node) -> Vec<&'a str> {
    let ends = topology.cables.iter().flat_map(|Cable(near, far)| [near, far]);
    let own = ends.filter(|end| end.space == Space::Node(node.name.clone()));
    own.map(|end| end.name.as_str()).collect()
}

/// The commands of `ip` that bring a node's network up, also when it is up.
fn set_up(topology: &Topology, node: &Node) -> String {
    let ends = topology.cables.iter().flat_map(|Cable(near, far)| [near, far]);
    let own: Vec<_> = ends.filter(|end| end.space == Space::Node(node.name.clone())).collect();
    let links = own.iter().map(|end| format!("link set {} up\n", end.name));
    let addresses = own.iter().flat_map(|end| {
        end.addresses.iter().map(|address| format!("address replace {address} dev {} nodad\n", end.name))
    });
    let routes = (1..).zip(topology.tors(node.rack)).flat_map(|(number, tor)| {
        let metric = SETUP_METRIC + number;
        let ours = tor.neighbors.iter().find(|neighbor| neighbor.name == node.name);
        let ipv4 = format!("route replace 0.0.0.0/0 via {} metric {metric}\n", tor.address);
        let ipv6 = ours
            .map(|neighbor| format!("route replace ::/0 via {} metric {metric}\n", neighbor.next_hop_ipv6));
        std::iter::once(ipv4).chain(ipv6)
    });
    links.chain(addresses).chain(routes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::Shape;

    #[test]
    fn a_server_is_set_up_with_addresses_and_a_way_out_by_every_router_of_its_rack() {
        let topology = Topology::new(Shape::default()).unwrap();
        let text = set_up(&topology, &topology.nodes[2]);
        let expected = "link set mgmt0 up\nlink set eth0 up\n\
            address replace 172.31.0.13/24 dev mgmt0 nodad\naddress replace 10.10.2.11/24 dev eth0 nodad\n\
            address replace fd00:10:2::11/64 dev eth0 nodad\n\
            route replace 0.0.0.0/0 via 10.10.2.251 metric 20001\nroute replace ::/0 via fd00:10:2::251 metric 20001\n\
            route replace 0.0.0.0/0 via 10.10.2.252 metric 20002\nroute replace ::/0 via fd00:10:2::252 metric 20002\n";
        assert_eq!(text, expected);
    }
}
