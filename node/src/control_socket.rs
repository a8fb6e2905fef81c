//! Unix sockets of the daemons: made for root alone, served to a bounded number of clients.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, net::UnixStream as StdUnixStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use api::control::MESSAGE_LENGTH_MAX;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How many clients are served at a time; people and scripts ask, not machines.
const CLIENTS_MAX: usize = 32;

/// How long a client may take over a question, or over taking its answer.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(10);

/// How long after a connection that cannot be accepted the next is tried: descriptors may be short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longest question in bytes; they are all short.
const QUESTION_LENGTH_MAX: u32 = 64 * 1024;

/// Who answers the questions of `tortiectl`.
pub trait Answers: Send + Sync + 'static {
    /// The JSON of the answer to this JSON; garbage is answered with an error, too.
    ///
    /// # Errors
    /// The answer cannot be written as JSON.
    fn answer(&self, question: &[u8]) -> impl Future<Output = serde_json::Result<Vec<u8>>> + Send;
}

/// A listener on this path that only root can connect to; a socket that a former daemon left is replaced.
///
/// # Errors
/// Somebody answers there already, or the folder or the socket cannot be made.
pub fn listen(path: &Path) -> Result<UnixListener> {
    let name = || format!("socket {}", path.display());
    if StdUnixStream::connect(path).is_ok() {
        return Err(anyhow!("{}: another daemon answers there; stop it or name another socket", name()));
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(name)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(name),
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(name)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(name)?;
    Ok(listener)
}

/// Serves clients until `stop`.
pub async fn serve(answers: Arc<impl Answers>, listener: UnixListener, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // Cancel-safe: a connection that is not accepted stays in the backlog.
            accepted = listener.accept(), if places.available_permits() > 0 => accepted,
            Some(_) = clients.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else {
            let _ = timeout(ACCEPT_PAUSE, stop.cancelled()).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let answers = Arc::clone(&answers);
        clients.spawn(async move {
            // A client that sends garbage or goes away costs its own connection alone.
            let _ = serve_client(answers.as_ref(), stream).await;
            drop(place);
        });
    }
    clients.shutdown().await;
}

async fn serve_client(answers: &impl Answers, mut stream: UnixStream) -> io::Result<()> {
    while let Some(question) = timeout(CLIENT_TIME_MAX, read_question(&mut stream)).await?? {
        let answer = answers.answer(&question).await?;
        let length = u32::try_from(answer.len()).ok().filter(|length| *length <= MESSAGE_LENGTH_MAX);
        let length = length.ok_or_else(|| io::Error::other("the answer is too long"))?;
        timeout(CLIENT_TIME_MAX, async {
            stream.write_all(&length.to_be_bytes()).await?;
            stream.write_all(&answer).await
        })
        .await??;
    }
    Ok(())
}

/// The next question; nothing at the end of the stream.
async fn read_question(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_be_bytes(length);
    if length > QUESTION_LENGTH_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the question is too long"));
    }
    let mut question = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut question).await?;
    Ok(Some(question))
}
