//! The programs, static and without the paths of this machine in them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{ImageError, PROGRAMS, Profile, sbom};
use crate::lab::programs::package_variables;

/// The checkout.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Between flags in the variable that cargo reads them from: they may contain spaces.
const SEPARATOR: &str = "\u{1f}";

/// Builds all programs of the image; the folder where they are.
pub(super) fn programs(target: &Path, profile: Profile) -> Result<PathBuf, ImageError> {
    let platform = platform()?;
    let mut command = cargo();
    command.args(["build", "--locked", "--bins", "--target", &platform, "--target-dir"]).arg(target);
    for (_, package) in PROGRAMS {
        command.args(["--package", package]);
    }
    let folder = match profile {
        Profile::Debug => "debug",
        Profile::Release => {
            command.arg("--release");
            "release"
        }
    };
    // What a debugger needs is most of an unoptimised program.
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_STRIP", "symbols");
    command.env("CARGO_ENCODED_RUSTFLAGS", flags()?);
    let status = command.status().map_err(|error| ImageError::Build(error.to_string()))?;
    if !status.success() {
        return Err(ImageError::Build(format!("cargo build: {status}")));
    }
    Ok(target.join(platform).join(folder))
}

/// The list of what the programs are built from, as SPDX.
pub(super) fn sbom() -> Result<String, ImageError> {
    let platform = platform()?;
    let mut command = cargo();
    command.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", &platform]);
    let metadata: Value = serde_json::from_slice(&output(&mut command)?)
        .map_err(|error| ImageError::Metadata(error.to_string()))?;
    let packages = PROGRAMS.map(|(_, package)| package);
    let document = sbom::document(&metadata, &packages).map_err(ImageError::Metadata)?;
    Ok(format!("{document:#}\n"))
}

/// Static, and the same wherever the checkout and the dependencies' sources lie.
fn flags() -> Result<String, ImageError> {
    let root =
        Path::new(ROOT).canonicalize().map_err(|source| ImageError::File { path: ROOT.into(), source })?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(default_cargo_home);
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned(), remap(&root, "/tortie")];
    flags.extend(home.map(|home| remap(&home, "/cargo")));
    Ok(flags.join(SEPARATOR))
}

fn default_cargo_home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"))
}

/// The triple of this machine. With it named, the flags do not reach build scripts and macros, which cannot be static.
fn platform() -> Result<String, ImageError> {
    let mut command = Command::new("rustc");
    command.arg("-vV").current_dir(ROOT).stderr(Stdio::inherit());
    let text = String::from_utf8_lossy(&output(&mut command)?).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| ImageError::Build("rustc -vV names no host".to_owned()))
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(ROOT).stdin(Stdio::null()).stderr(Stdio::inherit());
    for name in package_variables() {
        command.env_remove(name);
    }
    command
}

fn output(command: &mut Command) -> Result<Vec<u8>, ImageError> {
    let output = command.output().map_err(|error| ImageError::Build(error.to_string()))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(ImageError::Build(format!("{command:?}: {}", output.status)))
    }
}
