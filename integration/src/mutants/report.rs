//! What became of the mutants, for the terminal and for a file.

use std::fmt::Write as _;
use std::time::SystemTime;

use k8s_openapi::jiff::Timestamp;

use super::catalog::Mutant;
use super::killer::Outcome;
use super::tree::Tree;

/// What became of one mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A test failed.
    Killed,
    /// The tests did not end.
    KilledByTime,
    /// Every test passed.
    Survived,
    /// The text that it replaces is not there once.
    DidNotApply,
    /// The compiler refused it, so no test was asked.
    DidNotBuild,
}

impl Verdict {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Failed => Self::Killed,
            Outcome::Endless => Self::KilledByTime,
            Outcome::Passed { .. } => Self::Survived,
        }
    }

    fn is_killed(self) -> bool {
        matches!(self, Self::Killed | Self::KilledByTime)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::KilledByTime => "killed (time)",
            Self::Survived => "SURVIVED",
            Self::DidNotApply => "did not apply",
            Self::DidNotBuild => "did not build",
        }
    }
}

/// A mutant and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) mutant: &'static Mutant,
    pub(super) verdict: Verdict,
}

impl Row {
    pub(super) fn line(&self) -> String {
        columns(self.mutant.name, self.verdict.text(), &self.mutant.killer.to_string())
    }
}

/// The columns' titles.
pub(super) fn head() -> String {
    columns("MUTANT", "RESULT", "TESTS")
}

fn columns(name: &str, result: &str, tests: &str) -> String {
    format!("{name:<30} {result:<14} {tests}")
}

/// All rows of a run.
pub(super) struct Report {
    version: String,
    begun: SystemTime,
    rows: Vec<Row>,
}

impl Report {
    pub(super) fn new(tree: &Tree) -> Self {
        Self { version: tree.version().to_owned(), begun: now(), rows: Vec::new() }
    }

    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Whether every mutant was killed.
    pub(super) fn is_clean(&self) -> bool {
        self.rows.iter().all(|row| row.verdict.is_killed())
    }

    /// How many there were, and how many of each end.
    pub(super) fn summary(&self) -> String {
        let count = |is: fn(Verdict) -> bool| self.rows.iter().filter(|row| is(row.verdict)).count();
        format!(
            "{} mutants: {} killed, {} survived, {} did not apply, {} did not build",
            self.rows.len(),
            count(Verdict::is_killed),
            count(|it| it == Verdict::Survived),
            count(|it| it == Verdict::DidNotApply),
            count(|it| it == Verdict::DidNotBuild),
        )
    }

    /// The run as a Markdown document.
    pub(super) fn markdown(&self) -> String {
        let seconds = now().duration_since(self.begun).unwrap_or_default().as_secs();
        let date = Timestamp::try_from(self.begun)
            .map_or_else(|_| String::new(), |it| it.strftime("%F").to_string());
        let mut text = format!(
            "# Mutants\n\nWritten by `cargo lab mutants --output`. Commit {}, {date}, {seconds} s.\n\n{}.\n\n",
            self.version,
            self.summary()
        );
        text.push_str("| mutant | what it breaks | file | result | tests |\n|---|---|---|---|---|\n");
        for Row { mutant, verdict } in &self.rows {
            let Mutant { name, breaks, file, killer, .. } = mutant;
            let _ = writeln!(text, "| {name} | {breaks} | {file} | {} | `{killer}` |", verdict.text());
        }
        text
    }
}

#[expect(clippy::disallowed_methods, reason = "the day of a run is for people")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::super::catalog::all;
    use super::*;

    #[test]
    fn only_a_run_without_survivors_is_clean() {
        // (why, verdict, is clean, its word)
        let cases = [
            ("a test failed", Verdict::Killed, true, "killed"),
            ("the tests hung", Verdict::KilledByTime, true, "killed (time)"),
            ("no test noticed", Verdict::Survived, false, "SURVIVED"),
            ("the place moved", Verdict::DidNotApply, false, "did not apply"),
            ("the compiler noticed", Verdict::DidNotBuild, false, "did not build"),
        ];
        for (why, verdict, is_clean, word) in cases {
            let mutant = all().next().expect("the catalog is not empty");
            let rows = vec![Row { mutant, verdict: Verdict::Killed }, Row { mutant, verdict }];
            let report = Report { version: "0123".into(), begun: now(), rows };
            assert_eq!(report.is_clean(), is_clean, "{why}");
            assert!(report.markdown().contains(&format!("| {word} |")), "{why}");
            assert!(report.rows[1].line().contains(word), "{why}");
        }
    }
}
