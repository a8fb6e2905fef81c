//! The fuzz targets: built by the stable toolchain with the coverage that libFuzzer steers by.
//!
//! Every crate's `fuzz` folder is a workspace of its own. Without a nightly toolchain there is no address sanitizer,
//! which finds nothing in code without `unsafe`; panics, failed assertions and overflows are found.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::checkout::cargo;

/// What `cargo fuzz` tells the compiler, without a sanitizer.
const FLAGS: [&str; 9] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
];

/// A built target.
pub(super) struct Target {
    name: String,
    program: PathBuf,
    /// What it has learnt stays for the next run.
    corpus: PathBuf,
}

/// Builds the targets of all crates.
///
/// # Errors
/// No crate has any; one does not build.
pub(super) fn build(root: &Path) -> Result<Vec<Target>> {
    let host = host()?;
    let folder = root.join("target/fuzz");
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let manifest = entry?.path().join("fuzz/Cargo.toml");
        if !manifest.is_file() {
            continue;
        }
        lock(root, &manifest)?;
        let path = manifest.display().to_string();
        let target = folder.display().to_string();
        let arguments =
            ["build", "--release", "--manifest-path", &path, "--target", &host, "--target-dir", &target];
        // With a target named, build scripts and macros are built without the flags.
        let status = cargo(root, &arguments).env("RUSTFLAGS", FLAGS.join(" ")).status().context("cargo")?;
        ensure!(status.success(), "the fuzz targets of {path} do not build");
        for name in names(root, &path)? {
            let program = folder.join(&host).join("release").join(&name);
            let corpus = folder.join("corpus").join(&name);
            targets.push(Target { name, program, corpus });
        }
    }
    ensure!(!targets.is_empty(), "no crate has fuzz targets");
    Ok(targets)
}

/// The workspace's versions, so that what is fuzzed is what is shipped.
fn lock(root: &Path, manifest: &Path) -> Result<()> {
    let lock = manifest.with_file_name("Cargo.lock");
    if !lock.exists() {
        std::fs::copy(root.join("Cargo.lock"), &lock).with_context(|| lock.display().to_string())?;
    }
    Ok(())
}

fn names(root: &Path, manifest: &str) -> Result<Vec<String>> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--manifest-path", manifest];
    let output = cargo(root, &arguments).stderr(Stdio::inherit()).output().context("cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let targets = metadata["packages"][0]["targets"].as_array().into_iter().flatten();
    let programs = targets.filter(|target| target["kind"][0] == "bin");
    Ok(programs.filter_map(|target| Some(target["name"].as_str()?.to_owned())).collect())
}

fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

impl Target {
    /// Runs it for so long; a line with what it did.
    ///
    /// # Errors
    /// An input that makes it fail, and where that is.
    pub(super) fn run(&self, seed: u64, seconds: u64) -> Result<String> {
        std::fs::create_dir_all(&self.corpus)?;
        let artifacts = self.corpus.with_file_name(format!("{}-failed-", self.name));
        let output = Command::new(&self.program)
            .arg(format!("-seed={seed}"))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}", artifacts.display()))
            .arg("-print_final_stats=1")
            .arg(&self.corpus)
            .stdin(Stdio::null())
            .output()
            .with_context(|| self.program.display().to_string())?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            let last: Vec<&str> = text.lines().rev().take(30).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            bail!("{}, seed {seed}: {}\n{}", self.name, output.status, last.join("\n"));
        }
        let (inputs, edges) = read(&text).with_context(|| format!("{} told nothing: {text}", self.name))?;
        Ok(format!("{}: {inputs} inputs, {edges} edges of the program reached", self.name))
    }
}

/// Inputs tried, and edges covered, as libFuzzer tells at the end.
fn read(text: &str) -> Option<(u64, u64)> {
    let inputs = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    let edges = text.lines().rev().find_map(|line| line.split_once(" cov: ")?.1.split(' ').next());
    Some((inputs.trim().parse().ok()?, edges.and_then(|edges| edges.parse().ok()).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_tells_is_read() {
        let text = "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 26Mb\n\
                    #990\tDONE   cov: 340 ft: 901 corp: 99/1Kb lim: 4096 exec/s: 330 rss: 30Mb\n\
                    Done 990 runs in 3 second(s)\nstat::number_of_executed_units: 990\n";
        assert_eq!(read(text), Some((990, 340)));
        assert_eq!(read("==1== ERROR: libFuzzer: deadly signal"), None);
    }
}
