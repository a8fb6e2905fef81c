//! A private network namespace for one test, and `ip -j` as the oracle of what is in it.
//!
//! The namespace belongs to one thread and ends with it: there is nothing to clean up. A
//! machine that does not allow this fails the test; nothing is skipped in silence.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a condition may take: far more than it needs, so that a busy machine passes.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Runs a test in a fresh namespace with `lo` up.
pub(crate) fn in_namespace<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
            .expect("kernel tests need root or CAP_SYS_ADMIN for a network namespace of their own");
        ip("link set lo up");
        test()
    });
    match thread.expect("a thread").join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Runs a future on this thread, in its namespace.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Runs `ip` with these arguments; it must succeed.
pub(crate) fn ip(arguments: &str) -> String {
    run("ip", &arguments.split_whitespace().collect::<Vec<_>>())
}

/// Runs a program that must succeed; its standard output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Runs `ip -j` with these arguments; its answer as a list.
pub(crate) fn ip_json(arguments: &str) -> Vec<Value> {
    let text = ip(&format!("-j -d {arguments}"));
    if text.trim().is_empty() {
        return Vec::new();
    }
    match serde_json::from_str(&text).expect("JSON from ip") {
        Value::Array(values) => values,
        other => vec![other],
    }
}

/// A pair of interfaces, both ends here and up, the first with these addresses.
pub(crate) fn uplink(name: &str, addresses: &[&str]) {
    ip(&format!("link add {name} type veth peer name p-{name}"));
    ip(&format!("link set p-{name} up"));
    ip(&format!("link set {name} up"));
    for address in addresses {
        let options = if address.contains(':') { " nodad" } else { "" };
        ip(&format!("address add {address} dev {name}{options}"));
    }
}

/// Waits until the condition gives something, with a generous limit; panics with its last word.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    #[expect(clippy::disallowed_methods, reason = "a limit in real time, for a real kernel")]
    let (began, now) = (Instant::now(), Instant::now);
    loop {
        match condition() {
            Ok(value) => return value,
            Err(state) if now() - began > LIMIT => panic!("{what}: still {state}"),
            Err(_) => std::thread::park_timeout(Duration::from_millis(10)),
        }
    }
}

/// All routes to a prefix in the main table, as short lines: protocol, metric, type, next hops
/// in order.
pub(crate) fn routes_to(prefix: &str) -> Vec<String> {
    let family = if prefix.contains(':') { "-6" } else { "-4" };
    let mut lines: Vec<String> =
        ip_json(&format!("{family} route show table main exact {prefix}")).iter().map(line).collect();
    lines.sort();
    lines
}

/// All routes of one protocol number, both families, as lines that begin with the prefix.
pub(crate) fn routes_of(protocol: u8) -> Vec<String> {
    let mut lines = Vec::new();
    for family in ["-4", "-6"] {
        for route in ip_json(&format!("{family} route show table main proto {protocol}")) {
            // `ip` leaves out what it was asked to filter by.
            lines.push(format!("{} {protocol}{}", text(&route, "dst"), line(&route)));
        }
    }
    lines.sort();
    lines
}

fn line(route: &Value) -> String {
    let kind = route["type"].as_str().unwrap_or("unicast");
    let metric = route["metric"].as_u64().unwrap_or_default();
    let mut hops: Vec<String> = match route["nexthops"].as_array() {
        Some(hops) => hops.iter().map(hop).collect(),
        None => vec![hop(route)],
    };
    hops.sort();
    let hops = if kind == "blackhole" { String::new() } else { hops.join(",") };
    format!("{} {metric} {kind} {hops}", text(route, "protocol")).trim_end().to_owned()
}

fn hop(value: &Value) -> String {
    let via = &value["via"]["host"];
    let gateway = value["gateway"].as_str().or(via.as_str()).unwrap_or("link");
    let weight = value["weight"].as_u64().unwrap_or(1);
    let weight = if weight == 1 { String::new() } else { format!("*{weight}") };
    format!("{gateway}%{}{weight}", text(value, "dev"))
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
