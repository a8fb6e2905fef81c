//! The last-good snapshot: what routing and CNI start from while the API server is silent.
//!
//! One JSON file for each compartment, mode 0600, replaced as a whole. A file that cannot be read is as good as none:
//! it is logged and the API server is waited for.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use api::{BGPConfigurationSpec, BGPPeerSpec, IPBlock, IPPool};
use felix::model::{self, Model, Namespace, Policy, Pool};
use ipam::local::Memory;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::{
    addresses::{Chosen, NodeAddresses},
    config::{ClusterView, NodeFacts, Passwords},
};

/// How long the API server may stay silent before the last-good snapshot is used.
pub const API_SILENCE_MAX: Duration = Duration::from_secs(5);

/// How long after a change a snapshot is written: a burst of changes costs one file, and what a daemon that is killed
/// may not find again is no older than this.
pub const SNAPSHOT_PAUSE: Duration = Duration::from_millis(200);

/// One file at a time that is written beside the thread that keeps the state: a disk may take its time.
#[derive(Debug, Default)]
pub struct Background(Option<JoinHandle<()>>);

impl Background {
    /// Whether the last one is still being written.
    pub fn is_busy(&self) -> bool {
        self.0.as_ref().is_some_and(|writing| !writing.is_finished())
    }

    /// Begins to write; the runtime waits for its end before it ends itself.
    pub fn start(&mut self, write: impl FnOnce() + Send + 'static) {
        self.0 = Some(tokio::task::spawn_blocking(write));
    }
}

/// The folder of the snapshots.
#[derive(Clone, Debug)]
pub struct Snapshots {
    folder: PathBuf,
}

/// What attachments start from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AttachmentsSnapshot {
    /// Name, UID and labels of the Node.
    pub node: NodeIdentity,
    /// All pools.
    pub pools: Vec<IPPool>,
    /// The node's own blocks.
    pub blocks: Vec<IPBlock>,
    /// The pods of this node.
    pub pods: Vec<Pod>,
}

/// What policy starts from: every object that it depends on, as the compiler had it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySnapshot {
    /// All namespaces.
    pub namespaces: Vec<Namespace>,
    /// The pods of all nodes.
    pub pods: Vec<model::Pod>,
    /// All policies.
    pub policies: Vec<Policy>,
    /// All pools.
    pub pools: Vec<Pool>,
}

impl PolicySnapshot {
    /// What the model was made from; the endpoints of this node are the kernel's to tell.
    pub fn of(model: &Model) -> Self {
        Self {
            namespaces: model.namespaces.values().cloned().collect(),
            pods: model.pods.values().map(|pod| pod.as_ref().clone()).collect(),
            policies: model.policies.values().cloned().collect(),
            pools: model.pools.values().cloned().collect(),
        }
    }
}

/// The Node that the snapshot was taken on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// Its name.
    pub name: String,
    /// UID of its object.
    pub uid: String,
    /// Its labels.
    pub labels: std::collections::BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct RoutingFile {
    nodes: std::collections::BTreeMap<String, NodeFile>,
    configurations: std::collections::BTreeMap<String, BGPConfigurationSpec>,
    peers: std::collections::BTreeMap<String, BGPPeerSpec>,
    #[serde(default)]
    passwords: std::collections::BTreeMap<String, Passwords>,
}

#[derive(Serialize, Deserialize)]
struct NodeFile {
    uid: String,
    labels: std::collections::BTreeMap<String, String>,
    ipv4: Option<std::net::Ipv4Addr>,
    ipv6: Option<std::net::Ipv6Addr>,
}

impl Snapshots {
    /// Snapshots in this folder, which is made if need be.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// What routing kept, if anything.
    pub fn routing(&self) -> Option<ClusterView> {
        let mut file: RoutingFile = self.read("routing.json")?;
        let nodes =
            std::mem::take(&mut file.nodes).into_iter().map(|(name, node)| (name, node.into())).collect();
        let RoutingFile { configurations, peers, passwords, .. } = file;
        Some(ClusterView { nodes, configurations, peers, passwords })
    }

    /// Keeps what routing runs by.
    pub fn store_routing(&self, view: &ClusterView) {
        let nodes = view.nodes.iter().map(|(name, node)| (name.clone(), node.into())).collect();
        let (configurations, peers) = (view.configurations.clone(), view.peers.clone());
        let passwords = view.passwords.clone();
        self.write("routing.json", &RoutingFile { nodes, configurations, peers, passwords });
    }

