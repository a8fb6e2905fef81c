//! The embedded API server beside the real one: the same requests, live, must get the same answers.
//!
//! What only chance or time decides (UIDs, versions, timestamps) is taken out of both; everything
//! else is compared, whole bodies included. The first run on a machine builds the real server.

#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    clippy::needless_pass_by_value,
    reason = "tests panic, tables are long and made of literals"
)]

use std::{collections::BTreeSet, net::TcpListener, path::Path, time::Duration};

use http_body_util::BodyExt;
use hyper::{
    Request,
    header::{ACCEPT, CONTENT_TYPE, USER_AGENT},
};
use integration::{apiserver::ApiServer, kube::KubeServer};
use kube::{Client, Config, client::Body};
use serde_json::{Value, json};

#[path = "apiserver_conformance/cases.rs"]
mod cases;

/// One request of the table.
struct Case {
    why: &'static str,
    method: &'static str,
    url: &'static str,
    kind: Kind,
    body: Value,
}

/// Content type of the body, or what else is particular about a request.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Json,
    Merge,
    Strategic,
    JsonPatch,
    Apply,
    /// A read whose answer is to be a table.
    Table,
    /// A read whose answer is to be metadata alone.
    Partial,
}

impl Kind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::JsonPatch => "application/json-patch+json",
            Self::Apply => "application/apply-patch+yaml",
            Self::Json | Self::Table | Self::Partial => "application/json",
        }
    }

    fn accept(self) -> &'static str {
        match self {
            Self::Table => "application/json;as=Table;v=v1;g=meta.k8s.io",
            Self::Partial => "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            _ => "application/json",
        }
    }
}

fn client(address: std::net::SocketAddr) -> Client {
    Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap()
}

async fn ask(client: &Client, case: &Case) -> (u16, Value) {
    let body = if case.body.is_null() { Vec::new() } else { case.body.to_string().into_bytes() };
    let request = Request::builder()
        .method(case.method)
        .uri(case.url)
        .header(CONTENT_TYPE, case.kind.content_type())
        .header(ACCEPT, case.kind.accept())
        .header(USER_AGENT, "conformance/1.0")
        .body(Body::from(body))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (code, serde_json::from_slice(&bytes).unwrap_or(Value::String(text)))
}

/// The answer without what only chance or time decides.
fn settled(mut answer: Value) -> Value {
    settle(&mut answer);
    answer
}

const VOLATILE: [&str; 9] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "time",
    "lastTransitionTime",
    "continue",
    "clusterIP",
    "clusterIPs",
];

fn settle(value: &mut Value) {
    match value {
        Value::Object(members) => {
            // Moments that a condition's author leaves out are null in one and absent in the other,
            // so that nobody, or its author, owns nothing.
            members.retain(|key, _| {
                !matches!(key.as_str(), "f:lastProbeTime" | "f:lastTransitionTime" | "f:lastHeartbeatTime")
            });
            for (key, member) in members.iter_mut() {
                if VOLATILE.contains(&key.as_str()) && !member.is_object() && !member.is_null() {
                    *member = json!("(any)");
                } else if key == "description" {
                    // Texts of the built-in columns are our own.
                    *member = json!("(any)");
                } else {
                    settle(member);
                }
            }
            // Both servers serve more namespaces than a test makes; the order is that of names.
            members.remove("remainingItemCount");
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        Value::String(text) => {
            *text = cut(text, "UID in record (", ")");
        }
        _ => {}
    }
}

/// `text` without what stands between `start` and the next `end`.
fn cut(text: &str, start: &str, end: &str) -> String {
    let Some((before, rest)) = text.split_once(start) else { return text.to_owned() };
    let after = rest.split_once(end).map_or("", |(_, after)| after);
    format!("{before}{start}(any){end}{after}")
}

/// Where two answers differ, a line for each place.
fn compare(path: &str, real: &Value, embedded: &Value, lines: &mut Vec<String>) {
    match (real, embedded) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                compare(&format!("{path}/{key}"), &real[key], &embedded[key], lines);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}/{index}"), left, right, lines);
            }
        }
        _ if real != embedded => lines.push(format!("{path}: real {real}, embedded {embedded}")),
        _ => {}
    }
}

/// How long the real server may take to serve a new kind.
const LIMIT: Duration = Duration::from_mins(1);

async fn until_served(client: &Client, url: &'static str) {
    let case = Case { why: "served", method: "GET", url, kind: Kind::Json, body: Value::Null };
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let served = async {
        while ask(client, &case).await.0 != 200 {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, served).await.expect("the kind is served in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_servers_answer_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let listen = || vec![TcpListener::bind("127.0.0.1:0").unwrap()];
    let start = move |listeners| KubeServer::start(listeners, Path::new(&path), |text| eprintln!("{text}"));
    let listeners = listen();
    let real = tokio::task::spawn_blocking(move || start(listeners)).await.unwrap().unwrap();
    let embedded = ApiServer::start(listen()).unwrap();
    let (real_client, embedded_client) = (client(real.addresses()[0]), client(embedded.addresses()[0]));
    let mut differences = Vec::new();
    let cases = cases::all();
    for case in &cases {
        if case.method == "UNTIL" {
            until_served(&real_client, case.url).await;
            continue;
        }
        let expected = ask(&real_client, case).await;
        let actual = ask(&embedded_client, case).await;
        let (expected, actual) = ((expected.0, settled(expected.1)), (actual.0, settled(actual.1)));
        let mut lines = Vec::new();
        let (real, embedded) =
            (json!({"code": expected.0, "body": expected.1}), json!({"code": actual.0, "body": actual.1}));
        compare("", &real, &embedded, &mut lines);
        let known = cases::DIFFERENT.iter().find(|(why, _)| *why == case.why);
        match known {
            Some((_, reason)) if lines.is_empty() => {
                differences.push(format!("{}: no longer differs ({reason})", case.why));
            }
            None if !lines.is_empty() => {
                differences.push(format!(
                    "{}: {} {}\n    {}",
                    case.why,
                    case.method,
                    case.url,
                    lines.join("\n    ")
                ));
            }
            _ => {}
        }
    }
    tokio::task::spawn_blocking(move || real.stop()).await.unwrap().unwrap();
    assert!(
        differences.is_empty(),
        "{} of {} answers differ:\n{}",
        differences.len(),
        cases.len(),
        differences.join("\n")
    );
}
