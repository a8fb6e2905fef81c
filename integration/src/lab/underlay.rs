//! The network under the cluster, running: fabric, routers, and servers on hosts that are asked.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

use super::directory::Directory;
use super::error::LabError;
use super::fabric::Fabric;
use super::netns::NetworkNamespace;
use super::process::{Launch, Place, Spawner, SpawnerThread};
use super::programs::Programs;
use super::router_config;
use super::topology::{Router, RouterKind, Space, Topology};
use super::wait::until;
use crate::probe::server::{LISTENING, Port};
use crate::probe::{Answer, Job};

/// Fabric and routers of one lab. Dropping it ends every process and namespace.
#[derive(Debug)]
pub struct Underlay {
    topology: Topology,
    programs: Programs,
    routers: tokio::sync::Mutex<BTreeMap<String, Child>>,
    /// Servers on nodes and external hosts, started when a port is first asked.
    servers: tokio::sync::Mutex<BTreeMap<(String, Port), Child>>,
    fabric: Mutex<Fabric>,
    spawner: Spawner,
    // Ends all processes that are still there; then the directory can go.
    _thread: SpawnerThread,
    directory: Directory,
}

impl Underlay {
    /// All spaces and cables of the topology; no router runs yet.
    ///
    /// # Errors
    /// With the namespace or the interface that the kernel refused.
    pub async fn build(topology: Topology, programs: Programs, directory: Directory) -> io::Result<Self> {
        let (thread, spawner) = SpawnerThread::start()?;
        let log = directory.log("lab")?;
        let fabric = Fabric::build(&topology, &spawner, programs.lab(), &log).await?;
        Ok(Self {
            topology,
            programs,
            routers: tokio::sync::Mutex::default(),
            servers: tokio::sync::Mutex::default(),
            fabric: Mutex::new(fabric),
            spawner,
            _thread: thread,
            directory,
        })
    }

    /// The values that it was built from.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// What `check` gave, asked again and again until it gives something.
    ///
    /// # Errors
    /// `Overdue` when it never did.
    pub async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        check: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T, LabError> {
        until(limit, check).await.ok_or_else(|| LabError::Overdue {
            what: what.into(),
            limit_secs: limit.as_secs(),
            directory: self.directory.path().display().to_string(),
        })
    }

    /// Its directory.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The programs that it runs.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    pub(crate) fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// Starts every router that does not run.
    ///
    /// # Errors
    /// With the router whose program or file is missing.
    pub async fn start_routers(&self) -> io::Result<()> {
        for router in &self.topology.routers {
            self.start_router(&router.name).await?;
        }
        Ok(())
    }

    /// Starts one router, unless it runs.
    ///
    /// # Errors
    /// When there is no such router or its program is missing.
    pub async fn start_router(&self, name: &str) -> io::Result<()> {
        let mut routers = self.routers.lock().await;
        if routers.contains_key(name) {
            return Ok(());
        }
        let router = self.topology.routers.iter().find(|router| router.name == name);
        let router = router.ok_or_else(|| io::Error::other(format!("the lab has no router {name}")))?;
        let launch = self.router_launch(router)?.at(self.place(&Space::Router(name.into()))?);
        let process = self.spawner.spawn(launch.log_to(&self.directory.log(name)?)?).await?;
        routers.insert(name.into(), process);
        Ok(())
    }

    fn router_launch(&self, router: &Router) -> io::Result<Launch> {
        let socket = self.router_socket(&router.name);
        let name = &router.name;
        Ok(match self.topology.shape.router {
            RouterKind::Own => {
                let file = self.directory.write(&format!("{name}.toml"), &router_config::own(router))?;
                Launch::new(self.programs.own("tortie-bgp")?).arguments([
                    "--config".into(),
                    file,
                    "--socket".into(),
                    socket,
                ])
            }
            RouterKind::Bird => {
                let file = self.directory.write(&format!("{name}.conf"), &router_config::bird(router))?;
                Launch::new(Programs::bird()?).arguments([
                    "-f".into(),
                    "-c".into(),
                    file,
                    "-s".into(),
                    socket,
                ])
            }
        })
    }

    /// The control socket of a router's program.
    pub fn router_socket(&self, name: &str) -> PathBuf {
        self.directory.file(&format!("{name}.sock"))
    }

    /// Kills a router's program and leaves its links and kernel routes as they are.
    pub async fn kill_router(&self, name: &str) {
        if let Some(mut process) = self.routers.lock().await.remove(name) {
            let _ = process.kill().await;
        }
    }

