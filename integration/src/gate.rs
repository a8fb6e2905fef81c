//! `cargo lab test`: installs what the tests need, runs every check and every test, and counts.
//!
//! ```text
//! tools -> format, lints, documentation, cores -> binaries -> all tests, labs on the embedded API server
//!                                                          -> tests of whole clusters again, on kube-apiserver and etcd
//!                                                          -> fuzz targets, half a minute
//! ```
//! A failure, a skip, a missing tool or a test file without a test fails the whole; nothing is passed over in silence.

mod count;
mod failures;
mod tools;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::checkout::{self, cargo};
use crate::lab::testing::API_VARIABLE;
use count::Counts;
use failures::Failures;

/// Crates whose core must build alone.
const CORES: [&str; 4] = ["bgp", "cni", "felix", "ipam"];

/// The tests that bring up whole clusters, which must pass on both API servers.
const ON_BOTH_SERVERS: [&str; 4] = ["failures", "policy", "reachability", "routing"];

/// One test at a time: several of them bring up whole clusters, and one that counts lost datagrams must not share two
/// cores with another's cluster.
const IN_TURN: [&str; 2] = ["--", "--test-threads=1"];

/// Runs everything.
///
/// # Errors
/// The first check that fails; the tests run to their end and are counted first.
pub fn run() -> Result<()> {
    let root = checkout::root()?;
    tools::require()?;
    let started = now();
    check(&root, "format", &["fmt", "--check"], &[])?;
    check(&root, "lints", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])?;
    check(
        &root,
        "documentation",
        &["doc", "--workspace", "--no-deps", "--quiet"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    for core in CORES {
        check(&root, &format!("core of {core} alone"), &["check", "-p", core, "--no-default-features"], &[])?;
    }
    check(&root, "binaries", &["build", "--workspace", "--bins"], &[])?;
    let mut failures = Failures::default();
    let all = tests(&root, &["test", "--workspace", "--no-fail-fast"], "embedded", &mut failures)?;
    let of_clusters: Vec<&str> = ON_BOTH_SERVERS.iter().flat_map(|test| ["--test", test]).collect();
    let again = [&["test", "--workspace", "--no-fail-fast"][..], &of_clusters].concat();
    let again = tests(&root, &again, "etcd", &mut failures)?;
    say("== fuzz targets");
    let fuzz = crate::soak::short_fuzz(&root);
    say(&failures.to_string());
    say(&format!("everything took {} s", started.elapsed().as_secs()));
    say(&format!("all tests, on the embedded API server: {all}"));
    say(&format!("{}, on kube-apiserver with etcd: {again}", ON_BOTH_SERVERS.join(", ")));
    all.verdict()?;
    again.verdict()?;
    say(&fuzz?);
    Ok(())
}

/// Runs one cargo command that must succeed.
fn check(root: &Path, what: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    say(&format!("== {what}: cargo {}", arguments.join(" ")));
    let status = cargo(root, arguments).envs(environment.iter().copied()).status()?;
    if !status.success() {
        bail!("{what}: cargo {} failed", arguments.join(" "));
    }
    Ok(())
}

/// Runs tests to their end, their labs on this API server, passing their output on.
fn tests(root: &Path, arguments: &[&str], api: &str, failures: &mut Failures) -> Result<Counts> {
    let arguments = [arguments, &IN_TURN].concat();
    say(&format!("== tests: {API_VARIABLE}={api} cargo {}", arguments.join(" ")));
    let mut child = cargo(root, &arguments)
        .env(API_VARIABLE, api)
        .env("CARGO_TERM_COLOR", "never")
        .stdout(Stdio::piped())
        // The names of the test files come on standard error; both streams in one keeps their order.
        .stderr(Stdio::from(std::io::stdout()))
        .spawn()?;
    let output = child.stdout.take().context("cargo's output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        counts.read(&line);
        failures.read(&line);
        say(&line);
    }
    counts.exited_well = child.wait()?.success();
    Ok(counts)
}

#[expect(clippy::print_stdout, reason = "what the checks say is what the command is for")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::disallowed_methods, reason = "how long a run took is for people")]
fn now() -> Instant {
    Instant::now()
}
