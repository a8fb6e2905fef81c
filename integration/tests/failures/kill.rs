//! `kill -9` of the node's daemon at seeded moments: who did not change does not notice.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use integration::lab::oracle::{self, Running};
use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::{RouterKind, Shape};
use integration::probe::Family;
use nix::sys::signal::Signal;

use super::scene::{
    Flows, addresses, ask, await_sessions, await_verdict, create_pod, delete_pod, holder, number, start,
};

const NODE: &str = "node-1";
/// The table belongs to the process that writes it, so that no other can damage it. One whose owner was killed must be
/// taken over by the next, and the kernel tells of that; nothing in the table changes by it.
const TAKEN_OVER: [&str; 1] = ["add table inet tortie"];
/// Kills for each kind of router; `KILLS=100` takes more, and `KILL_SEED` other moments.
const KILLS: u64 = 20;
const SEED: u64 = 0x5eed_0001;
/// The daemon lives so long at most before it is killed: it has started by then.
const LIFE_MILLIS_MAX: u64 = 1500;
/// Of this table events are asked for to know that a monitor has told all that came before.
const MARKER: &str = "198.18.";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_costs_nobody_anything_with_our_routers() {
    survive(RouterKind::Own).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_daemon_costs_nobody_anything_with_bird() {
    survive(RouterKind::Bird).await;
}

async fn survive(router: RouterKind) {
    let (moments, seed) = (number("KILLS", KILLS), number("KILL_SEED", SEED));
    let lab = start(Shape { router, nodes: 2, ..Shape::default() }).await;
    for (name, node) in [("a", NODE), ("b", NODE), ("target", NODE), ("far", "node-2")] {
        create_pod(&lab, name, node).await;
    }
    lab.pods_ready("app").await.unwrap();
    await_sessions(&lab, NODE, 2).await;
    await_both_ways(&lab).await;
    let foreign = Foreign::put(&lab);
    let flows = Flows::start(&lab, &[("a", "b"), ("a", "far")]).await;
    let mut moments_left = Moments::new(seed);

    let quiet = Monitors::start(&lab).await;
    for _ in 0..moments / 2 {
        kill_and_start(&lab, moments_left.next()).await;
    }
    await_sessions(&lab, NODE, 2).await;
    await_settled(&lab).await;
    let told = quiet.stop(&lab).await;
    assert!(
        told.is_empty(),
        "{router:?}, seed {seed:#x}: nothing changed, but the kernel was told\n{}",
        told.join("\n")
    );

    let busy = Monitors::start(&lab).await;
    let stable = stable_words(&lab);
    for round in 0..moments - moments / 2 {
        churn_round(&lab, round, moments_left.next()).await;
    }
    lab.pods_ready("app").await.unwrap();
    await_sessions(&lab, NODE, 2).await;
    let told = busy.stop(&lab).await;
    let hit: Vec<&String> =
        told.iter().filter(|line| stable.iter().any(|word| has_word(line, word))).collect();
    assert!(hit.is_empty(), "{router:?}, seed {seed:#x}: told of what did not change ({stable:?})\n{hit:#?}");
    let sent = flows.lost_nothing(&format!("{router:?}, {moments} kills")).await;
    foreign.is_untouched(&lab);
    eprintln!(
        "measured: {router:?} as ToR, seed {seed}: {moments} kills of the daemon, {sent} datagrams sent meanwhile, 0 lost, \
         0 routes, rules, links or elements of who did not change touched"
    );
    lab.end().await;
}

async fn kill_and_start(lab: &TestLab, life: Duration) {
    live(life).await;
    lab.stop_daemon(NODE, Signal::SIGKILL).await.unwrap();
    lab.resume_daemon(NODE).await.unwrap();
}

/// A pod comes and another goes about the time of the kill; a policy changes while the daemon is away.
async fn churn_round(lab: &TestLab, round: u64, life: Duration) {
    create_pod(lab, &format!("churn-{round}"), NODE).await;
    if let Some(former) = round.checked_sub(2) {
        delete_pod(lab, &format!("churn-{former}")).await;
    }
    live(life).await;
    lab.stop_daemon(NODE, Signal::SIGKILL).await.unwrap();
    let is_closed = round.is_multiple_of(2);
    if is_closed {
        lab.apply(
            "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: close, namespace: app},
              spec: {podSelector: {matchLabels: {app: target}}, policyTypes: [Ingress]}}",
        )
        .await
        .unwrap();
    } else {
        lab.delete("networking.k8s.io/v1", "NetworkPolicy", Some("app"), "close").await.unwrap();
    }
    lab.resume_daemon(NODE).await.unwrap();
    await_verdict(lab, "a", "target", !is_closed).await;
    no_address_twice(lab);
}

