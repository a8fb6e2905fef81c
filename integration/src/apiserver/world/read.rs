//! GET of one object and of lists.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Body, Reply, Request, World, convert};
use crate::apiserver::{
    query::Form,
    registry::{Origin, Resource},
    selector::Selector,
    status::Failure,
    storage::Key,
    table,
};

impl World {
    /// The stored object that the target names, in the target's version.
    pub(super) fn current(&self, request: Request<'_>) -> Result<Arc<Value>, Failure> {
        let target = request.target;
        let stored = self.storage.get(&target.resource.table, &target.key());
        let stored = stored.ok_or_else(|| Failure::not_found(target.resource.subject(&target.name)))?;
        Ok(convert::shown(&target.resource, stored))
    }

    pub(super) fn get(&self, request: Request<'_>) -> Result<Reply, Failure> {
        let object = self.current(request)?;
        Ok(Reply::json(200, formed(request, &object)))
    }

    pub(super) fn list(&self, request: Request<'_>) -> Result<Reply, Failure> {
        let (resource, query) = (&request.target.resource, &request.call.query);
        let selector = Selector::parse(resource, query.text("labelSelector"), query.text("fieldSelector"))?;
        let start = self.list_start(request)?;
        let limit = query.number("limit")?.unwrap_or(0);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let all = self.storage.list(&resource.table, &request.target.namespace);
        let after = all.filter(|(key, _)| start.after.as_ref().is_none_or(|after| *key > after));
        let shown = after.map(|(key, object)| (key, convert::shown(resource, object)));
        let mut chosen = shown.filter(|(_, object)| selector.matches(object));
        let page: Vec<(&Key, Arc<Value>)> = match limit {
            0 => chosen.by_ref().collect(),
            limit => chosen.by_ref().take(limit).collect(),
        };
        let rest = chosen.count();
        let mut metadata = json!({"resourceVersion": start.revision.to_string()});
        if let Some((last, _)) = page.last().filter(|_| rest > 0) {
            metadata["continue"] = json!(format!("{}/{}/{}", start.revision, last.namespace, last.name));
            if query.given("labelSelector").is_none() && query.given("fieldSelector").is_none() {
                metadata["remainingItemCount"] = json!(rest);
            }
        }
        let items = page.into_iter().map(|(_, object)| object).collect();
        Ok(Reply { code: 200, body: list_body(request, items, &metadata), warnings: Vec::new() })
    }

    /// Where a list begins, and the version that it is of.
    fn list_start(&self, request: Request<'_>) -> Result<ListStart, Failure> {
        let query = &request.call.query;
        let current = self.storage.revision();
        if let Some(token) = query.given("continue") {
            return read_token(token).ok_or_else(|| Failure::bad_request("continue key is not valid"));
        }
        let asked = query.number("resourceVersion")?.unwrap_or(0);
        let matched = query.text("resourceVersionMatch");
        if !matches!(matched, "" | "Exact" | "NotOlderThan") {
            return Err(Failure::bad_request(format!(
                "resourceVersionMatch: Unsupported value: {matched:?}"
            )));
        }
        if asked > current {
            return Err(Failure::version_too_large(asked, current));
        }
        if matched == "Exact" && asked != current {
            return Err(Failure::gone("The provided resource version is no longer available"));
        }
        Ok(ListStart { revision: current, after: None })
    }
}

/// What a continued list goes on from. All pages bear the first one's version, so that a watch
/// from it repeats whatever changed while the pages were read.
struct ListStart {
    revision: u64,
    after: Option<Key>,
}

fn read_token(token: &str) -> Option<ListStart> {
    let mut parts = token.splitn(3, '/');
    let revision = parts.next()?.parse().ok()?;
    let (namespace, name) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    Some(ListStart { revision, after: Some(Key { namespace, name }) })
}

/// One object in the form that was asked for.
pub(super) fn formed(request: Request<'_>, object: &Arc<Value>) -> Arc<Value> {
    let resource = &request.target.resource;
    match request.form {
        Form::Plain => Arc::clone(object),
        Form::Partial => Arc::new(table::partial(object)),
        Form::Table(include) => {
            let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            Arc::new(table::table(resource, [&**object], &metadata, include, request.now))
        }
    }
}

/// Many objects in the form that was asked for.
pub(super) fn list_body(request: Request<'_>, items: Vec<Arc<Value>>, metadata: &Value) -> Body {
    let resource: &Resource = &request.target.resource;
    match request.form {
        Form::Table(include) => {
            let objects = items.iter().map(|object| &**object);
            Body::Json(Arc::new(table::table(resource, objects, metadata, include, request.now)))
        }
        Form::Partial => {
            let head = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
            Body::List {
                head,
                items: items.iter().map(|object| Arc::new(table::partial(object))).collect(),
                is_bare: false,
            }
        }
        Form::Plain => {
            let head = json!({"kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": metadata});
            Body::List { head, items, is_bare: resource.origin == Origin::BuiltIn }
        }
    }
}
