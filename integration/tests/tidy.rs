//! The rules of the tree that no compiler knows: who depends on whom, what a core builds from, sizes, names.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the tree fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Longest file without its tests, in lines.
const FILE_LINES_MAX: usize = 500;

/// Longest function, in lines.
const FUNCTION_LINES_MAX: usize = 70;

/// Everything that may stand at the top of the tree, beside dot files.
const TOP_LEVEL: [&str; 13] = [
    "ARCHITECTURE.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "api",
    "bgp",
    "cni",
    "ctl",
    "deploy",
    "felix",
    "integration",
    "ipam",
];

/// Which of our crates each crate may depend on.
const MAY_DEPEND_ON: [(&str, &[&str]); 8] = [
    ("api", &[]),
    ("bgp", &["api"]),
    ("cni", &["api"]),
    ("ctl", &["api"]),
    ("felix", &["api"]),
    ("integration", &["api", "bgp", "cni", "ctl", "felix", "ipam", "node"]),
    ("ipam", &["api"]),
    ("node", &["api", "bgp", "cni", "felix", "ipam"]),
];

/// What a core builds without.
const NOT_IN_A_CORE: [&str; 9] = [
    "tokio",
    "kube-client",
    "kube-runtime",
    "hyper",
    "netlink-sys",
    "netlink-packet-route",
    "socket2",
    "nix",
    "rand",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Paths below the root that git tracks or would track.
fn files(ending: &str) -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let present = text.lines().filter(|path| root().join(path).exists());
    present.filter(|path| path.ends_with(ending)).map(str::to_owned).collect()
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/")
        || path.ends_with("tests.rs")
        || path.contains("/benches/")
        || path.contains("/fuzz/")
}

/// The lines of a file before its test module.
fn code_lines(path: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(path)).unwrap();
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]").map(str::to_owned).collect()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn crates_depend_only_on_whom_they_may() {
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"]))
            .unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let allowed: BTreeMap<&str, &[&str]> = MAY_DEPEND_ON.into_iter().collect();
    assert_eq!(ours, allowed.keys().copied().collect(), "a crate that the rule does not name");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            let is_fine = !ours.contains(on) || allowed[name].contains(&on);
            assert!(is_fine, "{name} must not depend on {on}");
        }
    }
}

#[test]
fn cores_build_without_io() {
    for core in ["bgp", "cni", "felix", "ipam"] {
        let arguments =
            ["tree", "-p", core, "--no-default-features", "-e", "normal", "--prefix", "none", "--offline"];
        let tree = cargo(&arguments);
        let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(names.contains(core), "{core}: cargo tree printed {tree}");
        for forbidden in NOT_IN_A_CORE {
            assert!(!names.contains(forbidden), "the core of {core} depends on {forbidden}");
        }
    }
}

#[test]
fn files_and_functions_are_short() {
    let mut too_long = Vec::new();
    for path in files(".rs").into_iter().filter(|path| !is_test(path)) {
        let lines = code_lines(&path);
        if lines.len() > FILE_LINES_MAX {
            too_long.push(format!("{path}: {} lines", lines.len()));
        }
        too_long.extend(long_functions(&path, &lines));
    }
    assert!(too_long.is_empty(), "too long:\n{}", too_long.join("\n"));
}

/// Functions over the limit: from a line that declares one to the brace at its own indentation.
fn long_functions(path: &str, lines: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in lines.iter().enumerate() {
        match &open {
            None if declares_function(line) && !line.trim_end().ends_with(';') => {
                let indentation = line.len() - line.trim_start().len();
                open = Some((number, format!("{}}}", " ".repeat(indentation))));
            }
            Some((start, end)) if line == end => {
                let length = number - start + 1;
                if length > FUNCTION_LINES_MAX {
                    found.push(format!("{path}:{}: a function of {length} lines", start + 1));
                }
                open = None;
            }
            _ => {}
        }
    }
    found
}

fn declares_function(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let qualifiers = ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe", "extern"];
    words.find(|word| !qualifiers.contains(word)) == Some("fn") && !line.trim_end().ends_with('}')
}

#[test]
fn the_top_level_is_as_agreed() {
    let agreed: BTreeSet<&str> = TOP_LEVEL.into_iter().chain(["node"]).collect();
    let found: BTreeSet<String> = files("")
        .into_iter()
        .map(|path| path.split('/').next().unwrap_or_default().to_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    for name in &found {
        assert!(agreed.contains(name.as_str()), "{name} is not agreed to stand at the top level");
    }
}

#[test]
fn no_room_is_a_heap() {
    const HEAPS: [&str; 6] = ["utils", "util", "helpers", "common", "misc", "manager"];
    for path in files(".rs") {
        for part in path.trim_end_matches(".rs").split('/') {
            assert!(!HEAPS.contains(&part), "{path}: `{part}` says nothing about what is in it");
        }
    }
}

#[test]
fn every_test_file_has_a_test() {
    let tests: Vec<String> = files(".rs").into_iter().filter(|path| path.contains("/tests/")).collect();
    for path in tests.iter().filter(|path| path.matches('/').count() == 2 || path.ends_with("/main.rs")) {
        // The modules of a test lie in the folder of its name, or beside its `main.rs`.
        let modules = path.trim_end_matches("main.rs").trim_end_matches(".rs").trim_end_matches('/');
        let of_test =
            tests.iter().filter(|other| *other == path || other.starts_with(&format!("{modules}/")));
        let text: String = of_test.map(|path| fs::read_to_string(root().join(path)).unwrap()).collect();
        assert!(
            text.contains("#[test]") || text.contains("#[tokio::test") || text.contains("proptest!"),
            "{path} holds no test"
        );
        assert!(!text.contains(concat!("#[", "ignore")), "{path} ignores a test");
    }
}
