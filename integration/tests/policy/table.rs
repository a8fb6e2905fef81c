//! Truth tables: written as lines, asked by real packets.
//!
//! Everything is allowed, then each line says `deny FROM -> TO` or `allow FROM -> TO` in order, the last that fits counts.
//! Always allowed and not listed: a node to its own pods. Not asked: a pod itself, and hosts each other.

use integration::lab::testing::TestLab;
use integration::probe::{Family, Finding, Protocol, Question};

use super::cast::{Cast, HOSTS, PODS};

/// For what is denied, so long nothing may come; what is allowed is asked again if it took longer.
const PATIENCE_MILLIS: u64 = 300;
/// For what must come, on a machine under load.
const LONG_PATIENCE_MILLIS: u64 = 5000;

/// What is asked between all: `TCP 80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

impl std::str::FromStr for Probe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (protocol, port) = text.split_once(' ').ok_or("no space")?;
        let protocol = match protocol {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            other => return Err(format!("{other} is no protocol")),
        };
        Ok(Self { protocol, port: port.parse().map_err(|error| format!("{port}: {error}"))? })
    }
}

/// One cell of a truth table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    from: &'static str,
    to: &'static str,
    pub(crate) question: Question,
    pub(crate) is_allowed: bool,
}

/// Every cell of the table that the lines say.
pub(crate) fn cells(cast: Cast, probe: Probe, families: &[Family], lines: &[String]) -> Vec<Cell> {
    let lines: Vec<Line> = lines.iter().map(|line| Line::read(line)).collect();
    let everybody = || PODS.iter().map(|(name, _, _)| *name).chain(HOSTS);
    let is_host = |name: &str| HOSTS.contains(&name);
    let mut cells = Vec::new();
    for from in everybody() {
        for to in everybody().filter(|to| *to != from && !(is_host(from) && is_host(to))) {
            let said = lines.iter().rev().find(|line| line.fits(from, to));
            let is_allowed = is_own_pod(from, to) || said.is_none_or(|line| line.is_allowed);
            for family in families {
                let question = Question {
                    from: cast.endpoint(from),
                    to: cast.endpoint(to),
                    port: probe.port,
                    protocol: probe.protocol,
                    family: Some(*family),
                    timeout_millis: PATIENCE_MILLIS,
                };
                cells.push(Cell { from, to, question, is_allowed });
            }
        }
    }
    cells
}

/// The kubelet's probes come from the node itself.
fn is_own_pod(from: &str, to: &str) -> bool {
    let node = PODS.iter().find(|(name, _, _)| *name == to).map(|(_, node, _)| node.replace("node-", "n"));
    node.as_deref() == Some(from)
}

/// What is wrong, one line for each cell; nothing if the table holds.
pub(crate) async fn differences(lab: &TestLab, cells: &[Cell]) -> Vec<String> {
    let first = ask(lab, cells, PATIENCE_MILLIS).await;
    let wrong: Vec<Cell> = cells
        .iter()
        .zip(first)
        .filter(|(cell, found)| found.allowed != cell.is_allowed)
        .map(|(cell, _)| cell.clone())
        .collect();
    // A second time with other source ports and more patience: an answer that came late is an answer, and a question
    // may by chance have had the ports of a flow that was open before.
    let second = ask(lab, &wrong, LONG_PATIENCE_MILLIS).await;
    wrong.iter().zip(second).filter_map(|(cell, found)| difference(cell, &found)).collect()
}

async fn ask(lab: &TestLab, cells: &[Cell], timeout_millis: u64) -> Vec<Finding> {
    let with_patience = |cell: &Cell| Question { timeout_millis, ..cell.question.clone() };
    let questions: Vec<Question> = cells.iter().map(with_patience).collect();
    lab.probe_all(&questions).await.unwrap()
}

fn difference(cell: &Cell, found: &Finding) -> Option<String> {
    let word = |is_allowed| if is_allowed { "allowed" } else { "denied" };
    (found.allowed != cell.is_allowed).then(|| {
        let Question { port, protocol, family, .. } = cell.question;
        let family = if family == Some(Family::Ipv6) { 6 } else { 4 };
        format!(
            "{} -> {} {protocol:?} {port} IPv{family}: must be {}, is {}: {}",
            cell.from,
            cell.to,
            word(cell.is_allowed),
            word(found.allowed),
            found.reason
        )
    })
}

/// `deny FROM -> TO`.
#[derive(Debug)]
struct Line {
    is_allowed: bool,
    from: String,
    to: String,
}

impl Line {
    fn read(text: &str) -> Self {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [verb, from, "->", to] = words[..] else { panic!("'{text}' is not like 'deny x/* -> y/a'") };
        assert!(["deny", "allow"].contains(&verb), "{text}");
        Self { is_allowed: verb == "allow", from: from.into(), to: to.into() }
    }

    fn fits(&self, from: &str, to: &str) -> bool {
        is_like(&self.from, from) && is_like(&self.to, to)
    }
}

/// `*` is everybody, `*/*` every pod, `x/*` all of a namespace.
fn is_like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('/') {
        _ if pattern == "*" => true,
        Some(("*", "*")) => name.contains('/'),
        Some((space, "*")) => name.starts_with(&format!("{space}/")),
        _ => pattern == name,
    }
}

#[test]
fn lines_make_a_table() {
    let lines = ["deny * -> x/*", "allow z/a -> x/a"].map(str::to_owned);
    let probe = "TCP 80".parse().unwrap();
    let cells = cells(Cast(1), probe, &[Family::Ipv4], &lines);
    assert_eq!(cells.len(), 5 * 7 + 3 * 5);
    let of = |from, to| cells.iter().find(|cell| cell.from == from && cell.to == to).unwrap().is_allowed;
    let cases = [
        ("x/b", "x/a", false),
        ("z/a", "x/a", true),
        ("z/a", "x/b", false),
        ("x/a", "z/a", true),
        ("n1", "x/a", true),
        ("n2", "x/a", false),
        ("ext", "x/a", false),
        ("ext", "y/a", true),
    ];
    for (from, to, expected) in cases {
        assert_eq!(of(from, to), expected, "{from} -> {to}");
    }
}
