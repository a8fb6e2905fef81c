//! Tells a person what has been done, each step with its time.

use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Where steps are told, and since when time is counted.
pub struct Steps {
    out: Mutex<Box<dyn Write + Send>>,
    start: Instant,
}

impl Steps {
    /// Steps are written there.
    #[expect(clippy::disallowed_methods, reason = "a person wants to know how long it took")]
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self { out: Mutex::new(Box::new(out)), start: Instant::now() }
    }

    /// Steps are told to nobody.
    pub fn silent() -> Self {
        Self::to(std::io::sink())
    }

    /// One step that is done, after the seconds since the start.
    pub fn say(&self, text: &str) {
        let seconds = self.start.elapsed().as_secs_f64();
        self.write(&format!("{seconds:6.2} s  {text}\n"));
    }

    /// What belongs to the step before, indented below it.
    pub fn show(&self, text: &str) {
        let indented: String =
            text.lines().map(|line| format!("          {line}").trim_end().to_owned() + "\n").collect();
        self.write(&indented);
    }

    fn write(&self, text: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A closed terminal is no reason to fail.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").field("start", &self.start).finish_non_exhaustive()
    }
}