fn no_address_twice(lab: &TestLab) {
    let mut holders: BTreeMap<IpAddr, String> = BTreeMap::new();
    for (pod, _, addresses) in lab.pods() {
        for address in addresses {
            if let Some(other) = holders.insert(address, pod.to_string()) {
                panic!("{address} serves {pod} and {other}");
            }
        }
    }
}

/// A router of the rack may have its own session with the spine later than that with the node: once it has all routes
/// too, every route has two next hops, and nothing more is to come.
async fn await_both_ways(lab: &TestLab) {
    lab.until("two next hops of every route", LIMIT, async || {
        let has_both = |family: &str| {
            let arguments = ["-j", family, "route", "show", "proto", "84", "metric", "8484"];
            let routes = oracle::json(holder(lab, NODE), "ip", &arguments).ok()?;
            let routes = routes.as_array()?;
            let is_double =
                |route: &serde_json::Value| route["nexthops"].as_array().is_some_and(|hops| hops.len() == 2);
            let has_default = routes.iter().any(|route| route["dst"] == "default");
            (has_default && routes.iter().all(is_double)).then_some(())
        };
        has_both("-4").and(has_both("-6"))
    })
    .await
    .unwrap();
}

/// Once the daemon has told that it works as configured, it has written what it had to write.
async fn await_settled(lab: &TestLab) {
    lab.until("routes and policy in sync", LIMIT, async || {
        let status = oracle::json(
            holder(lab, NODE),
            &lab.underlay().programs().own("tortiectl").ok()?.display().to_string(),
            &["node", "status", "-o", "json"],
        )
        .ok()?;
        let conditions = status["conditions"].as_array()?;
        let holds = |condition: &serde_json::Value| condition["holds"].as_bool().unwrap_or(false);
        (!conditions.is_empty() && conditions.iter().all(holds)).then_some(())
    })
    .await
    .unwrap();
    assert!(ask(lab, "a", "far", Family::Ipv4).await.allowed);
}

#[expect(clippy::disallowed_methods, reason = "a moment of the daemon's life, by the seed")]
async fn live(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Seeded moments (xorshift): the same seed, the same test.
struct Moments(u64);

impl Moments {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % LIFE_MILLIS_MAX)
    }
}

/// What names those who do not change: addresses and interfaces of standing pods, blocks, defaults.
fn stable_words(lab: &TestLab) -> Vec<String> {
    let holder = holder(lab, NODE);
    let mut words: Vec<String> =
        ["a", "b", "far"].iter().flat_map(|name| addresses(lab, name)).map(|it| it.to_string()).collect();
    let routes = oracle::text(holder, "ip", &["-o", "route", "show", "proto", "84"]).unwrap();
    let routes6 = oracle::text(holder, "ip", &["-6", "-o", "route", "show", "proto", "84"]).unwrap();
    for line in routes.lines().chain(routes6.lines()) {
        let is_ours =
            ["a", "b"].iter().flat_map(|name| addresses(lab, name)).any(|it| has_word(line, &it.to_string()));
        let prefix = line.split_whitespace().find(|word| word.contains('/') || *word == "default");
        words.extend(prefix.map(str::to_owned));
        if is_ours {
            words.extend(line.split_whitespace().find(|word| word.starts_with("tort")).map(str::to_owned));
        }
    }
    words.sort();
    words.dedup();
    words
}

/// Whether the word is there as a whole: 10.0.0.1 is not in 10.0.0.12.
fn has_word(line: &str, word: &str) -> bool {
    // Every interface is in a group that has the name of the widest route.
    let line = line.replace("group default", "");
    let is_end = |letter: char| !(letter.is_ascii_alphanumeric() || [':', '.', '/'].contains(&letter));
    line.split(is_end).any(|found| found == word)
}

/// `ip monitor` and `nft monitor` on the node.
struct Monitors([Running; 2]);

impl Monitors {
    async fn start(lab: &TestLab) -> Self {
        let holder = holder(lab, NODE);
        let mut ip = oracle::command(holder, "ip");
        ip.args(["-ts", "-o", "monitor", "route", "link", "address", "rule", "nexthop"]);
        let mut nft = oracle::command(holder, "stdbuf");
        nft.args(["-oL", "nft", "monitor"]);
        let monitors = Self([Running::start(ip).unwrap(), Running::start(nft).unwrap()]);
        monitors.await_marker(lab, "198.18.0.1").await;
        monitors
    }

