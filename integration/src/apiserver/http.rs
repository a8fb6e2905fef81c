//! Requests off the wire into the world, answers and streams out of it.
//!
//! ```text
//! listen (connections) -> Shared -> World (behind a mutex)
//!                           ^         | revision (watch channel)
//!                           +-watches-+
//! ```

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures::{Stream, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT, WARNING},
};
use jiff::Timestamp;
use k8s_openapi::jiff;
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use super::{
    listen::{AnswerBody, Respond},
    query::{Call, Query},
    status::Failure,
    world::{Body, Reply, Watch, WatchStep, World},
};

/// Largest request body: the real server's limit.
const BODY_BYTES_MAX: usize = 3 << 20;

/// How much of a body that is too large is read to the end before it is refused.
const DRAINED_BYTES_MAX: usize = 32 << 20;

/// How often a silent watch gets a bookmark: about as often as from the real server.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);

/// What all tasks share.
pub(super) struct Shared {
    world: Mutex<World>,
    revision: watch::Sender<u64>,
    /// For streams, which outlive the call that begins them.
    this: Weak<Self>,
}

impl Shared {
    pub(super) fn new(world: World) -> Arc<Self> {
        let revision = watch::Sender::new(world.revision());
        Arc::new_cyclic(|this| Self { world: Mutex::new(world), revision, this: Weak::clone(this) })
    }

    /// The world. A panic in one request leaves it as the last complete write left it.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn this(&self) -> Arc<Self> {
        self.this.upgrade().expect("whoever calls a method holds an Arc")
    }

    /// Tells the watches that something may have changed.
    pub(super) fn announce(&self) {
        let revision = self.world().revision();
        self.revision.send_if_modified(|known| std::mem::replace(known, revision) != revision);
    }

    fn answered(&self, reply: Reply) -> Response<AnswerBody> {
        let mut response = match reply.body {
            Body::Json(value) => respond(reply.code, "application/json", full(encoded(&value))),
            Body::List { head, items, is_bare } => {
                respond(reply.code, "application/json", full(encoded_list(&head, &items, is_bare)))
            }
            Body::Text(text) => respond(reply.code, "text/plain", full(text.as_bytes().to_vec())),
            Body::Watch(watch) => {
                let frames = StreamBody::new(frames(self.this(), watch));
                respond(reply.code, "application/json", UnsyncBoxBody::new(frames))
            }
        };
        for warning in reply.warnings {
            let text = format!("299 - \"{}\"", warning.replace('\\', "\\\\").replace('"', "\\\""));
            if let Ok(value) = HeaderValue::from_str(&text) {
                response.headers_mut().append(WARNING, value);
            }
        }
        response
    }

    /// Wakes every watch, whether or not anything changed.
    pub(super) fn wake(&self) {
        self.revision.send_modify(|_| {});
    }
}

impl Respond for Shared {
    async fn respond(&self, request: Request<Incoming>) -> Response<AnswerBody> {
        let reply = match read_call(request).await {
            Ok(call) => {
                let reply = self.world().handle(&call, Timestamp::now());
                self.announce();
                reply
            }
            Err(failure) => Err(failure),
        };
        reply.map_or_else(|failure| refused(&failure), |reply| self.answered(reply))
    }
}

async fn read_call(request: Request<Incoming>) -> Result<Call, Failure> {
    let (parts, body) = request.into_parts();
    let header = |name: HeaderName| {
        let values = parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(",")
    };
    let body = read_body(body).await?;
    Ok(Call {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        accept: header(ACCEPT),
        content_type: header(CONTENT_TYPE),
        user_agent: header(USER_AGENT),
        body,
    })
}

/// The body, if it is not too large. What is too large is still read, up to a bound, because a
/// client that is cut off while it sends never sees why.
async fn read_body(mut body: Incoming) -> Result<Vec<u8>, Failure> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| Failure::bad_request(format!("the request body could not be read: {error}")))?;
        let data = frame.into_data().unwrap_or_default();
        length += data.len();
        if length > DRAINED_BYTES_MAX {
            break;
        }
        if length <= BODY_BYTES_MAX {
            bytes.extend_from_slice(&data);
        }
    }
    if length > BODY_BYTES_MAX { Err(Failure::too_large(BODY_BYTES_MAX)) } else { Ok(bytes) }
}

