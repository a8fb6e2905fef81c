//! The verbs of CNI against the real daemon: twice, never, in vain, while it is away; and nothing is leaked.

use api::IPBlock;
use integration::lab::oracle;
use integration::lab::testing::{LIMIT, TestLab};
use integration::lab::topology::Shape;
use kube::Api;
use kube::api::ListParams;
use nix::sys::signal::Signal;
use serde_json::json;

use super::plugin::{Outcome, Plugin};
use super::scene::{create_pod, delete_pod, holder, start};

const NODE: &str = "node-1";

/// A lab with one node and one pod that attachments are made for; its UID.
async fn one_node() -> (TestLab, String) {
    let lab = start(Shape { racks: 1, nodes: 1, tors_per_rack: 1, ..Shape::default() }).await;
    create_pod(&lab, "sitter", NODE).await;
    lab.pods_ready("app").await.unwrap();
    let uid = uid(&lab, "sitter").await;
    (lab, uid)
}

async fn uid(lab: &TestLab, name: &str) -> String {
    lab.objects("v1", "Pod", Some("app")).get(name).await.unwrap().metadata.uid.unwrap()
}

/// Waits until the blocks of the node say that so many addresses are in use.
async fn await_in_use(lab: &TestLab, expected: i64) {
    let blocks: Api<IPBlock> = Api::all(lab.client());
    lab.until(&format!("{expected} addresses in use"), LIMIT, async || {
        let blocks = blocks.list(&ListParams::default()).await.ok()?;
        let in_use: i64 = blocks.iter().filter_map(|block| block.status.as_ref()).map(|it| it.in_use).sum();
        (in_use == expected).then_some(())
    })
    .await
    .unwrap();
}

/// What the kernel has of pods: interfaces, routes and policy that name one of ours.
fn traces(lab: &TestLab) -> Vec<String> {
    let holder = holder(lab, NODE);
    let words = |program: &str, arguments: &[&str]| -> Vec<String> {
        let text = oracle::text(holder, program, arguments).unwrap();
        let words = text
            .split(|letter: char| letter.is_whitespace() || letter == '"' || letter == '@' || letter == ':');
        words.filter(|word| word.starts_with("tort") && word.len() == 15).map(str::to_owned).collect()
    };
    let mut traces = words("ip", &["-o", "link", "show", "type", "veth"]);
    traces.extend(words("ip", &["route", "show", "table", "all"]));
    traces.extend(words("ip", &["-6", "route", "show", "table", "all"]));
    traces.extend(words("nft", &["list", "ruleset"]));
    traces.sort();
    traces
}