    /// What they told, without the markers.
    async fn stop(self, lab: &TestLab) -> Vec<String> {
        self.await_marker(lab, "198.18.0.2").await;
        let texts = self.0.iter().map(|monitor| monitor.text().unwrap());
        let lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
        let is_news = |line: &String| {
            // nft closes each transaction with a line that names the process alone.
            let is_marker =
                line.contains(MARKER) || line.contains("marker") || line.starts_with("# new generation");
            !is_marker && !TAKEN_OVER.contains(&line.as_str())
        };
        lines.filter(is_news).collect()
    }

    /// Makes events until both tell of them: all earlier ones have been told by then.
    async fn await_marker(&self, lab: &TestLab, address: &str) {
        let holder = holder(lab, NODE);
        lab.until("monitors", LIMIT, async || {
            for verb in ["add", "del"] {
                oracle::text(holder, "ip", &["route", verb, "blackhole", address, "table", "4242"]).ok()?;
            }
            oracle::text(holder, "nft", &["add", "table", "ip", "marker"]).ok()?;
            oracle::text(
                holder,
                "nft",
                &["add", "chain", "ip", "marker", &format!("m{}", address.replace('.', "_"))],
            )
            .ok()?;
            oracle::text(holder, "nft", &["delete", "table", "ip", "marker"]).ok()?;
            let [ip, nft] = &self.0;
            let has_told =
                ip.text().ok()?.contains(address) && nft.text().ok()?.contains(&address.replace('.', "_"));
            has_told.then_some(())
        })
        .await
        .unwrap();
    }
}

/// What others have put into the node's kernel; some of it for the very prefixes that are ours.
struct Foreign(Vec<String>);

impl Foreign {
    fn put(lab: &TestLab) -> Self {
        let holder = holder(lab, NODE);
        let ours = |arguments: &[&str]| -> Vec<String> {
            let text = oracle::text(holder, "ip", arguments).unwrap();
            let prefixes = text.lines().filter_map(|line| {
                line.split_whitespace().find(|word| word.contains('/')).map(str::to_owned)
            });
            prefixes.collect()
        };
        let run = |arguments: &[&str]| drop(oracle::text(holder, "ip", arguments).unwrap());
        run(&["route", "add", "default", "via", "10.10.1.251", "metric", "20000", "proto", "static"]);
        run(&[
            "-6",
            "route",
            "add",
            "default",
            "via",
            "fd00:10:1::251",
            "metric",
            "20000",
            "proto",
            "static",
        ]);
        for prefix in ours(&["-o", "route", "show", "proto", "84"]) {
            run(&["route", "add", &prefix, "via", "10.10.1.251", "metric", "20000", "proto", "static"]);
        }
        for prefix in ours(&["-6", "-o", "route", "show", "proto", "84"]) {
            run(&[
                "-6",
                "route",
                "add",
                &prefix,
                "via",
                "fd00:10:1::251",
                "metric",
                "20000",
                "proto",
                "static",
            ]);
        }
        run(&["route", "add", "203.0.113.0/24", "via", "10.10.1.251", "table", "100"]);
        run(&["rule", "add", "fwmark", "0x77", "lookup", "100"]);
        run(&["-6", "rule", "add", "fwmark", "0x77", "lookup", "100"]);
        for command in [
            "add table inet foreign",
            "add set inet foreign friends { type ipv4_addr; elements = { 192.0.2.7 }; }",
            "add chain inet foreign forward { type filter hook forward priority 10; policy accept; }",
            "add rule inet foreign forward ip saddr @friends accept",
        ] {
            oracle::text(holder, "nft", &[command]).unwrap();
        }
        Self(Self::read(lab))
    }

    fn read(lab: &TestLab) -> Vec<String> {
        let holder = holder(lab, NODE);
        let read = |program: &str, arguments: &[&str]| oracle::text(holder, program, arguments).unwrap();
        vec![
            read("ip", &["route", "show", "table", "all", "proto", "static"]),
            read("ip", &["-6", "route", "show", "table", "all", "proto", "static"]),
            read("ip", &["route", "show", "table", "100"]),
            read("ip", &["rule"]),
            read("ip", &["-6", "rule"]),
            read("nft", &["list", "table", "inet", "foreign"]),
        ]
    }

    fn is_untouched(&self, lab: &TestLab) {
        assert_eq!(self.0, Self::read(lab), "what is not ours must stay");
    }
}
