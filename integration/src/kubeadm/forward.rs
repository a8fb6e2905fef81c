//! A door from the machine's loopback into the lab: connections to it go on to an address inside.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use socket2::{Domain, Socket, Type};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use crate::lab::netns::NetworkNamespace;

/// Connections at once; more wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 256;

/// An open door; it closes when this is dropped.
#[derive(Debug)]
pub(super) struct Forward {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Forward {
    /// A door to `target`, which is connected to from inside `network`.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) async fn open(network: NetworkNamespace, target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, task: tokio::spawn(serve(listener, network, target)) })
    }

    /// Where it is, on the loopback.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes it and waits for that.
    pub(super) async fn close(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, network: NetworkNamespace, target: SocketAddr) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = places.clone().acquire_owned().await;
        // Cancel-safe, both: a connection and a finished task stay until they are taken.
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    let network = network.clone();
                    connections.spawn(async move {
                        let _place = place;
                        // Either end may break a connection; the other learns of it by the close.
                        let _ = pass(client, &network, target).await;
                    });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass(mut client: TcpStream, network: &NetworkNamespace, target: SocketAddr) -> io::Result<()> {
    let socket = network.inside(|| {
        let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    })?;
    let mut inside = TcpSocket::from_std_stream(socket.into()).connect(target).await?;
    copy_bidirectional(&mut client, &mut inside).await.map(drop)
}
