//! The tests that must notice a mutant, and cargo, which runs them.

use std::fmt;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::checkout;

/// How long one killer may run: many times what the slowest takes. A mutant that makes a loop endless is noticed
/// by this.
const LIMIT: Duration = Duration::from_mins(5);

/// Tests of one package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Killer {
    /// The package.
    pub(super) package: &'static str,
    /// The test file; none for the tests inside the library.
    pub(super) file: Option<&'static str>,
    /// What their names contain.
    pub(super) filter: &'static str,
}

impl Killer {
    /// Tests inside the library of the package.
    pub(super) const fn inside(package: &'static str, filter: &'static str) -> Self {
        Self { package, file: None, filter }
    }

    /// Tests of a file in the package's `tests` folder.
    pub(super) const fn beside(package: &'static str, file: &'static str, filter: &'static str) -> Self {
        Self { package, file: Some(file), filter }
    }

    fn arguments(&self) -> Vec<&'static str> {
        let mut arguments = vec!["test", "--package", self.package];
        match self.file {
            Some(file) => arguments.extend(["--test", file]),
            None => arguments.push("--lib"),
        }
        arguments
    }
}

impl fmt::Display for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cargo {} -- {}", self.arguments().join(" "), self.filter)
    }
}

/// What the tests said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All passed.
    Passed {
        /// So many.
        tests: usize,
    },
    /// Some failed, or the test program died.
    Failed,
    /// They did not end within [`LIMIT`].
    Endless,
}

/// Cargo, in a copy of the tree.
pub(super) struct Cargo {
    folder: PathBuf,
    /// Not the checkout's own: there, what is built of a mutant would pass for the checkout's.
    target: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Cargo {
    /// Builds beside the programs of the checkout, and keeps what it built for the next run.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2).context("the lab's program lies in a target folder")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { folder: folder.to_owned(), target: target.join("mutants"), runtime })
    }

    /// Whether the killer's tests can be built.
    pub(super) fn build(&self, killer: Killer) -> Result<bool> {
        let mut command = self.command(&killer.arguments());
        command.args(["--no-run", "--quiet"]).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.status().context("cargo")?.success())
    }

    /// Runs the killer's tests, which are built.
    pub(super) fn test(&self, killer: Killer) -> Result<Outcome> {
        let mut command = self.command(&killer.arguments());
        command.args(["--", killer.filter]).process_group(0);
        self.runtime.block_on(ended(command.into()))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = checkout::cargo(&self.folder, arguments);
        command.env("CARGO_TARGET_DIR", &self.target);
        command.env("CARGO_TERM_COLOR", "never");
        command
    }
}

async fn ended(mut command: tokio::process::Command) -> Result<Outcome> {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).context("a child has an identifier")?;
    let Ok(output) = tokio::time::timeout(LIMIT, child.wait_with_output()).await else {
        // Cargo's own children, the test programs, go with it.
        nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL)?;
        return Ok(Outcome::Endless);
    };
    let output = output?;
    Ok(outcome(output.status, &String::from_utf8_lossy(&output.stdout)))
}

fn outcome(status: ExitStatus, text: &str) -> Outcome {
    if !status.success() || status.signal().is_some() {
        return Outcome::Failed;
    }
    let passed = text.lines().filter_map(|line| line.strip_prefix("test result: ok. "));
    let tests = passed.filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok()).sum();
    Outcome::Passed { tests }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_say_is_read() {
        let ok = ExitStatus::from_raw(0);
        let two =
            "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out\n";
        // (why, status, output, outcome)
        let cases = [
            ("all passed", ok, two, Outcome::Passed { tests: 2 }),
            ("nothing ran", ok, "running 0 tests\n", Outcome::Passed { tests: 0 }),
            ("a test failed", ExitStatus::from_raw(101 << 8), two, Outcome::Failed),
            ("cargo was killed", ExitStatus::from_raw(9), two, Outcome::Failed),
        ];
        for (why, status, text, expected) in cases {
            assert_eq!(outcome(status, text), expected, "{why}");
        }
    }

    #[test]
    fn a_killer_is_a_command() {
        let inside = Killer::inside("ipam", "block::tests");
        let beside = Killer::beside("felix", "routes", "restart");
        assert_eq!(inside.to_string(), "cargo test --package ipam --lib -- block::tests");
        assert_eq!(beside.to_string(), "cargo test --package felix --test routes -- restart");
    }
}
