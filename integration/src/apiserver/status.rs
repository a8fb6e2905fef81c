//! Refusals, as the `Status` objects that Kubernetes clients understand.
//!
//! One value carries the HTTP code, the machine's reason and the person's text, so that whatever
//! refuses a request says all three in one place.

use serde_json::{Value, json};

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// HTTP status code.
    pub(crate) code: u16,
    /// `reason` of the Status, for example `NotFound`.
    pub(crate) reason: &'static str,
    /// Text for people.
    pub(crate) message: String,
    /// What the request was about, and the causes field by field.
    pub(crate) details: Option<Value>,
}

/// What was asked for: names a resource and object in a refusal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// API group, empty for core.
    pub(crate) group: &'a str,
    /// Plural resource name (or the kind, where Kubernetes puts the kind).
    pub(crate) resource: &'a str,
    /// Object's name.
    pub(crate) name: &'a str,
}

impl Subject<'_> {
    fn qualified(&self) -> String {
        match self.group {
            "" => self.resource.to_owned(),
            group => format!("{}.{group}", self.resource),
        }
    }

    fn details(&self) -> Value {
        let mut details = json!({"kind": self.resource});
        if !self.name.is_empty() {
            details["name"] = json!(self.name);
        }
        if !self.group.is_empty() {
            details["group"] = json!(self.group);
        }
        details
    }
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None }
    }

    fn about(code: u16, reason: &'static str, subject: Subject<'_>, message: String) -> Self {
        Self { code, reason, message, details: Some(subject.details()) }
    }

    /// 400: the request itself makes no sense.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 404 for a path that no resource serves.
    pub(crate) fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    /// 404 for an object.
    pub(crate) fn not_found(subject: Subject<'_>) -> Self {
        Self::about(404, "NotFound", subject, format!("{} {:?} not found", subject.qualified(), subject.name))
    }

    /// 409 for an object that is there already.
    pub(crate) fn already_exists(subject: Subject<'_>) -> Self {
        let message = format!("{} {:?} already exists", subject.qualified(), subject.name);
        Self::about(409, "AlreadyExists", subject, message)
    }

    /// 409 for a write on a version that is not the current one.
    pub(crate) fn conflict(subject: Subject<'_>, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} {:?}: {why}", subject.qualified(), subject.name);
        Self::about(409, "Conflict", subject, message)
    }

    /// 409 for fields that other managers own.
    pub(crate) fn apply_conflict(message: String, causes: &[Value]) -> Self {
        let mut failure = Self::new(409, "Conflict", message);
        failure.details = Some(json!({"causes": causes}));
        failure
    }

    /// 500: the real server takes this for a fault of its own.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// 403: what is asked is never allowed in this state.
    pub(crate) fn forbidden(subject: Subject<'_>, why: &str) -> Self {
        let message = format!("{} {:?} is forbidden: {why}", subject.qualified(), subject.name);
        Self::about(403, "Forbidden", subject, message)
    }

    /// 405: the resource is served, this verb on it is not.
    pub(crate) fn method_not_allowed() -> Self {
        let text = "the server does not allow this method on the requested resource";
        Self { details: Some(json!({})), ..Self::new(405, "MethodNotAllowed", text) }
    }

    /// 406: none of the forms that the client accepts can be made.
    pub(crate) fn not_acceptable() -> Self {
        Self::new(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json, application/yaml",
        )
    }

    /// 410: the version that was asked for is no longer known.
    pub(crate) fn gone(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 413: the body is larger than the server reads.
    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit_bytes}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 415: the body is in a form that the server does not read.
    pub(crate) fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422: the object breaks the rules of its kind.
    pub(crate) fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let qualified = Subject { group, resource: kind, name }.qualified();
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        let what = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let causes: Vec<Value> = errors.iter().map(FieldError::cause).collect();
        let mut details = Subject { group, resource: kind, name }.details();
        details["causes"] = Value::Array(causes);
        Self {
            code: 422,
            reason: "Invalid",
            message: format!("{qualified} {name:?} is invalid: {what}"),
            details: Some(details),
        }
    }

    /// 504: a list that is to be newer than anything that is known.
    pub(crate) fn version_too_large(asked: u64, current: u64) -> Self {
        let mut failure = Self::new(
            504,
            "Timeout",
            format!("Timeout: Too large resource version: {asked}, current: {current}"),
        );
        failure.details = Some(json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1
        }));
        failure
    }

    /// This refusal with one cause more in its details.
    pub(crate) fn with_cause(mut self, cause: &Value) -> Self {
        let details = self.details.get_or_insert_with(|| json!({}));
        match details["causes"].as_array_mut() {
            Some(causes) => causes.push(cause.clone()),
            None => details["causes"] = json!([cause]),
        }
        self
    }

    /// The `Status` object.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            body["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            body["details"] = details.clone();
        }
        body
    }
}

