//! A new version of our daemon, node by node, while traffic runs.

use std::process::ExitStatus;

use integration::probe::traffic::Tally;
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

use crate::scene::{Pod, Scene};

/// Pods that send, and pods on other nodes that each of them sends to: 20 pairs, each by UDP and by TCP.
const SENDERS: usize = 5;
const RECEIVERS: usize = 4;

/// Once could be luck.
const RUNS: usize = 3;

/// 100 numbered packets a second in every pair; every one is answered.
pub(crate) async fn rolling_restarts_lose_no_packet(scene: &Scene) {
    for _ in 0..RUNS {
        a_rolling_restart_loses_no_packet(scene).await;
    }
}

async fn a_rolling_restart_loses_no_packet(scene: &Scene) {
    let pods = scene.pods("default", "app=web").await;
    let mut senders = Vec::new();
    for pair in pairs(&pods) {
        senders.push(start(scene, &pair).await);
    }
    scene.kubectl(&["-n", "kube-system", "rollout", "restart", "daemonset/tortie-node"]).await;
    scene.rolled_out("kube-system", "daemonset/tortie-node").await;
    let mut total = Tally::default();
    for sender in senders {
        let (status, text) = stop(sender).await;
        assert!(status.success(), "{status}: {text}");
        total = total.and(serde_json::from_str(&text).unwrap());
    }
    eprintln!("a rolling restart of the DaemonSet: {total:?}");
    assert_eq!(total.flows, 2 * (SENDERS * RECEIVERS) as u64);
    assert!(total.sent > 0);
    assert_eq!(total.lost, 0, "{total:?}");
}

/// A sender and those whom it sends to, all on other nodes than its own.
fn pairs(pods: &[Pod]) -> Vec<(String, Vec<String>)> {
    let pair = |(number, pod): (usize, &Pod)| {
        let others =
            pods.iter().filter(|other| other.node != pod.node).skip(number * RECEIVERS).take(RECEIVERS);
        // Every other sender uses IPv6.
        let to: Vec<String> =
            others.map(|other| other.addresses[number % other.addresses.len()].to_string()).collect();
        assert_eq!(to.len(), RECEIVERS, "pods on other nodes than {}", pod.node);
        (pod.name.clone(), to)
    };
    let step = pods.len() / SENDERS;
    pods.iter().step_by(step).take(SENDERS).enumerate().map(pair).collect()
}

async fn start(scene: &Scene, (pod, to): &(String, Vec<String>)) -> Child {
    let mut arguments = vec!["exec", "-i", pod, "--", "/lab", "traffic"];
    arguments.extend(to.iter().flat_map(|address| ["--to", address.as_str()]));
    arguments.extend(["--port", "8080", "--flows", "1", "--every-millis", "10", "--tcp"]);
    scene.lab.start_kubectl(&arguments).await.unwrap()
}

/// Ends the sender's input; its tally.
async fn stop(mut sender: Child) -> (ExitStatus, String) {
    drop(sender.stdin.take());
    let mut text = String::new();
    sender.stdout.as_mut().unwrap().read_to_string(&mut text).await.unwrap();
    let mut said = String::new();
    sender.stderr.as_mut().unwrap().read_to_string(&mut said).await.unwrap();
    let status = sender.wait().await.unwrap();
    (status, if status.success() { text } else { said })
}
