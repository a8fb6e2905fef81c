//! Names, and Services as kube-proxy carries them out.

use std::net::IpAddr;

use integration::lab::topology::Space;
use integration::probe::Protocol;

use crate::scene::{LIMIT, Scene, Target, server};

/// The port of the classic example.
const NODE_PORT: u16 = 30080;

/// `CoreDNS` runs on pod addresses, and answers a pod that asks as every program does.
pub(crate) async fn names_are_answered(scene: &Scene) {
    scene.rolled_out("kube-system", "deployment/coredns").await;
    let servers = scene.pods("kube-system", "k8s-app=kube-dns").await;
    for server in &servers {
        assert!(server.addresses.iter().all(|address| is_of_pods(*address)), "{server:?}");
    }
    scene
        .apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: client, labels: {{app: client}}}}\n\
             spec:\n  terminationGracePeriodSeconds: 1\n  {}\n",
            server(&["tcp/8080"])
        ))
        .await;
    scene.kubectl(&["wait", "--for=condition=Ready", "pod/client", "--timeout=240s"]).await;
    let mut last = Vec::new();
    let found = scene.lab.until("the address of kubernetes.default", LIMIT, async || {
        last = lookup(scene, "kubernetes.default").await;
        last.contains(&"10.96.0.1".parse().unwrap()).then_some(())
    });
    let found = found.await;
    found.unwrap_or_else(|error| panic!("{error}: {last:?}"));
}

/// The `nginx` Service with nodePort 30080, both families; also by the name that DNS gives it.
pub(crate) async fn a_node_port_answers_pods_nodes_and_hosts_beyond_the_tor(scene: &Scene) {
    scene
        .apply(&format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: nginx}}\nspec:\n  replicas: 3\n  \
             selector: {{matchLabels: {{app: nginx}}}}\n  template:\n    metadata: {{labels: {{app: nginx}}}}\n    \
             spec:\n      terminationGracePeriodSeconds: 1\n      {}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: nginx}}\nspec:\n  type: NodePort\n  \
             ipFamilyPolicy: RequireDualStack\n  selector: {{app: nginx}}\n  \
             ports: [{{port: 80, targetPort: 8080, nodePort: {NODE_PORT}}}]\n",
            server(&["tcp/8080"])
        ))
        .await;
    scene.rolled_out("default", "deployment/nginx").await;
    let answers: Vec<String> =
        scene.pods("default", "app=nginx").await.into_iter().map(|pod| pod.name).collect();
    assert_eq!(answers.len(), 3);
    let target =
        |address: IpAddr, port| Target { address, port, protocol: Protocol::Tcp, answers: answers.clone() };
    let mut by_cluster: Vec<Target> = Vec::new();
    // kube-proxy writes its rules some time after the endpoints are ready.
    let cluster = scene.lab.until("the Service's addresses", LIMIT, async || {
        let found = lookup(scene, "nginx.default").await;
        (found.len() == 2).then_some(found)
    });
    by_cluster.extend(cluster.await.unwrap().into_iter().map(|address| target(address, 80)));
    let nodes = scene.lab.underlay().topology().nodes.clone();
    let addresses = nodes.iter().flat_map(|node| [IpAddr::V4(node.ipv4), IpAddr::V6(node.ipv6)]);
    let by_node: Vec<Target> = addresses.map(|address| target(address, NODE_PORT)).collect();
    let all = [by_cluster, by_node.clone()].concat();
    scene.ask_from_pod("the nginx Service", "default", "client", &all).await;
    for node in &nodes {
        scene.ask_from("the nginx Service", &Space::Node(node.name.clone()), &all).await;
    }
    scene.ask_from("the nginx Service", &Space::External("internet".into()), &by_node).await;
    eprintln!("nginx: 3 pods behind {} ways from a pod, 3 nodes and a host beyond the ToR", all.len());
}

/// What `kubeadm` clusters of yesterday have; the rules of the other mode go.
pub(crate) async fn kube_proxy_changes_to_iptables(scene: &Scene) {
    let text = scene.kubectl(&["-n", "kube-system", "get", "configmap", "kube-proxy", "-o", "json"]).await;
    assert!(text.contains("mode: nftables"), "{text}");
    scene.apply(&text.replace("mode: nftables", "mode: iptables")).await;
    scene.kubectl(&["-n", "kube-system", "rollout", "restart", "daemonset/kube-proxy"]).await;
    scene.rolled_out("kube-system", "daemonset/kube-proxy").await;
    scene
        .lab
        .until("the rules of iptables on every node", LIMIT, async || {
            for node in &scene.lab.underlay().topology().nodes {
                let rules = scene.lab.on_node(&node.name, "iptables-save", &["-t", "nat"]).await.ok()?;
                if !rules.contains("KUBE-SERVICES") {
                    return None;
                }
            }
            Some(())
        })
        .await
        .unwrap();
}

async fn lookup(scene: &Scene, name: &str) -> Vec<IpAddr> {
    let said = scene.lab.kubectl(&["exec", "client", "--", "/lab", "lookup", name], "").await;
    said.unwrap_or_default().lines().map(|line| line.parse().unwrap()).collect()
}

fn is_of_pods(address: IpAddr) -> bool {
    let text = address.to_string();
    text.starts_with("10.244.") || text.starts_with("fd00:10:244:")
}
