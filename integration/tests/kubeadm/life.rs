//! What happens to nodes: many pods, a drain, a power cut, removal and return, and all of that to the control plane.

use integration::probe::Protocol;

use crate::scene::{LIMIT, Pod, Scene, Target, server, wrong};

/// Pods of the Deployment.
const REPLICAS: usize = 30;

pub(crate) async fn thirty_pods_reach_each_other_by_both_families(scene: &Scene) {
    scene
        .apply(&format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: {REPLICAS}\n  \
             selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    \
             spec:\n      terminationGracePeriodSeconds: 1\n      \
             topologySpreadConstraints: [{{maxSkew: 1, topologyKey: kubernetes.io/hostname, \
             whenUnsatisfiable: ScheduleAnyway, labelSelector: {{matchLabels: {{app: web}}}}}}]\n      {}\n",
            server(&["tcp/8080", "udp/8080"])
        ))
        .await;
    scene.rolled_out("default", "deployment/web").await;
    all_reach_all(scene, "a Deployment of 30").await;
}

pub(crate) async fn a_drained_node_is_empty_and_fills_again(scene: &Scene) {
    scene.kubectl(&["delete", "pod", "client", "--ignore-not-found"]).await;
    let drain =
        ["drain", "node-2", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=240s"];
    scene.kubectl(&drain).await;
    scene.rolled_out("default", "deployment/web").await;
    let pods = scene.pods("default", "app=web").await;
    assert!(pods.iter().all(|pod| pod.node != "node-2"), "{pods:?}");
    all_reach_all(scene, "node-2 is drained").await;
    scene.kubectl(&["uncordon", "node-2"]).await;
    fill(scene).await;
    all_reach_all(scene, "node-2 is used again").await;
}

pub(crate) async fn a_node_without_power_comes_back(scene: &Scene) {
    scene.lab.cut_power("node-3").await.unwrap();
    scene.lab.boot("node-3").await.unwrap();
    all_reach_all(scene, "node-3 lost power and came back").await;
}

pub(crate) async fn a_removed_node_joins_again(scene: &Scene) {
    let drain =
        ["drain", "node-2", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=240s"];
    scene.kubectl(&drain).await;
    scene.lab.remove("node-2").await.unwrap();
    scene.lab.join("node-2").await.unwrap();
    scene.lab.nodes_ready().await.unwrap();
    fill(scene).await;
    all_reach_all(scene, "node-2 was removed and joined again").await;
}

pub(crate) async fn the_control_plane_comes_back(scene: &Scene) {
    scene.lab.cut_power("node-1").await.unwrap();
    scene.lab.boot("node-1").await.unwrap();
    scene.lab.nodes_ready().await.unwrap();
    all_reach_all(scene, "the control plane lost power and came back").await;
}

/// Pods do not move by themselves to a node that has room again.
async fn fill(scene: &Scene) {
    scene.kubectl(&["rollout", "restart", "deployment/web"]).await;
    scene.rolled_out("default", "deployment/web").await;
    scene
        .lab
        .until("web pods on every node", LIMIT, async || {
            let pods = scene.pods("default", "app=web").await;
            let nodes = &scene.lab.underlay().topology().nodes;
            nodes.iter().all(|node| pods.iter().any(|pod| pod.node == node.name)).then_some(())
        })
        .await
        .unwrap();
}

/// Every pod of the Deployment is asked from one on each node, by both families, TCP and UDP.
async fn all_reach_all(scene: &Scene, why: &str) {
    let mut last = Vec::new();
    let reached = scene.lab.until(why, LIMIT, async || {
        // What the API server says changes while nodes come and go.
        let text = scene.lab.kubectl(&["get", "deployment", "web", "-o", "name"], "").await;
        text.ok()?;
        let pods = scene.pods("default", "app=web").await;
        if pods.len() != REPLICAS || !pods.iter().all(|pod| pod.is_ready) {
            last = vec![format!("{} pods, of which ready: {}", pods.len(), ready(&pods))];
            return None;
        }
        last = wrong_ways(scene, &pods).await;
        last.is_empty().then_some(())
    });
    let reached = reached.await;
    reached.unwrap_or_else(|error| panic!("{why}: {error}\n{}", last.join("\n")));
    eprintln!("{why}: all {REPLICAS} pods answer on both addresses by TCP and UDP");
}

fn ready(pods: &[Pod]) -> usize {
    pods.iter().filter(|pod| pod.is_ready).count()
}

async fn wrong_ways(scene: &Scene, pods: &[Pod]) -> Vec<String> {
    let protocols = [Protocol::Tcp, Protocol::Udp];
    let targets: Vec<Target> =
        pods.iter().flat_map(|pod| protocols.map(|protocol| pod.targets(8080, protocol))).flatten().collect();
    let mut found = Vec::new();
    for node in &scene.lab.underlay().topology().nodes {
        let Some(pod) = pods.iter().find(|pod| pod.node == node.name) else { continue };
        match scene.answers_in_pod("default", &pod.name, &targets).await {
            Ok(answers) => found.extend(wrong(&targets, &answers)),
            Err(error) => found.push(error.to_string()),
        }
    }
    found
}
