//! The images of the cluster, made from programs of this machine: each a program with the libraries that it loads.
//!
//! Those of Kubernetes' own programs are kept beside these; those with the lab's own are made anew for each lab.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::config::{COREDNS_TAG, ETCD_TAG, PAUSE_IMAGE, REPOSITORY};
use super::oci::{Archive, Image};
use crate::kube::VERSION;
use crate::lab::programs::installed;

/// The image with the lab's own program, for pods of tests: it answers questions and asks them.
pub const LAB_IMAGE: &str = "tortie.dev/lab:dev";
/// Programs that kube-proxy executes.
const PROXY_TOOLS: [&str; 3] = ["nft", "xtables-nft-multi", "conntrack"];
/// Names by which kube-proxy calls `xtables-nft-multi`.
const PROXY_ALIASES: [&str; 6] =
    ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"];

/// An image of Kubernetes' own: file, name, and whether only the control plane runs it.
pub(super) struct Part {
    program: &'static str,
    tag: String,
    pub(super) is_control_plane: bool,
}

impl Part {
    /// The archive's name.
    pub(super) fn file(&self) -> String {
        format!("{}.tar", self.program)
    }

    fn image(&self, programs: &Path) -> io::Result<Image> {
        let mut files = Archive::default();
        base(&mut files)?;
        files.copy(&format!("usr/local/bin/{}", self.program), &programs.join(self.program))?;
        if self.program == "kube-proxy" {
            add_proxy_tools(&mut files)?;
        }
        let entrypoint = vec![format!("/usr/local/bin/{}", self.program)];
        Ok(Image { names: vec![format!("{REPOSITORY}/{}:{}", self.program, self.tag)], entrypoint, files })
    }
}

/// All images that do not depend on the lab's own program.
pub(super) fn parts() -> Vec<Part> {
    let version = format!("v{VERSION}");
    let parts = [
        ("kube-apiserver", version.clone(), true),
        ("kube-controller-manager", version.clone(), true),
        ("kube-scheduler", version.clone(), true),
        ("etcd", ETCD_TAG.to_owned(), true),
        ("kube-proxy", version, false),
        ("coredns", COREDNS_TAG.to_owned(), false),
    ];
    let part = |(program, tag, is_control_plane)| Part { program, tag, is_control_plane };
    parts.map(part).into()
}

/// Makes the images of Kubernetes' own programs that are not in `folder` yet.
///
/// # Errors
/// When a program or a library of it is missing.
pub(super) fn make_parts(programs: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for part in parts() {
        let file = folder.join(part.file());
        if !file.exists() {
            part.image(programs)?.write(&file)?;
        }
    }
    Ok(())
}

/// Makes the image with the lab's own program, which also is what keeps a pod's namespaces.
///
/// # Errors
/// When the program or a library of it is missing.
pub(super) fn make_lab(lab: &Path, folder: &Path) -> io::Result<PathBuf> {
    let stripped = stripped(lab, folder)?;
    for (file, name, arguments) in [
        ("lab.tar", LAB_IMAGE.to_owned(), vec!["/lab".to_owned()]),
        ("pause.tar", format!("{REPOSITORY}/{PAUSE_IMAGE}"), vec!["/lab".to_owned(), "pause".to_owned()]),
    ] {
        let mut files = Archive::default();
        base(&mut files)?;
        files.copy("lab", &stripped)?;
        add_libraries(&mut files, &[lab])?;
        Image { names: vec![name], entrypoint: arguments, files }.write(&folder.join(file))?;
    }
    Ok(stripped)
}

/// A copy of a program without what only debuggers read, which is most of it.
pub(super) fn stripped(program: &Path, folder: &Path) -> io::Result<PathBuf> {
    let copy = folder.join(program.file_name().unwrap_or_default());
    capture("strip", &[OsStr::new("-o"), copy.as_os_str(), program.as_os_str()])?;
    Ok(copy)
}

/// What every container expects to find.
pub(super) fn base(files: &mut Archive) -> io::Result<()> {
    for folder in [
        "bin",
        "dev",
        "etc",
        "lib",
        "lib64",
        "proc",
        "run",
        "sys",
        "tmp",
        "usr",
        "usr/local",
        "usr/local/bin",
    ] {
        files.folder(folder)?;
    }
    files.file(
        "etc/passwd",
        0o644,
        b"root:x:0:0:root:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    )?;
    files.file("etc/group", 0o644, b"root:x:0:\nnogroup:x:65534:\n")?;
    files.file("etc/nsswitch.conf", 0o644, b"hosts: files dns\n")
}

fn add_proxy_tools(files: &mut Archive) -> io::Result<()> {
    let tools = PROXY_TOOLS.map(installed).into_iter().collect::<io::Result<Vec<_>>>()?;
    for tool in &tools {
        let name = tool.file_name().unwrap_or_default().to_string_lossy();
        files.copy(&format!("usr/sbin/{name}"), tool)?;
    }
    for alias in PROXY_ALIASES {
        files.link(&format!("usr/sbin/{alias}"), "xtables-nft-multi")?;
    }
    let mut loaded: Vec<PathBuf> = tools;
    for entry in fs::read_dir(extensions()?)?.flatten() {
        let (path, inside) = (entry.path(), entry.path());
        let inside = inside.to_string_lossy();
        // Many extensions are links to one another.
        if let Ok(target) = fs::read_link(&path) {
            files.link(inside.trim_start_matches('/'), &target.to_string_lossy())?;
        } else {
            files.copy(inside.trim_start_matches('/'), &path)?;
            loaded.push(path);
        }
    }
    add_libraries(files, &loaded)
}

/// Where iptables keeps its extensions: `xtables` below a folder of libraries.
fn extensions() -> io::Result<PathBuf> {
    let below = |folder: &str| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = below("/usr/lib").chain(below("/usr/lib64")).chain([PathBuf::from("/usr/lib")]);
    let found = folders.map(|folder| folder.join("xtables")).find(|folder| folder.is_dir());
    found.ok_or_else(|| io::Error::other("iptables' folder of extensions is missing: install iptables"))
}

/// The libraries that those programs load, with the loader, at the paths by which they are asked for.
pub(super) fn add_libraries<P: AsRef<OsStr>>(files: &mut Archive, programs: &[P]) -> io::Result<()> {
    let arguments: Vec<&OsStr> = programs.iter().map(AsRef::as_ref).collect();
    let text = capture("ldd", &arguments)?;
    for library in libraries(&text) {
        files.copy(library.trim_start_matches('/'), Path::new(library))?;
    }
    Ok(())
}

/// The paths in what `ldd` prints: `name => path (address)`, or `path (address)`.
fn libraries(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| line.starts_with(char::is_whitespace));
    let paths = lines.filter_map(|line| {
        let rest = line.rsplit_once("=>").map_or(line, |(_, path)| path);
        rest.split_whitespace().next().filter(|path| path.starts_with('/'))
    });
    paths.collect()
}

fn capture(program: &str, arguments: &[&OsStr]) -> io::Result<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program}: {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_prints() {
        let text = "/usr/sbin/nft:\n\tlinux-vdso.so.1 (0x00007ffc)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n/usr/sbin/x:\n\tlibc.so.6 => /lib/libc.so.6 (0x1)\n\
                    \tstatically linked\n";
        let found: Vec<_> = libraries(text).into_iter().collect();
        assert_eq!(found, ["/lib/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
    }
}
