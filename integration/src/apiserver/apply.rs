//! Server-side apply, and who owns which field.
//!
//! Every write leaves an entry in `metadata.managedFields`. An applied configuration owns exactly
//! the fields that it names: fields of others are conflicts unless forced, and what a manager
//! applied before and no longer names is removed, unless another one owns it too.

use jiff::Timestamp;
use k8s_openapi::jiff;
use serde_json::{Map, Value, json};

use self::field_set::{FieldSet, Step};
use super::{object, schema::Schema, status::Failure};

mod field_set;
mod walk;

/// Who writes, and through which door.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Author<'a> {
    pub(crate) manager: &'a str,
    /// Name of the subresource, empty for the object itself.
    pub(crate) subresource: &'a str,
    pub(crate) api_version: &'a str,
    pub(crate) now: Timestamp,
    /// Dotted paths that this door cannot write.
    pub(crate) reset: &'a [&'a str],
}

/// Fields that nobody owns: they say which object it is, or are the server's.
const UNOWNED: [&str; 12] = [
    "apiVersion",
    "kind",
    "metadata",
    "metadata.name",
    "metadata.namespace",
    "metadata.creationTimestamp",
    "metadata.selfLink",
    "metadata.uid",
    "metadata.clusterName",
    "metadata.generation",
    "metadata.managedFields",
    "metadata.resourceVersion",
];

/// Managers by update that one object remembers; the oldest are merged into one beyond it.
const UPDATERS_MAX: usize = 10;

