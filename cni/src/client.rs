//! One request to the daemon and its answer, over the daemon's socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use crate::protocol::{self, Answer, FRAME_HEADER_LENGTH, Request};
use crate::response::{CniError, ErrorCode};

/// Pause between two attempts to reach the daemon.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How patient a request is with a daemon that is not there or slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    attempts_max: u32,
    answer_timeout: Duration,
}

impl Patience {
    /// 30 s for a daemon that is being upgraded: a pod's start is worth the wait. 60 s for its answer: it
    /// waits 10 s for a block and 5 s for a Pod, and a runtime gives up after two minutes.
    pub(crate) const FOR_ADD: Self = Self { attempts_max: 300, answer_timeout: Duration::from_mins(1) };

    /// One attempt, and 10 s for the answer: the caller has something to do without the daemon, or asks
    /// again by itself.
    pub(crate) const NONE: Self = Self { attempts_max: 1, answer_timeout: Duration::from_secs(10) };
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens, or the daemon went away before it answered.
    #[error("the daemon does not answer on {socket}: {reason}")]
    Away {
        /// Path of the socket.
        socket: String,
        /// What the socket said last.
        reason: io::Error,
    },
    /// The daemon answered that it cannot, or in words that we do not know.
    #[error(transparent)]
    Answer(#[from] CniError),
}

impl From<ClientError> for CniError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Answer(error) => error,
            ClientError::Away { .. } => Self::new(ErrorCode::TRY_AGAIN_LATER, error.to_string())
                .with_details("is tortie-node running on this node? its pod's log says why not"),
        }
    }
}

/// The daemon's answer; an answer that is an error is one here too.
///
/// Asking again after a lost answer is safe: every request is idempotent for its attachment.
pub(crate) fn ask(socket: &str, request: &Request, patience: Patience) -> Result<Answer, ClientError> {
    let frame = protocol::encode_request(request).map_err(CniError::from)?;
    let mut last = io::Error::from(io::ErrorKind::NotConnected);
    for attempt in 0..patience.attempts_max {
        if attempt > 0 {
            thread::sleep(RETRY_PAUSE);
        }
        match exchange(socket, &frame, patience.answer_timeout) {
            Ok(json) => {
                return match protocol::decode_answer(&json).map_err(CniError::from)? {
                    Answer::Error(error) => Err(error.into()),
                    answer => Ok(answer),
                };
            }
            Err(Failure::Away(reason)) => last = reason,
            Err(Failure::Answer(error)) => return Err(error.into()),
        }
    }
    Err(ClientError::Away { socket: socket.into(), reason: last })
}

enum Failure {
    Away(io::Error),
    Answer(CniError),
}

fn exchange(socket: &str, frame: &[u8], timeout: Duration) -> Result<Vec<u8>, Failure> {
    let read = |stream: &mut UnixStream, buffer: &mut [u8]| match stream.read_exact(buffer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Failure::Answer(too_slow(timeout))),
        Err(error) => Err(Failure::Away(error)),
        Ok(()) => Ok(()),
    };
    let mut stream = connect(socket, frame, timeout).map_err(Failure::Away)?;
    let mut header = [0; FRAME_HEADER_LENGTH];
    read(&mut stream, &mut header)?;
    let length = protocol::frame_length(header).map_err(|error| Failure::Answer(error.into()))?;
    let mut json = vec![0; length];
    read(&mut stream, &mut json)?;
    Ok(json)
}

fn connect(socket: &str, frame: &[u8], timeout: Duration) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(frame)?;
    Ok(stream)
}

fn too_slow(timeout: Duration) -> CniError {
    CniError::new(ErrorCode::TRY_AGAIN_LATER, "the daemon took too long")
        .with_details(format!("no answer within {} s", timeout.as_secs()))
}

/// The daemon answered something else than the request asks for.
pub(crate) fn unexpected(answer: &Answer) -> CniError {
    let kind = match answer {
        Answer::Granted(_) => "granted",
        Answer::Done => "done",
        Answer::Stale(_) => "stale",
        Answer::Error(_) => "error",
    };
    CniError::new(ErrorCode::DECODING_FAILURE, format!("the daemon answered \"{kind}\" to another question"))
}
