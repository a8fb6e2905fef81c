//! A request's path, query and headers, as what is asked for.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    registry::{Registry, Resource},
    status::Failure,
    table::IncludeObject,
};

/// One HTTP request, read whole.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) accept: String,
    pub(crate) content_type: String,
    pub(crate) user_agent: String,
    pub(crate) body: Vec<u8>,
}

/// Parameters of the query, decoded.
#[derive(Debug, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    /// Parses `a=b&c=d`.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(key), percent_decoded(value))
        });
        Self(decoded.collect())
    }

    /// The parameter, empty if absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether the parameter is there and true.
    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.0.get(name).map(String::as_str), Some("1" | "true" | "True" | "TRUE"))
    }

    /// The parameter, if present and not empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The number in the parameter, if present.
    ///
    /// # Errors
    /// 400 if it is no number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let number = self.given(name).map(str::parse).transpose();
        number.map_err(|_| {
            Failure::bad_request(format!("strconv.ParseInt: parsing {:?}: invalid syntax", self.text(name)))
        })
    }
}

/// Percent-decoding of one path segment or query part; `+` is a space in neither.
pub(crate) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        if let Some(byte) = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// What a path under `/api` or `/apis` names.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) resource: Arc<Resource>,
    /// Empty for cluster-scoped resources, and for lists over all namespaces.
    pub(crate) namespace: String,
    /// Empty for the collection.
    pub(crate) name: String,
    /// Empty for the object itself.
    pub(crate) subresource: String,
}

impl Target {
    /// What `path` names.
    ///
    /// # Errors
    /// 404 if nothing is served there.
    pub(crate) fn parse(registry: &Registry, path: &str) -> Result<Self, Failure> {
        let segments: Vec<String> =
            path.split('/').filter(|segment| !segment.is_empty()).map(percent_decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Failure::no_such_path()),
        };
        let find =
            |plural: &str| registry.find(group, version, plural).cloned().ok_or_else(Failure::no_such_path);
        let (namespace, rest) = match rest {
            ["namespaces", name, sub] if find("namespaces").is_ok_and(|kind| kind.has(sub)) => {
                return Self::new(find("namespaces")?, "", name, sub);
            }
            ["namespaces", namespace, plural, rest @ ..] => {
                let resource = find(plural)?;
                if !resource.namespaced {
                    return Err(Failure::no_such_path());
                }
                return Self::from_rest(resource, namespace, rest);
            }
            rest => ("", rest),
        };
        match rest {
            [plural, rest @ ..] => {
                let resource = find(plural)?;
                if resource.namespaced && !rest.is_empty() {
                    return Err(Failure::no_such_path());
                }
                Self::from_rest(resource, namespace, rest)
            }
            [] => Err(Failure::no_such_path()),
        }
    }

    fn from_rest(resource: Arc<Resource>, namespace: &str, rest: &[&str]) -> Result<Self, Failure> {
        match rest {
            [] => Self::new(resource, namespace, "", ""),
            [name] => Self::new(resource, namespace, name, ""),
            [name, subresource] if resource.has(subresource) => {
                Self::new(resource, namespace, name, subresource)
            }
            _ => Err(Failure::no_such_path()),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "every way to make a target ends here")]
    fn new(resource: Arc<Resource>, namespace: &str, name: &str, subresource: &str) -> Result<Self, Failure> {
        let (namespace, name, subresource) = (namespace.to_owned(), name.to_owned(), subresource.to_owned());
        Ok(Self { resource, namespace, name, subresource })
    }

    /// The object's place in the storage.
    pub(crate) fn key(&self) -> super::storage::Key {
        super::storage::Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }
}

/// The form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The objects themselves.
    Plain,
    /// Rows for people.
    Table(IncludeObject),
    /// Metadata alone.
    Partial,
}

impl Form {
    /// The first form in the `Accept` header that can be made.
    ///
    /// # Errors
    /// 406 if there is none.
    pub(crate) fn of(accept: &str, query: &Query) -> Result<Self, Failure> {
        if accept.trim().is_empty() {
            return Ok(Self::Plain);
        }
        let include = match query.text("includeObject") {
            "Object" => IncludeObject::Object,
            "None" => IncludeObject::None,
            _ => IncludeObject::Metadata,
        };
        let formed = accept.split(',').find_map(|range| Self::of_range(range, include));
        formed.ok_or_else(Failure::not_acceptable)
    }

    fn of_range(range: &str, include: IncludeObject) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        if !matches!(kind, "application/json" | "application/*" | "*/*") {
            return None;
        }
        let parameters: BTreeMap<&str, &str> = parts.filter_map(|part| part.split_once('=')).collect();
        match (parameters.get("as").copied(), parameters.get("g").copied(), parameters.get("v").copied()) {
            (None, _, _) => Some(Self::Plain),
            (Some("Table"), Some("meta.k8s.io"), Some("v1")) => Some(Self::Table(include)),
            (
                Some("PartialObjectMetadata" | "PartialObjectMetadataList"),
                Some("meta.k8s.io"),
                Some("v1"),
            ) => Some(Self::Partial),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
