//! A pod cannot speak under another pod's address, not even into a flow that is open.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use integration::lab::testing::TestLab;
use integration::probe::{Endpoint, Family};

use super::cast::{address, lab, namespace, pod, policies_are_in_force, policy, port};
use super::packets::{drain, is_answered, send_as, udp};

const PORT: u16 = 53;
const PATIENCE: Duration = Duration::from_millis(200);

fn endpoint(name: &str) -> Endpoint {
    Endpoint::Pod { namespace: "spoof".into(), name: name.into() }
}

async fn pods(lab: &TestLab) {
    let mut manifests = namespace("spoof", "{}");
    for (name, node) in [("friend", "node-1"), ("evil", "node-1"), ("near", "node-1"), ("far", "node-2")] {
        manifests += &pod("spoof", name, node, &format!("{{pod: {name}}}"), &[port("UDP", PORT, "")]);
    }
    for server in ["near", "far"] {
        let spec = format!(
            "{{podSelector: {{matchLabels: {{pod: {server}}}}}, \
              ingress: [{{from: [{{podSelector: {{matchLabels: {{pod: friend}}}}}}]}}]}}"
        );
        manifests += &policy("spoof", server, &spec);
    }
    lab.apply(&manifests).await.unwrap();
    lab.pods_ready("spoof").await.unwrap();
    policies_are_in_force(lab, "spoof").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_address_reaches_nobody_and_is_not_tracked() {
    let lab = lab().await;
    pods(&lab).await;
    for family in [Family::Ipv4, Family::Ipv6] {
        let [friend, evil] = ["friend", "evil"].map(|name| address(&lab, &endpoint(name), family));
        for (server, open_port) in [("near", 40_001), ("far", 40_002)] {
            let server = SocketAddr::new(address(&lab, &endpoint(server), family), PORT);
            let ours = SocketAddr::new(friend, open_port);
            let socket = udp(&lab, &endpoint("friend"), ours, PATIENCE);
            assert!(is_answered(&socket, server, "hello"), "{friend} is allowed to ask {server}");
            // The server answers to the address that it sees, so what it was told comes out at the friend.
            send_as(&lab, &endpoint("friend"), ours, server, "by-hand").unwrap();
            assert!(
                drain(&socket).iter().any(|line| line.starts_with("by-hand")),
                "raw packets work, {family:?}"
            );
            for _ in 0..5 {
                send_as(&lab, &endpoint("evil"), ours, server, "forged").unwrap();
            }
            let came = drain(&socket);
            assert!(came.iter().all(|line| !line.starts_with("forged")), "{evil} spoke as {ours}: {came:?}");
            assert!(is_answered(&socket, server, "still"), "the flow goes on");
        }
        nothing_is_tracked(&lab, family, evil).await;
    }
    lab.end().await;
}

/// A packet under an address of nobody, to somebody whom everybody may ask, leaves no entry; an honest one does.
async fn nothing_is_tracked(lab: &TestLab, family: Family, evil: IpAddr) {
    let nobody: IpAddr = match family {
        Family::Ipv4 => "10.244.200.9".parse().unwrap(),
        Family::Ipv6 => "fd00:10:244:99::9".parse().unwrap(),
    };
    let to = SocketAddr::new(address(lab, &endpoint("friend"), family), PORT);
    for source in [nobody, evil] {
        send_as(lab, &endpoint("evil"), SocketAddr::new(source, 41_000), to, "tracked").unwrap();
    }
    assert!(is_tracked(lab, family, evil).await, "an honest packet is tracked");
    assert!(!is_tracked(lab, family, nobody).await, "a forged packet is tracked");
}

async fn is_tracked(lab: &TestLab, family: Family, source: IpAddr) -> bool {
    let family = if family == Family::Ipv4 { "ipv4" } else { "ipv6" };
    let node = Endpoint::Node("node-1".into());
    let source = source.to_string();
    let arguments = ["-L", "-f", family, "-s", &source, "-p", "udp", "--orig-port-src", "41000"];
    let text = lab.run(&node, Path::new("/usr/sbin/conntrack"), &arguments).await.unwrap();
    text.contains("sport=41000")
}
