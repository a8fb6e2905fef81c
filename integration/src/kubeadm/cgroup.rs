//! The control groups of a machine: one group in every hierarchy, below the lab's own.
//!
//! A container runtime wants a whole hierarchy for itself. Inside a cgroup namespace a group looks like the root of its
//! hierarchy, so a group for each machine, and a namespace that begins there, is as good as a machine of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where hierarchies are mounted.
pub(super) const ROOT: &str = "/sys/fs/cgroup";
/// Tries to remove a group whose last process is still ending, and the time between two.
const REMOVALS_MAX: u32 = 500;
const REMOVAL_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
/// Groups below groups: containers in pods in classes; a runtime makes no more levels than this.
const DEPTH_MAX: u32 = 16;

/// A hierarchy and the group in it that a process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// What `mount` is told to show it again: `memory`, or `none,name=systemd`; none for version 2.
    pub(super) option: Option<String>,
    /// Its folder's name below the root; empty for a version 2 that is alone.
    pub(super) folder: String,
    /// The group, from the hierarchy's root, without a slash at its start.
    group: String,
}

/// The hierarchies that a process is in, from its `/proc/PID/cgroup`; `unified` tells that version 2 is alone.
fn parse(text: &str, unified: bool) -> Vec<Hierarchy> {
    let lines = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        rest.split_once(':')
    });
    let hierarchies = lines.filter(|(controllers, _)| controllers.is_empty() == unified);
    hierarchies
        .map(|(controllers, group)| {
            let name = controllers.strip_prefix("name=");
            let option = name.map_or(controllers.to_owned(), |name| format!("none,name={name}"));
            Hierarchy {
                option: (!unified).then_some(option),
                folder: name.unwrap_or(controllers).to_owned(),
                group: group.trim_start_matches('/').to_owned(),
            }
        })
        .collect()
}

/// The hierarchies of this process that a machine needs.
///
/// # Errors
/// When `/proc` is not there.
pub(super) fn hierarchies() -> io::Result<Vec<Hierarchy>> {
    let unified = Path::new(ROOT).join("cgroup.controllers").exists();
    Ok(parse(&fs::read_to_string("/proc/self/cgroup")?, unified))
}

/// The groups of one machine.
#[derive(Clone, Debug)]
pub(super) struct Groups(Vec<PathBuf>);

impl Groups {
    /// A group of that name in every hierarchy, below the group that this process is in.
    ///
    /// # Errors
    /// With the group that could not be made.
    pub(super) fn create(name: &str) -> io::Result<Self> {
        let below = |hierarchy: &Hierarchy| Path::new(ROOT).join(&hierarchy.folder).join(&hierarchy.group);
        let groups: io::Result<_> =
            hierarchies()?.iter().map(|hierarchy| make(&below(hierarchy), name)).collect();
        groups.map(Self)
    }

    /// The folders of the groups.
    pub(super) fn folders(&self) -> &[PathBuf] {
        &self.0
    }

    /// Removes all groups below these: a machine that boots has none.
    ///
    /// # Errors
    /// With the first that still holds a process after some seconds.
    pub(super) fn empty(&self) -> io::Result<()> {
        for group in &self.0 {
            for entry in fs::read_dir(group)?.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    remove(&entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Removes the groups with all that are below them, which are empty by now or will be in a moment.
    ///
    /// # Errors
    /// With the first group that still holds a process after some seconds.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|group| remove(group))
    }
}

fn make(parent: &Path, name: &str) -> io::Result<PathBuf> {
    let group = parent.join(name);
    let text = |error: io::Error| io::Error::new(error.kind(), format!("group {}: {error}", group.display()));
    match fs::create_dir(&group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(text(error)),
        _ => {}
    }
    // Version 1 gives a new group no processors and no memory nodes, and then no process may enter it.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if parent.join("cgroup.controllers").exists() {
            break;
        }
        if let Ok(value) = fs::read_to_string(parent.join(file)) {
            fs::write(group.join(file), value).map_err(text)?;
        }
    }
    Ok(group)
}

/// Puts this process into those groups.
///
/// # Errors
/// With the group that does not take it.
pub(super) fn enter(groups: &[PathBuf]) -> io::Result<()> {
    groups.iter().try_for_each(|group| {
        fs::write(group.join("cgroup.procs"), std::process::id().to_string())
            .map_err(|error| io::Error::new(error.kind(), format!("group {}: {error}", group.display())))
    })
}

/// Removes one group with those below it; see [`Groups::remove`].
///
/// # Errors
/// When it still holds a process after some seconds.
pub(super) fn remove(group: &Path) -> io::Result<()> {
    let mut last = Ok(());
    for _ in 0..REMOVALS_MAX {
        last = remove_once(group, DEPTH_MAX);
        if last.is_ok() {
            return last;
        }
        std::thread::sleep(REMOVAL_PAUSE);
    }
    last
}

fn remove_once(group: &Path, depth: u32) -> io::Result<()> {
    if !group.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(group)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && depth > 0 {
            remove_once(&entry.path(), depth - 1)?;
        }
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io::Error::new(error.kind(), format!("group {}: {error}", group.display())))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_read_as_the_kernel_lists_them() {
        let hybrid = "9:name=systemd:/a/b\n4:memory:/\n2:cpu,cpuacct:/c\n0::/x\n";
        let of = |option: &str, folder: &str, group: &str| Hierarchy {
            option: Some(option.into()).filter(|option: &String| !option.is_empty()),
            folder: folder.into(),
            group: group.into(),
        };
        let cases = [
            (
                "version 1, with a version 2 beside it that has no controllers",
                hybrid,
                false,
                vec![
                    of("none,name=systemd", "systemd", "a/b"),
                    of("memory", "memory", ""),
                    of("cpu,cpuacct", "cpu,cpuacct", "c"),
                ],
            ),
            ("version 2 alone", "0::/user.slice/x\n", true, vec![of("", "", "user.slice/x")]),
            ("nothing", "", true, vec![]),
        ];
        for (why, text, unified, expected) in cases {
            assert_eq!(parse(text, unified), expected, "{why}");
        }
    }
}
