//! The prober process: reads jobs from stdin, asks all of them at once, prints answers.

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::datagram::{payload, raw_sctp};
use super::sctp::{Init, InitAck};
use super::{Answer, Family, Job, Outcome, Protocol};

/// Questions on their way at once; far below the descriptors that a process may have.
const QUESTIONS_MAX: usize = 256;
/// A datagram may be lost while a neighbour is being resolved: ask again this often.
const REPEAT: Duration = Duration::from_millis(150);
/// Answers are shorter: nonce, name, address.
const ANSWER_BYTES_MAX: usize = 512;

/// Answers every job of stdin on stdout, and ends with its last.
///
/// # Errors
/// When stdin holds something else than jobs or stdout is closed.
pub async fn run() -> io::Result<()> {
    let places = Arc::new(Semaphore::new(QUESTIONS_MAX));
    let mut jobs = JoinSet::new();
    for line in io::stdin().lines() {
        let job: Job = serde_json::from_str(&line?)?;
        let places = places.clone();
        jobs.spawn(async move {
            let _place = places.acquire_owned().await;
            answer(&job).await
        });
    }
    let mut stdout = io::stdout();
    while let Some(answer) = jobs.join_next().await {
        let mut line = serde_json::to_vec(&answer?)?;
        line.push(b'\n');
        stdout.write_all(&line)?;
    }
    stdout.flush()
}

/// Puts one question from the namespace of this process.
pub async fn answer(job: &Job) -> Answer {
    #[expect(clippy::disallowed_methods, reason = "measures how long a real packet took")]
    let started = Instant::now();
    let question = async {
        match job.protocol {
            Protocol::Tcp => ask_tcp(job).await,
            Protocol::Udp => ask_udp(job).await,
            Protocol::Sctp => ask_sctp(job).await,
        }
    };
    let outcome = match timeout(Duration::from_millis(job.timeout_millis), question).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => failure(&error),
        Err(_) => Outcome::Silent,
    };
    let micros = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
    Answer { id: job.id, millis: f64::from(micros) / 1000.0, outcome }
}

async fn ask_tcp(job: &Job) -> io::Result<Outcome> {
    let nonce = nonce()?;
    let mut stream = TcpStream::connect(SocketAddr::new(job.address, job.port)).await?;
    stream.write_all(format!("{nonce}\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(&mut stream).take(ANSWER_BYTES_MAX as u64).read_line(&mut line).await?;
    Ok(check(&line, &nonce))
}

async fn ask_udp(job: &Job) -> io::Result<Outcome> {
    let nonce = nonce()?;
    let socket = UdpSocket::bind(SocketAddr::new(unspecified(job.address), 0)).await?;
    socket.connect(SocketAddr::new(job.address, job.port)).await?;
    let mut buffer = [0; ANSWER_BYTES_MAX];
    loop {
        socket.send(nonce.as_bytes()).await?;
        if let Ok(length) = timeout(REPEAT, socket.recv(&mut buffer)).await {
            let text = String::from_utf8_lossy(&buffer[..length?]).into_owned();
            return Ok(check(&text, &nonce));
        }
    }
}

async fn ask_sctp(job: &Job) -> io::Result<Outcome> {
    let family = Family::of(job.address);
    let random = random()?;
    let init = Init {
        // From the dynamic range; the nonce must not be 0 (RFC 9260 section 3.3.2).
        source_port: u16::from_be_bytes([random[4], random[5]]) | 0xc000,
        destination_port: job.port,
        initiate_tag: u32::from_be_bytes([random[0], random[1], random[2], random[3]]).max(1),
    };
    let socket = raw_sctp(family, None)?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket)?;
    let target = SocketAddr::new(job.address, 0);
    let mut buffer = [0; 2048];
    loop {
        socket.send_to(&init.encode(), target).await?;
        let answer = timeout(REPEAT, async {
            loop {
                let (length, _) = socket.recv_from(&mut buffer).await?;
                let ack = InitAck::decode(payload(family, &buffer[..length]));
                if let Some(ack) = ack.filter(|ack| is_answer(ack, init)) {
                    return io::Result::Ok(ack);
                }
            }
        });
        if let Ok(ack) = answer.await {
            return Ok(said(&ack?.cookie));
        }
    }
}

fn is_answer(ack: &InitAck, init: Init) -> bool {
    ack.verification_tag == init.initiate_tag
        && ack.source_port == init.destination_port
        && ack.destination_port == init.source_port
}

/// The answer's meaning if it bears our nonce.
fn check(line: &str, nonce: &str) -> Outcome {
    match line.split_once(' ') {
        Some((found, rest)) if found == nonce => said(rest),
        _ if line.is_empty() => Outcome::Failed("connection closed without an answer".into()),
        _ => Outcome::Failed("answer to another question".into()),
    }
}

fn said(text: &str) -> Outcome {
    let mut words = text.split_whitespace();
    let by = words.next().unwrap_or_default().to_owned();
    Outcome::Answered { by, seen_as: words.next().and_then(|address| address.parse().ok()) }
}

fn failure(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Outcome::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Outcome::Unreachable(error.to_string())
        }
        // An administrative ban (ICMP code 13 and its like) arrives as EACCES or EPERM.
        io::ErrorKind::PermissionDenied => Outcome::Unreachable(error.to_string()),
        _ => Outcome::Failed(error.to_string()),
    }
}

fn nonce() -> io::Result<String> {
    Ok(format!("{:032x}", u128::from_be_bytes(random()?)))
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}

fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}