    /// Cuts the power of a router: its cables are dead at once, no packet says farewell.
    ///
    /// # Errors
    /// When there is no such router.
    pub async fn cut_power(&self, name: &str) -> io::Result<()> {
        self.fabric().unplug(&self.topology, &Space::Router(name.into()))?;
        self.kill_router(name).await;
        Ok(())
    }

    /// Sets an interface up or down.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn set_link(&self, space: &Space, interface: &str, is_up: bool) -> io::Result<()> {
        self.fabric().set_up(space, interface, is_up)
    }

    /// Sets an interface's MTU.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn set_mtu(&self, space: &Space, interface: &str, mtu: u32) -> io::Result<()> {
        self.fabric().set_mtu(space, interface, mtu)
    }

    /// The network namespace of a space.
    ///
    /// # Errors
    /// When there is no such space.
    pub fn network(&self, space: &Space) -> io::Result<NetworkNamespace> {
        self.fabric().network(space).cloned()
    }

    /// The process that holds the namespaces of a node, router or external host.
    pub fn holder(&self, space: &Space) -> Option<u32> {
        self.fabric().held(space).map(super::space::HeldSpace::pid)
    }

    /// The path by which a file of a node is reached from outside.
    pub fn path_in(&self, space: &Space, inside: &str) -> Option<PathBuf> {
        self.fabric().held(space).map(|held| held.path(inside))
    }

    pub(super) fn place(&self, space: &Space) -> io::Result<Place> {
        let fabric = self.fabric();
        if let Some(held) = fabric.held(space) {
            return Ok(held.place());
        }
        Ok(Place { network: Some(fabric.network(space)?.handle().clone()), ..Place::default() })
    }

    /// Makes sure that somebody answers on that port of a node or external host. Where another
    /// process has the port already, that one is the one to be asked.
    ///
    /// # Errors
    /// When there is no such space.
    pub async fn ensure_server(
        &self,
        space: &Space,
        name: &str,
        addresses: &[IpAddr],
        port: Port,
    ) -> io::Result<()> {
        let mut servers = self.servers.lock().await;
        let key = (name.to_owned(), port);
        if servers.contains_key(&key) {
            return Ok(());
        }
        let arguments = server_arguments(name, &[port], addresses);
        let mut launch = Launch::new(self.programs.lab()).arguments(arguments).at(self.place(space)?);
        launch.stderr = self.directory.log("lab")?.into();
        if let Ok(process) = start_server(&self.spawner, launch).await {
            servers.insert(key, process);
        }
        Ok(())
    }

    /// What a prober process in that space is answered.
    ///
    /// # Errors
    /// When there is no such space or the prober fails.
    pub async fn ask(&self, from: &Space, jobs: &[Job]) -> io::Result<Vec<Answer>> {
        super::prober::ask(&self.spawner, self.programs.lab(), self.place(from)?, jobs).await
    }

    /// Ends every process in order: routers, servers, holders.
    pub async fn end(self) {
        for mut process in
            self.routers.into_inner().into_values().chain(self.servers.into_inner().into_values())
        {
            let _ = process.kill().await;
        }
        self.fabric.into_inner().unwrap_or_else(PoisonError::into_inner).end().await;
    }

    fn fabric(&self) -> std::sync::MutexGuard<'_, Fabric> {
        self.fabric.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The command line of a server process.
pub(super) fn server_arguments(name: &str, ports: &[Port], addresses: &[IpAddr]) -> Vec<String> {
    let mut arguments = vec!["serve".to_owned(), "--name".into(), name.into()];
    arguments.extend(ports.iter().flat_map(|port| ["--port".into(), port.to_string()]));
    arguments.extend(addresses.iter().flat_map(|address| ["--bind".into(), address.to_string()]));
    arguments
}

/// A server process once it listens.
pub(super) async fn start_server(spawner: &Spawner, mut launch: Launch) -> io::Result<Child> {
    launch.stdin = Stdio::piped();
    launch.stdout = Stdio::piped();
    let mut process = spawner.spawn(launch).await?;
    let mut said = [0; LISTENING.len()];
    let stdout = process.stdout.as_mut().ok_or_else(|| io::Error::other("no stdout"))?;
    stdout
        .read_exact(&mut said)
        .await
        .map_err(|_| io::Error::other("the server could not listen, see lab.log"))?;
    Ok(process)
}
