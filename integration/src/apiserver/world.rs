//! The whole server as one value: a request and the time in, an answer out.
//!
//! ```text
//! Call -> query (target, form) -> world/{read, create, update, patch, remove} -> storage
//!                                            |                      |
//!                                  strategy, schema, apply     world/chores (namespaces, definitions, garbage)
//! ```
//!
//! Fields and dispatch only; every verb has its own file.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::jiff;
use serde_json::Value;

use self::{chores::Chores, random::Random};
use super::{
    discovery, openapi,
    query::{Call, Form, Target},
    registry::Registry,
    status::Failure,
    storage::Storage,
};

mod body;
mod chores;
mod convert;
mod create;
mod kinds;
mod patch;
mod random;
mod read;
mod remove;
mod update;
mod watch;

pub(crate) use watch::{Watch, WatchStep};

/// An answer, and the warnings that go with it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) body: Body,
    pub(crate) warnings: Vec<String>,
}

/// What is answered.
#[derive(Debug)]
pub(crate) enum Body {
    /// One JSON document.
    Json(Arc<Value>),
    /// A list whose items are not copied.
    List {
        head: Value,
        items: Vec<Arc<Value>>,
        /// Whether items leave out what the list says of all: `apiVersion` and `kind`.
        is_bare: bool,
    },
    /// Plain text.
    Text(&'static str),
    /// A stream that begins here.
    Watch(Box<Watch>),
}

impl Reply {
    fn json(code: u16, value: impl Into<Arc<Value>>) -> Self {
        Self { code, body: Body::Json(value.into()), warnings: Vec::new() }
    }
}

/// Everything that the server knows.
#[derive(Debug)]
pub(crate) struct World {
    registry: Registry,
    storage: Storage,
    chores: Chores,
    random: Random,
}

/// One request on its way through a verb.
#[derive(Clone, Copy, Debug)]
struct Request<'a> {
    call: &'a Call,
    target: &'a Target,
    form: Form,
    now: Timestamp,
}

impl World {
    /// A cluster with the namespaces that every cluster has.
    pub(crate) fn new(history_max: usize, seed: u64, now: Timestamp) -> Self {
        let mut world = Self {
            registry: Registry::new(),
            storage: Storage::new(history_max),
            chores: Chores::default(),
            random: Random::new(seed),
        };
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            world.found_namespace(name, now);
        }
        world
    }

    /// Answers one request.
    ///
    /// # Errors
    /// The refusal to be sent instead.
    pub(crate) fn handle(&mut self, call: &Call, now: Timestamp) -> Result<Reply, Failure> {
        if let Some(reply) = self.describe(call) {
            return reply;
        }
        let target = Target::parse(&self.registry, &call.path)?;
        let form = Form::of(&call.accept, &call.query)?;
        let request = Request { call, target: &target, form, now };
        let is_object = !target.name.is_empty();
        match (call.method.as_str(), target.subresource.as_str()) {
            ("GET", "" | "status") if is_object => self.get(request),
            ("GET", "") if call.query.flag("watch") => self.watch(request),
            ("GET", "") => self.list(request),
            ("POST", "") if !is_object => self.create(request),
            ("POST", "binding") => self.bind(request),
            ("POST", "eviction") => self.evict(request),
            ("PUT", "" | "status") if is_object => self.replace(request),
            ("PUT", "finalize") => self.finalize(request),
            ("PATCH", "" | "status") if is_object => self.patch(request),
            ("DELETE", "") if is_object => self.delete(request),
            ("DELETE", "") => self.delete_collection(request),
            _ => Err(Failure::method_not_allowed()),
        }
    }

    /// The next events of a watch.
    pub(crate) fn step(&self, watch: &mut Watch, now: Timestamp) -> WatchStep {
        watch.step(&self.storage, &self.registry, now)
    }

    /// Number of the last write.
    pub(crate) fn revision(&self) -> u64 {
        self.storage.revision()
    }

    /// Makes every version but the current one unknown to watches.
    pub(crate) fn forget_history(&mut self) {
        self.storage.forget_history();
    }

    /// Health, version, discovery and schemas: what is not about an object.
    fn describe(&self, call: &Call) -> Option<Result<Reply, Failure>> {
        let path = call.path.trim_end_matches('/');
        let text = matches!(path, "/healthz" | "/livez" | "/readyz");
        let reply = if text {
            Reply { code: 200, body: Body::Text("ok"), warnings: Vec::new() }
        } else if let Some(document) = discovery::document(&self.registry, path) {
            Reply::json(200, document)
        } else {
            Reply::json(200, openapi::document(&self.registry, path)?)
        };
        let is_read = matches!(call.method.as_str(), "GET" | "HEAD");
        Some(if is_read { Ok(reply) } else { Err(Failure::method_not_allowed()) })
    }
}

#[cfg(test)]
mod tests;
