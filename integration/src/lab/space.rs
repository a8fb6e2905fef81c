//! A space of the lab as the supervisor sees it: the holder process and its namespaces.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

use super::hold::READY;
use super::netns::{NetworkNamespace, namespace_path};
use super::process::{Launch, Place, Spawner};

/// A holder process; the space ends when this is dropped.
#[derive(Debug)]
pub(super) struct HeldSpace {
    holder: Child,
    pid: u32,
    network: NetworkNamespace,
    /// Only a node has mounts of its own; nobody without root may enter the machine's again.
    mount: Option<Arc<OwnedFd>>,
    hostname: Arc<OwnedFd>,
}

impl HeldSpace {
    /// A new space; `private` gives it the directories of a node.
    pub(super) async fn start(
        spawner: &Spawner,
        lab: &Path,
        hostname: &str,
        private: bool,
        log: &File,
    ) -> io::Result<Self> {
        let mut launch = Launch::new(lab).arguments(["hold", "--hostname", hostname]);
        if private {
            launch = launch.arguments(["--private"]);
        }
        launch.stdin = Stdio::piped();
        launch.stdout = Stdio::piped();
        launch.stderr = log.try_clone()?.into();
        let mut holder = spawner.spawn(launch).await?;
        await_ready(&mut holder).await.map_err(|error| io::Error::other(format!("{hostname}: {error}")))?;
        let pid = holder.id().ok_or_else(|| io::Error::other(format!("{hostname}: its holder ended")))?;
        Ok(Self {
            holder,
            pid,
            network: NetworkNamespace::of_process(pid)?,
            mount: if private { Some(open(pid, "mnt")?) } else { None },
            hostname: open(pid, "uts")?,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn network(&self) -> &NetworkNamespace {
        &self.network
    }

    /// Where processes of this space are started.
    pub(super) fn place(&self) -> Place {
        Place {
            network: Some(self.network.handle().clone()),
            mount: self.mount.clone(),
            hostname: Some(self.hostname.clone()),
        }
    }

    /// The path by which the supervisor reaches a file of the space.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.pid))
    }

    /// Ends the holder and waits for it.
    pub(super) async fn end(mut self) {
        let _ = self.holder.kill().await;
    }
}

async fn await_ready(holder: &mut Child) -> io::Result<()> {
    let mut stdout = holder.stdout.take().ok_or_else(|| io::Error::other("no stdout"))?;
    let mut said = [0; READY.len()];
    stdout.read_exact(&mut said).await.map_err(|_| io::Error::other("the holder failed, see lab.log"))?;
    Ok(())
}

fn open(pid: u32, kind: &str) -> io::Result<Arc<OwnedFd>> {
    Ok(Arc::new(File::open(namespace_path(pid, kind))?.into()))
}
