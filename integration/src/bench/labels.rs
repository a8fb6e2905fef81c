//! A label at the API to its element in the kernel, and how much of that is the watch's.
//!
//! ```text
//! PATCH labels ──> API server ──watch──> daemon ──transaction──> set in the node's table
//!    | t = 0            '──watch──> observer: "a watcher has it"        '──netlink──> monitor: "in the kernel"
//! ```

use std::net::IpAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::NODE;
use super::objects::{self, NAMESPACE};
use super::report::{Row, Section};
use super::sample::Figure;
use crate::lab::Lab;
use crate::lab::steps::Steps;
use crate::lab::topology::Space;
use monitor::{Change, Monitor};

mod monitor;

/// Changes in one round, half of them additions.
const CHANGES: usize = 50;
/// A change takes milliseconds; without one by then something is broken.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);
/// Until two pods of the lab run.
const PODS_LIMIT: Duration = Duration::from_mins(1);
/// The pod whose ingress is restricted, on the node that is measured.
const SERVER: &str = "label-server";
/// The pod whose label changes, on another node.
const CLIENT: &str = "label-client";
const CLIENT_NODE: &str = "node-2";

/// One change, in milliseconds from before the request.
struct Times {
    kernel: f64,
    watch: f64,
}

/// Measures on [`NODE`].
///
/// # Errors
/// When an object is refused or a change does not arrive.
pub(super) async fn measure(lab: &Lab, rounds: u16, steps: &Steps) -> Result<Section> {
    let client = lab.client();
    prepare(&client).await?;
    let address = running(lab, &client).await?;
    let mut bench = Changes {
        api: Api::namespaced(client, NAMESPACE),
        monitor: Monitor::start(&lab.underlay().network(&Space::Node(NODE.into()))?, address)?,
        observed: observe(lab.client()),
    };
    steps.say(&format!("{rounds} rounds of {CHANGES} changes of a label"));
    bench.warm_up().await?;
    let mut times: Vec<Vec<Times>> = Vec::new();
    for _ in 0..rounds {
        times.push(bench.round().await?);
    }
    Ok(Section {
        title: "Label change at the API to the element in the kernel".into(),
        unit: "ms",
        rows: rows(&times),
        notes: notes(),
    })
}

fn rows(times: &[Vec<Times>]) -> Vec<Row> {
    let mut rows = Vec::new();
    for percent in [50, 99] {
        let figure = |part: fn(&Times) -> f64| {
            let rounds: Vec<Vec<f64>> = times.iter().map(|round| round.iter().map(part).collect()).collect();
            Figure::of_percentile(&rounds, percent)
        };
        let (Some(kernel), Some(watch)) = (figure(|times| times.kernel), figure(|times| times.watch)) else {
            continue;
        };
        let share = vec![("the whole".to_owned(), watch.median / kernel.median)];
        rows.push(Row {
            what: format!("to the element in the kernel, p{percent}"),
            figure: kernel,
            ratios: vec![],
        });
        rows.push(Row {
            what: format!("of it, until a watch has told, p{percent}"),
            figure: watch,
            ratios: share,
        });
    }
    rows
}

fn notes() -> Vec<String> {
    vec![
        "from before the PATCH is sent until the kernel reports the change of the set on another node; additions and \
         removals in turn"
            .into(),
        "the watch's part: until a watch of the benchmark's own process has told of the same change".into(),
    ]
}

async fn prepare(client: &Client) -> Result<()> {
    objects::create_namespace(client).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    objects::create(&pods, objects::lab_pod(SERVER, NODE, &json!({"app": SERVER}))).await?;
    objects::create(&pods, objects::lab_pod(CLIENT, CLIENT_NODE, &json!({"app": CLIENT}))).await?;
    let policies: Api<NetworkPolicy> = Api::namespaced(client.clone(), NAMESPACE);
    let policy = json!({
        "metadata": {"name": SERVER, "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {"app": SERVER}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "client"}}}]}],
        },
    });
    Ok(objects::create(&policies, policy).await?)
}

/// An address of the client once both pods run.
async fn running(lab: &Lab, client: &Client) -> Result<IpAddr> {
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let address = lab
        .until("start of two pods", PODS_LIMIT, async || {
            let server = api.get(SERVER).await.ok().map(|pod| objects::addresses(&pod))?;
            let client = api.get(CLIENT).await.ok().map(|pod| objects::addresses(&pod))?;
            if server.is_empty() { None } else { client.first().copied() }
        })
        .await?;
    Ok(address)
}

type Observed = Pin<Box<dyn Stream<Item = watcher::Result<Pod>> + Send>>;

fn observe(client: Client) -> Observed {
    let only_client = watcher::Config::default().fields(&format!("metadata.name={CLIENT}"));
    watcher(Api::namespaced(client, NAMESPACE), only_client).applied_objects().boxed()
}

struct Changes {
    api: Api<Pod>,
    monitor: Monitor,
    observed: Observed,
}

impl Changes {
    /// One addition and one removal, after which the watches are known to run.
    async fn warm_up(&mut self) -> Result<()> {
        for is_client in [true, false] {
            self.change(is_client).await.context("first change")?;
        }
        Ok(())
    }

    async fn round(&mut self) -> Result<Vec<Times>> {
        let mut times = Vec::new();
        for number in 0..CHANGES {
            times.push(self.change(number % 2 == 0).await?);
        }
        Ok(times)
    }

    async fn change(&mut self, is_client: bool) -> Result<Times> {
        let patch =
            json!({"metadata": {"labels": {"role": if is_client { json!("client") } else { Value::Null }}}});
        let wanted = if is_client { Change::Added } else { Change::Removed };
        let started = now();
        let request = async {
            self.api.patch(CLIENT, &PatchParams::default(), &Patch::Merge(&patch)).await?;
            Ok::<_, anyhow::Error>(())
        };
        let watch = async {
            told(&mut self.observed, is_client).await?;
            Ok(started.elapsed().as_secs_f64() * 1000.0)
        };
        let kernel = async {
            let at = self.monitor.next(wanted).await?;
            Ok(at.duration_since(started).as_secs_f64() * 1000.0)
        };
        let all = async { tokio::try_join!(request, watch, kernel) };
        let Ok(outcome) = tokio::time::timeout(CHANGE_LIMIT, all).await else {
            bail!("a changed label did not arrive within {} s", CHANGE_LIMIT.as_secs());
        };
        let ((), watch, kernel) = outcome?;
        Ok(Times { kernel, watch })
    }
}

async fn told(observed: &mut Observed, is_client: bool) -> Result<()> {
    loop {
        let pod = observed.next().await.context("the observing watch ended")??;
        let labels = pod.metadata.labels.unwrap_or_default();
        if labels.contains_key("role") == is_client {
            return Ok(());
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "taking the time is what a benchmark is for")]
fn now() -> Instant {
    Instant::now()
}
