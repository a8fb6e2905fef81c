//! A network namespace of a test's own, `nft` in it, and programs.

use std::future::Future;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use felix::kernel::nft::{NftError, Owner, RulesetStatus, RulesetWriter};
use felix::program::*;
use nix::sched::{CloneFlags, unshare};
use serde_json::Value as Json;

/// Limit of every wait.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a test on a thread inside a namespace of its own, which the kernel removes with the thread.
pub(crate) fn in_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let run = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
            test()
        };
        scope.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A writer that is joined at the end.
pub(crate) struct Writer {
    pub(crate) writer: RulesetWriter,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(owner: Owner) -> Self {
        let (writer, thread) = RulesetWriter::start(owner).unwrap();
        Self { writer, thread: Some(thread) }
    }

    pub(crate) fn replace(&self, program: &Program) -> Result<(), NftError> {
        wait(self.writer.replace(program.clone()))
    }

    pub(crate) fn apply(&self, delta: Delta) -> Result<(), NftError> {
        wait(self.writer.apply(delta))
    }

    /// Waits until the status is so.
    #[expect(clippy::disallowed_methods, reason = "the limit of a wait")]
    pub(crate) fn until(&self, why: &str, condition: impl Fn(&RulesetStatus) -> bool) {
        let start = Instant::now();
        while !condition(&self.writer.status()) {
            assert!(start.elapsed() < LIMIT, "{why}: {:?}", self.writer.status());
            thread::yield_now();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.writer.stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// What `nft` says to these arguments and this standard input.
pub(crate) fn nft(arguments: &str, input: &str) -> Result<String, String> {
    let mut child = Command::new("nft")
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nft is installed");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Our table as nft prints it; without handles, counters and the owner's name, which nft 1.0.6 adds.
pub(crate) fn listed() -> Json {
    let mut json: Json = serde_json::from_str(&nft("-j list table inet tortie", "").unwrap()).unwrap();
    let objects = json["nftables"].as_array_mut().unwrap();
    objects.retain(|object| object.get("metainfo").is_none());
    objects.iter_mut().for_each(forget);
    objects.sort_by_key(order);
    json
}

/// Objects in any order, but rules in theirs.
fn order(object: &Json) -> String {
    let (kind, body) = object.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "rule" => format!("rule {}", body["chain"]),
        _ => format!("{kind} {}", body["name"]),
    }
}

fn forget(value: &mut Json) {
    match value {
        Json::Object(map) => {
            for key in ["handle", "packets", "bytes", "index"] {
                map.remove(key);
            }
            if let Some(elements) = map.get_mut("elem").and_then(Json::as_array_mut) {
                elements.sort_by_key(ToString::to_string);
            }
            if let Some(table) = map.get_mut("table").and_then(Json::as_object_mut) {
                table.remove("flags");
            }
            map.values_mut().for_each(forget);
        }
        Json::Array(list) => list.iter_mut().for_each(forget),
        _ => {}
    }
}

/// What nft prints of the table that it makes itself from the program's text.
pub(crate) fn as_nft_writes(program: &Program) -> Json {
    let text = program.to_string();
    in_namespace(|| {
        nft("-f -", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        listed()
    })
}

pub(crate) fn interface(name: &str) -> InterfaceName {
    InterfaceName::new(name).unwrap()
}

pub(crate) fn v4(first: &str, last: &str) -> Span<std::net::Ipv4Addr> {
    Span { first: first.parse().unwrap(), last: last.parse().unwrap() }
}

pub(crate) fn v6(first: &str, last: &str) -> Span<std::net::Ipv6Addr> {
    Span { first: first.parse().unwrap(), last: last.parse().unwrap() }
}

/// A program that says everything that programs can say.
pub(crate) fn everything() -> Program {
    let mut program = Program::default();
    for (name, interval, elements) in sets() {
        let comment = if name == "peers4" { String::new() } else { format!("for {name}") };
        let key = elements[0].key();
        let set = if interval { Set::interval(key, &comment) } else { Set::hash(key, &comment) };
        program.sets.insert(name.into(), Set { elements: elements.into_iter().collect(), ..set });
    }
    let verdicts = [
        ("tort0", Verdict::Goto("pod/a.b".into())),
        ("tort1", Verdict::Jump("pod/a.b".into())),
        ("tort2", Verdict::Accept),
        ("tort3", Verdict::Drop),
        ("tort4", Verdict::Return),
    ];
    let elements = verdicts.map(|(name, verdict)| (interface(name), verdict)).into();
    program.maps.insert("from-pod".into(), VerdictMap { elements });
    program.chains.insert("pod/a.b".into(), Chain { base: None, rules: pod_rules() });
    program.chains.insert("empty".into(), Chain::default());
    program.chains.extend(base_chains());
    program
}

fn sets() -> [(&'static str, bool, Vec<Element>); 11] {
    let ports = |first, last| Span { first, last };
    let one6 = v6("fd00::1", "fd00::1");
    [
        (
            "peers4",
            false,
            vec![Element::V4(v4("10.9.0.1", "10.9.0.1")), Element::V4(v4("10.9.0.2", "10.9.0.2"))],
        ),
        (
            "nets4",
            true,
            vec![
                Element::V4(v4("10.0.0.0", "10.0.0.255")),
                Element::V4(v4("10.0.2.1", "10.0.2.6")),
                Element::V4(v4("224.0.0.0", "255.255.255.255")),
            ],
        ),
        ("peers6", false, vec![Element::V6(one6)]),
        ("nets6", true, vec![Element::V6(v6("fd00::", "fd00::ffff")), Element::V6(v6("fe80::", "fe80::1"))]),
        (
            "hash-ports",
            false,
            vec![Element::Ports(6, Span::single(80)), Element::Ports(17, Span::single(53))],
        ),
        ("ports", true, vec![Element::Ports(6, ports(8000, 8010)), Element::Ports(17, Span::single(53))]),
        ("v4-ports", true, vec![Element::V4Ports(v4("10.0.1.1", "10.0.1.6"), 6, ports(8000, 8010))]),
        ("v6-ports", true, vec![Element::V6Ports(v6("fd00::", "fd00::ffff"), 132, Span::single(80))]),
        ("local4", false, vec![Element::InterfaceV4(interface("tort0"), [10, 0, 0, 1].into())]),
        ("local6", false, vec![Element::InterfaceV6(interface("tort0"), one6.first)]),
        ("hairpin", false, vec![Element::Interfaces(interface("tort0"), interface("tort0"))]),
    ]
}

fn in_set(fields: &[Field], set: &str) -> Match {
    Match::InSet { fields: fields.into(), set: set.into(), negated: false }
}

fn pod_rules() -> Vec<Rule> {
    use Field::*;
    let accept = |matches| Rule::new(matches, Action::Verdict(Verdict::Accept));
    vec![
        accept(vec![in_set(&[V4Source], "peers4"), in_set(&[Protocol, DestinationPort], "ports")])
            .counted("default/web ingress 0"),
        accept(vec![in_set(&[V4Source], "nets4"), in_set(&[Protocol, DestinationPort], "hash-ports")]),
        accept(vec![in_set(&[V6Destination], "peers6")]),
        accept(vec![Match::InSet { fields: vec![V6Source], set: "nets6".into(), negated: true }]),
        accept(vec![in_set(&[V4Destination, Protocol, DestinationPort], "v4-ports")]),
        accept(vec![in_set(&[V6Source, Protocol, DestinationPort], "v6-ports")]),
        Rule::new(vec![in_set(&[InInterface, V4Source], "local4")], Action::Verdict(Verdict::Return)),
        Rule::new(vec![in_set(&[InInterface, V6Source], "local6")], Action::Verdict(Verdict::Return)),
        accept(vec![in_set(&[InInterface, OutInterface], "hairpin")]),
        accept(vec![
            Match::Equals(Protocol, Value::Byte(6)),
            Match::Between(DestinationPort, Value::Port(1), Value::Port(9)),
        ]),
        accept(vec![Match::Equals(InInterface, Value::Interface(interface("lo")))]),
        accept(vec![Match::Equals(IcmpType, Value::Byte(3)), Match::Equals(IcmpCode, Value::Byte(4))]),
        Rule::new(vec![], Action::Verdict(Verdict::Drop)).counted("denied"),
    ]
}

fn base_chains() -> Vec<(Name, Chain)> {
    let workload = |field, negated| Match::NameStartsWith { field, prefix: WORKLOAD_PREFIX, negated };
    let known = ConntrackStates { established: true, related: true, invalid: false };
    let invalid = ConntrackStates { invalid: true, ..ConntrackStates::default() };
    let accept = || Action::Verdict(Verdict::Accept);
    let drop = || Action::Verdict(Verdict::Drop);
    let discovery = vec![
        Match::Prefix(Field::V6Source, Value::V6("fe80::".parse().unwrap()), 10),
        Match::Between(Field::Icmpv6Type, Value::Byte(135), Value::Byte(136)),
    ];
    let outside = Match::InSet { fields: vec![Field::V4Destination], set: "nets4".into(), negated: true };
    let jump = Action::Verdict(Verdict::Jump("pod/a.b".into()));
    let chain = |name: &str, kind, hook, priority, rules| {
        (Name::from(name), Chain { base: Some(Base { kind, hook, priority }), rules })
    };
    vec![
        chain("prerouting", HookKind::Filter, Hook::Prerouting, -300, vec![Rule::new(discovery, accept())]),
        chain(
            "input",
            HookKind::Filter,
            Hook::Input,
            0,
            vec![Rule::new(vec![workload(Field::InInterface, true)], jump)],
        ),
        chain(
            "forward",
            HookKind::Filter,
            Hook::Forward,
            -10,
            vec![
                Rule::new(vec![Match::Conntrack(known)], accept()),
                Rule::new(vec![Match::Conntrack(invalid)], drop()),
                Rule::new(vec![], Action::Dispatch(Field::InInterface, "from-pod".into())),
                Rule::new(vec![workload(Field::OutInterface, false)], drop()).counted("no policy yet"),
            ],
        ),
        chain("output", HookKind::Filter, Hook::Output, 10, vec![]),
        chain(
            "postrouting",
            HookKind::Nat,
            Hook::Postrouting,
            100,
            vec![Rule::new(vec![outside], Action::Masquerade)],
        ),
    ]
}
