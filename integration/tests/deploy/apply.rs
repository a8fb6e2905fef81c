//! `kubectl` applies what is in `deploy` to a real API server, and takes it back.
//!
//! Needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ::kube::api::ListParams;
use integration::kube;
use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::{ApiKind, Shape};

use crate::manifest::{deploy, manifest};

const LAB: &str = env!("CARGO_BIN_EXE_lab");

struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    fn of(lab: &TestLab) -> Self {
        let program = kube::kubectl(|_| {}).unwrap();
        Self { program, kubeconfig: lab.kubeconfig().to_owned() }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(arguments).current_dir(deploy());
        command.output().unwrap()
    }

    /// What it prints, once it has ended well.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "kubectl {arguments:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }
}

fn examples() -> Vec<String> {
    let entries = fs::read_dir(deploy().join("examples")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().path()).map(|path: PathBuf| name_of(&path)).collect();
    names.sort();
    assert!(!names.is_empty());
    names
}

fn name_of(path: &Path) -> String {
    format!("examples/{}", path.file_name().unwrap().to_string_lossy())
}

/// A server with one node, so that the daemons hold what they make while it is taken from them.
async fn lab() -> TestLab {
    let shape = Shape { racks: 1, nodes: 1, tors_per_rack: 1, api: ApiKind::Etcd, ..Shape::default() };
    TestLab::start_on_its_api(LAB, shape).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_in_one_call_goes_in_one_call() {
    let lab = lab().await;
    let kubectl = Kubectl::of(&lab);
    let said = kubectl.done(&["apply", "--server-side", "--force-conflicts", "-f", "tortie.yaml"]);
    assert_eq!(said.lines().count(), manifest().len(), "{said}");
    for example in examples() {
        kubectl.done(&["apply", "--server-side", "--force-conflicts", "-f", &example]);
    }
    kubectl.done(&["delete", "-f", "tortie.yaml", "--timeout=60s", "--ignore-not-found"]);
    let left = lab.until("the end of all definitions", LIMIT, async || {
        let definitions = lab.objects("apiextensions.k8s.io/v1", "CustomResourceDefinition", None);
        let left = definitions.list(&ListParams::default()).await.ok()?;
        left.items.is_empty().then_some(())
    });
    left.await.unwrap();
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_in_any_order() {
    let lab = lab().await;
    let kubectl = Kubectl::of(&lab);
    kubectl.done(&["apply", "--server-side", "--force-conflicts", "-f", "tortie.yaml"]);
    let mut objects = manifest();
    objects.reverse();
    for object in objects {
        let (kind, name) = (object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
        kubectl.done(&["delete", kind, name, "--namespace", namespace, "--timeout=60s"]);
    }
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_takes_every_object_of_the_manifest_as_it_is() {
    let lab = lab().await;
    let kubectl = Kubectl::of(&lab);
    // Unknown fields are errors, and defaults do not count.
    kubectl.done(&[
        "apply",
        "--dry-run=server",
        "--validate=strict",
        "--server-side",
        "--force-conflicts",
        "-f",
        "tortie.yaml",
    ]);
    lab.end().await;
}
