//! `/healthz`, `/readyz` and `/metrics` over HTTP.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// How many clients are served at a time; kubelet and Prometheus need two.
const CLIENTS_MAX: usize = 32;

/// How long after a connection that cannot be accepted the next is tried: descriptors may be short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client may take to send its request.
const HEADER_TIME_MAX: Duration = Duration::from_secs(10);

/// What the pages say.
pub trait Pages: Send + Sync + 'static {
    /// Whether the process lives; the text says why not.
    ///
    /// # Errors
    /// Why it should be started again.
    fn health(&self) -> Result<String, String>;
    /// Whether new pods get network; the text says why not.
    ///
    /// # Errors
    /// What is being waited for.
    fn readiness(&self) -> Result<String, String>;
    /// Metrics in the `OpenMetrics` text format.
    fn metrics(&self) -> String;
}

/// Serves the pages until `stop`.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(address: SocketAddr, pages: Arc<dyn Pages>, stop: CancellationToken) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("--http-address {address}: cannot listen"))?;
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // Cancel-safe: a connection that is not accepted stays in the backlog.
            accepted = listener.accept() => accepted,
            Some(_) = clients.join_next() => continue,
            () = stop.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else {
            let _ = tokio::time::timeout(ACCEPT_PAUSE, stop.cancelled()).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let pages = pages.clone();
        clients.spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, pages.as_ref());
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIME_MAX)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away in the middle is no event of ours.
            let _ = connection.await;
            drop(place);
        });
    }
    clients.shutdown().await;
    Ok(())
}

fn answer<B>(request: &Request<B>, pages: &dyn Pages) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return response(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
    }
    match request.uri().path() {
        "/healthz" => verdict(pages.health()),
        "/readyz" => verdict(pages.readiness()),
        "/metrics" => response(StatusCode::OK, pages.metrics()),
        _ => response(StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n".to_owned()),
    }
}

fn verdict(verdict: Result<String, String>) -> Response<Full<Bytes>> {
    match verdict {
        Ok(text) => response(StatusCode::OK, text + "\n"),
        Err(text) => response(StatusCode::SERVICE_UNAVAILABLE, text + "\n"),
    }
}

fn response(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Pages for Fixed {
        fn health(&self) -> Result<String, String> {
            Ok("alive".to_owned())
        }
        fn readiness(&self) -> Result<String, String> {
            Err("waiting for the policy watches".to_owned())
        }
        fn metrics(&self) -> String {
            "# EOF\n".to_owned()
        }
    }

    #[test]
    fn pages_and_their_codes() {
        // (method, path, code)
        let cases = [
            (Method::GET, "/healthz", 200),
            (Method::HEAD, "/healthz", 200),
            (Method::GET, "/readyz", 503),
            (Method::GET, "/metrics", 200),
            (Method::GET, "/", 404),
            (Method::POST, "/metrics", 405),
        ];
        for (method, path, code) in cases {
            let request = Request::builder().method(method.clone()).uri(path).body(()).unwrap();
            assert_eq!(answer(&request, &Fixed).status().as_u16(), code, "{method} {path}");
        }
    }
}
