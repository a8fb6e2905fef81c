//! A real kubeadm cluster of three machines in two racks behind BIRD, and everything that its users do with it.
//!
//! One cluster serves all chapters, in their order. There is no registry, so the lab's own server stands where the
//! classic examples have nginx or a directory server. Needs root, BIRD 2, runc, iptables, nft and conntrack; the programs
//! of Kubernetes are built on first use.

#![allow(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]
#![allow(clippy::print_stderr, reason = "what was measured is printed beside the verdict")]

#[path = "kubeadm/life.rs"]
mod life;
#[path = "kubeadm/policy.rs"]
mod policy;
#[path = "kubeadm/scene.rs"]
mod scene;
#[path = "kubeadm/services.rs"]
mod services;
#[path = "kubeadm/upgrade.rs"]
mod upgrade;

use scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_cluster_does_what_its_users_expect() {
    let scene = Scene::start().await;
    services::names_are_answered(&scene).await;
    services::a_node_port_answers_pods_nodes_and_hosts_beyond_the_tor(&scene).await;
    policy::only_the_front_end_reaches_the_directory(&scene).await;
    life::thirty_pods_reach_each_other_by_both_families(&scene).await;
    upgrade::rolling_restarts_lose_no_packet(&scene).await;
    services::kube_proxy_changes_to_iptables(&scene).await;
    services::a_node_port_answers_pods_nodes_and_hosts_beyond_the_tor(&scene).await;
    life::a_drained_node_is_empty_and_fills_again(&scene).await;
    life::a_node_without_power_comes_back(&scene).await;
    life::a_removed_node_joins_again(&scene).await;
    life::the_control_plane_comes_back(&scene).await;
    let groups = scene.groups();
    scene.end().await;
    for group in groups {
        assert!(!group.exists(), "{} is left behind", group.display());
    }
}
