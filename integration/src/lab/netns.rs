//! Namespaces as file descriptors: nothing is mounted, so nothing can be left behind.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace that lives as long as this value or a process inside it.
#[derive(Clone, Debug)]
pub struct NetworkNamespace {
    handle: Arc<OwnedFd>,
}

impl NetworkNamespace {
    /// A new, empty network namespace.
    ///
    /// # Errors
    /// When the kernel refuses it: no privilege, or `user.max_net_namespaces` reached.
    pub fn create() -> io::Result<Self> {
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::open(Path::new("/proc/thread-self/ns/net"))
        })
    }

    /// The network namespace of a process.
    ///
    /// # Errors
    /// When the process is gone or may not be looked into.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        Self::open(&namespace_path(pid, "net"))
    }

    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { handle: Arc::new(File::open(path)?.into()) })
    }

    /// The descriptor, for processes that shall be started inside.
    pub fn handle(&self) -> &Arc<OwnedFd> {
        &self.handle
    }

    /// What `action` returns when run inside. Sockets that it opens stay in the namespace.
    ///
    /// It runs on a thread of its own that ends with it, so no other code ever finds itself in the
    /// wrong namespace.
    ///
    /// # Errors
    /// The action's, or the kernel's refusal to enter.
    pub fn inside<T: Send>(&self, action: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_own_thread(|| {
            setns(self.handle.as_fd(), CloneFlags::CLONE_NEWNET)?;
            action()
        })
    }

    /// Writes kernel settings below `/proc/sys/net`, such as `("ipv4/ip_forward", "1")`.
    ///
    /// # Errors
    /// With the name of the setting that could not be written.
    pub fn set(&self, settings: &[(&str, &str)]) -> io::Result<()> {
        self.inside(|| {
            settings.iter().try_for_each(|(name, value)| {
                std::fs::write(format!("/proc/sys/net/{name}"), value)
                    .map_err(|error| io::Error::new(error.kind(), format!("net/{name} = {value}: {error}")))
            })
        })
    }
}

/// Where the kernel shows one of a process' namespaces: `kind` is `net`, `mnt`, `uts` or `user`.
pub fn namespace_path(pid: u32, kind: &str) -> PathBuf {
    format!("/proc/{pid}/ns/{kind}").into()
}

fn on_own_thread<T: Send>(action: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        scope.spawn(action).join().unwrap_or_else(|_| Err(io::Error::other("panic inside a namespace")))
    })
}
