//! Our own part: the image, the manifest as a user would apply it, and the racks' routers as objects.

use std::io;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::oci::{Archive, Image};
use super::{KubeadmLab, images};
use crate::lab::error::LabError;
use crate::lab::objects::{ASN_LABEL, POD_CIDRS};
use crate::lab::programs::Programs;
use crate::lab::steps::Steps;
use crate::lab::topology::{Node, Topology, rack_name};
use crate::lab::wait::until;

/// The archive of our image in a lab's folder of images.
pub(super) const IMAGE_FILE: &str = "tortie.tar";
/// The image that the manifest names.
const IMAGE: &str = "tortie.dev/tortie:0.1.0";
/// The programs in it.
const PROGRAMS: [&str; 5] = ["tortie-node", "tortie-ipam", "tortie-cni", "tortie-bgp", "tortiectl"];
/// The manifest, in the checkout that this program was built from.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/tortie.yaml");
/// Until all nodes are Ready after the apply; ten seconds is what we promise of a machine that is not busy.
const READY_LIMIT: Duration = Duration::from_mins(3);

/// Makes the image from the programs beside the lab's own.
pub(super) fn make_image(programs: &Programs, folder: &Path) -> io::Result<()> {
    let mut files = Archive::default();
    images::base(&mut files)?;
    files.folder("usr/bin")?;
    let mut sources = Vec::new();
    for name in PROGRAMS {
        let source = programs.own(name)?;
        files.copy(&format!("usr/bin/{name}"), &images::stripped(&source, folder)?)?;
        sources.push(source);
    }
    images::add_libraries(&mut files, &sources)?;
    Image { names: vec![IMAGE.into()], entrypoint: Vec::new(), files }.write(&folder.join(IMAGE_FILE))
}

impl KubeadmLab {
    /// Applies our manifest and returns once every node is Ready.
    ///
    /// # Errors
    /// With kubectl's words, or `Overdue`.
    pub(super) async fn deploy(&self, steps: &Steps) -> Result<(), LabError> {
        let text = std::fs::read_to_string(MANIFEST)
            .map_err(|error| io::Error::new(error.kind(), format!("{MANIFEST}: {error}")))?;
        let manifest = manifest(&text, &tor_peers(self.underlay.topology()))?;
        steps.say("kubectl apply: deploy/tortie.yaml with the lab's ranges and routers in tortie-config");
        self.kubectl(&["apply", "-f", "-"], &manifest).await?;
        steps.say("applied");
        self.nodes_ready().await?;
        steps.say("every node is Ready");
        Ok(())
    }

    /// Returns once every node of the topology is Ready.
    ///
    /// # Errors
    /// `Overdue` when one is not after minutes.
    pub async fn nodes_ready(&self) -> Result<(), LabError> {
        let wanted = self.underlay.topology().nodes.len();
        self.until("readiness of all nodes", READY_LIMIT, async || {
            let api: Api<NodeObject> = Api::all(self.client());
            let nodes = api.list(&ListParams::default()).await.ok()?;
            (nodes.items.iter().filter(|node| is_ready(node)).count() == wanted).then_some(())
        })
        .await
    }

    /// What `check` gave, asked again and again until it gives something.
    ///
    /// # Errors
    /// `Overdue` when it never did.
    pub async fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        check: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T, LabError> {
        self.underlay.until(what, limit, check).await
    }

    pub(super) async fn label(&self, node: &Node) -> Result<(), LabError> {
        label(&self.client, node).await
    }
}

/// Tells the nodes' racks and AS numbers; the kubelet may not give itself the label of a rack.
pub(super) async fn label_all(client: &Client, topology: &Topology) -> Result<(), LabError> {
    for node in &topology.nodes {
        label(client, node).await?;
    }
    Ok(())
}

async fn label(client: &Client, node: &Node) -> Result<(), LabError> {
    let api: Api<NodeObject> = Api::all(client.clone());
    let mut labels = json!({ASN_LABEL: node.asn.to_string()});
    labels[api::names::RACK_LABEL] = rack_name(node.rack).into();
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    // kubeadm is done some time before the kubelet has made its Node.
    let labelled =
        until(READY_LIMIT, async || match api.patch(&node.name, &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) if status.code == 404 => None,
            other => Some(other.map(drop)),
        });
    let overdue = || io::Error::new(io::ErrorKind::TimedOut, format!("{} does not register", node.name));
    Ok(labelled.await.ok_or_else(overdue)??)
}

/// Whether the kubelet of a node says so.
pub(super) fn is_ready(node: &NodeObject) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The routers of the racks as `tortie-config` has them: a line for each rack.
fn tor_peers(topology: &Topology) -> String {
    let racks = 1..=topology.shape.racks;
    let lines = racks.map(|rack| {
        let tors: Vec<_> = topology.tors(rack).collect();
        let asn = tors.first().map_or(0, |tor| tor.asn);
        let addresses: Vec<String> = tors.iter().map(|tor| tor.address.to_string()).collect();
        format!("{}: as {asn}, {}\n", rack_name(rack), addresses.join(", "))
    });
    lines.collect::<Vec<_>>().concat()
}

/// The manifest as a user of this cluster edits it: ranges of both families, AS numbers by label, routers.
fn manifest(text: &str, tor_peers: &str) -> io::Result<String> {
    let mut documents = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let mut object: Value = serde::Deserialize::deserialize(document).map_err(io::Error::other)?;
        if object["kind"] == "ConfigMap" && object["metadata"]["name"] == api::names::CONFIG_MAP {
            object["data"]["podCIDRs"] = POD_CIDRS.into();
            object["data"]["asnNodeLabel"] = ASN_LABEL.into();
            object["data"]["torPeers"] = tor_peers.into();
        }
        if !object.is_null() {
            documents.push(serde_yaml_ng::to_string(&object).map_err(io::Error::other)?);
        }
    }
    Ok(documents.join("---\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::Shape;

    #[test]
    fn only_the_configuration_is_edited() {
        let text = "kind: ConfigMap\nmetadata: {name: tortie-config}\ndata: {podCIDRs: x, asn: '1'}\n---\n\
                    kind: ConfigMap\nmetadata: {name: other}\ndata: {podCIDRs: x}\n---\n";
        let topology = Topology::new(Shape { racks: 1, nodes: 1, ..Shape::default() }).unwrap();
        let routers = tor_peers(&topology);
        assert_eq!(routers, "rack-1: as 64601, 10.10.1.251, 10.10.1.252\n");
        let edited = manifest(text, &routers).unwrap();
        let documents = serde_yaml_ng::Deserializer::from_str(&edited);
        let documents: Vec<Value> =
            documents.map(|document| serde::Deserialize::deserialize(document).unwrap()).collect();
        assert_eq!(documents.len(), 2);
        assert_eq!(
            documents[0]["data"],
            json!({"podCIDRs": POD_CIDRS, "asn": "1", "asnNodeLabel": ASN_LABEL, "torPeers": routers})
        );
        assert_eq!(documents[1]["data"], json!({"podCIDRs": "x"}));
    }
}
