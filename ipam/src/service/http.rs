//! `/healthz`, `/readyz` and `/metrics` in the little HTTP that probes and scrapers need: one
//! GET per connection.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Longest request line and headers that are read.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// How long a client may take: connections are served one after the other.
const CLIENT_MAX: Duration = Duration::from_secs(2);

/// How often it is tried whether a taken address is free.
const RETRY: Duration = Duration::from_secs(1);

/// Where the pages are served: at once, or when another replica on this host has ended. Both are on
/// the host's network where a cluster of one node runs them, and one of them answers for the host.
#[derive(Debug)]
pub struct Pages {
    address: SocketAddr,
    listener: Option<TcpListener>,
}

impl Pages {
    /// Pages at this address.
    ///
    /// # Errors
    /// It cannot be listened on, for another reason than that it is taken.
    pub async fn at(address: SocketAddr) -> io::Result<Self> {
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => Some(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                info!(%address, "another replica answers for this host until it ends");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self { address, listener })
    }

    /// The listener, once it can be had; none after `shutdown`.
    async fn listener(self, shutdown: &CancellationToken) -> Option<TcpListener> {
        if self.listener.is_some() {
            return self.listener;
        }
        loop {
            if tokio::time::timeout(RETRY, shutdown.cancelled()).await.is_ok() {
                return None;
            }
            match TcpListener::bind(self.address).await {
                Ok(listener) => return Some(listener),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => warn!(address = %self.address, %error, "cannot listen; trying again"),
            }
        }
    }
}

/// What is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    pub(super) is_synced: bool,
    pub(super) leads: bool,
    pub(super) epoch: i64,
    pub(super) nodes_waited_for: usize,
    pub(super) conflicts: usize,
}

/// Answers until `shutdown`.
pub(super) async fn serve(pages: Pages, health: watch::Receiver<Health>, shutdown: CancellationToken) {
    let Some(listener) = pages.listener(&shutdown).await else { return };
    loop {
        // Both arms are cancel-safe.
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((stream, _)) = accepted {
            let state = health.borrow().clone();
            // A client that is slow or gone is nobody's concern.
            let _ = tokio::time::timeout(CLIENT_MAX, answer(stream, &state)).await;
        }
    }
}

async fn answer(mut stream: TcpStream, health: &Health) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") && request.len() < REQUEST_BYTES_MAX {
        match stream.read(&mut buffer).await? {
            0 => break,
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    stream.write_all(response(&request, health).as_bytes()).await?;
    stream.shutdown().await
}

fn response(request: &[u8], health: &Health) -> String {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (status, body) = match (words.next(), words.next()) {
        (Some(b"GET"), Some(b"/healthz")) => ("200 OK", "ok\n".to_owned()),
        (Some(b"GET"), Some(b"/readyz")) if health.is_synced => ("200 OK", "ok\n".to_owned()),
        (Some(b"GET"), Some(b"/readyz")) => {
            ("503 Service Unavailable", "the API has not been read whole yet\n".to_owned())
        }
        (Some(b"GET"), Some(b"/metrics")) => ("200 OK", metrics(health)),
        (Some(b"GET"), _) => ("404 Not Found", "try /healthz, /readyz or /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "only GET is served\n".to_owned()),
    };
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn metrics(health: &Health) -> String {
    let rows = [
        ("tortie_ipam_leader", "1 while this replica leads.", i64::from(health.leads)),
        ("tortie_ipam_synced", "1 once every kind was listed.", i64::from(health.is_synced)),
        ("tortie_ipam_epoch", "The current epoch.", health.epoch),
        (
            "tortie_ipam_nodes_waited_for",
            "Nodes that have yet to echo the epoch.",
            count(health.nodes_waited_for),
        ),
        ("tortie_ipam_address_conflicts", "Ranges that two nodes claim.", count(health.conflicts)),
    ];
    let mut text = String::new();
    for (name, help, value) in rows {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
    }
    text
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_an_answer() {
        let ready = Health { is_synced: true, epoch: 7, ..Health::default() };
        // (why, request, health, status, part of the body)
        let cases = [
            ("alive", "GET /healthz HTTP/1.1\r\n\r\n", Health::default(), "200", "ok"),
            ("not ready", "GET /readyz HTTP/1.1\r\n\r\n", Health::default(), "503", "not been read"),
            ("ready", "GET /readyz HTTP/1.1\r\n\r\n", ready.clone(), "200", "ok"),
            ("metrics", "GET /metrics HTTP/1.1\r\n\r\n", ready, "200", "\ntortie_ipam_epoch 7\n"),
            ("unknown", "GET / HTTP/1.1\r\n\r\n", Health::default(), "404", "try"),
            ("other verb", "POST /healthz HTTP/1.1\r\n\r\n", Health::default(), "405", "only GET"),
            ("garbage", "\u{0}\u{1}", Health::default(), "405", "only GET"),
            ("nothing", "", Health::default(), "405", "only GET"),
        ];
        for (why, request, health, status, body) in cases {
            let response = response(request.as_bytes(), &health);
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{why}: {response}");
            assert!(response.split("\r\n\r\n").nth(1).unwrap().contains(body), "{why}: {response}");
        }
    }

    async fn first_line(address: SocketAddr) -> io::Result<String> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    #[tokio::test]
    async fn a_second_replica_answers_when_the_first_has_ended() {
        let first = Pages::at((std::net::Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let address = first.listener.as_ref().unwrap().local_addr().unwrap();
        let second = Pages::at(address).await.unwrap();
        assert!(second.listener.is_none());
        let (_health, seen) = watch::channel(Health::default());
        let (stop, end) = (CancellationToken::new(), CancellationToken::new());
        let serving = tokio::spawn(serve(first, seen.clone(), stop.clone()));
        let waiting = tokio::spawn(serve(second, seen, end.clone()));
        assert_eq!(first_line(address).await.unwrap(), "HTTP/1.1 200 OK");
        stop.cancel();
        serving.await.unwrap();
        let answer = tokio::time::timeout(Duration::from_mins(1), async {
            loop {
                match first_line(address).await {
                    Ok(line) => return line,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        assert_eq!(answer.await.unwrap(), "HTTP/1.1 200 OK");
        end.cancel();
        waiting.await.unwrap();
    }
}
