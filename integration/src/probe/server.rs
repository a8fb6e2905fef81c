//! The server process: answers each question with its nonce, its own name and the asking address.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::datagram::{payload, raw_sctp};
use super::sctp::{Init, InitAck};
use super::{Family, Protocol};

/// A question is a nonce of 32 hex digits; nothing longer is read.
const QUESTION_BYTES_MAX: usize = 64;
/// Open connections of one server; more wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 512;
/// What the server says once it listens on all ports.
pub const LISTENING: &str = "listening\n";

/// A protocol and a port: `tcp/8080`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The transport.
    pub protocol: Protocol,
    /// The number.
    pub number: u16,
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = text.split_once('/').and_then(|(protocol, number)| {
            let protocol = <Protocol as clap::ValueEnum>::from_str(protocol, true).ok()?;
            Some(Self { protocol, number: number.parse().ok()? })
        });
        port.ok_or_else(|| format!("'{text}' is not like tcp/8080, udp/53 or sctp/9999"))
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        };
        write!(f, "{protocol}/{}", self.number)
    }
}

/// What the server process is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Serve {
    /// The name to answer with.
    #[arg(long)]
    pub name: String,
    /// A port to answer on, such as tcp/8080; may be given many times.
    #[arg(long = "port")]
    pub ports: Vec<Port>,
    /// An own address to answer at; all of them when none is given.
    #[arg(long = "bind")]
    pub addresses: Vec<IpAddr>,
}

/// Answers until its stdin ends.
///
/// # Errors
/// When a port cannot be listened on; the message names it.
pub async fn serve(serve: Serve) -> io::Result<()> {
    let name: Arc<str> = serve.name.as_str().into();
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut tasks = JoinSet::new();
    let addresses =
        if serve.addresses.is_empty() { vec![Ipv6Addr::UNSPECIFIED.into()] } else { serve.addresses.clone() };
    for address in &addresses {
        for port in serve.ports.iter().filter(|port| port.protocol != Protocol::Sctp) {
            listen(&mut tasks, *port, *address, &name, &connections)
                .await
                .map_err(|error| io::Error::new(error.kind(), format!("{port} at {address}: {error}")))?;
        }
    }
    start_sctp(&serve, &name)?;
    io::stdout().write_all(LISTENING.as_bytes())?;
    io::stdout().flush()?;
    stdin_ends().await?;
    tasks.shutdown().await;
    Ok(())
}

/// Waits until whoever started this process closes its stdin.
pub(super) async fn stdin_ends() -> io::Result<()> {
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()).map(drop)).await?
}

async fn listen(
    tasks: &mut JoinSet<()>,
    port: Port,
    address: IpAddr,
    name: &Arc<str>,
    connections: &Arc<Semaphore>,
) -> io::Result<()> {
    let at = SocketAddr::new(address, port.number);
    let name = name.clone();
    if port.protocol == Protocol::Udp {
        tasks.spawn(answer_datagrams(UdpSocket::bind(at).await?, name));
    } else {
        tasks.spawn(accept(TcpListener::bind(at).await?, name, connections.clone()));
    }
    Ok(())
}

async fn accept(listener: TcpListener, name: Arc<str>, connections: Arc<Semaphore>) {
    let mut open = JoinSet::new();
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        while open.try_join_next().is_some() {}
        if let Ok((stream, peer)) = listener.accept().await {
            let name = name.clone();
            open.spawn(async move {
                let _ = answer_connection(stream, peer, &name).await;
                drop(permit);
            });
        }
    }
}

/// A line for a line, so that a connection can also be kept and asked again later.
async fn answer_connection(mut stream: TcpStream, peer: SocketAddr, name: &str) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        (&mut reader).take(QUESTION_BYTES_MAX as u64).read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
        writer.write_all(&reply(&line, name, peer)).await?;
    }
}

async fn answer_datagrams(socket: UdpSocket, name: Arc<str>) {
    let mut buffer = [0; QUESTION_BYTES_MAX];
    loop {
        // An error is that of an earlier answer (its asker is gone): the next question may be good.
        if let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&reply(&buffer[..length], &name, peer), peer).await;
        }
    }
}

fn reply(question: &[u8], name: &str, peer: SocketAddr) -> Vec<u8> {
    let mut line = question.strip_suffix(b"\n").unwrap_or(question).to_vec();
    line.extend(format!(" {name} {}\n", peer.ip().to_canonical()).bytes());
    line
}

/// Raw sockets get every SCTP packet of the namespace, whatever the port: one thread for each
/// family serves all of the ports. They end with the process, which nobody else's work depends on.
fn start_sctp(serve: &Serve, name: &Arc<str>) -> io::Result<()> {
    let ports: Vec<u16> =
        serve.ports.iter().filter(|port| port.protocol == Protocol::Sctp).map(|port| port.number).collect();
    if ports.is_empty() {
        return Ok(());
    }
    let sockets: Vec<(Family, Option<IpAddr>)> = if serve.addresses.is_empty() {
        vec![(Family::Ipv4, None), (Family::Ipv6, None)]
    } else {
        serve.addresses.iter().map(|address| (Family::of(*address), Some(*address))).collect()
    };
    for (family, local) in sockets {
        let socket = raw_sctp(family, local)?;
        let (ports, name) = (ports.clone(), name.clone());
        std::thread::Builder::new()
            .name("sctp".into())
            .spawn(move || answer_sctp(&socket, family, &ports, &name))?;
    }
    Ok(())
}

fn answer_sctp(socket: &std::net::UdpSocket, family: Family, ports: &[u16], name: &str) {
    let mut buffer = [0; 2048];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        let Some(init) = Init::decode(payload(family, &buffer[..length])) else { continue };
        if ports.contains(&init.destination_port) {
            let answer = InitAck {
                source_port: init.destination_port,
                destination_port: init.source_port,
                verification_tag: init.initiate_tag,
                cookie: format!("{name} {}", peer.ip()),
            };
            let _ = socket.send_to(&answer.encode(), SocketAddr::new(peer.ip(), 0));
        }
    }
}
