//! Log lines on standard error: one line per event, as text or JSON, with a level that can change while running.

use anyhow::{Context, Result};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Changes what is logged while the process runs.
#[derive(Clone, Debug)]
pub struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
}

impl LogLevel {
    /// From now on what `level` says is logged.
    ///
    /// # Errors
    /// The part of `level` that is not understood.
    pub fn set(&self, level: &str) -> Result<()> {
        self.handle.reload(filter(level)?).context("the log filter is gone")
    }
}

/// Starts logging for the whole process.
///
/// # Errors
/// The part of `level` that is not understood; a second start.
pub fn start(format: LogFormat, level: &str) -> Result<LogLevel> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let lines = match format {
        LogFormat::Text => {
            fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false).boxed()
        }
        LogFormat::Json => fmt::layer().with_writer(std::io::stderr).json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .context("logging was started twice")?;
    Ok(LogLevel { handle })
}

fn filter(level: &str) -> Result<EnvFilter> {
    EnvFilter::builder()
        .parse(level)
        .with_context(|| format!("log level `{level}`: write `info`, `debug` or `info,bgp=debug`"))
}
