//! The programs, built once per version from the modules that `integration/kube/go.mod` names.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{KubeError, go::Go};

/// Version of Kubernetes that is built; `integration/kube/go.mod` requires the same.
pub const VERSION: &str = "1.36.2";

/// A program that is built from a module.
#[derive(Debug)]
pub(super) struct Program {
    name: &'static str,
    /// Its main package.
    package: &'static str,
    /// The folder of the `go.mod` that names it, below `integration/kube`. What Kubernetes is not built with has one of
    /// its own, because one module has one version of each dependency.
    module: &'static str,
}

const fn of_kubernetes(name: &'static str, package: &'static str) -> Program {
    Program { name, package, module: "." }
}

/// The store.
pub(super) const ETCD: Program = of_kubernetes("etcd", "go.etcd.io/etcd/server/v3");
/// The server.
pub(super) const KUBE_APISERVER: Program =
    of_kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver");
/// The command line client.
pub(super) const KUBECTL: Program = of_kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl");

/// What a whole cluster needs beside the store, the server and the client.
pub(super) const OF_A_CLUSTER: [Program; 11] = [
    of_kubernetes("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    of_kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    of_kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    of_kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    of_kubernetes("kubeadm", "k8s.io/kubernetes/cmd/kubeadm"),
    Program {
        name: "containerd",
        package: "github.com/containerd/containerd/v2/cmd/containerd",
        module: "containerd",
    },
    Program {
        name: "containerd-shim-runc-v2",
        package: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        module: "containerd",
    },
    Program { name: "ctr", package: "github.com/containerd/containerd/v2/cmd/ctr", module: "containerd" },
    Program {
        name: "loopback",
        package: "github.com/containernetworking/plugins/plugins/main/loopback",
        module: "containerd",
    },
    Program {
        name: "portmap",
        package: "github.com/containernetworking/plugins/plugins/meta/portmap",
        module: "containerd",
    },
    Program { name: "coredns", package: "github.com/coredns/coredns", module: "coredns" },
];

/// What makes manifests of the chart.
pub(super) const HELM: Program =
    Program { name: "helm", package: "helm.sh/helm/v3/cmd/helm", module: "packagers" };
/// What makes manifests of the kustomization.
pub(super) const KUSTOMIZE: Program =
    Program { name: "kustomize", package: "sigs.k8s.io/kustomize/kustomize/v5", module: "packagers" };

/// How much of the compiler's output goes into an error, in bytes.
const OUTPUT_BYTES_MAX: usize = 2_000;

/// Where the program is, in the user's cache; it is built if it is not there yet, which takes minutes.
///
/// Builders on one machine take turns, so that nothing is built twice.
///
/// # Errors
/// `NoGo` without a compiler, `Build` if it fails.
pub(super) fn built(program: &Program, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, KubeError> {
    let cache = cache()?;
    let folder = cache.join(format!("kube-{VERSION}"));
    let path = folder.join(program.name);
    if path.is_file() {
        return Ok(path);
    }
    fs::create_dir_all(&folder)?;
    let turn = File::create(folder.join("lock"))?;
    turn.lock()?;
    // Another one may have built it while this one waited.
    if !path.is_file() {
        let go = Go::find(&cache, progress)?;
        let Program { name, .. } = program;
        progress(&format!(
            "building {name} for Kubernetes {VERSION}, once on this machine; this takes minutes"
        ));
        build(&go, program, &path)?;
    }
    Ok(path)
}

/// The user's folder for what can be made again, outside of the checkout.
fn cache() -> io::Result<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache =
        given.or_else(home).ok_or_else(|| io::Error::other("neither XDG_CACHE_HOME nor HOME is set"))?;
    Ok(cache.join("tortie"))
}

fn build(go: &Go, program: &Program, path: &Path) -> Result<(), KubeError> {
    let part = path.with_extension("part");
    let (major, minor) = VERSION.split_once('.').unwrap_or((VERSION, "0"));
    let minor = minor.split('.').next().unwrap_or_default();
    // Clients compare versions, so the server has to know its own.
    let set = |name: &str, value: &str| format!("-X k8s.io/component-base/version.{name}={value}");
    let flags = [set("gitVersion", &format!("v{VERSION}")), set("gitMajor", major), set("gitMinor", minor)];
    let output = go
        .command()
        .args(["build", "-trimpath", "-ldflags", &format!("-s -w {}", flags.join(" ")), "-o"])
        .arg(&part)
        .arg(program.package)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("kube").join(program.module))
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let start = text.len().saturating_sub(OUTPUT_BYTES_MAX);
        let start = (start..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        return Err(KubeError::Build { program: program.name, output: text[start..].to_owned() });
    }
    // Renamed once it is whole: a build that is cut off leaves nothing that looks built.
    fs::rename(&part, path)?;
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
