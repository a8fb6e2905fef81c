//! The container image: static programs, nothing else, the same bytes from the same sources.
//!
//! ```text
//! build (cargo, static) -> programs ─┐
//! sbom (cargo metadata) -> SPDX ─────┴─> tar (one layer) -> oci (layout, one file) -> ctr images import
//! ```
//! No registry and no container tool takes part.

#![allow(clippy::print_stdout, reason = "a command line tool speaks on stdout")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

mod build;
mod oci;
mod sbom;
mod tar;

pub(crate) use oci::architecture;

/// The name by which the manifests ask for the image.
pub const REFERENCE: &str = concat!("tortie.dev/tortie:", env!("CARGO_PKG_VERSION"));

/// The programs of the image, in `/usr/bin`, and the packages that make them.
pub const PROGRAMS: [(&str, &str); 5] = [
    ("tortie-bgp", "node"),
    ("tortie-cni", "cni"),
    ("tortie-ipam", "ipam"),
    ("tortie-node", "node"),
    ("tortiectl", "ctl"),
];

/// Where the list of what the programs were built from lies in the image.
const SBOM: &str = "usr/share/tortie/sbom.spdx.json";

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The compiler failed; what it says is on stderr.
    #[error("the programs could not be built: {0}")]
    Build(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Cargo's description of the packages is not what it should be.
    #[error("cargo metadata: {0}")]
    Metadata(String),
}

/// What `cargo lab image` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The file that is written: an OCI layout as one tar file.
    #[arg(long)]
    output: PathBuf,
    /// Unoptimised programs, which are built in a quarter of the time: for tests.
    #[arg(long)]
    debug: bool,
}

/// Builds the programs and the image; tells its name and digest on stdout.
pub(crate) fn run(options: &Options) -> Result<(), ImageError> {
    let lab = std::env::current_exe().map_err(|source| file_error(Path::new("/proc/self/exe"), source))?;
    let target = lab.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
    let profile = if options.debug { Profile::Debug } else { Profile::Release };
    let digest = make(target, profile, &options.output)?;
    println!("{REFERENCE}@{digest}");
    println!("{}", options.output.display());
    Ok(())
}

/// How the programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Quickly, for tests.
    Debug,
    /// As they are shipped.
    Release,
}

/// Builds the programs in cargo's folder `target` and writes the image to `output`; the manifest's digest.
///
/// # Errors
/// See [`ImageError`].
pub fn make(target: &Path, profile: Profile, output: &Path) -> Result<String, ImageError> {
    let programs = build::programs(target, profile)?;
    let mut files = vec![(SBOM.to_owned(), tar::Mode::File, build::sbom()?.into_bytes())];
    for (program, _) in PROGRAMS {
        let path = programs.join(program);
        let content = fs::read(&path).map_err(|source| file_error(&path, source))?;
        files.push((format!("usr/bin/{program}"), tar::Mode::Program, content));
    }
    let image = oci::image(REFERENCE, &files);
    fs::write(output, &image.archive).map_err(|source| file_error(output, source))?;
    Ok(image.digest)
}

fn file_error(path: &Path, source: io::Error) -> ImageError {
    ImageError::File { path: path.to_owned(), source }
}
