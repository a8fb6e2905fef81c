//! What kubeadm is told: the cluster's configuration, and how a node joins.

use crate::kube::VERSION;
use crate::lab::objects::POD_CIDRS;
use crate::lab::topology::Node;

/// The name before every image of the cluster. Nothing is ever fetched from there: images are imported.
pub(super) const REPOSITORY: &str = "tortie.dev/kube";
/// The versions that this kubeadm expects of what it does not bring itself.
pub(super) const ETCD_TAG: &str = "3.6.8-0";
pub(super) const COREDNS_TAG: &str = "v1.14.2";
pub(super) const PAUSE_IMAGE: &str = "pause:3.10.2";
/// The port of the API server.
pub(super) const API_PORT: u16 = 6443;
/// What Services are given addresses from.
pub const SERVICE_CIDRS: &str = "10.96.0.0/16,fd00:10:96::/112";
/// Nobody outside the lab reaches the API server.
const TOKEN: &str = "abcdef.0123456789abcdef";
pub(super) const CRI_SOCKET: &str = "unix:///run/containerd/containerd.sock";

/// How kube-proxy carries out Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProxyMode {
    /// By nftables, what new clusters are told to use.
    #[default]
    Nftables,
    /// By iptables, what most clusters still use.
    Iptables,
}

impl ProxyMode {
    /// The word in kube-proxy's configuration and on our command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
}

/// The configuration of `kubeadm init` on that node.
pub(super) fn init(node: &Node, proxy: ProxyMode) -> String {
    let (registration, address) = (registration(node, "taints: []"), node.ipv4);
    format!(
        "apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens: [{{token: {TOKEN}, ttl: 24h0m0s}}]
localAPIEndpoint: {{advertiseAddress: {address}, bindPort: {API_PORT}}}
{registration}---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v{VERSION}
imageRepository: {REPOSITORY}
networking: {{podSubnet: \"{POD_CIDRS}\", serviceSubnet: \"{SERVICE_CIDRS}\"}}
apiServer: {{certSANs: [127.0.0.1, {management}]}}
# One of each: a lease that is lost on a busy machine would only restart them.
controllerManager: {{extraArgs: [{{name: leader-elect, value: \"false\"}}]}}
scheduler: {{extraArgs: [{{name: leader-elect, value: \"false\"}}]}}
etcd: {{local: {{imageTag: {ETCD_TAG}, extraArgs: [{{name: unsafe-no-fsync, value: \"true\"}}]}}}}
dns: {{imageTag: {COREDNS_TAG}}}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
failCgroupV1: false
# The disk is the real machine's, and how full it is not this cluster's affair.
evictionHard: {{memory.available: 1Mi, nodefs.available: 0%, imagefs.available: 0%, nodefs.inodesFree: 0%}}
imageGCHighThresholdPercent: 100
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: {mode}
# Settings of the whole kernel, which is the real machine's.
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
",
        management = node.management,
        mode = proxy.word(),
    )
}

/// The configuration of `kubeadm join` on that node.
pub(super) fn join(node: &Node, control_plane: &Node) -> String {
    let (registration, address) = (registration(node, "taints: []"), control_plane.ipv4);
    format!(
        "apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken: {{token: {TOKEN}, apiServerEndpoint: \"{address}:{API_PORT}\", unsafeSkipCAVerification: true}}
{registration}"
    )
}

/// kubeadm's checks of the system know nothing of control groups of version 1 but that they are old.
fn registration(node: &Node, taints: &str) -> String {
    format!(
        "nodeRegistration:
  name: {name}
  criSocket: {CRI_SOCKET}
  imagePullPolicy: Never
  ignorePreflightErrors: [SystemVerification]
  {taints}
  kubeletExtraArgs: [{{name: node-ip, value: \"{ipv4},{ipv6}\"}}]
",
        name = node.name,
        ipv4 = node.ipv4,
        ipv6 = node.ipv6,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::{Shape, Topology};

    #[test]
    fn every_document_is_yaml_of_the_kind_that_kubeadm_expects() {
        let topology = Topology::new(Shape::default()).unwrap();
        let (first, last) = (&topology.nodes[0], &topology.nodes[3]);
        let cases = [
            (
                init(first, ProxyMode::Iptables),
                vec![
                    "InitConfiguration",
                    "ClusterConfiguration",
                    "KubeletConfiguration",
                    "KubeProxyConfiguration",
                ],
            ),
            (join(last, first), vec!["JoinConfiguration"]),
        ];
        for (text, expected) in cases {
            let documents = serde_yaml_ng::Deserializer::from_str(&text);
            let documents = documents.map(|document| {
                let value: serde_json::Value = serde::Deserialize::deserialize(document).unwrap();
                value["kind"].as_str().unwrap().to_owned()
            });
            assert_eq!(documents.collect::<Vec<_>>(), expected, "{text}");
        }
    }
}
