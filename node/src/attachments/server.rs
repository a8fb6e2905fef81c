//! The CNI socket: reads requests, hands each to its verb, writes the answer.

use std::{io, sync::Arc, time::Duration};

use cni::protocol::{
    Answer, FRAME_HEADER_LENGTH, ProtocolError, Request, decode_request, encode_answer, frame_length,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Attachments;

/// How many plugins are served at a time; a kubelet starts some tens of pods at once.
const PLUGINS_MAX: usize = 256;

/// How long a plugin may take to send a request whole.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// How long an answer may take to be read; the largest fits into the socket's buffer many times over.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// How long after a connection that cannot be accepted the next is tried: descriptors may be short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long requests under way may take once the daemon stops. Their plugins ask the next daemon again, and what they
/// have got is in the kernel.
const STOP_TIME_MAX: Duration = Duration::from_secs(2);

/// Serves plugins until `stop`; requests under way are answered first, for a while.
///
/// # Panics
/// Where a verb does, so that the compartment starts again from what the kernel says.
pub(super) async fn serve(attachments: Arc<Attachments>, listener: UnixListener, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(PLUGINS_MAX));
    let mut plugins = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // Cancel-safe: a connection that is not accepted stays in the backlog.
            accepted = listener.accept() => accepted,
            Some(ended) = plugins.join_next() => {
                go_on_panicking(ended);
                continue;
            }
            () = stop.cancelled() => break,
        };
        let Ok(place) = places.clone().acquire_owned().await else { break };
        match accepted {
            Ok((stream, _)) => {
                let attachments = attachments.clone();
                let stop = stop.clone();
                plugins.spawn(async move {
                    if let Err(error) = serve_plugin(&attachments, stream, &stop).await {
                        debug!(%error, "a plugin went away");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a plugin's connection");
                let _ = timeout(ACCEPT_PAUSE, stop.cancelled()).await;
            }
        }
    }
    let answered = async { while plugins.join_next().await.is_some() {} };
    if timeout(STOP_TIME_MAX, answered).await.is_err() {
        plugins.shutdown().await;
    }
}

fn go_on_panicking(ended: Result<(), JoinError>) {
    if let Some(panic) = ended.err().and_then(|error| error.try_into_panic().ok()) {
        std::panic::resume_unwind(panic);
    }
}

async fn serve_plugin(
    attachments: &Attachments,
    mut stream: UnixStream,
    stop: &CancellationToken,
) -> io::Result<()> {
    loop {
        let request = tokio::select! {
            // Not cancel-safe, and need not be: after `stop` nothing more is read.
            request = timeout(REQUEST_TIME_MAX, read(&mut stream)) => request,
            () = stop.cancelled() => return Ok(()),
        };
        let Ok(request) = request else { return Ok(()) };
        let answer = match request? {
            None => return Ok(()),
            Some(Ok(request)) => dispatch(attachments, request).await,
            Some(Err(error)) => Answer::Error(error.into()),
        };
        let bytes = encode_answer(&answer).or_else(|error| encode_answer(&Answer::Error(error.into())));
        timeout(ANSWER_TIME_MAX, stream.write_all(&bytes.map_err(io::Error::other)?)).await??;
    }
}

/// The next request; nothing at the end of the stream.
async fn read(stream: &mut UnixStream) -> io::Result<Option<Result<Request, ProtocolError>>> {
    let mut header = [0; FRAME_HEADER_LENGTH];
    match stream.read_exact(&mut header).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = match frame_length(header) {
        Ok(length) => length,
        Err(error) => return Ok(Some(Err(error))),
    };
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(decode_request(&body)))
}

async fn dispatch(attachments: &Attachments, request: Request) -> Answer {
    let outcome = match request {
        Request::Add(request) => attachments.add(request).await.map(Answer::Granted),
        Request::Del(request) => attachments.del(&request).await.map(|()| Answer::Done),
        Request::Check(request) => attachments.check(&request).map(Answer::Granted),
        Request::Status => attachments.status().map(|()| Answer::Done),
        Request::Gc(request) => Ok(Answer::Stale(attachments.gc(&request))),
    };
    outcome.unwrap_or_else(Answer::Error)
}
