//! Makes connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::socket_options;
use crate::speaker::Dial;

/// How long a neighbor may take to answer; one that refuses answers at once.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Attempts under way at once. A reflector's clients must not use up its descriptors after an outage.
pub(super) const DIALS_MAX: usize = 200;

/// The connection, or in words why there is none.
pub(super) async fn dial(dial: Dial, permits: Arc<Semaphore>) -> Result<TcpStream, String> {
    let Ok(_permit) = permits.acquire().await else {
        return Err("the speaker stops".to_owned());
    };
    match timeout(DIAL_TIMEOUT, connect(&dial)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", DIAL_TIMEOUT.as_secs())),
    }
}

async fn connect(dial: &Dial) -> io::Result<TcpStream> {
    let is_ipv4 = dial.remote.is_ipv4();
    let socket = if is_ipv4 { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let options = SockRef::from(&socket);
    socket_options::prepare(&options, is_ipv4)?;
    socket_options::set_ttl(&options, is_ipv4, dial.ttl)?;
    if let Some(local) = dial.local {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    socket.connect(dial.remote).await
}
