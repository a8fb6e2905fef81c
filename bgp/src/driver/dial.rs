//! Makes connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

use super::socket_options;
use crate::speaker::Dial;

/// Attempts under way at once. A reflector's clients must not use up its descriptors after an outage.
pub(super) const DIALS_MAX: usize = 200;

/// The connection, or in words why there is none. How long it may take is the speaker's to say, who knows
/// what silence means.
pub(super) async fn dial(dial: Dial, permits: Arc<Semaphore>) -> Result<TcpStream, String> {
    let Ok(_permit) = permits.acquire().await else {
        return Err("the speaker stops".to_owned());
    };
    connect(&dial).await.map_err(|error| error.to_string())
}

async fn connect(dial: &Dial) -> io::Result<TcpStream> {
    let is_ipv4 = dial.remote.is_ipv4();
    let socket = if is_ipv4 { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let options = SockRef::from(&socket);
    socket_options::prepare(&options, is_ipv4)?;
    socket_options::protect(&socket, dial.remote.ip(), &dial.transport)?;
    if let Some(local) = dial.local {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    socket.connect(dial.remote).await
}
