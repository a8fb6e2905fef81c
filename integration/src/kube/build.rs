//! The programs, built once per version from the modules that `integration/kube/go.mod` names.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::KubeError;

/// Version of Kubernetes that is built; `integration/kube/go.mod` requires the same.
pub const VERSION: &str = "1.36.2";

/// The built programs.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) etcd: PathBuf,
    pub(super) kube_apiserver: PathBuf,
}

/// A program and its main package.
const PACKAGES: [(&str, &str); 2] =
    [("etcd", "go.etcd.io/etcd/server/v3"), ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver")];

/// How much of the compiler's output goes into an error, in bytes.
const OUTPUT_BYTES_MAX: usize = 2_000;

/// Both programs; what is not there yet is built, which takes minutes.
///
/// Builders on one machine take turns, so that nothing is built twice.
///
/// # Errors
/// `NoGo` without a compiler, `Build` if it fails.
pub(super) fn programs(mut progress: impl FnMut(&str)) -> Result<Programs, KubeError> {
    let folder = cache()?.join(format!("kube-{VERSION}"));
    fs::create_dir_all(&folder)?;
    let turn = File::create(folder.join("lock"))?;
    turn.lock()?;
    for (program, package) in PACKAGES {
        if !folder.join(program).is_file() {
            progress(&format!(
                "building {program} for Kubernetes {VERSION}, once on this machine; this takes minutes"
            ));
            build(program, package, &folder)?;
        }
    }
    Ok(Programs { etcd: folder.join("etcd"), kube_apiserver: folder.join("kube-apiserver") })
}

/// The user's folder for what can be made again, outside of the checkout.
fn cache() -> io::Result<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache =
        given.or_else(home).ok_or_else(|| io::Error::other("neither XDG_CACHE_HOME nor HOME is set"))?;
    Ok(cache.join("tortie"))
}

fn build(program: &'static str, package: &str, folder: &Path) -> Result<(), KubeError> {
    let part = folder.join(format!("{program}.part"));
    let (major, minor) = VERSION.split_once('.').unwrap_or((VERSION, "0"));
    let minor = minor.split('.').next().unwrap_or_default();
    // Clients compare versions, so the server has to know its own.
    let set = |name: &str, value: &str| format!("-X k8s.io/component-base/version.{name}={value}");
    let flags = [set("gitVersion", &format!("v{VERSION}")), set("gitMajor", major), set("gitMinor", minor)];
    let output = Command::new("go")
        .args(["build", "-trimpath", "-ldflags", &format!("-s -w {}", flags.join(" ")), "-o"])
        .arg(&part)
        .arg(package)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("kube"))
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| KubeError::NoGo { program, source })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let start = text.len().saturating_sub(OUTPUT_BYTES_MAX);
        let start = (start..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        return Err(KubeError::Build { program, output: text[start..].to_owned() });
    }
    // Renamed once it is whole: a build that is cut off leaves nothing that looks built.
    fs::rename(&part, folder.join(program))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_the_module_requires() {
        let module = include_str!("../../kube/go.mod");
        let wanted = format!("k8s.io/kubernetes v{VERSION}");
        let mut required = module.lines().map(|line| line.trim().trim_end_matches(" // indirect"));
        assert!(required.any(|line| line == wanted), "go.mod does not require {wanted}");
    }
}
