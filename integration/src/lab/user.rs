//! Without root: the program starts itself again as root of a user namespace of its own.
//!
//! Only the user is new; the network stays the machine's own, so that the API server can be reached
//! at 127.0.0.1. All other namespaces of the lab belong to the new user namespace.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

/// Set in the namespace: the user that we are outside of it.
pub(crate) const OUTER_USER: &str = "TORTIE_LAB_OUTER_USER";

/// Returns at once for root; otherwise does not return on success but runs the program anew.
///
/// # Errors
/// When the kernel gives no user namespaces; the text names the settings that forbid it.
pub fn become_root() -> io::Result<()> {
    let (user, group) = (getuid(), getgid());
    if user.is_root() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER).map_err(refused)?;
    fs::write("/proc/self/setgroups", "deny").map_err(refused)?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1\n")).map_err(refused)?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1\n")).map_err(refused)?;
    let program = std::env::current_exe()?;
    Err(Command::new(program).args(std::env::args_os().skip(1)).env(OUTER_USER, user.to_string()).exec())
}

fn refused(error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    let text = format!(
        "the kernel gives this user no namespaces of his own ({error}); run as root, or see \
         user.max_user_namespaces, kernel.unprivileged_userns_clone and \
         kernel.apparmor_restrict_unprivileged_userns"
    );
    io::Error::new(error.kind(), text)
}
