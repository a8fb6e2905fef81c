//! The daemon's resident memory: idle, and with two thousand pods in its cache.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use nix::sys::signal::Signal;

use super::report::{Row, Section};
use super::sample::Figure;
use super::{NODE, objects};
use crate::lab::Lab;
use crate::lab::steps::Steps;
use crate::lab::topology::Space;

/// Pods of the whole cluster that the daemon knows.
const PODS: usize = 2_000;
/// Creations under way at the same time.
const CREATIONS: usize = 16;
/// A restart takes well below a second.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// The port of health and metrics, in the node.
const HTTP_PORT: u16 = 9964;
/// Readings that must agree before one counts, and by how many percent they may differ.
const READINGS: usize = 20;
const READINGS_DIFFER_PERCENT: u64 = 1;

/// Kilobytes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Memory {
    resident: u64,
    anonymous: u64,
    peak: u64,
}

/// Measures the daemon of [`NODE`], started anew for each round.
///
/// # Errors
/// When an object is refused or the daemon does not become ready.
pub(super) async fn measure(lab: &Lab, rounds: u16, steps: &Steps) -> Result<Section> {
    objects::create_namespace(&lab.client()).await?;
    let api: Api<Pod> = Api::namespaced(lab.client(), objects::NAMESPACE);
    steps.say(&format!("{rounds} starts of the daemon, idle"));
    let idle = starts(lab, rounds).await?;
    steps.say(&format!("{PODS} pods, and {rounds} starts with them"));
    create_pods(&api).await?;
    let grown = settled(lab).await?;
    let with_pods = starts(lab, rounds).await?;
    let nothing_left = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    api.delete_collection(&nothing_left, &ListParams::default()).await?;
    restart(lab).await?;
    let mut rows = rows("idle", &idle);
    rows.extend(self::rows("2,000 pods, started with them", &with_pods));
    rows.extend(self::rows("2,000 pods, added to a running daemon", &[grown]));
    let notes = vec![
        "resident: VmRSS; anonymous: the part of it that is no file; peak: VmHWM, the most since the start"
            .into(),
        "pods: 4 KB of JSON each, with managedFields and 10 labels, on a node that is not this one".into(),
    ];
    Ok(Section { title: "Memory of tortie-node".into(), unit: "MB", rows, notes })
}

fn rows(when: &str, rounds: &[Memory]) -> Vec<Row> {
    let parts: [(&str, fn(&Memory) -> u64); 3] = [
        ("resident", |memory| memory.resident),
        ("anonymous", |memory| memory.anonymous),
        ("peak", |memory| memory.peak),
    ];
    let row = |(name, part): (&str, fn(&Memory) -> u64)| {
        let megabytes: Vec<f64> = rounds
            .iter()
            .filter_map(|round| u32::try_from(part(round)).ok())
            .map(|kilobytes| f64::from(kilobytes) / 1024.0)
            .collect();
        Some(Row { what: format!("{when}: {name}"), figure: Figure::of(&megabytes)?, ratios: Vec::new() })
    };
    parts.into_iter().filter_map(row).collect()
}

async fn starts(lab: &Lab, rounds: u16) -> Result<Vec<Memory>> {
    let mut found = Vec::new();
    for _ in 0..rounds {
        restart(lab).await?;
        found.push(settled(lab).await?);
    }
    Ok(found)
}

async fn restart(lab: &Lab) -> Result<()> {
    lab.stop_daemon(NODE, Signal::SIGTERM).await?;
    lab.resume_daemon(NODE).await?;
    lab.until("readiness of the daemon", READY_LIMIT, async || is_ready(lab).ok()).await?;
    Ok(())
}

fn is_ready(lab: &Lab) -> io::Result<()> {
    let answer = lab.underlay().network(&Space::Node(NODE.into()))?.inside(|| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, HTTP_PORT))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(io::Error::other(answer)) }
}

/// What the daemon has once it does not grow or shrink any more.
async fn settled(lab: &Lab) -> Result<Memory> {
    let pid = lab.daemon_pid(NODE)?.context("the daemon is down")?;
    let mut readings: Vec<Memory> = Vec::new();
    let memory = lab
        .until("rest of the daemon's memory", READY_LIMIT, async || {
            readings.push(read(pid)?);
            let recent = readings.get(readings.len().checked_sub(READINGS)?..)?;
            let residents = recent.iter().map(|reading| reading.resident);
            let (least, most) = (residents.clone().min()?, residents.max()?);
            let is_at_rest = most - least <= least * READINGS_DIFFER_PERCENT / 100;
            recent.last().copied().filter(|_| is_at_rest)
        })
        .await?;
    Ok(memory)
}

fn read(pid: u32) -> Option<Memory> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn parse(status: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Memory { resident: field("VmRSS")?, anonymous: field("RssAnon")?, peak: field("VmHWM")? })
}

async fn create_pods(api: &Api<Pod>) -> Result<()> {
    let creations = (0..PODS).map(|number| objects::create(api, objects::bulk_pod(number)));
    futures::stream::iter(creations).buffer_unordered(CREATIONS).try_collect::<Vec<()>>().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_text() {
        let status = "Name:\ttortie-node\nVmHWM:\t   30000 kB\nVmRSS:\t   20480 kB\nRssAnon:\t   10240 kB\n";
        let memory = Memory { resident: 20480, anonymous: 10240, peak: 30000 };
        assert_eq!(parse(status), Some(memory));
        assert_eq!(parse("VmRSS:\t1 kB\n"), None);
        let rows = rows("idle", &[memory]);
        assert_eq!(
            rows.iter().map(|row| row.figure.median).collect::<Vec<_>>(),
            [20.0, 10.0, 30000.0 / 1024.0]
        );
    }
}
