//! Counting what `cargo test` says it did.

use std::fmt;

use anyhow::{Result, bail};

/// What was run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Tests that passed.
    pub(super) passed: usize,
    /// Tests that failed.
    pub(super) failed: usize,
    /// Tests that were ignored, filtered out, or said themselves that they were skipped.
    pub(super) skipped: usize,
    /// Whether `cargo test` ended well as a whole.
    pub(super) exited_well: bool,
}

/// How a test says that it did not do its work.
const SKIP_MARK: &str = "SKIPPED:";

impl Counts {
    /// Takes one line of output.
    pub(super) fn read(&mut self, line: &str) {
        if line.contains(SKIP_MARK) {
            self.skipped += 1;
        }
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let number_before = |word: &str| -> usize {
            let before = result.split(word).next().unwrap_or_default().trim_end();
            before.rsplit([' ', '.']).next().and_then(|number| number.parse().ok()).unwrap_or_default()
        };
        self.passed += number_before(" passed");
        self.failed += number_before(" failed");
        self.skipped += number_before(" ignored") + number_before(" filtered out");
    }

    /// Whether all is well.
    ///
    /// # Errors
    /// What is not.
    pub(super) fn verdict(&self) -> Result<()> {
        match self {
            Self { failed: 1.., .. } => bail!("{} tests failed", self.failed),
            Self { skipped: 1.., .. } => {
                bail!("{} tests were skipped; a skip is a failure here", self.skipped)
            }
            Self { passed: 0, .. } => bail!("no test ran"),
            Self { exited_well: false, .. } => bail!("cargo test failed outside of a test"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted() {
        let mut counts = Counts { exited_well: true, ..Counts::default() };
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.03s",
            "test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 4 filtered out; finished in 1.03s",
            "SKIPPED: no bird",
        ] {
            counts.read(line);
        }
        assert_eq!(counts, Counts { passed: 13, failed: 2, skipped: 6, exited_well: true });
        assert_eq!(counts.to_string(), "13 passed, 2 failed, 6 skipped");
    }

    #[test]
    fn only_a_whole_success_is_one() {
        let well = Counts { passed: 1, failed: 0, skipped: 0, exited_well: true };
        // (why, counts, is well)
        let cases = [
            ("all passed", well.clone(), true),
            ("a failure", Counts { failed: 1, ..well.clone() }, false),
            ("a skip", Counts { skipped: 1, ..well.clone() }, false),
            ("nothing ran", Counts { passed: 0, ..well.clone() }, false),
            ("a test program that died", Counts { exited_well: false, ..well }, false),
        ];
        for (why, counts, is_well) in cases {
            assert_eq!(counts.verdict().is_ok(), is_well, "{why}");
        }
    }
}
