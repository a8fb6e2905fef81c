//! BIRD in a namespace of its own, at the other end of a cable.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{interval, timeout};

use super::LIMIT;

/// How often BIRD is asked: it cannot tell by itself.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A namespace at the other end of a cable, and BIRD in it.
pub(crate) struct Bird {
    /// Holds the namespace while BIRD restarts.
    holder: Child,
    daemon: Option<Child>,
    dir: PathBuf,
}

impl Bird {
    /// BIRD at 10.0.0.2, reached from here as 10.0.0.1.
    pub(crate) fn start(name: &str, config: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("tortie-bird-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        std::fs::write(dir.join("bird.conf"), config).expect("its configuration");
        let holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is installed");
        let mut bird = Self { holder, daemon: None, dir };
        bird.connect();
        bird.restart(false);
        bird
    }

    /// The cable.
    fn connect(&mut self) {
        let mut ready = [0; 6];
        let stdout = self.holder.stdout.as_mut().expect("piped");
        std::io::Read::read_exact(stdout, &mut ready).expect("the namespace is there");
        let pid = self.holder.id().to_string();
        run("ip", &["link", "add", "here", "type", "veth", "peer", "name", "there", "netns", &pid]);
        for (prefix, interface, ipv4, ipv6) in [
            (&[][..], "here", "10.0.0.1/24", "fd00::1/64"),
            (&["nsenter", "-t", &pid, "-n"], "there", "10.0.0.2/24", "fd00::2/64"),
        ] {
            for arguments in [
                &["ip", "address", "add", ipv4, "dev", interface][..],
                &["ip", "address", "add", ipv6, "dev", interface, "nodad"],
                &["ip", "link", "set", interface, "up"],
            ] {
                let command = [prefix, arguments].concat();
                run(command[0], &command[1..]);
            }
        }
    }

    /// Adds a static route where BIRD is.
    pub(crate) fn route(&self, prefix: &str, gateway: &str) {
        let pid = self.holder.id().to_string();
        run("nsenter", &["-t", &pid, "-n", "ip", "route", "add", prefix, "via", gateway]);
    }

    /// Starts BIRD, as after a graceful restart if it is recovering.
    pub(crate) fn restart(&mut self, is_recovering: bool) {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.id().to_string(), "-n", "bird", "-f"]);
        command.arg("-c").arg(self.dir.join("bird.conf")).arg("-s").arg(self.socket());
        if is_recovering {
            command.arg("-R");
        }
        let log = std::fs::File::create(self.dir.join("bird.log")).expect("a log");
        self.daemon = Some(command.stderr(log).spawn().expect("nsenter is installed"));
    }

    /// Ends BIRD without a word to its neighbors.
    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().expect("it runs");
            daemon.wait().expect("it ends");
        }
    }

    /// Stops it in the middle of what it does; its sockets stay.
    pub(crate) fn freeze(&mut self) {
        let daemon = self.daemon.as_ref().expect("it runs");
        run("kill", &["-STOP", &daemon.id().to_string()]);
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("bird.ctl")
    }

    pub(crate) fn ask(&self, question: &str) -> String {
        let output = Command::new("birdc").arg("-s").arg(self.socket()).arg(question).output();
        String::from_utf8_lossy(&output.expect("birdc is installed").stdout).into_owned()
    }

    /// Waits until what BIRD answers has all of this in it.
    pub(crate) async fn until(&self, question: &str, expected: &[&str]) -> String {
        let wait = async {
            let mut tick = interval(POLL_INTERVAL);
            loop {
                tick.tick().await;
                let answer = self.ask(question);
                if expected.iter().all(|text| answer.contains(text)) {
                    return answer;
                }
            }
        };
        let Ok(answer) = timeout(LIMIT, wait).await else {
            panic!("{question}: {expected:?} not in {}\n{}", self.ask(question), self.log())
        };
        answer
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("bird.log")).unwrap_or_default()
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        self.kill();
        // The test is over: what cannot be cleaned up is no failure of it.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("it is installed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
}
