//! A real API server: kube-apiserver with etcd as its store, built from their own modules.
//!
//! It takes the place of the embedded server, listener for listener: what clients see is plain
//! HTTP at the same addresses, forwarded to the real server over TLS.
//!
//! ```text
//! clients --http--> forward (cut during an outage) --https--> kube-apiserver --> etcd
//! ```
//! There is no controller manager; `finalize` empties the namespaces that are deleted, which is
//! the one controller that clients of an API server alone miss.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use kube::Client;
use tokio::sync::{oneshot, watch};

use self::control_plane::{ControlPlane, Programs};
use crate::apiserver::listen;
use crate::serving::{Mode, ServingThread};

mod build;
mod control_plane;
mod finalize;
mod forward;
mod go;
mod process;

pub use build::VERSION;
pub use control_plane::AUDIT_LOG;

/// Why there is no real API server.
#[derive(Debug, thiserror::Error)]
pub enum KubeError {
    /// There is no compiler that is new enough, and none can be fetched.
    #[error(
        "no Go 1.26 to build with: {0}; install any `go` (Debian: `apt-get install golang-go`), which fetches the \
         right one, or use the embedded API server"
    )]
    NoGo(String),
    /// The compiler failed.
    #[error("building {program} failed: {output}")]
    Build {
        /// What was to be built.
        program: &'static str,
        /// The end of the compiler's output.
        output: String,
    },
    /// A program ended, or did not get ready in time.
    #[error("{program} is not ready: {why}; its log is {log}")]
    NotReady {
        /// Which program.
        program: &'static str,
        /// What happened instead.
        why: String,
        /// Where it says more.
        log: PathBuf,
    },
    /// The client for the server could not be made.
    #[error("no client for the API server: {0}")]
    Client(String),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where kubectl of that version is; it is built if this machine has not yet, and `progress` is told of that.
///
/// # Errors
/// See [`KubeError`].
pub fn kubectl(mut progress: impl FnMut(&str)) -> Result<PathBuf, KubeError> {
    build::built(&build::KUBECTL, &mut progress)
}

/// The folder with all programs of a cluster; they are built if this machine has not yet, and `progress` is told of
/// that.
///
/// # Errors
/// See [`KubeError`].
pub fn programs(mut progress: impl FnMut(&str)) -> Result<PathBuf, KubeError> {
    Programs::built(&mut progress)?;
    for program in &build::OF_A_CLUSTER {
        build::built(program, &mut progress)?;
    }
    let kubectl = kubectl(progress)?;
    Ok(kubectl.parent().unwrap_or(Path::new("/")).to_owned())
}

/// Programs that make manifests.
#[derive(Clone, Debug)]
pub struct Packagers {
    /// Helm 3.
    pub helm: PathBuf,
    /// kustomize 5.
    pub kustomize: PathBuf,
}

/// Where the programs that make manifests are; they are built if this machine has not yet, and `progress` is told of
/// that.
///
/// # Errors
/// See [`KubeError`].
pub fn packagers(mut progress: impl FnMut(&str)) -> Result<Packagers, KubeError> {
    let helm = build::built(&build::HELM, &mut progress)?;
    Ok(Packagers { helm, kustomize: build::built(&build::KUSTOMIZE, &mut progress)? })
}

/// Builds all programs that this machine has not built yet; `progress` is told of each.
///
/// # Errors
/// See [`KubeError`].
pub fn build_all(mut progress: impl FnMut(&str)) -> Result<(), KubeError> {
    programs(&mut progress)?;
    packagers(progress).map(drop)
}

/// A running kube-apiserver with its etcd; both stop when this is dropped.
pub struct KubeServer {
    addresses: Vec<SocketAddr>,
    thread: ServingThread,
}

impl KubeServer {
    /// Starts both programs, with their data and logs in `directory`, and serves them on these
    /// listeners. Builds them first if this machine has not yet; `progress` is told of that.
    ///
    /// Blocks until the server is ready: some seconds, minutes with a build.
    ///
    /// # Errors
    /// See [`KubeError`].
    pub fn start(
        listeners: Vec<TcpListener>,
        directory: &Path,
        mut progress: impl FnMut(&str),
    ) -> Result<Self, KubeError> {
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        let programs = Programs::built(&mut progress)?;
        let directory = directory.to_owned();
        let (ready, told) = oneshot::channel();
        // The programs die with the thread that started them, so it is one that lives as long as this.
        let serve = move |modes| run(listeners, &programs, &directory, modes, ready);
        let thread = ServingThread::start("kube-apiserver", serve)?;
        match told.blocking_recv() {
            Ok(Ok(())) => Ok(Self { addresses, thread }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(thread
                .stop()
                .err()
                .unwrap_or_else(|| io::Error::other("the serving thread ended"))
                .into()),
        }
    }

    /// Where it listens, in the order of the listeners.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops both programs and waits for their end.
    ///
    /// # Errors
    /// What went wrong while serving or stopping.
    pub fn stop(self) -> io::Result<()> {
        self.thread.stop()
    }

    /// What is left when nobody asks for the addresses any more.
    pub(crate) fn into_thread(self) -> ServingThread {
        self.thread
    }
}

/// Everything on one thread: the programs, the forwarding and the finalizing of namespaces.
fn run(
    listeners: Vec<TcpListener>,
    programs: &Programs,
    directory: &Path,
    modes: watch::Receiver<Mode>,
    ready: oneshot::Sender<Result<(), KubeError>>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (plane, client) = match begin(programs, directory).await {
            Ok(begun) => begun,
            Err(error) => {
                // Nobody listens if the caller is gone, too.
                let _ = ready.send(Err(error));
                return Ok(());
            }
        };
        let _ = ready.send(Ok(()));
        let finalizing = tokio::spawn(finalize::run(client.clone(), modes.clone()));
        let served = listen::serve(listeners, Arc::new(forward::Forward::new(client)), modes).await;
        finalizing.await.map_err(io::Error::other)?;
        plane.stop().await?;
        served
    })
}

async fn begin(programs: &Programs, directory: &Path) -> Result<(ControlPlane, Client), KubeError> {
    let plane = ControlPlane::start(programs, directory).await?;
    let client = plane.client().await?;
    Ok((plane, client))
}
