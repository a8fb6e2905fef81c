//! Connections: accepted, served, and cut when the server is to be down.
//!
//! ```text
//! listener task (one per listener) -> connection task (owned by it) -> Respond
//! ```

use std::{convert::Infallible, io, net::TcpListener as StdListener, sync::Arc};

use http_body_util::combinators::UnsyncBoxBody;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::serving::Mode;

/// Connections of one listener; beyond it new ones are cut. A large lab has some hundred.
const CONNECTIONS_MAX: usize = 4_096;

/// The body of an answer, perhaps a stream.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

/// What answers requests.
pub(crate) trait Respond: Send + Sync + 'static {
    /// The answer to one request.
    fn respond(&self, request: Request<Incoming>) -> impl Future<Output = Response<AnswerBody>> + Send;
}

/// Serves all listeners until the mode is `Stopped`.
pub(crate) async fn serve<R: Respond>(
    listeners: Vec<StdListener>,
    responder: Arc<R>,
    mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut tasks = JoinSet::new();
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        tasks.spawn(listen(listener, Arc::clone(&responder), mode.clone()));
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

async fn listen<R: Respond>(listener: TcpListener, responder: Arc<R>, mode: watch::Receiver<Mode>) {
    let mut connections = JoinSet::new();
    let mut stopping = mode.clone();
    loop {
        // Both arms are cancel-safe: `accept` loses no connection, `wait_for` loses no mode.
        tokio::select! {
            accepted = listener.accept() => {
                while connections.try_join_next().is_some() {}
                let is_serving = *mode.borrow() == Mode::Serving && connections.len() < CONNECTIONS_MAX;
                // Errors of `accept` are those of one connection, which is gone already.
                if let (Ok((stream, _)), true) = (accepted, is_serving) {
                    connections.spawn(connection(stream, Arc::clone(&responder), mode.clone()));
                }
            }
            _ = stopping.wait_for(|mode| *mode == Mode::Stopped) => break,
        }
    }
    // Each connection sees the mode itself and ends.
    while connections.join_next().await.is_some() {}
}

async fn connection<R: Respond>(stream: TcpStream, responder: Arc<R>, mut mode: watch::Receiver<Mode>) {
    // Answers are small and waited for; without the option they only come later.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let responder = Arc::clone(&responder);
        async move { Ok::<_, Infallible>(responder.respond(request).await) }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let conversation = server.serve_connection(TokioIo::new(stream), service);
    // Dropping the connection cuts it, which is what both other modes mean.
    tokio::select! {
        result = conversation => {
            if let Err(error) = result {
                tracing::debug!(%error, "connection ended");
            }
        }
        _ = mode.wait_for(|mode| *mode != Mode::Serving) => {}
    }
}
