//! The process in the node's namespaces that calls the plugins as a runtime does: `lab bench-runtime`.
//!
//! ```text
//! plan (file) -> for each round, for each load: contenders in turn, another one first each time
//!                  new namespace -> ADD: exec .. exit .. first answered packets -> DEL -> samples (stdout)
//! ```

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::ping::first_answer;
use plugin::{Container, Plugin};

mod plugin;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Contender {
    /// The plugin that the daemon has installed on the node.
    Tortie,
    /// The reference plugins ptp and host-local.
    Ptp,
    /// The same in a namespace where duplicate address detection is off, for which ptp waits otherwise.
    PtpWithoutDetection,
}

impl Contender {
    pub(super) const ALL: [Self; 3] = [Self::Tortie, Self::Ptp, Self::PtpWithoutDetection];
}

/// How the calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Load {
    /// Each after the end of the one before.
    OneByOne,
    /// All at the same moment.
    AtOnce,
}

/// A Pod object of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PodName {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

/// What the process does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// For each round the pods that are attached, each once with each load.
    pub(super) rounds: Vec<Vec<PodName>>,
    /// Attached once before anything is measured, so that caches are warm and the daemon knows all pods.
    pub(super) warm_up: PodName,
    /// Addresses of the node, which pods ask for their first packet.
    pub(super) targets: Vec<IpAddr>,
    /// Where the reference plugins are.
    pub(super) reference: PathBuf,
}

/// One ADD with its DEL.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) contender: Contender,
    pub(super) load: Load,
    pub(super) round: usize,
    /// From exec to exit.
    pub(super) exit_millis: f64,
    /// From exec until every target has answered.
    pub(super) packet_millis: f64,
    /// DEL, from exec to exit.
    pub(super) del_millis: f64,
}

/// What `lab bench-runtime` is told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Runtime {
    /// File with the plan, as JSON.
    #[arg(long)]
    plan: PathBuf,
}

/// Carries the plan out and prints the samples as JSON.
///
/// # Errors
/// With the plugin's own words when a call fails.
#[allow(clippy::print_stdout, reason = "whoever started this process reads its stdout")]
pub(crate) fn run(runtime: &Runtime) -> Result<()> {
    let text = std::fs::read(&runtime.plan).with_context(|| format!("read {}", runtime.plan.display()))?;
    let plan: Plan = serde_json::from_slice(&text)?;
    let bench = Calls {
        targets: &plan.targets,
        plugins: Contender::ALL.map(|each| Plugin::of(each, &plan.reference)),
    };
    for contender in Contender::ALL {
        bench.one(contender, &plan.warm_up).with_context(|| format!("warm-up of {contender:?}"))?;
    }
    let mut samples = Vec::new();
    for (round, pods) in plan.rounds.iter().enumerate() {
        for load in [Load::OneByOne, Load::AtOnce] {
            for turn in 0..Contender::ALL.len() {
                let contender = Contender::ALL[(round + turn) % Contender::ALL.len()];
                let times = match load {
                    Load::OneByOne => {
                        pods.iter().map(|pod| bench.one(contender, pod)).collect::<Result<Vec<_>>>()
                    }
                    Load::AtOnce => bench.all(contender, pods),
                };
                let times = times.with_context(|| format!("{contender:?} {load:?} in round {round}"))?;
                samples.extend(times.into_iter().map(|times| times.sample(contender, load, round)));
            }
        }
    }
    println!("{}", serde_json::to_string(&samples)?);
    Ok(())
}

struct Calls<'a> {
    targets: &'a [IpAddr],
    plugins: [Result<Plugin>; 3],
}

/// Milliseconds.
struct Times {
    exit: f64,
    packet: f64,
    del: f64,
}

impl Times {
    fn sample(&self, contender: Contender, load: Load, round: usize) -> Sample {
        Sample {
            contender,
            load,
            round,
            exit_millis: self.exit,
            packet_millis: self.packet,
            del_millis: self.del,
        }
    }
}

impl Calls<'_> {
    fn plugin(&self, contender: Contender) -> Result<&Plugin> {
        let index = Contender::ALL.iter().position(|each| *each == contender).unwrap_or_default();
        self.plugins[index].as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))
    }

    fn one(&self, contender: Contender, pod: &PodName) -> Result<Times> {
        let plugin = self.plugin(contender)?;
        let container = Container::create(contender, pod)?;
        let added = self.add(plugin, &container);
        let del = delete(plugin, &container)?;
        let (exit, packet) = added?;
        Ok(Times { exit, packet, del })
    }

    fn all(&self, contender: Contender, pods: &[PodName]) -> Result<Vec<Times>> {
        let plugin = self.plugin(contender)?;
        let containers: Vec<Container> =
            pods.iter().map(|pod| Container::create(contender, pod)).collect::<Result<_>>()?;
        let barrier = Barrier::new(containers.len());
        let added: Vec<Result<(f64, f64)>> = std::thread::scope(|scope| {
            let add = |container| {
                barrier.wait();
                self.add(plugin, container)
            };
            let threads: Vec<_> =
                containers.iter().map(|container| scope.spawn(move || add(container))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(panicked()))).collect()
        });
        let deleted: Vec<Result<f64>> =
            containers.iter().map(|container| delete(plugin, container)).collect();
        let times = added.into_iter().zip(deleted).map(|(added, deleted)| {
            let (exit, packet) = added?;
            Ok(Times { exit, packet, del: deleted? })
        });
        times.collect()
    }

    /// When the plugin had ended, and when every target had answered.
    fn add(&self, plugin: &Plugin, container: &Container) -> Result<(f64, f64)> {
        let started = now();
        plugin.call("ADD", container)?;
        let exit = millis_since(started);
        let ask = || self.targets.iter().try_for_each(|target| first_answer(*target));
        container.namespace().inside(ask)?;
        Ok((exit, millis_since(started)))
    }
}

fn delete(plugin: &Plugin, container: &Container) -> Result<f64> {
    let started = now();
    plugin.call("DEL", container)?;
    Ok(millis_since(started))
}

fn panicked() -> anyhow::Error {
    io::Error::other("a thread of the benchmark panicked").into()
}

fn millis_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1000.0
}

#[expect(clippy::disallowed_methods, reason = "taking the time is what a benchmark is for")]
fn now() -> Instant {
    Instant::now()
}
