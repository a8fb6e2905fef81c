//! Figures are of release builds alone: builds them and runs this command again as one.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::lab::programs::Programs;

/// The folder into which cargo puts release builds.
const RELEASE: &str = "release";

/// Whether programs in this folder are release builds.
pub(super) fn is_release(directory: &Path) -> bool {
    directory.file_name().is_some_and(|name| name == RELEASE)
}

/// Does not return on success: becomes the release build of this program, with the same arguments.
///
/// # Errors
/// When cargo fails, or without a build that could be taken.
pub(super) fn build_and_run(programs: &Programs, takes_last: bool) -> Result<()> {
    let release = programs.of_profile(RELEASE)?;
    if !takes_last {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(release.build(true))?;
    }
    let error = Command::new(release.lab()).args(std::env::args_os().skip(1)).exec();
    Err(error).with_context(|| format!("start of {}", release.lab().display()))
}
