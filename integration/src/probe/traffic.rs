//! Running traffic whose losses are counted: flows of datagrams, each answered by a server.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

/// What the traffic process is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Traffic {
    /// Where the server is.
    #[arg(long)]
    pub to: IpAddr,
    /// Its UDP port.
    #[arg(long)]
    pub port: u16,
    /// Flows, each from a port of its own so that routers spread them.
    #[arg(long, default_value_t = 16)]
    pub flows: u16,
    /// Time between two datagrams of a flow.
    #[arg(long, default_value_t = 10)]
    pub every_millis: u64,
}

/// What became of the datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Flows that ran.
    pub flows: u64,
    /// Flows that lost something.
    pub flows_hit: u64,
    /// Questions sent.
    pub sent: u64,
    /// Questions without an answer.
    pub lost: u64,
    /// The longest time that one flow went without an answer, in milliseconds.
    pub longest_gap_millis: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            flows: self.flows + other.flows,
            flows_hit: self.flows_hit + other.flows_hit,
            sent: self.sent + other.sent,
            lost: self.lost + other.lost,
            longest_gap_millis: self.longest_gap_millis.max(other.longest_gap_millis),
        }
    }
}

/// Answers that are under way when the traffic stops still count.
const LAST_ANSWERS: Duration = Duration::from_millis(300);

/// Sends until stdin ends, then prints the tally as one line of JSON.
///
/// # Errors
/// When a flow's socket cannot be opened.
pub async fn run(traffic: Traffic) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut flows = JoinSet::new();
    for _ in 0..traffic.flows {
        flows.spawn(flow(traffic.clone(), stopped.clone()));
    }
    super::server::stdin_ends().await?;
    let _ = stop.send(true);
    let mut total = Tally::default();
    while let Some(tally) = flows.join_next().await {
        total = total.and(tally??);
    }
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", serde_json::to_string(&total)?)?;
    stdout.flush()
}

async fn flow(traffic: Traffic, mut stopped: watch::Receiver<bool>) -> io::Result<Tally> {
    let any: IpAddr = if traffic.to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(SocketAddr::new(traffic.to, traffic.port)).await?;
    let mut ticks = interval(Duration::from_millis(traffic.every_millis.max(1)));
    let mut count = Count::start();
    loop {
        // Cancel-safe, all of them: a tick, a datagram and a change stay where they are until taken.
        tokio::select! {
            _ = ticks.tick() => count.sent += u64::from(socket.send(b"traffic").await.is_ok()),
            answer = receive(&socket) => count.answered(&answer),
            _ = stopped.changed() => break,
        }
    }
    count.note_gap();
    while let Ok(answer) = timeout(LAST_ANSWERS, receive(&socket)).await {
        count.answered(&answer);
        if count.received == count.sent {
            break;
        }
    }
    Ok(count.tally())
}

async fn receive(socket: &UdpSocket) -> io::Result<usize> {
    socket.recv(&mut [0; 256]).await
}

struct Count {
    sent: u64,
    received: u64,
    last: Instant,
    longest_gap: Duration,
}

#[expect(clippy::disallowed_methods, reason = "measures gaps in real traffic")]
impl Count {
    fn start() -> Self {
        Self { sent: 0, received: 0, last: Instant::now(), longest_gap: Duration::ZERO }
    }

    fn answered(&mut self, answer: &io::Result<usize>) {
        if answer.is_ok() {
            self.received += 1;
            self.note_gap();
            self.last = Instant::now();
        }
    }

    /// A flow that is silent to the end has a gap too.
    fn note_gap(&mut self) {
        self.longest_gap = self.longest_gap.max(self.last.elapsed());
    }

    fn tally(&self) -> Tally {
        let lost = self.sent.saturating_sub(self.received);
        Tally {
            flows: 1,
            flows_hit: u64::from(lost > 0),
            sent: self.sent,
            lost,
            longest_gap_millis: u64::try_from(self.longest_gap.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