/// The `Status` of a deletion that is done.
pub(crate) fn deleted(subject: Subject<'_>, uid: &str) -> Value {
    let mut details = subject.details();
    details["uid"] = json!(uid);
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldError {
    path: String,
    reason: &'static str,
    text: String,
}

impl FieldError {
    /// The field must be there.
    pub(crate) fn required(path: impl Into<String>, detail: &str) -> Self {
        let text = with_detail("Required value", detail);
        Self { path: path.into(), reason: "FieldValueRequired", text }
    }

    /// The value breaks a rule.
    pub(crate) fn invalid(path: impl Into<String>, value: &Value, detail: impl AsRef<str>) -> Self {
        let text = with_detail(&format!("Invalid value: {}", shown(value)), detail.as_ref());
        Self { path: path.into(), reason: "FieldValueInvalid", text }
    }

    /// The object or list breaks a rule; it is not shown.
    pub(crate) fn invalid_whole(path: impl Into<String>, detail: &str) -> Self {
        Self { path: path.into(), reason: "FieldValueInvalid", text: format!("Invalid value: {detail}") }
    }

    /// The value has the wrong JSON type.
    pub(crate) fn type_invalid(path: impl Into<String>, value: &Value, detail: impl AsRef<str>) -> Self {
        Self { reason: "FieldValueTypeInvalid", ..Self::invalid(path, value, detail) }
    }

    /// The value is none of those that are allowed.
    pub(crate) fn not_supported<'a>(
        path: impl Into<String>,
        value: &Value,
        allowed: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let allowed: Vec<String> = allowed.into_iter().map(|one| format!("{one:?}")).collect();
        let text = format!("Unsupported value: {}: supported values: {}", shown(value), allowed.join(", "));
        Self { path: path.into(), reason: "FieldValueNotSupported", text }
    }

    /// Whether it says that the value is there already.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.reason == "FieldValueDuplicate"
    }

    /// The value stands for something that is there already.
    pub(crate) fn duplicate(path: impl Into<String>, value: &Value) -> Self {
        let text = format!("Duplicate value: {}", shown(value));
        Self { path: path.into(), reason: "FieldValueDuplicate", text }
    }

    /// The field may not be set here.
    pub(crate) fn forbidden(path: impl Into<String>, detail: &str) -> Self {
        let text = with_detail("Forbidden", detail);
        Self { path: path.into(), reason: "FieldValueForbidden", text }
    }

    /// The value is longer than allowed.
    pub(crate) fn too_long(path: impl Into<String>, bytes_max: u64) -> Self {
        let text = format!("Too long: may not be more than {bytes_max} bytes");
        Self { path: path.into(), reason: "FieldValueTooLong", text }
    }

    /// The list or map has more members than allowed.
    pub(crate) fn too_many(path: impl Into<String>, count: usize, count_max: u64) -> Self {
        let text = format!("Too many: {count}: must have at most {count_max} items");
        Self { path: path.into(), reason: "FieldValueTooMany", text }
    }

    /// Whether the value has another JSON type than it should.
    pub(crate) fn is_wrong_type(&self) -> bool {
        self.reason == "FieldValueTypeInvalid"
    }

    /// Whether rules about the object cannot be asked while this is wrong.
    pub(crate) fn is_blocking(&self) -> bool {
        matches!(
            self.reason,
            "FieldValueNotSupported"
                | "FieldValueRequired"
                | "FieldValueTooLong"
                | "FieldValueTooMany"
                | "FieldValueTypeInvalid"
        )
    }

    fn cause(&self) -> Value {
        json!({"reason": self.reason, "message": self.text, "field": self.path})
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

fn with_detail(text: &str, detail: &str) -> String {
    if detail.is_empty() { text.to_owned() } else { format!("{text}: {detail}") }
}

fn shown(value: &Value) -> String {
    value.to_string()
}
