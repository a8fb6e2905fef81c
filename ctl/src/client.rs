//! One question and one answer over the control socket.

use std::{os::unix::net::UnixStream, path::Path, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use api::control::{Reply, Request, read_message, write_message};
use serde::de::DeserializeOwned;

/// How long the daemon may take to answer; it answers from memory.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// The daemon's answer.
///
/// # Errors
/// No daemon, no answer in time, or why the daemon refuses.
pub fn ask<T: DeserializeOwned>(socket: &Path, request: &Request) -> Result<T> {
    let mut stream = UnixStream::connect(socket).with_context(|| {
        format!(
            "no daemon listens on {}; is tortie-node running on this machine, and are you root?",
            socket.display()
        )
    })?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    stream.set_write_timeout(Some(ANSWER_TIME_MAX))?;
    write_message(&mut stream, request).context("the daemon does not take the question")?;
    let reply = read_message::<Reply<T>>(&mut stream).context("the daemon's answer is not understood")?;
    match reply.ok_or_else(|| anyhow!("the daemon closed the connection without an answer"))? {
        Reply::Value(value) => Ok(value),
        Reply::Error(reason) => bail!(reason),
    }
}
