//! Two `tortie-bgp` at the ends of a cable: sessions, kernel routes, a new file, a restart, and leaving.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use api::control::{self, PeerStatus, Reply, Request};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::time::{interval, timeout};

/// More than any step needs on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);
/// How often kernel and router are asked: they cannot tell by themselves.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A network namespace and the router in it.
struct Place {
    holder: Child,
    router: Option<Child>,
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; exec sleep 600"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        let made = holder.stdout.as_mut().unwrap().read_exact(&mut ready);
        made.expect("this test makes a network namespace: run it as root");
        Self { holder, router: None, dir: tempfile::tempdir().unwrap() }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.id().to_string(), "-n", program]);
        command
    }

    fn ip(&self, arguments: &str) -> String {
        let output = self.command("ip").args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn connect(&self, other: &Self) {
        self.ip(&format!("link add eth0 type veth peer name eth0 netns {}", other.holder.id()));
        for (place, host) in [(self, 1), (other, 2)] {
            place.ip(&format!("address add 10.0.0.{host}/24 dev eth0"));
            place.ip(&format!("address add fd00::{host}/64 dev eth0 nodad"));
            place.ip("link set eth0 up");
        }
    }

    fn write(&self, file: &str) {
        fs::write(self.dir.path().join("router.toml"), file).unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    fn start(&mut self, options: &[&str]) {
        let mut command = self.command(env!("CARGO_BIN_EXE_tortie-bgp"));
        command.arg("--config").arg(self.dir.path().join("router.toml")).arg("--socket").arg(self.socket());
        let log = fs::File::options().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        self.router = Some(command.args(options).stderr(log).spawn().unwrap());
    }

    fn signal(&self, signal: Signal) {
        let pid = self.router.as_ref().unwrap().id();
        kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
    }

    /// Ends the router by SIGTERM; it must end in order.
    async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let mut router = self.router.take().unwrap();
        let status = tokio::task::spawn_blocking(move || router.wait().unwrap());
        let status = timeout(LIMIT, status).await.unwrap().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Our routes in the kernel, of both families.
    fn routes(&self) -> String {
        self.ip("-4 route show proto 85") + &self.ip("-6 route show proto 85")
    }

    fn has(&self, route: &str) -> bool {
        self.routes().lines().any(|line| line.starts_with(route))
    }

    fn peers(&self) -> Option<Vec<PeerStatus>> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        control::write_message(&mut stream, &Request::Peers).unwrap();
        match control::read_message(&mut stream).unwrap().unwrap() {
            Reply::Value(peers) => Some(peers),
            Reply::Error(error) => panic!("{error}"),
        }
    }

    fn is_established(&self) -> bool {
        self.peers().is_some_and(|peers| peers.iter().all(|peer| peer.state == "Established"))
    }

    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let wait = async {
            let mut tick = interval(POLL_INTERVAL);
            while !condition(self) {
                tick.tick().await;
            }
        };
        let is_in_time = timeout(LIMIT, wait).await.is_ok();
        assert!(is_in_time, "{what}: not within {LIMIT:?}\nroutes:\n{}\nlog:\n{}", self.routes(), self.log());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The test is over: what cannot be cleaned up is no failure of it.
        for process in self.router.iter_mut().chain([&mut self.holder]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A router's file: AS 65001 or 65002, at host 1 or 2.
fn file(own: u8, originate: &str) -> String {
    let other = 3 - own;
    format!(
        r#"
        asn = 6500{own}
        router_id = "10.0.0.{own}"
        hold_time_secs = 9
        originate = [{originate}]

        [[neighbors]]
        name = "other"
        address = "10.0.0.{other}"
        remote_asn = 6500{other}
        next_hop_ipv6 = "fd00::{own}"
        connect_retry_secs = 1
        "#
    )
}

/// Two routers with a session and each other's routes in the kernel.
async fn pair() -> (Place, Place) {
    let (mut left, mut right) = (Place::new(), Place::new());
    left.connect(&right);
    left.write(&file(1, r#""10.1.0.0/24", "fd01::/64""#));
    right.write(&file(2, r#""10.2.0.0/24", "fd02::/64""#));
    left.start(&[]);
    right.start(&[]);
    left.until("routes on the left", |left| {
        left.has("10.2.0.0/24 via 10.0.0.2 dev eth0 metric 8484")
            && left.has("fd02::/64 via fd00::2 dev eth0")
    })
    .await;
    right.until("routes on the right", |right| right.has("10.1.0.0/24") && right.has("fd01::/64")).await;
    assert!(left.is_established() && right.is_established());
    (left, right)
}

#[tokio::test]
async fn a_new_file_is_obeyed_and_a_bad_one_refused() {
    let (left, right) = pair().await;
    right.write("asn = 0");
    right.signal(Signal::SIGHUP);
    right.until("a refusal", |right| right.log().contains("the former one stays in force")).await;
    assert!(right.is_established(), "nothing changed");

    right.write(&file(2, r#""10.3.0.0/24", "fd02::/64""#));
    right.signal(Signal::SIGHUP);
    left.until("the new route", |left| left.has("10.3.0.0/24") && !left.has("10.2.0.0/24")).await;
    assert!(left.has("fd02::/64"), "what was not changed stays");
    assert_eq!(left.peers().unwrap()[0].flaps, 0, "the session stayed up");
}

#[tokio::test]
async fn a_restart_leaves_the_routes_where_they_are() {
    let (mut left, right) = pair().await;
    let before = left.routes();
    left.stop().await;
    assert_eq!(left.routes(), before, "the kernel keeps them");
    right.until("the loss", |right| !right.is_established()).await;
    assert!(right.has("10.1.0.0/24") && right.has("fd01::/64"), "the neighbor keeps them");

    left.write(&file(1, r#""10.1.0.0/24""#));
    left.start(&[]);
    left.until("the session", Place::is_established).await;
    right.until("what did not come back to go", |right| !right.has("fd01::/64")).await;
    assert_eq!(left.routes(), before);
    assert!(right.has("10.1.0.0/24"));
}

#[tokio::test]
async fn routes_that_nobody_tells_any_more_go_after_the_restart() {
    let (mut left, mut right) = pair().await;
    left.stop().await;
    right.stop().await;
    right.write(&file(2, r#""10.2.0.0/24""#));
    right.start(&[]);
    left.start(&[]);
    left.until("the sweep", |left| left.has("10.2.0.0/24") && !left.has("fd02::/64")).await;
}

#[tokio::test]
async fn leaving_takes_everything_away() {
    let (mut left, right) = pair().await;
    left.stop().await;
    left.start(&["--cleanup-on-exit"]);
    left.until("the session", Place::is_established).await;
    left.stop().await;
    assert_eq!(left.routes(), "", "none of ours is left");
    right.until("the withdrawals", |right| right.routes().is_empty()).await;
    right.until("the reason", |right| right.log().contains("tortie-bgp was told to leave")).await;
}

#[tokio::test]
async fn a_second_router_on_the_same_socket_is_refused() {
    let (left, _right) = pair().await;
    let mut command = left.command(env!("CARGO_BIN_EXE_tortie-bgp"));
    command.arg("--config").arg(left.dir.path().join("router.toml")).arg("--socket").arg(left.socket());
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("another daemon answers there"), "{stderr}");
    assert!(left.is_established(), "the first one goes on");
}