    /// What attachments kept, if anything.
    pub fn attachments(&self) -> Option<AttachmentsSnapshot> {
        self.read("attachments.json")
    }

    /// Keeps what attachments run by.
    pub fn store_attachments(&self, snapshot: &AttachmentsSnapshot) {
        self.write("attachments.json", snapshot);
    }

    /// What addresses must remember whatever the API server says; nothing on a new node.
    pub fn memory(&self) -> Memory {
        self.read("memory.json").unwrap_or_default()
    }

    /// Keeps what addresses must remember; to be called before any status that follows from it is written.
    pub fn store_memory(&self, memory: &Memory) {
        self.write("memory.json", memory);
    }

    /// What policy kept, if anything.
    pub fn policy(&self) -> Option<PolicySnapshot> {
        self.read("policy.json")
    }

    /// Keeps what policy runs by.
    pub fn store_policy(&self, snapshot: &PolicySnapshot) {
        self.write("policy.json", snapshot);
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.folder.join(name);
        let bytes = fs::read(&path).ok()?;
        serde_json::from_slice(&bytes)
            .inspect_err(
                |error| warn!(path = %path.display(), %error, "snapshot is not understood and not used"),
            )
            .ok()
    }

    fn write(&self, name: &str, value: &impl Serialize) {
        let path = self.folder.join(name);
        if let Err(error) = self.replace(&path, value) {
            warn!(path = %path.display(), %error, "snapshot is not written; a restart without the API server would lack it");
        }
    }

    fn replace(&self, path: &Path, value: &impl Serialize) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let beside = path.with_extension("new");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        // The name is on disk only with its folder: a power cut must not leave an empty file.
        fs::File::open(&self.folder)?.sync_all()
    }
}

impl From<NodeFile> for NodeFacts {
    fn from(node: NodeFile) -> Self {
        const REASON: &str = "last-good snapshot";
        Self {
            uid: node.uid,
            labels: node.labels,
            addresses: NodeAddresses {
                ipv4: node.ipv4.map(|address| Chosen { address, reason: REASON.to_owned() }),
                ipv6: node.ipv6.map(|address| Chosen { address, reason: REASON.to_owned() }),
            },
        }
    }
}

impl From<&NodeFacts> for NodeFile {
    fn from(node: &NodeFacts) -> Self {
        Self {
            uid: node.uid.clone(),
            labels: node.labels.clone(),
            ipv4: node.addresses.ipv4.as_ref().map(|chosen| chosen.address),
            ipv6: node.addresses.ipv6.as_ref().map(|chosen| chosen.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_garbage_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(&folder.path().join("state"));
        assert!(snapshots.attachments().is_none());
        let kept = AttachmentsSnapshot { pods: vec![Pod::default()], ..AttachmentsSnapshot::default() };
        snapshots.store_attachments(&kept);
        assert_eq!(snapshots.attachments(), Some(kept));
        let path = folder.path().join("state/attachments.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "{").unwrap();
        assert!(snapshots.attachments().is_none());
    }

    #[test]
    fn policy_is_read_back_as_the_compiler_had_it() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(folder.path());
        assert_eq!(snapshots.policy(), None);
        let object = serde_json::from_value(serde_json::json!({
            "metadata": {"namespace": "default", "name": "web"},
            "spec": {
                "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["db"]}]},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [
                    {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}],
                     "ports": [{"protocol": "TCP", "port": 80, "endPort": 90}, {"protocol": "UDP", "port": "dns"}]},
                    {"from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {}}]},
                ],
            },
        }))
        .unwrap();
        let (policy, error) = felix::ingest::network_policy::network_policy(&object);
        assert_eq!(error, None);
        let pod = model::Pod {
            key: model::ObjectKey::new("default", "web-1"),
            uids: vec!["u-1".to_owned()],
            labels: [("app".to_owned(), "web".to_owned())].into(),
            addresses: vec!["fd00::1".parse().unwrap()],
            ports: vec![model::NamedPort {
                name: "dns".to_owned(),
                protocol: model::Protocol::Udp,
                number: 53,
            }],
        };
        let kept = PolicySnapshot {
            namespaces: vec![Namespace { name: "default".to_owned(), labels: [].into() }],
            pods: vec![pod],
            policies: vec![policy],
            pools: vec![Pool {
                name: "p".to_owned(),
                cidr: "10.244.0.0/16".parse().unwrap(),
                nat_outgoing: true,
            }],
        };
        snapshots.store_policy(&kept);
        assert_eq!(snapshots.policy(), Some(kept));
    }
}
