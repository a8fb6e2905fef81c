//! Takes connections.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::run::Arrival;
use super::{DriverError, kernel_options, socket_options};
use crate::config::Password;

/// Connections that the kernel holds for us: after a restart all peers come at once.
const BACKLOG: i32 = 4096;
/// Pause after the kernel could not give a connection (no descriptor, no memory): trying at once would spin.
const PAUSE: Duration = Duration::from_secs(1);

/// What the answers of the kernel to a connection are sent with: neighbors with TTL security
/// would not hear less, and the connection's own TTL comes with its owner.
const TTL: u8 = 255;

/// The sockets that listen, and whose connections must be signed.
pub(super) struct Listeners {
    sockets: Vec<Arc<TcpListener>>,
    keys: BTreeMap<IpAddr, Password>,
    /// Whom the kernel has no room for: their connections would come unsigned.
    unkeyed: BTreeSet<IpAddr>,
}

impl Listeners {
    /// Listens on all these addresses.
    pub(super) fn bind(addresses: &[SocketAddr]) -> Result<Self, DriverError> {
        let sockets = bind(addresses)?.into_iter().map(Arc::new).collect();
        Ok(Self { sockets, keys: BTreeMap::new(), unkeyed: BTreeSet::new() })
    }

    /// The sockets.
    pub(super) fn sockets(&self) -> Vec<Arc<TcpListener>> {
        self.sockets.clone()
    }

    /// Demands these signatures and no others from now on.
    pub(super) fn set_keys(&mut self, wanted: BTreeMap<IpAddr, Password>) {
        for remote in self.keys.keys().filter(|remote| !wanted.contains_key(remote)) {
            // What was never set cannot be taken back, and need not.
            let _ = self.set_key(*remote, None);
        }
        self.unkeyed.retain(|remote| wanted.contains_key(remote));
        for (remote, password) in &wanted {
            if self.keys.get(remote) == Some(password) && !self.unkeyed.contains(remote) {
                continue;
            }
            match self.set_key(*remote, Some(password)) {
                Ok(()) => drop(self.unkeyed.remove(remote)),
                Err(error) => {
                    tracing::warn!(
                        %remote, %error,
                        "the kernel takes no TCP MD5 key for connections from there: they are refused; raise \
                         net.core.optmem_max"
                    );
                    self.unkeyed.insert(*remote);
                }
            }
        }
        self.keys = wanted;
    }

    /// Whether connections from there can be trusted to be signed if they must.
    pub(super) fn is_keyed(&self, remote: IpAddr) -> bool {
        !self.unkeyed.contains(&remote)
    }

    /// Whether connections with this neighbor are signed.
    pub(super) fn wants_key(&self, remote: IpAddr) -> bool {
        self.keys.contains_key(&remote)
    }

    fn set_key(&self, remote: IpAddr, password: Option<&Password>) -> io::Result<()> {
        for socket in &self.sockets {
            if socket.local_addr()?.is_ipv4() == remote.is_ipv4() {
                kernel_options::set_password(socket.as_fd(), remote, password)?;
            }
        }
        Ok(())
    }
}

/// Listens on all these addresses. On a machine without IPv6, "every IPv6 address" is none.
fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, DriverError> {
    let mut listeners = Vec::new();
    for &address in addresses {
        match bind_one(address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if address.ip().is_unspecified() && lacks_family(&error) => {
                tracing::warn!(%address, "this machine lacks the family; nobody can connect there");
            }
            Err(source) => return Err(DriverError::Listen { address, source }),
        }
    }
    Ok(listeners)
}

fn lacks_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of the former process may still linger in the kernel.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    let options = SockRef::from(&socket);
    socket_options::prepare(&options, address.is_ipv4())?;
    socket_options::set_ttl(&options, address.is_ipv4(), TTL)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Hands every connection to the driver until that ends.
pub(super) async fn run(
    listener: Arc<TcpListener>,
    arrivals: mpsc::Sender<Arrival>,
    ending: CancellationToken,
) {
    let accept_all = async {
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => {
                    if arrivals.send(Arrival::Accepted(stream, remote)).await.is_err() {
                        return;
                    }
                }
                // The connection was gone before we took it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections; trying again in a second");
                    pause().await;
                }
            }
        }
    };
    tokio::select! {
        // Cancel safety: at the end no connection is wanted any more.
        () = ending.cancelled() => {}
        () = accept_all => {}
    }
}

#[expect(clippy::disallowed_methods, reason = "the kernel does not say when it has room again")]
async fn pause() {
    tokio::time::sleep(PAUSE).await;
}
