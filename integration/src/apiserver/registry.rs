//! Which resources are served: the built-in ones, and those that definitions add.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    schema::{Schema, cel::Rules},
    status::Subject,
};

pub(crate) mod builtin;
pub(crate) mod custom;

/// A column of `kubectl get`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub(crate) kind: String,
    pub(crate) format: String,
    pub(crate) description: String,
    /// 0 is always shown, more only with `-o wide`.
    pub(crate) priority: i64,
    /// Path to the value, for custom resources: `.spec.cidr`.
    pub(crate) json_path: String,
}

/// Who defined a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    BuiltIn,
    Custom,
}

/// One resource in one version.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    /// Names of the subresources that are served.
    pub(crate) subresources: Vec<String>,
    pub(crate) schema: Schema,
    /// Root schema as it is published, and its name there.
    pub(crate) published: (String, Value),
    pub(crate) rules: Option<Rules>,
    pub(crate) columns: Vec<Column>,
    pub(crate) origin: Origin,
    /// Table of the storage: all versions of a resource share one.
    pub(crate) table: String,
    /// `apiVersion` of the objects in the table.
    pub(crate) storage_version: String,
}

impl Resource {
    /// `v1` or `group/version`.
    pub(crate) fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// Names an object of this resource in a refusal.
    pub(crate) fn subject<'a>(&'a self, name: &'a str) -> Subject<'a> {
        Subject { group: &self.group, resource: &self.plural, name }
    }

    /// Whether the subresource is served.
    pub(crate) fn has(&self, subresource: &str) -> bool {
        self.subresources.iter().any(|served| served == subresource)
    }

    /// Whether this is the built-in resource of that plural and group.
    pub(crate) fn is_builtin(&self, table: &str) -> bool {
        self.origin == Origin::BuiltIn && self.table == table
    }
}

/// `v1` or `group/version`.
pub(crate) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Name of a resource's table in the storage.
pub(crate) fn table_name(group: &str, plural: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

/// All resources that are served.
#[derive(Debug)]
pub(crate) struct Registry {
    resources: BTreeMap<(String, String, String), Arc<Resource>>,
}

impl Registry {
    /// The built-in resources.
    pub(crate) fn new() -> Self {
        let mut registry = Self { resources: BTreeMap::new() };
        for resource in builtin::resources() {
            registry.add(resource);
        }
        registry
    }

    /// The resource at that place of the API.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// A version of the resource that the table holds; the one it is stored in, if served.
    pub(crate) fn of_table(&self, table: &str) -> Option<&Arc<Resource>> {
        let versions = || self.resources.values().filter(|resource| resource.table == table);
        versions()
            .find(|resource| resource.api_version() == resource.storage_version)
            .or_else(|| versions().next())
    }

    /// All resources, by group, version and plural.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// Serves `resource` from now on.
    pub(crate) fn add(&mut self, resource: Resource) {
        let place = (resource.group.clone(), resource.version.clone(), resource.plural.clone());
        self.resources.insert(place, Arc::new(resource));
    }

    /// Ends every version of the resource that the table holds.
    pub(crate) fn remove_table(&mut self, table: &str) {
        self.resources.retain(|_, resource| resource.table != table);
    }
}
