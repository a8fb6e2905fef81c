//! The checkout that the lab was built from: where it is, which commit it is at, and cargo in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::lab::programs::package_variables;

/// The workspace's folder.
///
/// # Errors
/// It is gone.
pub(crate) fn root() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    folder.canonicalize().with_context(|| format!("{} is gone", folder.display()))
}

/// The commit of a checkout, and whether there is more than it.
///
/// # Errors
/// The folder is in no checkout, or git is missing.
pub(crate) fn version(folder: &Path) -> Result<String> {
    let commit = git(folder, &["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(folder, &["status", "--porcelain", "--untracked-files=no"])?;
    let changes = if changes.is_empty() { "" } else { " with uncommitted changes" };
    Ok(format!("{}{changes}", commit.trim()))
}

/// What git prints.
///
/// # Errors
/// What it complains about.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().context("git")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {}", arguments.join(" "), error.trim());
    String::from_utf8(output.stdout).context("git's output")
}

/// The cargo that runs us, with these arguments, in this folder.
pub(crate) fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    for name in package_variables() {
        command.env_remove(name);
    }
    command
}