fn refused(failure: &Failure) -> Response<AnswerBody> {
    respond(failure.code, "application/json", full(encoded(&failure.body())))
}

fn respond(code: u16, kind: &'static str, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() =
        hyper::StatusCode::from_u16(code).expect("every refusal and reply has an HTTP code");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn full(bytes: Vec<u8>) -> AnswerBody {
    UnsyncBoxBody::new(Full::new(Bytes::from(bytes)).map_err(|never| match never {}))
}

fn encoded(value: &Value) -> Vec<u8> {
    let mut bytes = value.to_string().into_bytes();
    bytes.push(b'\n');
    bytes
}

/// The list without copying its items.
fn encoded_list(head: &Value, items: &[Arc<Value>], is_bare: bool) -> Vec<u8> {
    let mut text = head.to_string();
    text.pop();
    text.push_str(",\"items\":[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        match item.as_object() {
            Some(members) if is_bare => push_bare(&mut text, members),
            _ => text.push_str(&item.to_string()),
        }
    }
    text.push_str("]}\n");
    text.into_bytes()
}

/// An item without what its list says of all.
fn push_bare(text: &mut String, members: &serde_json::Map<String, Value>) {
    text.push('{');
    let own = members.iter().filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind"));
    for (index, (name, member)) in own.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&Value::String(name.clone()).to_string());
        text.push(':');
        text.push_str(&member.to_string());
    }
    text.push('}');
}

/// A watch as it goes out.
struct Streaming {
    shared: Arc<Shared>,
    watch: Box<Watch>,
    revision: watch::Receiver<u64>,
    ends: Instant,
    bookmark_due: Instant,
    is_over: bool,
}

fn frames(shared: Arc<Shared>, watch: Box<Watch>) -> impl Stream<Item = Result<Frame<Bytes>, io::Error>> {
    let now = Instant::now();
    let ends = now + Duration::from_secs(watch.timeout_secs());
    let revision = shared.revision.subscribe();
    let state =
        Streaming { shared, watch, revision, ends, bookmark_due: now + BOOKMARK_INTERVAL, is_over: false };
    stream::unfold(state, |mut state| async move {
        let bytes = state.next().await?;
        Some((Ok(Frame::data(bytes)), state))
    })
}

impl Streaming {
    /// The next lines of the stream, `None` at its end.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_over {
            // Marked as seen before the step, so that a write during it wakes the next wait.
            self.revision.borrow_and_update();
            match self.shared.world().step(&mut self.watch, Timestamp::now()) {
                WatchStep::Events(events) if events.is_empty() => {}
                WatchStep::Events(events) => return Some(lines(&events)),
                WatchStep::End(event) => {
                    self.is_over = true;
                    return Some(lines(&[event]));
                }
            }
            if let Some(bookmark) = self.wait().await {
                return Some(lines(&[bookmark]));
            }
        }
        None
    }

    /// Waits for a change; the bookmark to send if there was none for long, or the watch ends.
    async fn wait(&mut self) -> Option<Value> {
        let until = self.ends.min(self.bookmark_due);
        match tokio::time::timeout_at(until, self.revision.changed()).await {
            Ok(Ok(())) => None,
            // The server is going.
            Ok(Err(_)) => {
                self.is_over = true;
                None
            }
            Err(_) => {
                self.is_over = until == self.ends;
                self.bookmark_due = until + BOOKMARK_INTERVAL;
                self.watch.bookmark()
            }
        }
    }
}

fn lines(events: &[Value]) -> Bytes {
    let mut text = String::new();
    for event in events {
        text.push_str(&event.to_string());
        text.push('\n');
    }
    Bytes::from(text)
}
