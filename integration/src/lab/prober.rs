//! Runs prober and traffic processes in the namespace of whoever asks.

use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;

use super::process::{Launch, Place, Spawner};
use crate::probe::traffic::Tally;
use crate::probe::{Answer, Job};

/// The answers to all jobs, in the order of their end.
pub(super) async fn ask(
    spawner: &Spawner,
    lab: &Path,
    place: Place,
    jobs: &[Job],
) -> io::Result<Vec<Answer>> {
    let mut launch = Launch::new(lab).arguments(["ask"]).at(place);
    launch.stdin = Stdio::piped();
    launch.stdout = Stdio::piped();
    let mut process = spawner.spawn(launch).await?;
    let mut text = Vec::new();
    for job in jobs {
        serde_json::to_writer(&mut text, job)?;
        text.push(b'\n');
    }
    let mut stdin = process.stdin.take().ok_or_else(no_pipe)?;
    stdin.write_all(&text).await?;
    drop(stdin);
    let answers = output(&mut process).await?;
    answers.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// What a program prints; an error, with what it said on stderr, when it fails.
pub(super) async fn capture(spawner: &Spawner, mut launch: Launch) -> io::Result<String> {
    launch.stdout = Stdio::piped();
    launch.stderr = Stdio::piped();
    let name = launch.program.display().to_string();
    let output = spawner.spawn(launch).await?.wait_with_output().await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{name} ended with {}: {}", output.status, said.trim())))
}

/// Traffic that runs until it is asked for its tally.
#[derive(Debug)]
pub struct RunningTraffic {
    process: Child,
}

impl RunningTraffic {
    pub(super) async fn start(
        spawner: &Spawner,
        lab: &Path,
        place: Place,
        arguments: Vec<String>,
    ) -> io::Result<Self> {
        let mut launch = Launch::new(lab).arguments(["traffic"]).arguments(arguments).at(place);
        launch.stdin = Stdio::piped();
        launch.stdout = Stdio::piped();
        Ok(Self { process: spawner.spawn(launch).await? })
    }

    /// Ends the traffic and tells what was lost.
    ///
    /// # Errors
    /// When the process failed.
    pub async fn stop(mut self) -> io::Result<Tally> {
        drop(self.process.stdin.take());
        let text = output(&mut self.process).await?;
        Ok(serde_json::from_str(&text)?)
    }
}

async fn output(process: &mut Child) -> io::Result<String> {
    let mut text = String::new();
    process.stdout.as_mut().ok_or_else(no_pipe)?.read_to_string(&mut text).await?;
    let status = process.wait().await?;
    if status.success() { Ok(text) } else { Err(io::Error::other(format!("the prober ended with {status}"))) }
}

fn no_pipe() -> io::Error {
    io::Error::other("a pipe to the prober is missing")
}
