//! The Go compiler: the machine's own where it is new enough, else one that is fetched.
//!
//! Distributions have old ones. Go's releases are modules too: any `go` downloads the wanted one from wherever this
//! machine gets its modules, and checks it against the checksum database.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::KubeError;

/// The oldest release that builds our modules: the `go` line of `integration/kube/go.mod`.
const OLDEST: (u32, u32) = (1, 26);

/// The release that is fetched.
const FETCHED: &str = "1.26.8";

/// Folders whose files are run: module archives keep no execute bits.
const RUN: [&str; 2] = ["pkg/tool", "bin"];

/// Under this name a release holds its `go.mod` files, because a module cannot hold another one.
const HIDDEN_MODULE: &str = "_go.mod";

/// How deep the folders of a release are, with much to spare.
const DEPTH_MAX: usize = 32;

/// A compiler that is new enough.
#[derive(Debug)]
pub(super) struct Go {
    program: PathBuf,
    /// Where it lies as a whole, if it is not the machine's own.
    root: Option<PathBuf>,
}

impl Go {
    /// The machine's own compiler, or the one in `cache`, which is fetched if it is not there yet; `progress` is told
    /// of that. One caller at a time.
    ///
    /// # Errors
    /// `NoGo` if there is none that could fetch the right one, or it cannot.
    pub(super) fn find(cache: &Path, progress: &mut dyn FnMut(&str)) -> Result<Self, KubeError> {
        let own = version_of(Path::new("go"));
        if own.as_ref().is_ok_and(|version| *version >= OLDEST) {
            return Ok(Self { program: "go".into(), root: None });
        }
        let release = release(std::env::consts::ARCH)
            .ok_or_else(|| KubeError::NoGo(format!("no release for {}", std::env::consts::ARCH)))?;
        let modules = cache.join("go");
        let root = modules.join(&release);
        let program = root.join("bin/go");
        if !is_executable(&program) {
            let old = own.map_err(|error| KubeError::NoGo(format!("`go` is not in the PATH ({error})")))?;
            progress(&format!("fetching Go {FETCHED}: this machine's is {}.{}", old.0, old.1));
            download(&release, &modules)?;
            make_whole(&root)?;
        }
        Ok(Self { program, root: Some(root) })
    }

    /// The compiler, to be given arguments; it never takes another release than its own.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("GOTOOLCHAIN", "local").stdin(Stdio::null());
        if let Some(root) = &self.root {
            command.env("GOROOT", root);
        }
        command
    }
}

/// Major and minor release of a `go`.
fn version_of(program: &Path) -> io::Result<(u32, u32)> {
    let output = Command::new(program)
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        // A go.mod in the current folder may ask for more than this release gives.
        .current_dir("/")
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    parse(&text).ok_or_else(|| io::Error::other(format!("`go env GOVERSION` printed {:?}", text.trim())))
}

/// `go1.26.8` gives (1, 26), and so does `devel go1.26-0123abc`.
fn parse(text: &str) -> Option<(u32, u32)> {
    let word = text.split_whitespace().find_map(|word| word.strip_prefix("go"))?;
    let mut numbers = word.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The module path and version of the release, as it lies in a module cache; none if Go has none for that machine.
fn release(machine: &str) -> Option<String> {
    let machine = match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "loongarch64" => "loong64",
        same @ ("arm" | "riscv64" | "s390x") => same,
        _ => return None,
    };
    Some(format!("golang.org/toolchain@v0.0.1-go{FETCHED}.linux-{machine}"))
}

fn download(release: &str, modules: &Path) -> Result<(), KubeError> {
    fs::create_dir_all(modules)?;
    let output = Command::new("go")
        .args(["mod", "download", release])
        .env("GOTOOLCHAIN", "local")
        .env("GOMODCACHE", modules.canonicalize()?)
        .env("GOFLAGS", "")
        // Outside of any module.
        .current_dir("/")
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(KubeError::NoGo(format!("`go mod download {release}` failed: {}", text.trim())))
}

/// Gives a release back what a module archive cannot hold. `bin/go` becomes executable last: a release that is not
/// whole is none.
fn make_whole(root: &Path) -> io::Result<()> {
    show_modules(root, DEPTH_MAX)?;
    for folder in RUN {
        make_executable(&root.join(folder), DEPTH_MAX)?;
    }
    set_mode(&root.join("bin/go"), 0o755)
}

/// Copies every hidden `go.mod` to its own name.
fn show_modules(folder: &Path, depth: usize) -> io::Result<()> {
    for entry in entries(folder, depth)? {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            show_modules(&path, depth - 1)?;
        } else if entry.file_name() == HIDDEN_MODULE && !path.with_file_name("go.mod").exists() {
            // Folders of a module cache are read-only.
            set_mode(folder, 0o755)?;
            fs::copy(&path, path.with_file_name("go.mod"))?;
        }
    }
    Ok(())
}

fn make_executable(folder: &Path, depth: usize) -> io::Result<()> {
    for entry in entries(folder, depth)? {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            make_executable(&path, depth - 1)?;
        } else if !path.ends_with("bin/go") {
            set_mode(&path, 0o755)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path, depth: usize) -> io::Result<Vec<fs::DirEntry>> {
    if depth == 0 {
        return Err(io::Error::other(format!("{} is deeper than any release of Go", folder.display())));
    }
    fs::read_dir(folder)?.collect()
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests;
