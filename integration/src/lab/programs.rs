//! The programs that a lab runs: built by cargo beside the lab's own binary, or installed.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// Packages whose binaries are started in a lab, and the lab's own: with it the features are those by which the lab
/// was built, so that nothing is compiled twice.
const PACKAGES: [&str; 5] = ["integration", "cni", "ctl", "ipam", "node"];
/// First letters of the variables by which cargo describes a package to its program.
const PACKAGE_VARIABLES: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
/// Where distributions install routers; not on every user's PATH.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"];

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    lab: PathBuf,
    directory: PathBuf,
}

impl Programs {
    /// Those beside this lab binary.
    ///
    /// # Errors
    /// When the path has no parent or does not exist.
    pub fn beside(lab: &Path) -> io::Result<Self> {
        let lab = lab.canonicalize()?;
        let directory = lab.parent().ok_or(io::ErrorKind::NotFound)?.to_owned();
        Ok(Self { lab, directory })
    }

    /// Those beside the running program, which is the lab binary.
    ///
    /// # Errors
    /// When `/proc` does not tell the program's path.
    pub fn beside_this() -> io::Result<Self> {
        Self::beside(&std::env::current_exe()?)
    }

    /// The same programs as cargo builds them by that profile, which need not have happened.
    ///
    /// # Errors
    /// When these are not in a folder of cargo's.
    pub fn of_profile(&self, profile: &str) -> io::Result<Self> {
        let directory = self.directory.parent().ok_or(io::ErrorKind::NotFound)?.join(profile);
        let lab = directory.join(self.lab.file_name().ok_or(io::ErrorKind::NotFound)?);
        Ok(Self { lab, directory })
    }

    /// The lab binary.
    pub fn lab(&self) -> &Path {
        &self.lab
    }

    /// The folder of all of ours.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// One of ours by name.
    ///
    /// # Errors
    /// When it was not built.
    pub fn own(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.directory.join(name);
        if path.is_file() {
            return Ok(path);
        }
        let text = format!("{} is missing: run `cargo build --workspace`", path.display());
        Err(io::Error::new(io::ErrorKind::NotFound, text))
    }

    /// BIRD 2.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn bird() -> io::Result<PathBuf> {
        installed("bird").map_err(|error| {
            io::Error::new(error.kind(), "no bird found: install BIRD 2, or use --router own")
        })
    }

    /// Builds all of ours into the folder of the lab binary; cargo shows its progress on stderr.
    ///
    /// # Errors
    /// When cargo cannot be run or fails.
    pub async fn build(&self, shows_progress: bool) -> io::Result<()> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.arg("build").stdin(Stdio::null());
        for name in package_variables() {
            command.env_remove(name);
        }
        if !shows_progress {
            command.arg("--quiet");
        }
        for package in PACKAGES {
            command.args(["--package", package]);
        }
        let profile = self.directory.file_name().unwrap_or_default();
        if profile != "debug" {
            command.arg("--profile").arg(profile);
        }
        if let Some(target) = self.directory.parent() {
            command.arg("--target-dir").arg(target);
        }
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let status = command.status().await?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("cargo build: {status}"))) }
    }
}

/// A program of the machine, also from where not every user looks.
///
/// # Errors
/// When it is not installed.
pub(crate) fn installed(name: &str) -> io::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_DIRECTORIES.map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{name} is not installed")))
}

/// Variables in which `cargo run` tells us about our package; a cargo that we run must not see them.
///
/// Build scripts of foreign crates depend on them: they would be run, and half of the crates compiled, again.
pub(crate) fn package_variables() -> impl Iterator<Item = OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| PACKAGE_VARIABLES.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)))
}
