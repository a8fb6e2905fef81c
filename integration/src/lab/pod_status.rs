//! What the kubelet writes into a Pod's status, as values; and what it reads from its spec.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::probe::Protocol;
use crate::probe::server::Port;

/// The ports that the pod's containers declare; without any the pod answers nobody.
pub(super) fn ports(pod: &Pod) -> Vec<Port> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let declared = containers.flat_map(|container| container.ports.iter().flatten());
    let mut ports: Vec<Port> = declared
        .filter_map(|port| {
            let protocol = match port.protocol.as_deref() {
                None | Some("TCP") => Protocol::Tcp,
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                Some(_) => return None,
            };
            Some(Port { protocol, number: u16::try_from(port.container_port).ok()? })
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Whether the pod will never run again.
pub(super) fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// How far a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No network yet, and why.
    Waiting(String),
    /// Runs, has addresses, is not ready.
    Running,
    /// Runs and answers.
    Ready,
}

/// The merge patch that brings the pod's status to that stage. The UID makes sure that it is this
/// pod's and not that of a later one of the same name.
pub(super) fn patch(
    pod: &Pod,
    host: &[IpAddr],
    addresses: &[IpAddr],
    stage: &Stage,
    now: Timestamp,
) -> Value {
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let (is_running, is_ready) = (!matches!(stage, Stage::Waiting(_)), *stage == Stage::Ready);
    let reason = match stage {
        Stage::Waiting(message) => json!({"waiting": {"reason": "ContainerCreating", "message": message}}),
        _ => json!({"running": {"startedAt": now}}),
    };
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let statuses: Vec<Value> = containers
        .map(|container| {
            json!({
                "name": container.name, "image": container.image.clone().unwrap_or_default(), "imageID": "",
                "ready": is_ready, "started": is_running, "restartCount": 0, "state": reason,
            })
        })
        .collect();
    let condition = |name: &str, holds: bool| {
        let status = if holds { "True" } else { "False" };
        json!({"type": name, "status": status, "lastTransitionTime": now})
    };
    let ips: Vec<Value> = addresses.iter().map(|address| json!({"ip": address})).collect();
    let host_ips: Vec<Value> = host.iter().map(|address| json!({"ip": address})).collect();
    let mut status = json!({
        "phase": if is_running { "Running" } else { "Pending" },
        "hostIP": host.first(), "hostIPs": host_ips, "startTime": now,
        "conditions": [
            condition("PodScheduled", true), condition("Initialized", true),
            condition("PodReadyToStartContainers", is_running),
            condition("ContainersReady", is_ready), condition("Ready", is_ready),
        ],
        "containerStatuses": statuses,
    });
    if let Some(first) = addresses.first() {
        status["podIP"] = json!(first);
        status["podIPs"] = json!(ips);
    }
    json!({"metadata": {"uid": pod.metadata.uid}, "status": status})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "u-1"},
            "spec": {"containers": [
                {"name": "a", "ports": [{"containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]},
                {"name": "b", "ports": [{"containerPort": 9, "protocol": "SCTP"}, {"containerPort": 8080}]},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn declared_ports_are_served_once() {
        let found: Vec<String> = ports(&pod()).iter().map(Port::to_string).collect();
        assert_eq!(found, ["tcp/8080", "udp/53", "sctp/9"]);
        assert_eq!(ports(&Pod::default()), []);
    }

    #[test]
    fn status_tells_the_stage() {
        let addresses: [IpAddr; 2] = ["10.244.0.3".parse().unwrap(), "fd00::3".parse().unwrap()];
        let host: [IpAddr; 1] = ["10.10.1.11".parse().unwrap()];
        let ready = |value: &Value| value["status"]["conditions"][4]["status"].clone();
        let cases = [
            (Stage::Waiting("no address".into()), "Pending", "False"),
            (Stage::Running, "Running", "False"),
            (Stage::Ready, "Running", "True"),
        ];
        for (stage, phase, is_ready) in cases {
            let addresses = if phase == "Pending" { &[][..] } else { &addresses[..] };
            let patch = patch(&pod(), &host, addresses, &stage, Timestamp::UNIX_EPOCH);
            assert_eq!(patch["status"]["phase"], phase, "{stage:?}");
            assert_eq!(ready(&patch), is_ready, "{stage:?}");
            assert_eq!(patch["status"]["podIPs"].is_null(), addresses.is_empty(), "{stage:?}");
            assert_eq!(patch["metadata"]["uid"], "u-1");
        }
    }
}
