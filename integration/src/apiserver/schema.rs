//! What a kind's objects may look like: one tree for built-in kinds and custom resources.
//!
//! Everything that depends on the shape of an object reads this tree: pruning and defaulting,
//! validation, strategic merge and server-side apply. It is parsed once, when a kind is registered.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

pub(crate) mod builtin;
pub(crate) mod cel;
pub(crate) mod default;
mod format;
mod parse;
pub(crate) mod prune;
pub(crate) mod validate;

pub(crate) use parse::parse;

/// Deepest nesting of schemas and of objects that are read. Recursion is bounded by it.
pub(crate) const DEPTH_MAX: usize = 64;

/// One node of the tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    pub(crate) shape: Shape,
    /// Whether null is a value; otherwise it means "absent".
    pub(crate) nullable: bool,
    pub(crate) default: Option<Value>,
    pub(crate) bounds: Bounds,
    pub(crate) junctors: Junctors,
}

/// What type of value is expected.
#[derive(Clone, Debug, Default)]
pub(crate) enum Shape {
    /// Anything, kept as it is.
    #[default]
    Any,
    Object(Box<ObjectShape>),
    List(Box<ListShape>),
    Scalar(Scalar),
    IntOrString,
}

/// JSON's types without members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    String,
    Integer,
    Number,
    Boolean,
}

/// An object with named fields, or a map, or both.
#[derive(Clone, Debug, Default)]
pub(crate) struct ObjectShape {
    pub(crate) properties: BTreeMap<String, Schema>,
    /// Schema of the values under keys that are no property.
    pub(crate) additional: Option<Schema>,
    pub(crate) preserve_unknown: bool,
    pub(crate) required: Vec<String>,
    /// One owner for the whole object in server-side apply.
    pub(crate) atomic: bool,
    /// `merge,retainKeys` in a strategic merge patch is understood for this object.
    pub(crate) typed: bool,
}

/// A list and how its items are told apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListShape {
    pub(crate) items: Schema,
    pub(crate) kind: ListKind,
    /// Key that strategic merge patches go by; `Some("")` merges a list of scalars.
    pub(crate) patch_key: Option<String>,
}

/// How server-side apply merges a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// As one value.
    #[default]
    Atomic,
    /// By value.
    Set,
    /// By these fields of each item, in this order.
    Map(Vec<String>),
}

/// Limits on one value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) allowed: Vec<Value>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) format: Option<String>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) length_min: Option<u64>,
    pub(crate) length_max: Option<u64>,
    pub(crate) items_min: Option<u64>,
    pub(crate) items_max: Option<u64>,
    pub(crate) properties_min: Option<u64>,
    pub(crate) properties_max: Option<u64>,
}

/// Schemas that a value must match beside the node itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Junctors {
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
}

impl Schema {
    /// The schema of an object's member, `None` if the shape does not know it.
    pub(crate) fn member(&self, key: &str) -> Option<&Schema> {
        match &self.shape {
            Shape::Object(object) => object.properties.get(key).or(object.additional.as_ref()),
            _ => None,
        }
    }

    /// Whether `key` is a named field here (and no key of a map).
    pub(crate) fn is_field(&self, key: &str) -> bool {
        matches!(&self.shape, Shape::Object(object) if object.properties.contains_key(key))
    }

    /// The list's shape, if it is one.
    pub(crate) fn list(&self) -> Option<&ListShape> {
        match &self.shape {
            Shape::List(list) => Some(list),
            _ => None,
        }
    }

    /// Whether server-side apply takes an object here as one value.
    pub(crate) fn is_atomic_object(&self) -> bool {
        matches!(&self.shape, Shape::Object(object) if object.atomic)
    }

    /// Puts `field` under the object's properties; what is there already stays described by it.
    pub(crate) fn set_property(&mut self, name: &str, field: Schema) {
        if !matches!(self.shape, Shape::Object(_)) {
            self.shape = Shape::Object(Box::default());
        }
        if let Shape::Object(object) = &mut self.shape {
            object.properties.insert(name.to_owned(), field);
        }
    }
}

/// `path.field`, or `field` at the root.
pub(crate) fn join(path: &str, field: &str) -> String {
    match path {
        "" => field.to_owned(),
        path => format!("{path}.{field}"),
    }
}

#[cfg(test)]
mod tests;
