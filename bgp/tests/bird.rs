//! BIRD as the neighbor: sessions, routes both ways, and graceful restart in both roles.

#![cfg(feature = "io")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod lab;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bgp::config::{NeighborConfig, SpeakerConfig};
use bgp::speaker::{RestartMode, Stop};
use bgp::wire::Family;
use lab::{LIMIT, Router, isolated, network};
use tokio::time::{interval, timeout};

/// How often BIRD is asked: it cannot tell by itself.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

const BIRD_CONFIG: &str = "
log stderr all;
router id 10.0.0.2;
protocol device { scan time 1; }
protocol static static4 { ipv4; route 10.2.0.0/24 blackhole; }
protocol static static6 { ipv6; route fd02::/64 blackhole; }
protocol bgp tortie {
    local 10.0.0.2 as 65002;
    neighbor 10.0.0.1 as 65001;
    graceful restart on;
    connect retry time 1;
    connect delay time 1;
    error wait time 1, 2;
    ipv4 { import all; export where source = RTS_STATIC; };
    ipv6 { import all; export where source = RTS_STATIC; next hop address fd00::2; };
}
";

/// A namespace at the other end of a cable, and BIRD in it.
struct Bird {
    /// Holds the namespace while BIRD restarts.
    holder: Child,
    daemon: Option<Child>,
    dir: PathBuf,
}

impl Bird {
    /// BIRD at 10.0.0.2, reached from here as 10.0.0.1.
    fn start(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("tortie-bird-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        std::fs::write(dir.join("bird.conf"), BIRD_CONFIG).expect("its configuration");
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

    /// Starts BIRD, as after a graceful restart if it is recovering.
    fn restart(&mut self, is_recovering: bool) {
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
    fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().expect("it runs");
            daemon.wait().expect("it ends");
        }
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("bird.ctl")
    }

    fn ask(&self, question: &str) -> String {
        let output = Command::new("birdc").arg("-s").arg(self.socket()).arg(question).output();
        String::from_utf8_lossy(&output.expect("birdc is installed").stdout).into_owned()
    }

    /// Waits until what BIRD answers has all of this in it.
    async fn until(&self, question: &str, expected: &[&str]) -> String {
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

    fn log(&self) -> String {
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

fn config() -> SpeakerConfig {
    let neighbor = NeighborConfig::new("bird", "10.0.0.2".parse().unwrap(), 65002);
    lab::config(65001, ["10.0.0.1", "fd00::1"], neighbor)
}

async fn established(restart: RestartMode, bird: &Bird) -> Router {
    let mut router = Router::start(config(), restart, "10.0.0.1").await;
    router.originate(&["10.1.0.0/24", "fd01::/64"]).await;
    router.until_established().await;
    router.until("routes of BIRD", |router| router.table.len() == 2).await;
    bird.until("show protocols all tortie", &["Established"]).await;
    router
}

#[test]
fn routes_of_both_families_both_ways() {
    isolated(&[], || async {
        let bird = Bird::start("routes");
        let mut router = established(RestartMode::Fresh, &bird).await;
        assert_eq!(router.gateways("10.2.0.0/24"), ["10.0.0.2"]);
        assert_eq!(router.gateways("fd02::/64"), ["fd00::2"]);
        bird.until("show route all 10.1.0.0/24", &["via 10.0.0.1 on there", "BGP.as_path: 65001"]).await;
        bird.until("show route all fd01::/64", &["via fd00::1 on there", "BGP.as_path: 65001"]).await;

        router.originate(&["10.1.0.0/24"]).await;
        bird.until("show route fd01::/64", &["Network not found"]).await;
        bird.ask("disable static6");
        router.until("a withdrawal", |router| router.gateways("fd02::/64").is_empty()).await;
        router.stop(Stop::Cease { text: "the test is over".to_owned() }).await;
        bird.until("show protocols all tortie", &["the test is over"]).await;
        assert_eq!(bird.ask("show route 10.1.0.0/24").matches("10.0.0.1").count(), 0);
    });
}

#[test]
fn bird_restarts_and_we_help() {
    isolated(&[], || async {
        let mut bird = Bird::start("helped");
        let mut router = established(RestartMode::Fresh, &bird).await;
        bird.kill();
        router.until("the loss", |router| !router.is_established()).await;
        assert_eq!(router.table.len(), 2, "the routes stay");
        bird.restart(true);
        router.until_established().await;
        bird.until("show protocols all tortie", &["Established"]).await;
        // A route that is told after End-of-RIB: whatever the restart removed was removed before it.
        bird.until("show route protocol tortie", &["10.1.0.0/24", "fd01::/64"]).await;
        assert_eq!(router.withdrawals, [], "no route went, not for a moment");
    });
}

#[test]
fn we_restart_and_bird_helps() {
    isolated(&[], || async {
        let bird = Bird::start("helping");
        let router = established(RestartMode::Fresh, &bird).await;
        bird.until("show route protocol tortie", &["10.1.0.0/24", "fd01::/64"]).await;
        router.stop(Stop::Silent).await;
        bird.until("show protocols all tortie", &["Neighbor graceful restart active"]).await;
        let kept = bird.ask("show route protocol tortie");
        assert!(kept.contains("10.1.0.0/24") && kept.contains("fd01::/64"), "BIRD keeps them: {kept}");

        let restart = RestartMode::Restarting { preserved_families: Family::ALL.to_vec() };
        let mut router = Router::start(config(), restart, "10.0.0.1").await;
        router.originate(&["10.1.0.0/24"]).await;
        router.until("the end of the restart", |router| router.is_synced).await;
        assert!(router.table.contains_key(&network("10.2.0.0/24")));
        bird.until("show route fd01::/64", &["Network not found"]).await;
        bird.until("show route 10.1.0.0/24", &["via 10.0.0.1 on there"]).await;
        assert!(!bird.log().contains("Error"), "{}", bird.log());
    });
}
