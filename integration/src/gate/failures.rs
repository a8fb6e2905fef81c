//! Why tests failed, told once more at the end: a reader of a long log looks there first.

use std::fmt;

/// Lines told of what a test said before it panicked, and of the panic itself.
const BEFORE_MAX: usize = 6;
const PANIC_MAX: usize = 24;
/// Failed tests told with their reason; the log above has all.
const TESTS_MAX: usize = 12;

/// What failed tests said, gathered from the output of `cargo test`.
#[derive(Debug, Default)]
pub(super) struct Failures {
    told: Vec<Failure>,
    is_inside: bool,
}

#[derive(Debug)]
struct Failure {
    test: String,
    lines: Vec<String>,
    panic: Panic,
}

#[derive(Debug, PartialEq, Eq)]
enum Panic {
    /// Lines are what the test said.
    Awaited,
    /// So many lines of it were taken.
    Taken(usize),
    Over,
}

impl Failures {
    /// Takes one line of output.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(test) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.is_inside = true;
            self.told.push(Failure { test: test.into(), lines: Vec::new(), panic: Panic::Awaited });
        } else if line == "failures:" || line.starts_with("test result: ") {
            self.is_inside = false;
        } else if let Some(failure) = self.told.last_mut().filter(|_| self.is_inside) {
            failure.read(line);
        }
    }
}

impl Failure {
    fn read(&mut self, line: &str) {
        if line.starts_with("thread '") && line.contains(" panicked at ") && self.panic == Panic::Awaited {
            self.panic = Panic::Taken(0);
        } else if line.starts_with("stack backtrace:") || line.starts_with("note: ") {
            self.panic = Panic::Over;
        }
        match &mut self.panic {
            Panic::Awaited if line.is_empty() => {}
            Panic::Awaited => {
                if self.lines.len() == BEFORE_MAX {
                    self.lines.remove(0);
                }
                self.lines.push(line.into());
            }
            Panic::Taken(taken) if *taken < PANIC_MAX => {
                *taken += 1;
                self.lines.push(line.into());
            }
            Panic::Taken(_) | Panic::Over => {}
        }
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in self.told.iter().take(TESTS_MAX) {
            writeln!(f, "== failed: {}", failure.test)?;
            for line in &failure.lines {
                writeln!(f, "    {line}")?;
            }
        }
        if let more @ 1.. = self.told.len().saturating_sub(TESTS_MAX) {
            writeln!(f, "== and {more} more, see above")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_told_without_the_backtrace_and_without_what_passed() {
        let output = "\
test a::fails ... FAILED

failures:

---- a::fails stdout ----
one
racks are there

thread 'a::fails' (7) panicked at tests/a.rs:69:5:
assertion `left == right` failed: why
  left: 1
 right: 2
stack backtrace:
   0: begin
--- /lab/node-1.log ---
much

---- b::says stdout ----
Error: \"no\"

failures:
    a::fails
    b::says

test result: FAILED. 1 passed; 2 failed; 0 ignored";
        let mut failures = Failures::default();
        output.lines().for_each(|line| failures.read(line));
        let expected = "\
== failed: a::fails
    one
    racks are there
    thread 'a::fails' (7) panicked at tests/a.rs:69:5:
    assertion `left == right` failed: why
      left: 1
     right: 2
== failed: b::says
    Error: \"no\"
";
        assert_eq!(failures.to_string(), expected);
    }

    #[test]
    fn much_is_told_in_part() {
        let mut failures = Failures::default();
        for test in 0..TESTS_MAX + 3 {
            failures.read(&format!("---- t{test} stdout ----"));
            (0..100).for_each(|number| failures.read(&format!("said {number}")));
            failures.read("thread 't' (1) panicked at t.rs:1:1:");
            (0..100).for_each(|number| failures.read(&format!("why {number}")));
        }
        let text = failures.to_string();
        assert_eq!(text.lines().count(), TESTS_MAX * (1 + BEFORE_MAX + PANIC_MAX) + 1);
        assert!(
            text.contains("said 99") && !text.contains("said 93\n") && text.contains("why 22\n"),
            "{text}"
        );
        assert!(text.ends_with("== and 3 more, see above\n"), "{text}");
    }
}
