//! Addresses run out, and the service that supplies them dies.

use std::process::Command;

use api::{IPBlock, IPPool};
use integration::lab::oracle::Running;
use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::Shape;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::ListParams;
use nix::sys::signal::Signal;
use serde_json::json;

use super::plugin::Plugin;
use super::scene::{addresses, create_pod, delete_pod, start};

const NODE: &str = "node-1";

async fn await_leader(lab: &TestLab, expected: &str) {
    let leases: Api<Lease> = Api::namespaced(lab.client(), api::names::NAMESPACE);
    lab.until(&format!("{expected} leads"), LIMIT, async || {
        let leases = leases.list(&ListParams::default()).await.ok()?;
        let holder = leases.items.into_iter().filter_map(|lease| lease.spec?.holder_identity);
        holder.into_iter().any(|holder| holder == expected).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_replica_takes_over_and_an_exhausted_pool_is_named() {
    let lab = start(Shape { racks: 1, nodes: 2, tors_per_rack: 1, ..Shape::default() }).await;
    await_leader(&lab, "lab").await;
    let mut replica = Command::new(lab.underlay().programs().own("tortie-ipam").unwrap());
    replica.arg("--kubeconfig").arg(lab.kubeconfig()).args(["--identity", "second"]);
    let mut replica = Running::start(replica).unwrap();
    create_pod(&lab, "first", NODE).await;
    lab.pods_ready("app").await.unwrap();
    assert!(!replica.has_ended().unwrap(), "the second replica waits: {}", replica.text().unwrap());

    lab.stop_daemon("ipam", Signal::SIGKILL).await.unwrap();
    await_leader(&lab, "second").await;
    small_pool_alone(&lab).await;
    let uid = lab.objects("v1", "Pod", Some("app")).get("first").await.unwrap().metadata.uid.unwrap();
    for name in ["second", "third"] {
        create_pod(&lab, name, NODE).await;
    }
    lab.pods_ready("app").await.unwrap();
    for name in ["second", "third"] {
        let ipv4 = addresses(&lab, name).into_iter().find(std::net::IpAddr::is_ipv4).unwrap();
        assert!(ipv4.to_string().starts_with("10.99.0."), "{name} has {ipv4}");
    }
    // Two addresses, two pods: the third claim is one too many, and the answer names the pool.
    let plugin = Plugin::new(&lab, NODE, "toomany", ["app", "first", &uid]);
    let refused = plugin.call("ADD", &json!({}));
    assert_eq!(refused.code, 11, "{refused:?}");
    assert!(refused.output["msg"].as_str().unwrap().contains("tiny"), "{refused:?}");
    delete_pod(&lab, "second").await;
    lab.pod_gone("app", "second").await.unwrap();
    lab.until("an address that is free again", LIMIT, async || {
        (plugin.call("ADD", &json!({})).code == 0).then_some(())
    })
    .await
    .unwrap();
    plugin.del("what was given at last");
    lab.end().await;
}

/// From now on IPv4 addresses come from a pool of two addresses.
async fn small_pool_alone(lab: &TestLab) {
    let pools: Api<IPPool> = Api::all(lab.client());
    let former = pools.list(&ListParams::default()).await.unwrap();
    for pool in former.items.iter().filter(|pool| pool.spec.cidr.contains('.')) {
        let name = pool.metadata.name.clone().unwrap();
        let patch = kube::api::Patch::Merge(json!({"spec": {"disabled": true}}));
        pools.patch(&name, &kube::api::PatchParams::default(), &patch).await.unwrap();
    }
    lab.apply(
        "{apiVersion: tortie.dev/v1alpha1, kind: IPPool, metadata: {name: tiny},
          spec: {cidr: 10.99.0.0/31, blockSize: 31}}",
    )
    .await
    .unwrap();
    let blocks: Api<IPBlock> = Api::all(lab.client());
    lab.until("a block of the new pool", LIMIT, async || {
        let blocks = blocks.list(&ListParams::default()).await.ok()?;
        blocks.iter().any(|block| block.spec.cidr == "10.99.0.0/31").then_some(())
    })
    .await
    .unwrap();
}
