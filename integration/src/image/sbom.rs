//! What the programs are built from, as an SPDX 2.3 document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The document for these packages and all that they link, from cargo's metadata. It has no time and no random
/// name, so that it is the same for the same lock file.
///
/// # Errors
/// What the metadata lacks.
pub(super) fn document(metadata: &Value, roots: &[&str]) -> Result<Value, String> {
    let described: BTreeMap<&str, &Value> =
        list(metadata, "/packages").filter_map(|package| Some((package["id"].as_str()?, package))).collect();
    let edges: BTreeMap<&str, Vec<&str>> = list(metadata, "/resolve/nodes")
        .filter_map(|node| Some((node["id"].as_str()?, linked(node))))
        .collect();
    let mut starts = Vec::new();
    for root in roots {
        let found =
            described.iter().find(|(_, package)| package["name"] == *root && package["source"].is_null());
        starts.push(*found.ok_or_else(|| format!("there is no package {root}"))?.0);
    }
    let reached = reach(&starts, &edges);
    let mut packages = Vec::new();
    let mut relationships = Vec::new();
    for id in &reached {
        let package = described.get(id).ok_or_else(|| format!("{id} is not described"))?;
        packages.push(entry(package));
        for on in edges.get(id).into_iter().flatten().filter_map(|on| described.get(on)) {
            relationships.push(relation(&name_of(package), "DEPENDS_ON", &name_of(on)));
        }
    }
    let roots = starts.iter().filter_map(|id| described.get(id));
    relationships.extend(roots.map(|package| relation("SPDXRef-DOCUMENT", "DESCRIBES", &name_of(package))));
    relationships.sort_by_key(Value::to_string);
    relationships.dedup();
    packages.sort_by_key(|package| package["SPDXID"].to_string());
    let digits = format!("{:x}", Sha256::digest(json!(packages).to_string()));
    Ok(json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "tortie",
        "documentNamespace": format!("https://tortie.dev/spdx/{digits}"),
        "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": ["Tool: cargo lab image"]},
        "packages": packages,
        "relationships": relationships,
    }))
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// What a package links: neither what tests it nor what builds it.
fn linked(node: &Value) -> Vec<&str> {
    let dependencies = list(node, "/deps");
    let is_linked = |dependency: &&Value| list(dependency, "/dep_kinds").any(|kind| kind["kind"].is_null());
    dependencies.filter(is_linked).filter_map(|dependency| dependency["pkg"].as_str()).collect()
}

fn reach<'a>(starts: &[&'a str], edges: &BTreeMap<&'a str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = starts.to_vec();
    while let Some(id) = open.pop() {
        if reached.insert(id) {
            open.extend(edges.get(id).into_iter().flatten());
        }
    }
    reached
}

fn name_of(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    let name = format!("{}-{}", text("name"), text("version"));
    // Identifiers have letters, digits, full stops and hyphens.
    format!("SPDXRef-{}", name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-"))
}

fn entry(package: &Value) -> Value {
    let text = |key: &str| package[key].as_str().unwrap_or("NOASSERTION");
    let locator = format!("pkg:cargo/{}@{}", text("name"), text("version"));
    json!({
        "SPDXID": name_of(package),
        "name": text("name"),
        "versionInfo": text("version"),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        // Some packages write the older form of "or".
        "licenseDeclared": text("license").replace('/', " OR "),
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator,
        }],
    })
}

fn relation(of: &str, kind: &str, to: &str) -> Value {
    json!({"spdxElementId": of, "relationshipType": kind, "relatedSpdxElement": to})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_linked_is_listed() {
        let dependency = |id: &str, kind: Value| json!({"pkg": id, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [
                {"id": "1", "name": "node", "version": "0.1.0", "source": null, "license": "Apache-2.0"},
                {"id": "2", "name": "left_pad", "version": "1.0.0+a", "source": "r", "license": "MIT/Apache-2.0"},
                {"id": "3", "name": "tester", "version": "1.0.0", "source": "r"},
                {"id": "4", "name": "builder", "version": "1.0.0", "source": "r"},
            ],
            "resolve": {"nodes": [
                {"id": "1", "deps": [
                    dependency("2", Value::Null), dependency("3", json!("dev")), dependency("4", json!("build")),
                ]},
                {"id": "2", "deps": []},
            ]},
        });
        let document = document(&metadata, &["node"]).unwrap();
        let packages: Vec<(&str, &str)> = list(&document, "/packages")
            .map(|package| {
                (package["SPDXID"].as_str().unwrap(), package["licenseDeclared"].as_str().unwrap())
            })
            .collect();
        assert_eq!(
            packages,
            [("SPDXRef-left-pad-1.0.0-a", "MIT OR Apache-2.0"), ("SPDXRef-node-0.1.0", "Apache-2.0")]
        );
        let relationships: Vec<String> = list(&document, "/relationships")
            .map(|it| {
                format!("{} {} {}", it["spdxElementId"], it["relationshipType"], it["relatedSpdxElement"])
            })
            .collect();
        assert_eq!(
            relationships,
            [
                r#""SPDXRef-node-0.1.0" "DEPENDS_ON" "SPDXRef-left-pad-1.0.0-a""#,
                r#""SPDXRef-DOCUMENT" "DESCRIBES" "SPDXRef-node-0.1.0""#,
            ]
        );
    }

    #[test]
    fn a_package_that_is_not_there_is_named() {
        assert_eq!(document(&json!({}), &["node"]), Err("there is no package node".to_owned()));
    }
}
