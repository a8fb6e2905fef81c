//! `cargo lab bench`: first figures, from one lab of release builds, printed as one table.
//!
//! ```text
//! release (build, run again as the release build) -> lab -> attach | labels | memory -> report
//!                                                            |
//!                    attach/runtime: a process in the node's namespaces that calls the plugins
//! ```
//!
//! What is compared runs in turns inside one run on one node, so that a busy machine is busy for all.

use std::io;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::lab::directory::{self, Directory};
use crate::lab::programs::Programs;
use crate::lab::steps::Steps;
use crate::lab::supervisor::EndSignals;
use crate::lab::topology::Shape;
use crate::lab::{Lab, user};
use report::Report;

mod attach;
mod labels;
mod machine;
mod memory;
mod objects;
mod ping;
mod release;
mod report;
pub(crate) mod runtime;
mod sample;

/// Fewer rounds say nothing about their spread.
const ROUNDS_MIN: u16 = 5;
/// A round takes a minute: more of them are a mistake in typing.
const ROUNDS_MAX: u16 = 200;
/// The node that is measured.
const NODE: &str = "node-1";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// CNI ADD, beside the reference plugins.
    Cni,
    /// A label at the API to its element in the kernel.
    Labels,
    /// Resident memory of the daemon.
    Memory,
    /// All of it.
    All,
}

/// What `lab bench` is told.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Bench {
    /// What to measure.
    #[arg(value_enum, default_value_t = Subject::All)]
    subject: Subject,
    /// Rounds; figures are medians over them, with their spread.
    #[arg(long, default_value_t = ROUNDS_MIN, value_parser = clap::value_parser!(u16).range(i64::from(ROUNDS_MIN)..=i64::from(ROUNDS_MAX)))]
    rounds: u16,
    /// Also write the table to this file, as Markdown.
    #[arg(long)]
    output: Option<PathBuf>,
    /// The lab's name.
    #[arg(long, default_value = "bench")]
    name: String,
    /// Take the release builds as they are.
    #[arg(long)]
    no_build: bool,
}

impl Bench {
    fn includes(&self, subject: Subject) -> bool {
        self.subject == Subject::All || self.subject == subject
    }
}

/// Builds, measures, prints.
///
/// # Errors
/// When something that is measured, or that is compared with, is missing or fails.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    // Asked for once: cargo may put a new file in the place of this program.
    let programs = Programs::beside_this()?;
    if !release::is_release(programs.directory()) {
        return release::build_and_run(&programs, bench.no_build);
    }
    user::become_root()?;
    if bench.includes(Subject::Cni) {
        machine::ensure_reference_plugins()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(bench, programs))
}

async fn measure(bench: &Bench, programs: Programs) -> Result<()> {
    let mut signals = EndSignals::catch()?;
    let directory = Directory::create(&directory::of(&bench.name)?, programs.lab())?;
    let steps = Steps::to(io::stdout());
    let shape = Shape { racks: 1, nodes: 2, ..Shape::default() };
    // Not cancel-safe, and need not be: a lab that is being built is dropped whole.
    let lab = tokio::select! {
        lab = Lab::start(shape, programs, directory, &steps) => lab?,
        () = signals.come() => bail!("stopped while starting; nothing is left behind"),
    };
    // As above: what has begun ends with the lab.
    let outcome = tokio::select! {
        outcome = figures(bench, &lab, &steps) => outcome,
        () = signals.come() => Err(anyhow::anyhow!("stopped")),
    };
    lab.end().await;
    let report = outcome?;
    steps.show(&report.text());
    if let Some(path) = &bench.output {
        std::fs::write(path, report.markdown()).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

async fn figures(bench: &Bench, lab: &Lab, steps: &Steps) -> Result<Report> {
    let mut report = Report::new(machine::facts(bench.rounds));
    // Memory first: what the others leave in the daemon would be measured with it.
    if bench.includes(Subject::Memory) {
        report.add(memory::measure(lab, bench.rounds, steps).await.context("memory")?);
    }
    if bench.includes(Subject::Labels) {
        report.add(labels::measure(lab, bench.rounds, steps).await.context("labels")?);
    }
    if bench.includes(Subject::Cni) {
        report.add(attach::measure(lab, bench.rounds, steps).await.context("CNI ADD")?);
    }
    Ok(report)
}
