//! Verbs and duties that belong to one kind: bindings, namespaces, addresses of services,
//! definitions.

use std::{collections::BTreeSet, net::Ipv4Addr};

use jiff::Timestamp;
use k8s_openapi::jiff;
use serde_json::{Value, json};

use super::{
    Reply, Request, World, body,
    chores::{CLEANUP, DEFINITIONS},
    create, read,
};
use crate::apiserver::{
    apply::{self, Author},
    object::{self, at, text_at},
    registry::custom,
    status::{Failure, Subject},
};

/// Range that services get their addresses from, as in most clusters: 10.96.0.0/16.
const SERVICE_RANGE: (Ipv4Addr, u32) = (Ipv4Addr::new(10, 96, 0, 0), 1 << 16);

impl World {
    /// One of the namespaces that are there from the start.
    pub(super) fn found_namespace(&mut self, name: &str, now: Timestamp) {
        let mut namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": name, "uid": self.random.uid(), "creationTimestamp": object::time_text(now),
                "labels": {"kubernetes.io/metadata.name": name},
            },
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        });
        if let Some(resource) = self.registry.of_table("namespaces") {
            let before = json!({"metadata": {}, "spec": namespace["spec"], "status": namespace["status"]});
            let author = Author {
                manager: "kube-apiserver",
                subresource: "",
                api_version: "v1",
                now,
                reset: &["status"],
            };
            apply::track(&resource.schema, &before, &mut namespace, author);
        }
        self.store("namespaces", namespace);
    }

    /// POST of a Binding: gives the pod its node.
    pub(super) fn bind(&mut self, request: Request<'_>) -> Result<Reply, Failure> {
        let binding = body::parse(request.call)?;
        let node = text_at(&binding, "target.name");
        if node.is_empty() {
            return Err(Failure::bad_request("target.name: Required value"));
        }
        let old = self.current(request)?;
        let subject = Subject { group: "", resource: "pods/binding", name: &request.target.name };
        let bound = text_at(&old, "spec.nodeName");
        if !bound.is_empty() {
            let why = format!("pod {} is already assigned to node {bound:?}", request.target.name);
            return Err(Failure::conflict(subject, &why));
        }
        if object::is_deleting(&old) {
            let why = format!("pod {} is being deleted, cannot be assigned to a host", request.target.name);
            return Err(Failure::conflict(subject, &why));
        }
        if !create::is_dry_run(request.call)? {
            let mut pod = Value::clone(&old);
            pod["spec"]["nodeName"] = json!(node);
            let condition = json!({
                "type": "PodScheduled", "status": "True", "lastProbeTime": null,
                "lastTransitionTime": object::time_text(request.now),
            });
            let mut conditions =
                at(&pod, "status.conditions").and_then(Value::as_array).cloned().unwrap_or_default();
            conditions.retain(|one| one["type"] != "PodScheduled");
            conditions.push(condition);
            pod["status"]["conditions"] = Value::Array(conditions);
            self.store("pods", pod);
        }
        Ok(Reply::json(
            201,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
        ))
    }

    /// PUT of a namespace's finalizers.
    pub(super) fn finalize(&mut self, request: Request<'_>) -> Result<Reply, Failure> {
        let mut namespace = body::parse(request.call)?;
        body::check_kind(&request.target.resource, &mut namespace)?;
        let old = self.current(request)?;
        let mut new = Value::clone(&old);
        new["spec"] = namespace.get("spec").cloned().unwrap_or_else(|| json!({}));
        let written = self.change(request, &old, new, true)?;
        Ok(Reply::json(200, read::formed(request, &written)))
    }

    /// The next free address for a service that has none and needs one.
    pub(super) fn give_address(&mut self, service: &mut Value) {
        let given = text_at(service, "spec.clusterIP").to_owned();
        if text_at(service, "spec.type") == "ExternalName" || !service["spec"].is_object() {
            return;
        }
        let taken: BTreeSet<String> = self
            .storage
            .list("services", "")
            .map(|(_, one)| text_at(one, "spec.clusterIP").to_owned())
            .collect();
        let address = |offset: u32| Ipv4Addr::from(u32::from(SERVICE_RANGE.0) + offset).to_string();
        let free = || (1..SERVICE_RANGE.1 - 1).map(address).find(|address| !taken.contains(address));
        let address = if given.is_empty() { free().unwrap_or_default() } else { given };
        service["spec"]["clusterIP"] = json!(address);
        service["spec"]["clusterIPs"] = json!([address]);
        let spec = service["spec"].as_object_mut();
        if let Some(spec) = spec {
            let family = if address.contains(':') { "IPv6" } else { "IPv4" };
            spec.entry("ipFamilies").or_insert_with(|| json!([family]));
            spec.entry("ipFamilyPolicy").or_insert_with(|| json!("SingleStack"));
        }
    }

    /// Serves what a definition that was just written defines, and says so in its status.
    pub(super) fn serve_definition(&mut self, definition: &Value, now: Timestamp) {
        let Ok(resources) = custom::resources(definition) else { return };
        let table = object::name(definition).to_owned();
        self.registry.remove_table(&table);
        for resource in resources {
            self.registry.add(resource);
        }
        let mut status = definition.clone();
        let condition = |kind: &str, reason: &str, message: &str| {
            json!({
                "type": kind, "status": "True", "reason": reason, "message": message,
                "lastTransitionTime": object::time_text(now),
            })
        };
        if at(definition, "status.conditions")
            .is_none_or(|conditions| conditions.as_array().is_none_or(Vec::is_empty))
        {
            status["status"]["conditions"] = json!([
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ]);
        }
        status["status"]["acceptedNames"] = definition["spec"]["names"].clone();
        let versions = at(definition, "spec.versions").and_then(Value::as_array);
        let stored = versions.into_iter().flatten().filter(|version| version["storage"] == true);
        status["status"]["storedVersions"] = stored.map(|version| version["name"].clone()).collect();
        if !object::is_deleting(definition) && !object::finalizers(definition).contains(&CLEANUP) {
            let mut finalizers: Vec<Value> =
                object::finalizers(definition).iter().map(|one| json!(one)).collect();
            finalizers.push(json!(CLEANUP));
            object::set_meta(&mut status, "finalizers", Some(Value::Array(finalizers)));
        }
        if status != *definition {
            self.store(DEFINITIONS, status);
        }
    }
}
