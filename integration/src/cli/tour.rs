//! What the demo shows, in order: sessions, pods, routes, reachability, policy, a failing router.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::inspect::table;
use crate::lab::Lab;
use crate::lab::steps::Steps;
use crate::probe::matrix::render;
use crate::probe::{Endpoint, Family, Finding, Protocol, Question};

/// The namespace of the demo's pods.
const NAMESPACE: &str = "shop";
/// One pod for each node; the scheduler gives each the emptiest.
const PODS: [&str; 4] = ["web", "orders", "database", "visitor"];
const PORT: u16 = 8080;
/// How long a step may take that usually takes a second; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(30);
/// Flows of the traffic that runs while a router fails: enough to be spread over both routers of the rack.
const FLOWS: u16 = 32;
const EVERY_MILLIS: u64 = 10;
/// Much longer than BFD needs, so that the loss is over before it is counted.
const FAILURE_SECS: u64 = 3;

/// Shows everything once.
pub(super) async fn tour(lab: &Lab, steps: &Steps) -> Result<()> {
    pods(lab, steps).await?;
    sessions(lab, steps).await?;
    routes(lab, steps).await?;
    let open = reachability(lab, steps).await?;
    let allowed = policy(lab, steps, &open).await?;
    failure(lab, steps, &allowed).await
}

async fn sessions(lab: &Lab, steps: &Steps) -> Result<()> {
    let mut total = 0;
    for node in &lab.underlay().topology().nodes {
        let node = Endpoint::Node(node.name.clone());
        total += lab
            .until(&format!("BGP sessions of {node}"), LIMIT, async || {
                let peers = lab.peers(&node).await.ok()?;
                let is_up = !peers.is_empty() && peers.iter().all(|peer| peer.state == "Established");
                is_up.then_some(peers.len())
            })
            .await?;
    }
    steps.say(&format!(
        "BGP: all {total} sessions of the nodes are established. tortiectl bgp peers on node-1:"
    ));
    steps.show(&tortiectl(lab, &["bgp", "peers"]).await?);
    Ok(())
}

async fn pods(lab: &Lab, steps: &Steps) -> Result<()> {
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
    Api::all(lab.client()).create(&PostParams::default(), &namespace).await?;
    let api: Api<Pod> = Api::namespaced(lab.client(), NAMESPACE);
    for name in PODS {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"containers": [{"name": "server", "image": "lab", "ports": [
                {"containerPort": PORT, "protocol": "TCP"}, {"containerPort": PORT, "protocol": "UDP"},
            ]}]},
        }))?;
        api.create(&PostParams::default(), &pod).await?;
    }
    for name in PODS {
        lab.until(&format!("pod {name} ready"), LIMIT, async || {
            api.get(name).await.ok().filter(is_ready).map(drop)
        })
        .await?;
    }
    steps.say("4 pods: each has its addresses from tortie-cni, answers, and is Ready");
    let rows = lab.pods().into_iter().map(|(pod, node, addresses)| {
        let mut row = vec![pod.to_string(), node];
        row.extend(addresses.iter().map(ToString::to_string));
        row
    });
    steps.show(table(&["POD", "NODE", "IPV4", "IPV6"], rows).trim_start());
    Ok(())
}

async fn routes(lab: &Lab, steps: &Steps) -> Result<()> {
    let text = tortiectl(lab, &["bgp", "routes"]).await?;
    let wanted = ["orders", "database"].map(pod);
    let addresses = lab.pods().into_iter().filter(|(name, _, _)| wanted.contains(name));
    let addresses: Vec<IpAddr> = addresses.flat_map(|(_, _, addresses)| addresses).collect();
    steps.say("routes: two next hops by two routers. Of tortiectl bgp routes on node-1 those to orders, database and the world:");
    steps.show(&ways_to(&text, &addresses));
    Ok(())
}

/// The head of the table, and the prefixes that hold one of the addresses; defaults always.
fn ways_to(table: &str, addresses: &[IpAddr]) -> String {
    let mut is_shown = true;
    let lines = table.lines().enumerate().filter(|(number, line)| {
        let prefix = line.split_whitespace().find_map(|word| word.parse::<IpNetwork>().ok());
        let is_new = line.split_whitespace().nth(1).is_some_and(|word| word.contains('/'));
        if let Some(prefix) = prefix.filter(|_| is_new) {
            is_shown = prefix.prefix() == 0 || addresses.iter().any(|address| prefix.contains(*address));
        }
        *number == 0 || (is_shown && !line.is_empty())
    });
    let lines: Vec<&str> = lines.map(|(_, line)| line).collect();
    lines.join("\n")
}

async fn reachability(lab: &Lab, steps: &Steps) -> Result<Vec<Finding>> {
    let findings = lab.probe_all(&everybody()).await?;
    steps.say(&format!(
        "{} of {} real packets came back (TCP {PORT}; 4: open by IPv4, 6: by IPv6, x: closed):",
        findings.iter().filter(|finding| finding.allowed).count(),
        findings.len(),
    ));
    steps.show(&render(&findings));
    Ok(findings)
}

