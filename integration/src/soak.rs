//! `cargo lab soak NAME`: repeats what a test does for as long as one likes, with other seeds each time.
//!
//! ```text
//! build -> batch (seed, rounds) -> batch (next seed, rounds) -> ... until rounds or time are up -> report
//!             | the first that fails ends it: its seed repeats it
//! ```
//! The short forms take half a minute. Those of `kill`, `first-packet`, `mesh` and `ipam` are tests that `cargo lab test`
//! runs among all others; that of `fuzz` it runs after them.

mod catalog;
mod fuzz;
mod report;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use k8s_openapi::jiff::Timestamp;

use crate::checkout;
use crate::lab::programs::Programs;
use catalog::{Extent, Soak};
use fuzz::Target;
use report::{Batch, Report};

/// How a test marks a line for the report.
const MARK: &str = "measured: ";

/// What `cargo lab soak` is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// What to repeat.
    #[arg(value_enum)]
    name: Soak,
    /// Begin nothing more after so long: 90, 90s, 10m, 2h.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// So many rounds in all: kills, starts, seeds, or seconds for each fuzz target.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
    /// The first seed; without it the soak's own, so that two runs do the same.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seed: Option<u64>,
    /// Half a minute, as `cargo lab test` does.
    #[arg(long, conflicts_with_all = ["time", "rounds"])]
    short: bool,
    /// Write the result as Markdown into this file, too.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Soaks.
///
/// # Errors
/// The first batch that fails, by its seed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = checkout::root()?;
    let report = repeat(&root, options.name, options.extent(), options.seed.unwrap_or(options.name.seed()))?;
    say(&report.summary());
    if let Some(path) = &options.output {
        let write = std::fs::write(path, report.markdown());
        write.with_context(|| format!("--output {} cannot be written", path.display()))?;
    }
    Ok(())
}

/// The short form of the fuzz targets, which no test runs; what it did in one line.
///
/// # Errors
/// A target that does not build, or an input that makes one fail.
pub(crate) fn short_fuzz(root: &Path) -> Result<String> {
    Ok(repeat(root, Soak::Fuzz, Soak::Fuzz.short(), Soak::Fuzz.seed())?.summary())
}

impl Options {
    fn extent(&self) -> Extent {
        match (self.short, self.rounds, self.time) {
            (true, ..) => self.name.short(),
            (false, None, None) => self.name.long(),
            (false, rounds, time) => Extent { rounds, time },
        }
    }
}

fn repeat(root: &Path, soak: Soak, extent: Extent, first_seed: u64) -> Result<Report> {
    let version = checkout::version(root)?;
    if soak.needs_lab() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(Programs::beside_this()?.build(true))?;
    }
    let targets = if soak == Soak::Fuzz { fuzz::build(root)? } else { Vec::new() };
    if let Some(mut build) = soak.build(root) {
        ensure!(build.status().context("cargo")?.success(), "the tests do not build");
    }
    let date = Timestamp::now().strftime("%F").to_string();
    let mut report = Report { soak, version, date, batches: Vec::new() };
    let (started, mut seed, mut done) = (now(), first_seed, 0);
    // The named limit is the extent's: one of its halves is always given.
    while let Some(rounds) = next_batch(soak, extent, done, started.elapsed()) {
        let begun = now();
        let measured = batch(root, soak, &targets, seed, rounds)?;
        let took = begun.elapsed();
        say(&format!("== {}: seed {seed}, {rounds} rounds held, {} s", soak.name(), took.as_secs()));
        report.batches.push(Batch { seed, rounds, took, measured });
        seed += if soak.has_seed_per_round() { rounds } else { 1 };
        done += rounds;
    }
    Ok(report)
}

/// How many rounds come next; none when rounds or time are up.
fn next_batch(soak: Soak, extent: Extent, done: u64, elapsed: Duration) -> Option<u64> {
    if extent.time.is_some_and(|time| elapsed >= time) {
        return None;
    }
    let left = extent.rounds.map_or(u64::MAX, |rounds| rounds.saturating_sub(done));
    (left > 0).then(|| left.min(soak.batch()))
}

/// One batch; the lines for the report.
fn batch(root: &Path, soak: Soak, targets: &[Target], seed: u64, rounds: u64) -> Result<Vec<String>> {
    match soak.test(root, seed, rounds) {
        Some(command) => watch(command).with_context(|| {
            let name = soak.name();
            format!("`cargo lab soak {name} --seed {seed} --rounds {rounds}` repeats what failed")
        }),
        None => targets.iter().map(|target| target.run(seed, rounds).inspect(|line| say(line))).collect(),
    }
}

/// Runs a test to its end, passing its output on.
fn watch(mut command: Command) -> Result<Vec<String>> {
    let (reader, writer) = std::io::pipe()?;
    let mut child =
        command.stdout(writer.try_clone()?).stderr(Stdio::from(writer)).spawn().context("cargo")?;
    // It holds the ends for writing, which would keep the loop from its end.
    drop(command);
    let mut measured = Vec::new();
    let mut has_run = false;
    for line in BufReader::new(reader).lines() {
        let line = line?;
        // The first line of a test begins with its progress.
        measured.extend(line.split_once(MARK).map(|(_, rest)| rest.to_owned()));
        has_run |= line.starts_with("test result: ok. ") && !line.contains(" 0 passed");
        say(&line);
    }
    let status = child.wait()?;
    ensure!(status.success(), "the tests failed: {status}");
    ensure!(has_run, "no test ran");
    Ok(measured)
}

/// `90`, `90s`, `10m` or `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        other => return Err(format!("{other:?} is no unit: give a number with s, m or h")),
    };
    let number: u64 = digits.parse().map_err(|_| "give a number with s, m or h, such as 10m".to_owned())?;
    match number.checked_mul(unit) {
        Some(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        _ => Err("must be at least one second, and countable".to_owned()),
    }
}

#[expect(clippy::print_stdout, reason = "what the soak does is what the command is for")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::disallowed_methods, reason = "a soak lasts as long as a person says")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
