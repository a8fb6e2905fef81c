//! What a soak found, for the terminal and for a file.

use std::fmt::Write as _;
use std::time::Duration;

use super::catalog::Soak;

/// One batch that held.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) seed: u64,
    pub(super) rounds: u64,
    pub(super) took: Duration,
    /// What its tests measured.
    pub(super) measured: Vec<String>,
}

/// A soak that held to its end.
pub(super) struct Report {
    pub(super) soak: Soak,
    pub(super) version: String,
    pub(super) date: String,
    pub(super) batches: Vec<Batch>,
}

impl Report {
    /// In one line: rounds, seeds, time.
    pub(super) fn summary(&self) -> String {
        let rounds: u64 = self.batches.iter().map(|batch| batch.rounds).sum();
        let took: Duration = self.batches.iter().map(|batch| batch.took).sum();
        format!(
            "{}: {rounds} {}, seeds {}, {} s, nothing failed",
            self.soak.name(),
            self.soak.round(),
            self.seeds(),
            took.as_secs()
        )
    }

    fn seeds(&self) -> String {
        let last = self.batches.iter().map(|batch| {
            let count = if self.soak.has_seed_per_round() { batch.rounds } else { 1 };
            batch.seed + count - 1
        });
        let first = self.batches.iter().map(|batch| batch.seed).min().unwrap_or_default();
        match last.max().unwrap_or_default() {
            last if last > first => format!("{first} to {last}"),
            only => only.to_string(),
        }
    }

    /// The run as a Markdown document.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!(
            "# Soak: {}\n\nWritten by `cargo lab soak {} --output`. Commit {}, {}.\n\n{}.\n\n",
            self.soak.name(),
            self.soak.name(),
            self.version,
            self.date,
            self.summary()
        );
        text.push_str("| seed | rounds | s | measured |\n|---|---|---|---|\n");
        for Batch { seed, rounds, took, measured } in &self.batches {
            let _ = writeln!(text, "| {seed} | {rounds} | {} | {} |", took.as_secs(), measured.join("<br>"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_commit_seeds_rounds_and_time() {
        let batch = |seed, rounds, measured: &str| Batch {
            seed,
            rounds,
            took: Duration::from_secs(10),
            measured: vec![measured.into(); 2],
        };
        // (why, soak, batches, summary)
        let cases = [
            (
                "a seed for each batch",
                Soak::Kill,
                vec![batch(7, 100, "5 of 5"), batch(8, 50, "5 of 5")],
                "kill: 150 kills of the daemon for each kind of router, seeds 7 to 8, 20 s, nothing failed",
            ),
            (
                "a seed for each round",
                Soak::Mesh,
                vec![batch(8, 32, "5 of 5")],
                "mesh: 32 seeds, a network each, seeds 8 to 39, 10 s, nothing failed",
            ),
        ];
        for (why, soak, batches, summary) in cases {
            let report = Report { soak, version: "0123".into(), date: "2026-01-02".into(), batches };
            assert_eq!(report.summary(), summary, "{why}");
            let text = report.markdown();
            assert!(text.contains("Commit 0123, 2026-01-02."), "{why}: {text}");
            assert!(text.contains(summary), "{why}: {text}");
            assert!(text.contains("| 10 | 5 of 5<br>5 of 5 |"), "{why}: {text}");
        }
    }
}