/// Waits until the kernel has the same traces of pods as before.
async fn await_traces(lab: &TestLab, before: &[String]) {
    lab.until("kernel as before", LIMIT, async || (traces(lab) == before).then_some(())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_that_come_twice_or_for_nothing_are_as_the_specification_says() {
    let (lab, uid) = one_node().await;
    await_in_use(&lab, 2).await;
    let before = traces(&lab);
    let plugin = Plugin::new(&lab, NODE, "twice", ["app", "sitter", &uid]);

    plugin.del("DEL of what never was");
    let (result, addresses) = plugin.add();
    assert_eq!(addresses.len(), 2, "one address of each family: {result}");
    assert_eq!(result["interfaces"][0]["name"], plugin.host_interface());
    assert!(traces(&lab).len() > before.len(), "the attachment is in the kernel");
    await_in_use(&lab, 4).await;

    let again = plugin.call("ADD", &json!({}));
    assert!(again.code >= 100, "a second ADD without DEL is refused: {again:?}");
    assert!(again.output["msg"].as_str().unwrap().contains("eth1"), "{again:?}");
    let previous = json!({"prevResult": result});
    assert_eq!(plugin.call("CHECK", &previous).code, 0, "the first ADD still stands");
    assert_eq!(plugin.call("STATUS", &json!({})).code, 0);
    let version = plugin.call("VERSION", &json!({}));
    assert_eq!((version.code, &version.output["cniVersion"]), (0, &json!("1.1.0")));

    oracle::text(holder(&lab, NODE), "ip", &["route", "del", &addresses[0]]).unwrap();
    let repaired = lab.until("route of the pod again", LIMIT, async || {
        (plugin.call("CHECK", &previous).code == 0).then_some(())
    });
    repaired.await.unwrap();

    plugin.del("DEL");
    plugin.del("DEL twice");
    assert_ne!(plugin.call("CHECK", &previous).code, 0, "CHECK of what is gone");
    await_in_use(&lab, 2).await;
    await_traces(&lab, &before).await;

    let (_, other) = plugin.add();
    assert!(
        other.iter().all(|address| !addresses.contains(address)),
        "{other:?} rested too short after {addresses:?}"
    );
    plugin.del("after ADD that came again");
    await_in_use(&lab, 2).await;
    delete_pod(&lab, "sitter").await;
    lab.pod_gone("app", "sitter").await.unwrap();
    await_in_use(&lab, 0).await;
    await_traces(&lab, &[]).await;
    lab.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn del_without_the_daemon_and_sandboxes_without_del_leave_nothing() {
    let (lab, uid) = one_node().await;
    await_in_use(&lab, 2).await;
    let before = traces(&lab);

    // A pod ends while the daemon is away: its DEL removes the interfaces, and the daemon finds the rest.
    create_pod(&lab, "leaver", NODE).await;
    lab.pods_ready("app").await.unwrap();
    let plugin = Plugin::new(&lab, NODE, "away", ["app", "leaver", &self::uid(&lab, "leaver").await]);
    plugin.add();
    await_in_use(&lab, 6).await;
    lab.stop_daemon(NODE, Signal::SIGKILL).await.unwrap();
    plugin.del("DEL with the daemon down");
    plugin.del("and once more");
    assert_eq!(plugin.call("STATUS", &json!({})).code, 0, "an absence of seconds is none");
    delete_pod(&lab, "leaver").await;
    lab.pod_gone("app", "leaver").await.unwrap();
    lab.resume_daemon(NODE).await.unwrap();
    await_in_use(&lab, 2).await;
    await_traces(&lab, &before).await;

    // GC: what the runtime does not name is taken back, the rest stays.
    let stale = Plugin::new(&lab, NODE, "stale", ["app", "sitter", &uid]).on("eth2");
    let valid = Plugin::new(&lab, NODE, "valid", ["app", "sitter", &uid]);
    stale.add();
    let (result, _) = valid.add();
    let digits: String = uid.chars().filter(char::is_ascii_hexdigit).collect();
    await_in_use(&lab, 6).await;
    let attachments = json!([
        {"containerID": digits.repeat(2), "ifname": "eth0"}, {"containerID": "valid", "ifname": "eth1"},
    ]);
    let collected = valid.call("GC", &json!({"cni.dev/valid-attachments": attachments}));
    assert_eq!(collected.code, 0, "{collected:?}");
    await_in_use(&lab, 4).await;
    assert_eq!(valid.call("CHECK", &json!({"prevResult": result})).code, 0, "it was named");
    valid.del("after GC");
    stale.del("what GC took back");
    await_in_use(&lab, 2).await;

    // A sandbox that crashed: its address stays until its pod is gone, and then no DEL is needed.
    create_pod(&lab, "crashed", NODE).await;
    lab.pods_ready("app").await.unwrap();
    let crashed_uid = self::uid(&lab, "crashed").await;
    let mut crashed = Plugin::new(&lab, NODE, "crashed", ["app", "crashed", &crashed_uid]);
    crashed.add();
    await_in_use(&lab, 6).await;
    crashed.destroy_namespace();
    await_link_gone(&lab, &crashed.host_interface()).await;
    await_in_use(&lab, 6).await;
    delete_pod(&lab, "crashed").await;
    lab.pod_gone("app", "crashed").await.unwrap();
    await_in_use(&lab, 2).await;
    await_traces(&lab, &before).await;
    lab.end().await;
}

async fn await_link_gone(lab: &TestLab, interface: &str) {
    lab.until("end of the interface", LIMIT, async || {
        oracle::text(holder(lab, NODE), "ip", &["link", "show", interface]).is_err().then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_add_that_cannot_be_says_try_again_and_leaves_nothing() {
    let (lab, uid) = one_node().await;
    await_in_use(&lab, 2).await;
    let before = traces(&lab);
    let cases = [
        ("a pod that is not there", ["app", "nobody", "0b7e6c6e-0000-4000-8000-000000000001"]),
        ("a former pod of the name", ["app", "sitter", "0b7e6c6e-0000-4000-8000-000000000002"]),
        ("another namespace", ["default", "sitter", &uid]),
    ];
    for (why, pod) in cases {
        let plugin = Plugin::new(&lab, NODE, "unknown", pod);
        let Outcome { code, output } = plugin.call("ADD", &json!({}));
        assert_eq!(code, 11, "{why}: {output}");
        assert!(output["msg"].as_str().unwrap().contains(pod[1]), "{why}: {output}");
        let links =
            plugin.namespace().inside(|| std::fs::read_to_string("/proc/thread-self/net/dev")).unwrap();
        assert!(!links.contains("eth1"), "{why}: the sandbox keeps an interface: {links}");
    }
    assert_eq!(traces(&lab), before);
    await_in_use(&lab, 2).await;
    lab.end().await;
}
