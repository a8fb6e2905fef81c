//! The lab's directory: control socket, kubeconfig, logs; gone when the lab is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Longest name of a lab: it is part of socket paths, which the kernel limits to 107 bytes.
const NAME_LENGTH_MAX: usize = 32;

/// The directory above all labs of this user: `$XDG_RUNTIME_DIR`, or `/run` for root, or `/tmp`.
pub fn base() -> PathBuf {
    let user = nix::unistd::getuid();
    if let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR").filter(|runtime| Path::new(runtime).is_dir()) {
        PathBuf::from(runtime).join("tortie-lab")
    } else if user.is_root() && std::env::var_os(super::user::OUTER_USER).is_none() {
        "/run/tortie-lab".into()
    } else {
        let outer = std::env::var(super::user::OUTER_USER).unwrap_or_else(|_| user.to_string());
        format!("/tmp/tortie-lab-{outer}").into()
    }
}

/// The path of the lab of that name, which need not exist.
///
/// # Errors
/// When no lab can have that name.
pub fn of(name: &str) -> io::Result<PathBuf> {
    let is_good = !name.is_empty()
        && name.len() <= NAME_LENGTH_MAX
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    if is_good {
        return Ok(base().join(name));
    }
    let text = format!("'{name}' cannot name a lab: 1 to {NAME_LENGTH_MAX} letters, digits and dashes");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// A lab's directory and the process that removes it, whatever way the supervisor ends.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    sweeper: Option<Child>,
}

impl Directory {
    /// A new directory; what a dead lab of the same name left is removed first.
    ///
    /// # Errors
    /// `AlreadyExists` when a lab of that name runs.
    pub fn create(path: &Path, lab: &Path) -> io::Result<Self> {
        if is_alive(path) {
            let text = format!("{} belongs to a lab that is running", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?,
        }
        let sweeper = Command::new(lab)
            .arg("sweep")
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { path: path.into(), sweeper: Some(sweeper) })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The log of that name, to append to.
    ///
    /// # Errors
    /// The file system's.
    pub fn log(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(self.file(&format!("{name}.log")))
    }

    /// The last line of that log; empty where there is none.
    pub fn last_logged(&self, name: &str) -> String {
        let text = fs::read_to_string(self.file(&format!("{name}.log"))).unwrap_or_default();
        text.lines().last().unwrap_or_default().to_owned()
    }

    /// Writes a file that only this user can read.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.file(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(mut sweeper) = self.sweeper.take() {
            drop(sweeper.stdin.take());
            let _ = sweeper.wait();
        }
    }
}

/// Whether somebody listens on the control socket there.
pub fn is_alive(path: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(path.join("control.sock")).is_ok()
}

/// What the sweeper process does: removes the directory once its stdin ends.
///
/// # Errors
/// The file system's.
pub fn sweep(path: &Path) -> io::Result<()> {
    io::stdin().read_to_end(&mut Vec::new())?;
    let swept = crate::kubeadm::sweep::sweep(path);
    fs::remove_dir_all(path)?;
    // The directory of all labs goes with the last: it is not empty before.
    let _ = path.parent().map(fs::remove_dir);
    swept
}
