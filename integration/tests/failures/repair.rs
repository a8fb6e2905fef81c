//! What a foreign hand takes away comes back at once; an orderly stop loses no packet.

use std::time::Duration;

use integration::lab::oracle;
use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::{Shape, Space};
use integration::probe::Family;
use nix::sys::signal::Signal;

use super::scene::{Flows, addresses, ask, await_sessions, await_verdict, create_pod, holder, start, timed};

const NODE: &str = "node-1";
/// Repairs are promised within 1 s; three times that for a machine under load.
const REPAIR_LIMIT: Duration = Duration::from_secs(3);

/// Our routes as the kernel has them, sorted.
fn routes(lab: &TestLab) -> Vec<String> {
    let holder = holder(lab, NODE);
    let both = [&["-o", "route", "show", "proto", "84"][..], &["-6", "-o", "route", "show", "proto", "84"]];
    let lines = both.map(|arguments| oracle::text(holder, "ip", arguments).unwrap());
    let mut lines: Vec<String> =
        lines.iter().flat_map(|text| text.lines()).map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}

/// Our table's words in an order of their own: the order of a set's elements means nothing.
fn policy(lab: &TestLab) -> Vec<String> {
    let text = oracle::text(holder(lab, NODE), "nft", &["-s", "list", "table", "inet", "tortie"])
        .unwrap_or_default();
    let words = text.split(|letter: char| letter.is_whitespace() || letter == ',');
    let mut words: Vec<String> = words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
    words.sort();
    words
}

/// What is done, one command a line; POD, INTERFACE, LEARNT and BLACKHOLE stand for what there is.
const DAMAGES: [(&str, &[&str]); 9] = [
    ("flush ruleset", &["nft flush ruleset"]),
    ("a pod's route", &["ip route del POD"]),
    ("a learnt route", &["ip route del LEARNT proto 84"]),
    ("default routes", &["ip route del default proto 84", "ip -6 route del default proto 84"]),
    ("a block's blackhole", &["ip route del blackhole BLACKHOLE proto 84"]),
    ("all IPv4 routes of ours", &["ip route flush proto 84"]),
    ("all IPv6 routes of ours", &["ip -6 route flush proto 84"]),
    ("a pod's link down and up", &["ip link set INTERFACE down", "ip link set INTERFACE up"]),
    ("the uplink down and up", &["ip link set eth0 down", "ip link set eth0 up"]),
];

/// Two pods on the node and one elsewhere; a policy that closes `b` to all but `a`.
async fn with_policy() -> TestLab {
    let lab = start(Shape { nodes: 2, ..Shape::default() }).await;
    for (name, node) in [("a", NODE), ("b", NODE), ("far", "node-2")] {
        create_pod(&lab, name, node).await;
    }
    lab.pods_ready("app").await.unwrap();
    await_sessions(&lab, NODE, 2).await;
    lab.apply(
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web, namespace: app},
          spec: {podSelector: {matchLabels: {app: b}}, policyTypes: [Ingress],
                 ingress: [{from: [{podSelector: {matchLabels: {app: a}}}], ports: [{port: 8080}]}]}}",
    )
    .await
    .unwrap();
    lab.until("the policy", LIMIT, async || {
        (!ask(&lab, "far", "b", Family::Ipv4).await.allowed).then_some(())
    })
    .await
    .unwrap();
    lab
}

/// What the words in [`DAMAGES`] stand for.
fn names(lab: &TestLab, routes: &[String]) -> [(&'static str, String); 4] {
    let pod = addresses(lab, "a")[0].to_string();
    let word = |line: &str, number| line.split_whitespace().nth(number).unwrap().to_owned();
    let find = |is_it: &dyn Fn(&str) -> bool| routes.iter().find(|line| is_it(line)).unwrap().clone();
    let learnt = find(&|line| line.starts_with("10.244.") && line.contains("nexthop"));
    let blackhole = find(&|line| line.starts_with("blackhole 10.244."));
    let of_pod = find(&|line| line.starts_with(&format!("{pod} ")));
    let interface = of_pod.split_whitespace().find(|word| word.starts_with("tort")).unwrap().to_owned();
    [("POD", pod), ("INTERFACE", interface), ("LEARNT", word(&learnt, 0)), ("BLACKHOLE", word(&blackhole, 1))]
}

fn run(lab: &TestLab, command: &str, names: &[(&str, String)]) {
    let command = names.iter().fold(command.to_owned(), |text, (name, value)| text.replace(name, value));
    let words: Vec<&str> = command.split_whitespace().collect();
    oracle::text(holder(lab, NODE), words[0], &words[1..]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_comes_back_within_a_second() {
    let lab = with_policy().await;
    let space = Space::Node(NODE.into());
    // Without it the kernel takes the node's own address away with the link, which is nobody's to repair but the host's.
    lab.underlay().network(&space).unwrap().set(&[("ipv6/conf/eth0/keep_addr_on_down", "1")]).unwrap();
    let (routes_before, policy_before) = (routes(&lab), policy(&lab));
    assert!(routes_before.len() >= 8, "{routes_before:?}");
    assert!(policy_before.len() > 50, "{policy_before:?}");
    let names = names(&lab, &routes_before);
    // Nobody else can delete the table while the daemon lives.
    let refused = oracle::text(holder(&lab, NODE), "nft", &["delete", "table", "inet", "tortie"]);
    assert!(refused.unwrap_err().to_string().contains("Operation not permitted"));
    let mut late = Vec::new();
    for (why, commands) in DAMAGES {
        for command in commands {
            run(&lab, command, &names);
        }
        let took = timed(&lab, why, || routes(&lab) == routes_before && policy(&lab) == policy_before).await;
        eprintln!("repaired after {} ms: {why}", took.as_millis());
        if took > REPAIR_LIMIT {
            late.push(format!("{why}: {} ms", took.as_millis()));
        }
        for to in ["b", "far"] {
            await_verdict(&lab, "a", to, true).await;
        }
        assert!(!ask(&lab, "far", "b", Family::Ipv4).await.allowed, "{why}: the policy is back");
    }
    assert!(late.is_empty(), "{late:?}");
    // While it is away anybody can; the next one writes it anew.
    lab.stop_daemon(NODE, Signal::SIGKILL).await.unwrap();
    for command in ["nft delete table inet tortie", "nft flush ruleset"] {
        run(&lab, command, &[]);
    }
    lab.resume_daemon(NODE).await.unwrap();
    let took = timed(&lab, "a table that was deleted meanwhile", || policy(&lab) == policy_before).await;
    eprintln!("written anew {} ms after the start: a table that was deleted meanwhile", took.as_millis());
    assert!(!ask(&lab, "far", "b", Family::Ipv4).await.allowed);
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_stop_and_start_loses_no_packet() {
    let lab = start(Shape { nodes: 2, ..Shape::default() }).await;
    for (name, node) in [("a", NODE), ("b", NODE), ("far", "node-2")] {
        create_pod(&lab, name, node).await;
    }
    lab.pods_ready("app").await.unwrap();
    await_sessions(&lab, NODE, 2).await;
    let flows = Flows::start(&lab, &[("a", "b"), ("a", "far")]).await;
    for _ in 0..3 {
        lab.stop_daemon(NODE, Signal::SIGTERM).await.unwrap();
        assert!(ask(&lab, "far", "a", Family::Ipv4).await.allowed, "while the daemon is away");
        lab.resume_daemon(NODE).await.unwrap();
        await_sessions(&lab, NODE, 2).await;
    }
    flows.lost_nothing("SIGTERM and start").await;
    lab.end().await;
}
