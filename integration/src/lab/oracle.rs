//! Foreign tools in a lab's namespaces: what they print is the measure of tests.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A program in the namespaces of a process: its network, mounts and host name.
pub fn command(process: u32, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &process.to_string(), "--net", "--mount", "--uts", "--", program]);
    command
}

/// What a program prints in the namespaces of a process.
///
/// # Errors
/// With its own words, when it is missing or fails.
pub fn text(process: u32, program: &str, arguments: &[&str]) -> io::Result<String> {
    let output = command(process, program).args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} {}: {}", arguments.join(" "), said.trim())))
}

/// What a program prints as JSON in the namespaces of a process; nothing is null.
///
/// # Errors
/// As [`text`], or when it is no JSON.
pub fn json(process: u32, program: &str, arguments: &[&str]) -> io::Result<Value> {
    let text = text(process, program, arguments)?;
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    Ok(serde_json::from_str(&text)?)
}

/// What a program makes of that input: whether it was a success, and what it printed.
///
/// # Errors
/// When it cannot be started or does not read.
pub fn converse(mut command: Command, input: &str) -> io::Result<(bool, String)> {
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let written = process.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = process.wait_with_output()?;
    // Whoever needs no input may have ended before it came.
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())),
    }
}

/// A program that runs until it is dropped, such as `ip monitor`; what it prints is kept.
#[derive(Debug)]
pub struct Running {
    process: Child,
    output: File,
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// When it is missing.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let output = tempfile::tempfile()?;
        let process =
            command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output.try_clone()?).spawn()?;
        Ok(Self { process, output })
    }

    /// Its process, which for a program started by [`command`] is the program's own.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// The system's.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.process.try_wait()?.is_some())
    }

    /// What it has printed until now, on both of its outputs.
    ///
    /// # Errors
    /// The file system's.
    pub fn text(&self) -> io::Result<String> {
        // Where the program writes is shared with this descriptor: read without moving it.
        let length = usize::try_from(self.output.metadata()?.len()).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        self.output.read_exact_at(&mut bytes, 0)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
