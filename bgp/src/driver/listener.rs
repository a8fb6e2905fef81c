//! Takes connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::run::Arrival;
use super::{DriverError, socket_options};

/// Connections that the kernel holds for us: after a restart all peers come at once.
const BACKLOG: i32 = 4096;
/// Pause after the kernel could not give a connection (no descriptor, no memory): trying at once would spin.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens on all these addresses. On a machine without IPv6, "every IPv6 address" is none.
pub(super) fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, DriverError> {
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
    socket_options::prepare(&SockRef::from(&socket), address.is_ipv4())?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Hands every connection to the driver until that ends.
pub(super) async fn run(listener: TcpListener, arrivals: mpsc::Sender<Arrival>, ending: CancellationToken) {
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