async fn policy(lab: &Lab, steps: &Steps, before: &[Finding]) -> Result<Vec<Finding>> {
    let policy: NetworkPolicy = serde_json::from_value(json!({
        "metadata": {"name": "database"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "database"}},
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"app": "orders"}}}],
                "ports": [{"port": PORT, "protocol": "TCP"}],
            }],
        },
    }))?;
    Api::namespaced(lab.client(), NAMESPACE).create(&PostParams::default(), &policy).await?;
    let denied = Question { timeout_millis: 200, ..Question::new(pod("web"), pod("database"), PORT) };
    lab.until("denial by the policy", LIMIT, async || {
        lab.probe(&denied).await.ok().filter(|finding| !finding.allowed).map(drop)
    })
    .await?;
    let after = lab.probe_all(&everybody()).await?;
    let changed = before.iter().zip(&after).filter(|(before, after)| before.allowed != after.allowed).count();
    steps.say(&format!("NetworkPolicy: only orders may ask database. {changed} ways are closed now:"));
    steps.show(&render(&after));
    Ok(after)
}

async fn failure(lab: &Lab, steps: &Steps, before: &[Finding]) -> Result<()> {
    let far = other_rack(lab).context("no pod in another rack")?;
    let question = |family| Question {
        protocol: Protocol::Udp,
        family: Some(family),
        ..Question::new(pod("web"), far.clone(), PORT)
    };
    let ipv4 = lab.start_traffic(&question(Family::Ipv4), FLOWS, EVERY_MILLIS).await?;
    let ipv6 = lab.start_traffic(&question(Family::Ipv6), FLOWS, EVERY_MILLIS).await?;
    pause(Duration::from_secs(1)).await;
    lab.underlay().cut_power("tor-1-1").await?;
    pause(Duration::from_secs(FAILURE_SECS)).await;
    let tally = ipv4.stop().await?.and(ipv6.stop().await?);
    steps.say("power of tor-1-1 cut while traffic crossed the racks; BFD notices (3 intervals of 100 ms):");
    steps.show(&format!(
        "{} datagrams in {} flows: {} lost, from {} flows; the longest silence of a flow was {:.1} s",
        tally.sent,
        tally.flows,
        tally.lost,
        tally.flows_hit,
        Duration::from_millis(tally.longest_gap_millis).as_secs_f64(),
    ));
    let findings = lab.probe_all(&everybody()).await?;
    let lost =
        before.iter().zip(&findings).filter(|(before, after)| before.allowed && !after.allowed).count();
    let open = findings.iter().filter(|finding| finding.allowed).count();
    steps.say(&match lost {
        0 => format!("all {open} open ways are open as before, by tor-1-2 alone. On node-1:"),
        _ => format!("{lost} ways that policy allows are lost, {open} are open. On node-1:"),
    });
    steps.show(&tortiectl(lab, &["bgp", "peers"]).await?);
    Ok(())
}

/// Every pod, an outside host, and a node ask every pod and the outside host, by both families.
fn everybody() -> Vec<Question> {
    let outside = Endpoint::External("internet".into());
    let asked: Vec<Endpoint> = PODS.map(pod).into_iter().chain([outside.clone()]).collect();
    let asking: Vec<Endpoint> =
        PODS.map(pod).into_iter().chain([outside, Endpoint::Node("node-1".into())]).collect();
    let pairs = asking.iter().flat_map(|from| asked.iter().map(move |to| (from, to)));
    pairs
        .filter(|(from, to)| from != to)
        .flat_map(|(from, to)| {
            [Family::Ipv4, Family::Ipv6].map(|family| Question {
                family: Some(family),
                ..Question::new(from.clone(), to.clone(), PORT)
            })
        })
        .collect()
}

/// A pod that runs in another rack than `web` and that no policy selects.
fn other_rack(lab: &Lab) -> Option<Endpoint> {
    let topology = lab.underlay().topology();
    let rack = |node: &str| topology.node(node).map(|node| node.rack);
    let pods = lab.pods();
    let home = pods.iter().find(|(name, _, _)| *name == pod("web")).and_then(|(_, node, _)| rack(node));
    let far = pods.iter().find(|(name, node, _)| rack(node) != home && *name != pod("database"));
    far.map(|(name, _, _)| name.clone())
}

fn pod(name: &str) -> Endpoint {
    Endpoint::Pod { namespace: NAMESPACE.into(), name: name.into() }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

async fn tortiectl(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let program = lab.underlay().programs().own("tortiectl")?;
    Ok(lab.run(&Endpoint::Node("node-1".into()), &program, arguments).await?)
}

#[expect(clippy::disallowed_methods, reason = "traffic runs for a time that is shown to people")]
async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
