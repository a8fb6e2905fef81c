//! Running traffic whose losses are counted: flows of numbered questions, each answered by a server.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_util::codec::{FramedRead, LinesCodec};

/// What the traffic process is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Traffic {
    /// Where a server is; may be given many times.
    #[arg(long, required = true)]
    pub to: Vec<IpAddr>,
    /// The servers' port.
    #[arg(long)]
    pub port: u16,
    /// Beside each flow of datagrams one connection.
    #[arg(long)]
    pub tcp: bool,
    /// Flows to each server, each from a port of its own so that routers spread them.
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

/// Answers that are under way when the traffic stops still count, also those that a busy machine is late with; it is
/// waited for only while one is missing.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// Answers are shorter: number, name, address.
const ANSWER_BYTES_MAX: usize = 256;

/// Sends until stdin ends, then prints the tally as one line of JSON.
///
/// # Errors
/// When a flow's socket cannot be opened.
pub async fn run(traffic: Traffic) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut flows = JoinSet::new();
    let every = Duration::from_millis(traffic.every_millis.max(1));
    for to in &traffic.to {
        let to = SocketAddr::new(*to, traffic.port);
        for _ in 0..traffic.flows {
            flows.spawn(datagrams(to, every, stopped.clone()));
            if traffic.tcp {
                flows.spawn(connection(to, every, stopped.clone()));
            }
        }
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

async fn datagrams(to: SocketAddr, every: Duration, mut stopped: watch::Receiver<bool>) -> io::Result<Tally> {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(to).await?;
    let mut ticks = interval(every);
    let mut count = Count::start();
    loop {
        // Cancel-safe, all of them: a tick, a datagram and a change stay where they are until taken.
        tokio::select! {
            _ = ticks.tick() => {
                let question = count.question();
                count.sent(socket.send(question.as_bytes()).await.is_ok());
            }
            answer = receive(&socket) => count.answered(&answer),
            _ = stopped.changed() => break,
        }
    }
    count.note_gap();
    while let Ok(answer) = timeout(LAST_ANSWERS, receive(&socket)).await {
        count.answered(&answer);
        if count.waiting.is_empty() {
            break;
        }
    }
    Ok(count.tally())
}

async fn receive(socket: &UdpSocket) -> io::Result<String> {
    let mut buffer = [0; ANSWER_BYTES_MAX];
    let length = socket.recv(&mut buffer).await?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// One connection that is never made anew: when it breaks, all that follows is lost.
async fn connection(
    to: SocketAddr,
    every: Duration,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<Tally> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut lines = FramedRead::new(reader, LinesCodec::new_with_max_length(ANSWER_BYTES_MAX));
    let mut ticks = interval(every);
    let mut count = Count::start();
    loop {
        // Cancel-safe, all of them: a tick, a line and a change stay where they are until taken.
        tokio::select! {
            _ = ticks.tick() => {
                let question = count.question() + "\n";
                // Lost or not, it counts as sent: the far end was to have it.
                let _ = writer.write_all(question.as_bytes()).await;
                count.sent(true);
            }
            Some(line) = lines.next() => count.answered(&line.map_err(io::Error::other)),
            _ = stopped.changed() => break,
        }
    }
    count.note_gap();
    while let Ok(Some(line)) = timeout(LAST_ANSWERS, lines.next()).await {
        count.answered(&line.map_err(io::Error::other));
        if count.waiting.is_empty() {
            break;
        }
    }
    Ok(count.tally())
}

/// Questions by their numbers, so that an answer that comes twice does not stand for one that does not come.
struct Count {
    next: u64,
    total: u64,
    waiting: BTreeSet<u64>,
    last: Instant,
    longest_gap: Duration,
}

#[expect(clippy::disallowed_methods, reason = "measures gaps in real traffic")]
impl Count {
    fn start() -> Self {
        let waiting = BTreeSet::new();
        Self { next: 0, total: 0, waiting, last: Instant::now(), longest_gap: Duration::ZERO }
    }

    /// The text of the next question.
    fn question(&mut self) -> String {
        self.next += 1;
        self.next.to_string()
    }

    /// What the kernel refused to send was never on the way.
    fn sent(&mut self, is_sent: bool) {
        if is_sent {
            self.total += 1;
            self.waiting.insert(self.next);
        }
    }

    fn answered(&mut self, answer: &io::Result<String>) {
        let Ok(text) = answer else { return };
        let number = text.split_whitespace().next().and_then(|word| word.parse().ok());
        if number.is_some_and(|number| self.waiting.remove(&number)) {
            self.note_gap();
            self.last = Instant::now();
        }
    }

    /// A flow that is silent to the end has a gap too.
    fn note_gap(&mut self) {
        self.longest_gap = self.longest_gap.max(self.last.elapsed());
    }

    fn tally(&self) -> Tally {
        let lost = self.waiting.len() as u64;
        Tally {
            flows: 1,
            flows_hit: u64::from(lost > 0),
            sent: self.total,
            lost,
            longest_gap_millis: u64::try_from(self.longest_gap.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_comes_twice_stands_for_no_other() {
        let mut count = Count::start();
        for _ in 0..3 {
            let question = count.question();
            assert!(!question.is_empty());
            count.sent(true);
        }
        for answer in ["1 web 10.0.0.1", "1 web 10.0.0.1", "x", "7 web 10.0.0.1"] {
            count.answered(&Ok(answer.to_owned()));
        }
        let tally = count.tally();
        assert_eq!((tally.sent, tally.lost, tally.flows_hit), (3, 2, 1));
    }
}