/// The object after applying `config` to `live` (an object with only its name, if it is new).
///
/// # Errors
/// 409 for fields that others own, unless `force`; 400 if `config` itself brings managed fields.
pub(crate) fn apply(
    schema: &Schema,
    live: &Value,
    config: &Value,
    author: Author<'_>,
    force: bool,
) -> Result<Value, Failure> {
    if config["metadata"]["managedFields"].as_array().is_some_and(|entries| !entries.is_empty()) {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let config = without(config, author.reset);
    let mut managers = Managers::of(live);
    let mine = Entry::new(author, "Apply");
    let set = fields_of(schema, &config, author);
    let last = managers.take(&mine).map(|entry| entry.fields).unwrap_or_default();
    let kept = managers.union().union(&set);

    let mut merged = walk::merge(Some(schema), live, &config);
    walk::remove(Some(schema), &mut merged, &abandoned(&last, &kept));
    let difference = walk::compare(schema, live, &merged);
    let conflicts = managers.conflicts(&difference.changed);
    if !conflicts.is_empty() && !force {
        return Err(refusal(&conflicts));
    }
    managers.give_up(&difference.changed);
    managers.give_up(&difference.removed);
    let is_new = set != last || without_managers(live) != without_managers(&merged);
    let time = if is_new { None } else { Managers::of(live).time_of(&mine) };
    managers.add(Entry { fields: set, time: time.unwrap_or(mine.time), ..mine });
    managers.write(&mut merged);
    Ok(merged)
}

/// Records in `object` which fields its author changed against `live`.
pub(crate) fn track(schema: &Schema, live: &Value, object: &mut Value, author: Author<'_>) {
    let mut managers = match object["metadata"].get("managedFields") {
        // An empty list on purpose resets the owners.
        Some(Value::Array(given)) if !given.is_empty() => Managers::of(object),
        Some(Value::Array(_)) => Managers::default(),
        _ => Managers::of(live),
    };
    let difference = walk::compare(schema, live, object);
    let ignored = reset_fields(author);
    let (changed, removed) = (difference.changed, difference.removed);
    let mine = Entry::new(author, "Update");
    let before = managers.take(&mine);
    managers.give_up(&changed);
    managers.give_up(&removed);
    let last = before.as_ref().map(|entry| entry.fields.clone()).unwrap_or_default();
    let fields = last.difference(&removed).union(&changed);
    let fields = fields.difference(&unowned()).recursive_difference(&ignored);
    let is_same = before.as_ref().is_some_and(|entry| entry.fields == fields) && changed.is_empty();
    let time = before.filter(|_| is_same).map(|entry| entry.time);
    managers.add(Entry { fields, time: time.unwrap_or(mine.time), ..mine });
    managers.limit();
    managers.write(object);
}

/// `object` without its managed fields.
pub(crate) fn without_managers(object: &Value) -> Value {
    let mut object = object.clone();
    object::set_meta(&mut object, "managedFields", None);
    object
}

fn fields_of(schema: &Schema, config: &Value, author: Author<'_>) -> FieldSet {
    walk::fields(schema, config).difference(&unowned()).recursive_difference(&reset_fields(author))
}

fn path_of(dotted: &str) -> Vec<Step> {
    dotted.split('.').map(|field| Step::Field(field.to_owned())).collect()
}

fn unowned() -> FieldSet {
    let mut set = FieldSet::default();
    for path in UNOWNED {
        set.insert(&path_of(path));
    }
    set
}

fn reset_fields(author: Author<'_>) -> FieldSet {
    let mut set = FieldSet::default();
    for path in author.reset {
        set.insert(&path_of(path));
    }
    set
}

fn without(config: &Value, paths: &[&str]) -> Value {
    let mut config = config.clone();
    object::set_meta(&mut config, "managedFields", None);
    for path in paths.iter().filter(|path| **path != "metadata") {
        match path.split_once('.') {
            Some(("metadata", field)) => object::set_meta(&mut config, field, None),
            _ => drop(config.as_object_mut().and_then(|members| members.remove(*path))),
        }
    }
    if paths.contains(&"metadata") {
        let meta = object::meta_mut(&mut config);
        meta.retain(|field, _| matches!(field.as_str(), "name" | "namespace"));
    }
    config
}

/// What the manager applied before and nobody wants now; never something that holds what is kept.
fn abandoned(last: &FieldSet, kept: &FieldSet) -> FieldSet {
    let mut doomed = FieldSet::default();
    for path in last.difference(kept).paths() {
        let below = path.iter().try_fold(kept, |set, step| set.child(step));
        if below.is_none_or(FieldSet::is_empty) {
            doomed.insert(&path);
        }
    }
    doomed
}

fn refusal(conflicts: &[(String, Vec<String>)]) -> Failure {
    let all = conflicts.iter().flat_map(|(manager, paths)| paths.iter().map(move |path| (manager, path)));
    let causes: Vec<Value> = all
        .map(|(manager, path)| {
            json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": path})
        })
        .collect();
    let message = match conflicts {
        [(manager, paths)] if paths.len() == 1 => {
            format!("Apply failed with 1 conflict: conflict with {manager}: {}", paths[0])
        }
        _ => {
            let mut lines = Vec::new();
            for (manager, paths) in conflicts {
                lines.push(format!("conflicts with {manager}:"));
                lines.extend(paths.iter().map(|path| format!("- {path}")));
            }
            format!("Apply failed with {} conflicts: {}", causes.len(), lines.join("\n"))
        }
    };
    Failure::apply_conflict(message, &causes)
}

/// One entry of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    manager: String,
    operation: String,
    api_version: String,
    subresource: String,
    time: String,
    fields: FieldSet,
}

impl Entry {
    fn new(author: Author<'_>, operation: &str) -> Self {
        Self {
            manager: author.manager.to_owned(),
            operation: operation.to_owned(),
            api_version: author.api_version.to_owned(),
            subresource: author.subresource.to_owned(),
            time: object::time_text(author.now),
            fields: FieldSet::default(),
        }
    }

    fn is_of(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.api_version == other.api_version
            && self.subresource == other.subresource
    }

