//! The CRD files in `deploy/crds` are those that the types give.

use std::{collections::BTreeMap, fs, path::Path};

#[test]
fn deploy_crds_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds");
    let expected: BTreeMap<String, String> = api::crds::files().unwrap().into_iter().collect();
    if std::env::var_os("UPDATE").is_some() {
        for (name, text) in &expected {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    let found: BTreeMap<String, String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>(),
        "a file too many or too few; run `UPDATE=1 cargo test -p api`"
    );
    for (name, text) in expected {
        assert_eq!(found[&name], text, "{name} is not current; run `UPDATE=1 cargo test -p api`");
    }
}

#[test]
fn every_field_has_a_description() {
    for crd in api::crds::all() {
        let kind = &crd.spec.names.kind;
        for version in &crd.spec.versions {
            let schema =
                version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()).unwrap();
            let properties = schema.properties.as_ref().unwrap();
            for (part, schema) in properties {
                for (name, field) in schema.properties.iter().flatten() {
                    assert!(field.description.is_some(), "{kind}.{part}.{name} has no description");
                }
            }
        }
    }
}
