//! The file system of a machine: the real one's root below, a layer in memory above, disks of its own.
//!
//! ```text
//! overlay: / of the real machine (never written) + tmpfs, lost at a power cut
//! disks:   state/DISK bound to its place, kept over a power cut
//! ```
//!
//! Everything happens in the machine's mount namespace and goes with it.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::cgroup::{self, Hierarchy};

/// What a machine keeps over a power cut: the folder of its state, and where it is inside. They are on a real disk
/// because a runtime cannot lay an overlay over an overlay.
const DISKS: [(&str, &str); 8] = [
    ("containerd", "/var/lib/containerd"),
    ("kubelet", "/var/lib/kubelet"),
    ("etcd", "/var/lib/etcd"),
    ("tortie", "/var/lib/tortie"),
    ("log", "/var/log"),
    ("cni-conf", "/etc/cni/net.d"),
    (PLUGINS_DISK, "/opt/cni/bin"),
    ("kubernetes", "/etc/kubernetes"),
];
/// The disk with the CNI plugins.
pub(super) const PLUGINS_DISK: &str = "cni-bin";
/// What the machine finds of the lab's: the built programs, and the images.
pub(super) const PROGRAMS: &str = "/usr/local/lib/tortie-lab/bin";
/// The images, as archives.
pub(super) const IMAGES: &str = "/usr/local/lib/tortie-lab/images";
/// Settings of the whole kernel that the kubelet would write if they had other values than these. Files that have them
/// lie over the real ones, which stay as they are.
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];
const NOTHING: Option<&str> = None;

/// What a machine's file system is made from.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    /// The machine's folder on a real disk.
    pub(super) state: &'a Path,
    /// The folder of programs.
    pub(super) programs: &'a Path,
    /// The folder of images.
    pub(super) images: &'a Path,
    /// Text files of the machine's own: path inside, text, whether it can be executed.
    pub(super) files: &'a [(&'static str, String, bool)],
}

/// Makes the machine's file system the root of this process. The process is in a mount namespace of its own.
///
/// # Errors
/// With the step that the kernel refused.
pub(super) fn become_root(sources: &Sources<'_>) -> io::Result<()> {
    // Found out while the real hierarchies can still be seen.
    let hierarchies = cgroup::hierarchies()?;
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING).map_err(named("mounts"))?;
    let root = lay_over(sources.state)?;
    mount_kernel(&root)?;
    mount_groups(&root, &hierarchies)?;
    mount_disks(&root, sources)?;
    write_files(&root, sources.files)?;
    cover_settings(&root)?;
    pivot(&root)
}

/// The overlay; its upper layer is in memory.
fn lay_over(state: &Path) -> io::Result<std::path::PathBuf> {
    let (memory, root) = (state.join("memory"), state.join("root"));
    fs::create_dir_all(&memory)?;
    fs::create_dir_all(&root)?;
    mount(Some("tmpfs"), &memory, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .map_err(named("tmpfs"))?;
    let (upper, work) = (memory.join("upper"), memory.join("work"));
    fs::create_dir(&upper)?;
    fs::create_dir(&work)?;
    let options = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
    mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .map_err(named("overlay"))?;
    Ok(root)
}

fn mount_kernel(root: &Path) -> io::Result<()> {
    let none = MsFlags::empty();
    mount(Some("/dev"), &root.join("dev"), NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING)
        .map_err(named("/dev"))?;
    for (kind, place) in [("proc", "proc"), ("sysfs", "sys"), ("tmpfs", "run"), ("tmpfs", "tmp")] {
        mount(Some(kind), &root.join(place), Some(kind), none, NOTHING).map_err(named(place))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))
}

/// Mounted anew in the cgroup namespace, a hierarchy shows the machine's own group as its root.
fn mount_groups(root: &Path, hierarchies: &[Hierarchy]) -> io::Result<()> {
    let place = root.join(cgroup::ROOT.trim_start_matches('/'));
    if hierarchies.iter().any(|hierarchy| hierarchy.option.is_none()) {
        return mount(Some("cgroup2"), &place, Some("cgroup2"), MsFlags::empty(), NOTHING)
            .map_err(named("cgroup2"));
    }
    mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .map_err(named("cgroup"))?;
    for Hierarchy { option, folder, .. } in hierarchies {
        let here = place.join(folder);
        fs::create_dir(&here)?;
        mount(Some("cgroup"), &here, Some("cgroup"), MsFlags::empty(), option.as_deref())
            .map_err(named(folder))?;
        for alias in folder.split(',').filter(|alias| *alias != folder) {
            symlink(folder, place.join(alias))?;
        }
    }
    Ok(())
}

fn mount_disks(root: &Path, sources: &Sources<'_>) -> io::Result<()> {
    for (disk, place) in DISKS {
        let folder = sources.state.join(disk);
        fs::create_dir_all(&folder)?;
        bind(&folder, &root.join(place.trim_start_matches('/')))?;
    }
    for folder in ["var/log/pods", "var/log/containers", "etc/kubernetes/manifests"] {
        fs::create_dir_all(root.join(folder))?;
    }
    bind(sources.programs, &root.join(PROGRAMS.trim_start_matches('/')))?;
    bind(sources.images, &root.join(IMAGES.trim_start_matches('/')))
}

/// A link of the real machine is replaced, not followed: it may lead anywhere.
fn write_files(root: &Path, files: &[(&'static str, String, bool)]) -> io::Result<()> {
    for (path, text, is_program) in files {
        let place = root.join(path.trim_start_matches('/'));
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        let _ = fs::remove_file(&place);
        fs::write(&place, text)?;
        let mode = if *is_program { 0o755 } else { 0o644 };
        fs::set_permissions(&place, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn cover_settings(root: &Path) -> io::Result<()> {
    let folder = root.join("run/kernel-settings");
    fs::create_dir(&folder)?;
    for (setting, value) in KERNEL_SETTINGS {
        let (cover, place) = (folder.join(setting.replace('/', "-")), root.join("proc/sys").join(setting));
        // A kernel without the setting needs no cover.
        if place.exists() {
            fs::write(&cover, format!("{value}\n"))?;
            mount(Some(&cover), &place, NOTHING, MsFlags::MS_BIND, NOTHING).map_err(named(setting))?;
        }
    }
    Ok(())
}

fn pivot(root: &Path) -> io::Result<()> {
    let old = root.join("run/old-root");
    fs::create_dir(&old)?;
    nix::unistd::pivot_root(root, &old).map_err(named("pivot_root"))?;
    nix::unistd::chdir("/").map_err(named("chdir"))?;
    umount2("/run/old-root", MntFlags::MNT_DETACH).map_err(named("the old root"))?;
    fs::remove_dir("/run/old-root")?;
    // The kubelet passes mounts of containers on to others.
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_SHARED, NOTHING)
        .map_err(named("shared mounts"))
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(from), to, NOTHING, flags, NOTHING).map_err(named(&from.display().to_string()))
}

fn named(what: &str) -> impl Fn(nix::Error) -> io::Error + '_ {
    move |error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("{what}: {error}"))
    }
}
