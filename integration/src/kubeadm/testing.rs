//! A kubeadm cluster for tests.

use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::{KubeadmLab, ProxyMode};
use crate::lab::directory::Directory;
use crate::lab::error::LabError;
use crate::lab::programs::Programs;
use crate::lab::steps::Steps;
use crate::lab::topology::Shape;

/// A cluster with our manifest applied, and the folder that its directory is in; `lab` is `env!("CARGO_BIN_EXE_lab")`.
/// Its steps go to stderr.
///
/// # Errors
/// As [`KubeadmLab::start`].
pub async fn start(lab: &str, shape: Shape, proxy: ProxyMode) -> Result<(KubeadmLab, TempDir), LabError> {
    let parent = tempfile::tempdir()?;
    let programs = Programs::beside(Path::new(lab))?;
    let directory = Directory::create(&parent.path().join("lab"), programs.lab())?;
    let steps = Steps::to(io::stderr());
    let lab = KubeadmLab::start(shape, proxy, programs, directory, &steps).await?;
    Ok((lab, parent))
}