    /// How a conflict with this manager is told.
    fn shown(&self) -> String {
        let door = match self.subresource.as_str() {
            "" => String::new(),
            subresource => format!(" with subresource {subresource:?}"),
        };
        let since = match self.operation.as_str() {
            "Update" => format!(" using {}", self.api_version),
            _ => String::new(),
        };
        format!("{:?}{door}{since}", self.manager)
    }

    fn to_json(&self) -> Value {
        let mut entry = json!({
            "manager": self.manager, "operation": self.operation, "apiVersion": self.api_version,
            "time": self.time, "fieldsType": "FieldsV1", "fieldsV1": self.fields.to_json(),
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = json!(self.subresource);
        }
        entry
    }

    fn from_json(entry: &Map<String, Value>) -> Self {
        let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            manager: text("manager"),
            operation: text("operation"),
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            fields: entry.get("fieldsV1").map(FieldSet::from_json).unwrap_or_default(),
        }
    }
}

/// All entries of an object.
#[derive(Debug, Default)]
struct Managers(Vec<Entry>);

impl Managers {
    fn of(object: &Value) -> Self {
        let entries = object["metadata"]["managedFields"].as_array();
        Self(entries.into_iter().flatten().filter_map(Value::as_object).map(Entry::from_json).collect())
    }

    fn take(&mut self, wanted: &Entry) -> Option<Entry> {
        let place = self.0.iter().position(|entry| entry.is_of(wanted))?;
        Some(self.0.remove(place))
    }

    fn time_of(&self, wanted: &Entry) -> Option<String> {
        self.0.iter().find(|entry| entry.is_of(wanted)).map(|entry| entry.time.clone())
    }

    fn add(&mut self, entry: Entry) {
        self.0.push(entry);
    }

    fn union(&self) -> FieldSet {
        self.0.iter().fold(FieldSet::default(), |union, entry| union.union(&entry.fields))
    }

    /// Managers that own fields in `changed`, each with the paths of those.
    fn conflicts(&self, changed: &FieldSet) -> Vec<(String, Vec<String>)> {
        let owned = self.0.iter().map(|entry| (entry.shown(), entry.fields.intersection(changed)));
        let conflicts = owned.filter(|(_, fields)| !fields.is_empty());
        conflicts
            .map(|(who, fields)| (who, fields.paths().iter().map(|path| field_set::shown(path)).collect()))
            .collect()
    }

    /// Takes these fields from everyone.
    fn give_up(&mut self, fields: &FieldSet) {
        for entry in &mut self.0 {
            entry.fields = entry.fields.difference(fields);
        }
    }

    /// Merges the oldest updates into one entry, so that objects written by many stay small.
    fn limit(&mut self) {
        let updates = self.0.iter().filter(|entry| entry.operation == "Update").count();
        for _ in UPDATERS_MAX..updates {
            let oldest = self.0.iter().enumerate().filter(|(_, entry)| entry.operation == "Update");
            let oldest =
                oldest.min_by(|(_, left), (_, right)| left.time.cmp(&right.time)).map(|(place, _)| place);
            let Some(oldest) = oldest.map(|place| self.0.remove(place)) else { return };
            let bucket = self.0.iter_mut().find(|entry| entry.manager == "ancient-changes");
            match bucket {
                Some(bucket) => bucket.fields = bucket.fields.union(&oldest.fields),
                None => self.0.push(Entry { manager: "ancient-changes".to_owned(), ..oldest }),
            }
        }
    }

    fn write(mut self, object: &mut Value) {
        self.0.retain(|entry| !entry.fields.is_empty());
        self.0.sort_by(|left, right| {
            let key = |entry: &Entry| (entry.operation.clone(), entry.time.clone(), entry.manager.clone());
            key(left).cmp(&key(right)).then_with(|| left.subresource.cmp(&right.subresource))
        });
        let entries: Vec<Value> = self.0.iter().map(Entry::to_json).collect();
        let entries = (!entries.is_empty()).then_some(Value::Array(entries));
        object::set_meta(object, "managedFields", entries);
    }
}

#[cfg(test)]
mod tests;
