//! The process that holds a space of the lab: `lab hold`, started by the supervisor.
//!
//! It makes its namespaces, says `ready` on stdout and waits for the end of its stdin. Processes
//! that belong to the space are started beside it and enter its namespaces.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// What a node has for itself while it shares the rest of the file system with the machine.
pub(super) const PRIVATE_DIRECTORIES: [&str; 4] = ["/run", "/etc/cni", "/opt/cni", "/var/lib/tortie"];
/// What the holder says when its namespaces can be entered.
pub(super) const READY: &str = "ready\n";

/// What `lab hold` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Hold {
    /// Name of the host inside.
    #[arg(long)]
    pub hostname: String,
    /// Give it its own /run, /etc/cni, /opt/cni and /var/lib/tortie.
    #[arg(long)]
    pub private: bool,
}

/// Makes the namespaces and holds them until stdin ends.
///
/// # Errors
/// With the step that the kernel refused.
pub fn hold(hold: &Hold) -> io::Result<()> {
    let mut flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    if hold.private {
        flags |= CloneFlags::CLONE_NEWNS;
    }
    unshare(flags).map_err(|error| named("new namespaces", error))?;
    nix::unistd::sethostname(&hold.hostname).map_err(|error| named("sethostname", error))?;
    if hold.private {
        make_private()?;
    }
    let mut stdout = io::stdout();
    stdout.write_all(READY.as_bytes())?;
    stdout.flush()?;
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

fn make_private() -> io::Result<()> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|error| named("private mounts", error))?;
    // Own /run first: later steps put their scaffolding there, where the host cannot see it.
    for directory in PRIVATE_DIRECTORIES.map(Path::new) {
        if !directory.is_dir() {
            replace_by_copy(existing_parent(directory)?)?;
            fs::create_dir_all(directory)?;
        }
        mount_tmpfs(directory)?;
    }
    Ok(())
}

/// The deepest directory above `directory` that exists. It is never `/`, which cannot be replaced.
fn existing_parent(directory: &Path) -> io::Result<&Path> {
    directory
        .ancestors()
        .skip(1)
        .find(|parent| parent.is_dir())
        .filter(|parent| parent.parent().is_some())
        .ok_or_else(|| io::Error::other(format!("{} needs its parent directory", directory.display())))
}

/// Puts a writable directory with the same contents in the place of `directory`: a directory can be
/// made in it without changing the machine's file system.
fn replace_by_copy(directory: &Path) -> io::Result<()> {
    let scaffold = PathBuf::from("/run/lab-scaffold");
    fs::create_dir_all(&scaffold)?;
    mount_tmpfs(&scaffold)?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let copy = scaffold.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &copy)?;
        } else if kind.is_dir() {
            fs::create_dir(&copy)?;
            bind(&entry.path(), &copy)?;
        } else if kind.is_file() {
            fs::write(&copy, "")?;
            bind(&entry.path(), &copy)?;
        }
    }
    let none: Option<&str> = None;
    mount(Some(&scaffold), directory, none, MsFlags::MS_MOVE, none)
        .map_err(|error| named(&format!("replacement of {}", directory.display()), error))?;
    fs::remove_dir(&scaffold)
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    let none: Option<&str> = None;
    mount(Some(from), to, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
        .map_err(|error| named(&format!("{} in its place", from.display()), error))
}

fn mount_tmpfs(directory: &Path) -> io::Result<()> {
    mount(Some("tmpfs"), directory, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
        .map_err(|error| named(&format!("own {}", directory.display()), error))
}

fn named(what: &str, error: nix::Error) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
