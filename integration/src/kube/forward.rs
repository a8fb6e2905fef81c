//! Plain HTTP in, the real server's TLS and credentials out.

use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONNECTION, HOST},
};
use kube::{Client, client::Body};

use crate::apiserver::listen::{AnswerBody, Respond};

/// Forwards every request with all rights.
pub(super) struct Forward {
    client: Client,
}

impl Forward {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Respond for Forward {
    async fn respond(&self, request: Request<Incoming>) -> Response<AnswerBody> {
        let (mut parts, body) = request.into_parts();
        // These belong to the connection that the request came on.
        for header in [HOST, CONNECTION, AUTHORIZATION] {
            parts.headers.remove(header);
        }
        // Bodies of requests are small; answers and watches are streamed.
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return unavailable(400, &error.to_string()),
        };
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str()).parse();
        let Ok(target) = target else { return unavailable(400, "the request's path is no URI") };
        parts.uri = target;
        match self.client.send(Request::from_parts(parts, Body::from(body))).await {
            Ok(response) => response.map(|body| UnsyncBoxBody::new(body.map_err(std::io::Error::other))),
            Err(error) => unavailable(502, &error.to_string()),
        }
    }
}

fn unavailable(code: u16, why: &str) -> Response<AnswerBody> {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": "ServiceUnavailable", "message": why,
    });
    let body = Full::new(Bytes::from(status.to_string())).map_err(|never| match never {});
    let mut response = Response::new(UnsyncBoxBody::new(body));
    *response.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or(hyper::StatusCode::BAD_GATEWAY);
    response
}
