//! An address that goes to the next pod carries no flow of the former one.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use integration::lab::testing::{LIMIT, TestLab};
use integration::probe::{Endpoint, Family};
use serde_json::json;

use super::cast::{address, addresses, lab, namespace, pod, policies_are_in_force, policy, port};
use super::packets::{drain, is_answered, udp};

const PORT: u16 = 53;
const PATIENCE: Duration = Duration::from_millis(200);
/// As many as the small pools' block on the node has addresses.
const ADDRESSES: usize = 4;

fn endpoint(name: &str) -> Endpoint {
    Endpoint::Pod { namespace: "reuse".into(), name: name.into() }
}

/// From now on there are so few addresses that one soon comes back.
async fn shrink_pools(lab: &TestLab) {
    let pools = lab.objects("tortie.dev/v1alpha1", "IPPool", None);
    for pool in pools.list(&kube::api::ListParams::default()).await.unwrap() {
        let patch = kube::api::Patch::Merge(json!({"spec": {"disabled": true}}));
        pools.patch(&pool.metadata.name.unwrap(), &kube::api::PatchParams::default(), &patch).await.unwrap();
    }
    for (name, cidr, size) in [("small4", "10.245.0.0/30", 30), ("small6", "fd00:10:245::/126", 126)] {
        let pool = json!({
            "apiVersion": "tortie.dev/v1alpha1", "kind": "IPPool", "metadata": {"name": name},
            "spec": {"cidr": cidr, "blockSize": size},
        });
        lab.apply_object(pool).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_to_the_former_pod_does_not_reach_the_next() {
    let lab = lab().await;
    let ports = [port("UDP", PORT, "")];
    let mut manifests = namespace("reuse", "{}");
    manifests += &pod("reuse", "client", "node-2", "{}", &ports);
    manifests += &policy("reuse", "closed", "{podSelector: {matchLabels: {pod: next}}}");
    lab.apply(&manifests).await.unwrap();
    lab.pods_ready("reuse").await.unwrap();
    shrink_pools(&lab).await;
    lab.apply(&pod("reuse", "former", "node-1", "{}", &ports)).await.unwrap();
    lab.pods_ready("reuse").await.unwrap();
    policies_are_in_force(&lab, "reuse").await;
    let former: Vec<IpAddr> = addresses(&lab, &endpoint("former"));
    assert!(former.iter().any(|address| address.to_string().starts_with("10.245.0.")), "{former:?}");
    let flows: Vec<_> = [Family::Ipv4, Family::Ipv6]
        .into_iter()
        .map(|family| {
            let local = SocketAddr::new(address(&lab, &endpoint("client"), family), 40_000);
            let socket = udp(&lab, &endpoint("client"), local, PATIENCE);
            let to = SocketAddr::new(address(&lab, &endpoint("former"), family), PORT);
            assert!(is_answered(&socket, to, "former"), "{to}");
            (socket, to)
        })
        .collect();
    lab.delete("v1", "Pod", Some("reuse"), "former").await.unwrap();
    lab.pod_gone("reuse", "former").await.unwrap();
    let names: Vec<String> = (0..ADDRESSES).map(|number| format!("next-{number}")).collect();
    for name in &names {
        lab.apply(&pod("reuse", name, "node-1", "{pod: next}", &ports)).await.unwrap();
    }
    // The flows go on all the time, as a client's would that has not noticed.
    let heirs = lab
        .until("the address' next pod", LIMIT, async || {
            for (socket, to) in &flows {
                let came = {
                    let _ = socket.send_to(b"stale", to);
                    drain(socket)
                };
                assert!(came.iter().all(|line| !line.contains("next-")), "the flow reached {came:?}");
            }
            let heirs = names.iter().filter(|name| {
                addresses(&lab, &endpoint(name)).iter().any(|address| former.contains(address))
            });
            let found: Vec<&String> = heirs.collect();
            let all: Vec<IpAddr> = found.iter().flat_map(|name| addresses(&lab, &endpoint(name))).collect();
            former.iter().all(|address| all.contains(address)).then_some(found)
        })
        .await
        .unwrap();
    for (socket, to) in &flows {
        assert!(!is_answered(socket, *to, "stale"), "the flow goes on at {heirs:?}");
    }
    lab.end().await;
}
