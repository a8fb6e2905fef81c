//! Text files of a machine: names, containerd's configuration, a stand-in for `systemctl`.

use std::net::IpAddr;

use super::config::{PAUSE_IMAGE, REPOSITORY};

/// Holds the kubelet's process number while it runs.
pub(super) const KUBELET_PROCESS: &str = "/run/kubelet.pid";
/// Is there while the kubelet shall not run.
pub(super) const KUBELET_STOPPED: &str = "/run/kubelet.stopped";
/// Where machines ask for names outside the cluster: the host beyond the routers, where nobody answers. An address of
/// the machine itself would make the cluster's DNS server ask itself.
const NAMESERVER: &str = "192.0.2.10";

/// All of them: path, text, whether it is a program.
pub(super) fn all(hostname: &str, address: IpAddr) -> Vec<(&'static str, String, bool)> {
    vec![
        ("/etc/hostname", format!("{hostname}\n"), false),
        ("/etc/hosts", format!("127.0.0.1 localhost\n::1 localhost\n{address} {hostname}\n"), false),
        ("/etc/resolv.conf", format!("nameserver {NAMESERVER}\n"), false),
        ("/etc/machine-id", machine_id(hostname), false),
        ("/etc/containerd/config.toml", containerd(), false),
        ("/usr/local/bin/systemctl", systemctl(), true),
    ]
}

/// 32 hexadecimal digits, different for every name.
fn machine_id(hostname: &str) -> String {
    let halves = hostname.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits: String = halves.filter_map(|half| char::from_digit(half.into(), 16)).collect();
    format!("{digits:0>32.32}\n")
}

/// The runtime may not lower the score by which the kernel chooses what to kill: a machine in a container has not got
/// that capability.
fn containerd() -> String {
    format!(
        r#"version = 3
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{REPOSITORY}/{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/opt/cni/bin"]
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "runc"
      SystemdCgroup = false
"#
    )
}

/// kubeadm asks an init system about the kubelet and containerd, and to start and stop the former.
fn systemctl() -> String {
    format!(
        r#"#!/bin/sh
verb=
unit=
for word in "$@"; do
  case $word in
    -*) ;;
    *) if [ -z "$verb" ]; then verb=$word; else unit=${{word%.service}}; fi ;;
  esac
done
kubelet() {{ [ -s {KUBELET_PROCESS} ] && kill "$1" "$(cat {KUBELET_PROCESS})" 2>/dev/null; }}
case $verb-$unit in
  is-active-kubelet) kubelet -0 ;;
  stop-kubelet)
    touch {KUBELET_STOPPED}
    kubelet -TERM
    while kubelet -0; do sleep 0.1; done ;;
  start-kubelet) rm -f {KUBELET_STOPPED} ;;
  restart-kubelet) rm -f {KUBELET_STOPPED}; kubelet -TERM; true ;;
  status-*) echo "kept running by the lab" ;;
esac
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_have_identities_of_their_own() {
        let ids = ["node-1", "node-2"].map(machine_id);
        assert!(ids.iter().all(|id| id.len() == 33 && id.trim_end().bytes().all(|b| b.is_ascii_hexdigit())));
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn containerd_reads_its_configuration_as_toml() {
        let table: toml::Table = containerd().parse().unwrap();
        assert_eq!(table["version"].as_integer(), Some(3));
    }
}
