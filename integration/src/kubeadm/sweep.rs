//! What a lab leaves outside of its directory if its supervisor is killed: the sweeper reads the list and removes it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::cgroup;
use crate::lab::directory::Directory;

/// The list's name in the lab's directory.
const LIST: &str = "leftovers";

/// How something is removed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A folder with all that is in it.
    Disk,
    /// A control group, which only goes when no process is in it.
    Group,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Group => "group",
        }
    }
}

/// Puts something onto the list.
///
/// # Errors
/// The file system's.
pub(super) fn note(directory: &Directory, kind: Kind, path: &Path) -> io::Result<()> {
    let mut list = OpenOptions::new().create(true).append(true).open(directory.file(LIST))?;
    writeln!(list, "{} {}", kind.word(), path.display())
}

/// The groups on the list.
pub(super) fn groups(directory: &Directory) -> Vec<PathBuf> {
    let text = fs::read_to_string(directory.file(LIST)).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter(|(kind, _)| *kind == Kind::Group.word()).map(|(_, path)| path.into()).collect()
}

/// Removes everything that is on the list of a lab's directory and still there.
///
/// # Errors
/// The first that stays; all are tried.
pub(crate) fn sweep(directory: &Path) -> io::Result<()> {
    let text = fs::read_to_string(directory.join(LIST)).unwrap_or_default();
    // Groups first: when they are gone, no process has a file open on a disk.
    let (groups, disks): (Vec<_>, Vec<_>) = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .partition(|(kind, _)| *kind == Kind::Group.word());
    let removed: Vec<io::Result<()>> =
        groups.into_iter().chain(disks).map(|(kind, path)| remove(kind, Path::new(path))).collect();
    removed.into_iter().collect()
}

fn remove(kind: &str, path: &Path) -> io::Result<()> {
    if kind == Kind::Group.word() {
        return cgroup::remove(path);
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_goes_and_what_is_gone_is_no_error() {
        let parent = tempfile::tempdir().unwrap();
        let (lab, disk) = (parent.path().join("lab"), parent.path().join("disk"));
        fs::create_dir_all(&lab).unwrap();
        fs::create_dir_all(disk.join("inside")).unwrap();
        let gone = parent.path().join("gone");
        let list = format!("disk {}\ndisk {}\ngroup {}\n", disk.display(), gone.display(), gone.display());
        fs::write(lab.join(LIST), list).unwrap();
        sweep(&lab).unwrap();
        assert!(!disk.exists());
        fs::remove_file(lab.join(LIST)).unwrap();
        sweep(&lab).unwrap();
    }
}
