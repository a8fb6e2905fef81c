//! What the command line asks of a kubeadm cluster.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use super::KubeadmLab;
use crate::lab::control::{Location, NodeLine, PodLine, Request, RouterLine, Status};
use crate::lab::supervisor::{Served, locate_line, text};
use crate::lab::topology::{Space, rack_name};
use crate::probe::Endpoint;

impl Served for KubeadmLab {
    async fn answer(&self, request: Request) -> String {
        match request {
            Request::Status => text(Ok(self.status().await)),
            Request::Locate { endpoint } => text(self.locate(&endpoint).await),
            Request::Probe { .. } => {
                text::<()>(Err("in a kubeadm cluster pods are asked by `kubectl exec`".into()))
            }
            Request::Down => String::new(),
        }
    }

    async fn end(self) {
        Self::end(self).await;
    }
}

impl KubeadmLab {
    async fn locate(&self, endpoint: &str) -> Result<Location, String> {
        let endpoint: Endpoint = endpoint.parse().map_err(|error| format!("{error}"))?;
        let process = match &endpoint {
            Endpoint::Node(name) => match self.machines.get(name) {
                Some(machine) => machine.lock().await.process(),
                None => None,
            },
            Endpoint::External(name) => self.underlay.holder(&Space::External(name.clone())),
            Endpoint::Pod { .. } | Endpoint::Address(_) => None,
        };
        process.map(locate_line).ok_or_else(|| format!("the lab has no {endpoint}, or it has no power"))
    }

    async fn status(&self) -> Status {
        let topology = self.underlay.topology();
        let mut nodes = Vec::new();
        for node in &topology.nodes {
            let machine = self.machines.get(&node.name);
            nodes.push(NodeLine {
                name: node.name.clone(),
                rack: rack_name(node.rack),
                asn: node.asn,
                addresses: vec![node.ipv4.to_string(), node.ipv6.to_string()],
                holder: match machine {
                    Some(machine) => machine.lock().await.process(),
                    None => None,
                },
                daemon: None,
            });
        }
        let routers = topology.routers.iter().map(|router| RouterLine {
            name: router.name.clone(),
            asn: router.asn,
            address: router.address.to_string(),
            holder: self.underlay.holder(&Space::Router(router.name.clone())),
            socket: self.underlay.router_socket(&router.name),
        });
        Status {
            supervisor: std::process::id(),
            shape: topology.shape.clone(),
            kubeconfig: self.kubeconfig.clone(),
            nodes,
            routers: routers.collect(),
            pods: self.pods().await,
        }
    }

    /// None while the API server does not answer.
    async fn pods(&self) -> Vec<PodLine> {
        let api: Api<Pod> = Api::all(self.client());
        let pods = api.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        let line = |pod: Pod| {
            let addresses = pod.status.and_then(|status| status.pod_ips).unwrap_or_default();
            PodLine {
                name: format!(
                    "{}/{}",
                    pod.metadata.namespace.unwrap_or_default(),
                    pod.metadata.name.unwrap_or_default()
                ),
                node: pod.spec.and_then(|spec| spec.node_name).unwrap_or_default(),
                addresses: addresses.into_iter().map(|address| address.ip).collect(),
            }
        };
        pods.into_iter().map(line).collect()
    }
}
