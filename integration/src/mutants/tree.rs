//! A copy of the checkout in a temporary folder, which mutants may be written into.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::catalog::Mutant;
use crate::checkout::{git, version};

/// The copy; it goes when this is dropped.
pub(super) struct Tree {
    folder: TempDir,
    version: String,
}

/// A mutant in the tree.
#[must_use = "the next mutant needs the tree restored"]
pub(super) struct Applied {
    path: PathBuf,
    original: String,
}

impl Tree {
    /// Copies every tracked file as it is in the checkout that the command is given in.
    pub(super) fn copy_of_checkout() -> Result<Self> {
        let root = PathBuf::from(git(Path::new("."), &["rev-parse", "--show-toplevel"])?.trim());
        let folder = tempfile::Builder::new().prefix("tortie-mutants-").tempdir()?;
        for name in git(&root, &["ls-files", "-z"])?.split_terminator('\0') {
            let (from, to) = (root.join(name), folder.path().join(name));
            if !from.is_file() {
                continue; // Deleted, and not yet committed so.
            }
            std::fs::create_dir_all(to.parent().context("a file has a folder")?)?;
            std::fs::copy(&from, &to).with_context(|| format!("copying {name}"))?;
        }
        Ok(Self { folder, version: version(&root)? })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The commit, and whether there is more than it.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Writes the mutant; none if the place that it changes is gone or is not one place.
    pub(super) fn apply(&self, mutant: &Mutant) -> Result<Option<Applied>> {
        let path = self.folder().join(mutant.file);
        let Ok(original) = std::fs::read_to_string(&path) else { return Ok(None) };
        let Some(mutated) = mutant.mutate(&original) else { return Ok(None) };
        std::fs::write(&path, mutated)?;
        Ok(Some(Applied { path, original }))
    }
}

impl Applied {
    /// Writes the file as it was.
    pub(super) fn restore(self) -> Result<()> {
        std::fs::write(&self.path, self.original)
            .with_context(|| format!("restoring {}", self.path.display()))
    }
}
