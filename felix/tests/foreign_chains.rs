//! Chains of others at the forward hook, as nft writes them and as we read them.

#[path = "namespace/mod.rs"]
mod namespace;

use std::io::Write;
use std::process::{Command, Stdio};

use felix::kernel::nft::{ForwardChain, forward_chains};
use namespace::in_namespace;

/// Gives nft the rules, each statement on a line of its own.
fn nft(rules: &str) {
    let rules =
        &rules.replace("{ ", "{\n").replace("; ", "\n").replace(" }", "\n}\n").replace("\n chain", "\nchain");
    let mut child =
        Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft must be installed");
    child.stdin.take().expect("a pipe").write_all(rules.as_bytes()).expect("nft reads");
    assert!(child.wait().expect("nft ends").success(), "{rules}");
}

#[test]
fn who_drops_at_the_forward_hook_and_who_lets_pods_pass() {
    // (why, rules, chains that are found)
    let base = |policy: &str| format!("type filter hook forward priority 0; policy {policy};");
    let found = |family: &str, drops, accepts_from_pods, accepts_to_pods, has_docker_user| ForwardChain {
        family: family.into(),
        table: "filter".into(),
        name: "FORWARD".into(),
        drops,
        accepts_from_pods,
        accepts_to_pods,
        has_docker_user,
    };
    let chain = |family: &str, policy: &str, more: &str| {
        let base = base(policy);
        format!("table {family} filter {{ chain USER {{ }}; chain FORWARD {{ {base} {more} }} }}")
    };
    let docker = "table ip filter { chain DOCKER-USER { iifname \"tort*\" counter accept; oifname \"tort*\" accept; } }";
    let ours = format!("table inet tortie {{ chain ours {{ {} }} }}", base("accept"));
    let elsewhere = "table ip filter { chain INPUT { type filter hook input priority 0; policy drop; } }";
    let cases = [
        ("none", String::new(), vec![]),
        ("ours", ours, vec![]),
        ("another hook", elsewhere.into(), vec![]),
        ("it accepts", chain("ip", "accept", ""), vec![found("ip", false, false, false, false)]),
        ("it drops", chain("ip", "drop", "jump USER"), vec![found("ip", true, false, false, false)]),
        ("of IPv6", chain("ip6", "drop", ""), vec![found("ip6", true, false, false, false)]),
        ("of both", chain("inet", "drop", ""), vec![found("inet", true, false, false, false)]),
        (
            "from pods alone",
            chain("ip", "drop", "iifname \"tort*\" accept"),
            vec![found("ip", true, true, false, false)],
        ),
        (
            "pods are dropped",
            chain("ip", "drop", "iifname \"tort*\" drop; oifname \"eth0\" accept"),
            vec![found("ip", true, false, false, false)],
        ),
        (
            "by Docker's chain, in one family",
            format!("{}\n{}\n{docker}", chain("ip", "drop", "jump USER"), chain("ip6", "drop", "")),
            vec![found("ip", true, true, true, true), found("ip6", true, false, false, false)],
        ),
    ];
    for (why, rules, expected) in cases {
        let chains = in_namespace(move || {
            nft(&rules);
            forward_chains().expect("nftables can be read")
        });
        assert_eq!(chains, expected, "{why}");
    }
}
