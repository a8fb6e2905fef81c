//! A host's and a pod's network namespace, a daemon that answers what a test wants, and the real plugin.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use cni::mac::MacAddress;
use cni::protocol::{self, Answer, FRAME_HEADER_LENGTH, Grant, GrantedAddress, Request};
use cni::veth::Alias;
use nix::sched::{CloneFlags, setns, unshare};
use serde_json::{Value, json};

/// One host with one pod. Everything happens on a thread of its own inside the host's namespace, which
/// the kernel removes with the thread.
pub(crate) struct Lab {
    directory: tempfile::TempDir,
    pod: File,
}

/// Runs a test inside a new lab.
pub(crate) fn in_lab(test: impl FnOnce(&Lab) + Send) {
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
        test(&Lab { directory: tempfile::tempdir().unwrap(), pod: new_namespace() });
    };
    thread::scope(|scope| {
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A network namespace that lives as long as the file.
pub(crate) fn new_namespace() -> File {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        File::open("/proc/thread-self/ns/net").unwrap()
    };
    thread::spawn(make).join().unwrap()
}

/// A path by which another process can open the namespace.
pub(crate) fn path_of(namespace: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd())
}

/// What the plugin did.
pub(crate) struct Ran {
    pub(crate) success: bool,
    pub(crate) stdout: Value,
}

impl Ran {
    pub(crate) fn code(&self) -> u64 {
        assert!(!self.success, "it succeeded: {}", self.stdout);
        self.stdout["code"].as_u64().expect("a CNI error object")
    }

    pub(crate) fn ok(self) -> Value {
        assert!(self.success, "{}", self.stdout);
        self.stdout
    }
}

/// One call of the plugin; the defaults are a good ADD's.
pub(crate) struct Call {
    pub(crate) command: &'static str,
    pub(crate) container: &'static str,
    pub(crate) netns: String,
    pub(crate) ifname: &'static str,
    pub(crate) configuration: Value,
}

impl Lab {
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("cni.sock")
    }

    pub(crate) fn call(&self, command: &'static str) -> Call {
        Call {
            command,
            container: "c1",
            netns: path_of(&self.pod),
            ifname: "eth0",
            configuration: json!({
                "cniVersion": "1.1.0", "name": "tortie", "type": "tortie-cni", "socket": self.socket(),
            }),
        }
    }

    /// `ip -j` in the pod's namespace.
    pub(crate) fn pod_ip(&self, arguments: &str) -> Value {
        ip_in(&self.pod, arguments)
    }
}

impl Call {
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.configuration[key] = value;
        self
    }

    pub(crate) fn run(&self) -> Ran {
        run_raw(
            &[
                ("CNI_COMMAND", self.command),
                ("CNI_CONTAINERID", self.container),
                ("CNI_NETNS", &self.netns),
                ("CNI_IFNAME", self.ifname),
                ("CNI_PATH", "/opt/cni/bin"),
                ("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_UID=u-1"),
            ],
            self.configuration.to_string().as_bytes(),
        )
    }
}

/// The plugin with this environment alone and these bytes on standard input.
pub(crate) fn run_raw(environment: &[(&str, &str)], stdin: &[u8]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tortie-cni"))
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The plugin may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&stderr), "", "nothing goes to standard error");
    assert!(status.code().is_some_and(|code| code <= 1), "{status}");
    let stdout = if stdout.is_empty() { Value::Null } else { serde_json::from_slice(&stdout).unwrap() };
    Ran { success: status.success(), stdout }
}

/// Names of all interfaces of ours on the host.
pub(crate) fn host_ends() -> Vec<String> {
    let links = host_ip("link show");
    let names = links.as_array().unwrap().iter().map(|link| link["ifname"].as_str().unwrap().to_owned());
    names.filter(|name| name.starts_with("tort")).collect()
}

/// `ip -j` in the namespace of this thread, which is the host's.
pub(crate) fn host_ip(arguments: &str) -> Value {
    let output = Command::new("ip").arg("-j").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// `ip -j` in this namespace.
pub(crate) fn ip_in(namespace: &File, arguments: &str) -> Value {
    let work = || {
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        host_ip(arguments)
    };
    thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// What a daemon answers: well-formed, or any bytes.
pub(crate) enum Reply {
    Answer(Answer),
    Raw(&'static [u8]),
}

/// A daemon that keeps what it was asked.
pub(crate) struct Daemon {
    socket: PathBuf,
    is_stopping: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Request>>>,
    thread: Option<JoinHandle<()>>,
}

impl Daemon {
    /// A daemon in the host's namespace which says `reply` to each request.
    pub(crate) fn start(lab: &Lab, reply: impl Fn(&Request) -> Reply + Send + 'static) -> Self {
        let socket = lab.socket();
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let is_stopping = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (stopping, requests) = (Arc::clone(&is_stopping), Arc::clone(&asked));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                serve(&mut stream.unwrap(), &reply, &requests);
            }
        });
        Self { socket, is_stopping, asked, thread: Some(thread) }
    }

    /// A daemon that does the host's side by `ip` and grants both families.
    pub(crate) fn good(lab: &Lab) -> Self {
        Self::start(lab, |request| Reply::Answer(good_answer(request)))
    }

    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.socket);
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn serve(stream: &mut UnixStream, reply: &impl Fn(&Request) -> Reply, asked: &Mutex<Vec<Request>>) {
    let mut header = [0; FRAME_HEADER_LENGTH];
    stream.read_exact(&mut header).unwrap();
    let mut json = vec![0; protocol::frame_length(header).unwrap()];
    stream.read_exact(&mut json).unwrap();
    let request = protocol::decode_request(&json).unwrap();
    let reply = reply(&request);
    asked.lock().unwrap().push(request);
    let bytes = match reply {
        Reply::Answer(answer) => protocol::encode_answer(&answer).unwrap(),
        Reply::Raw(bytes) => bytes.to_vec(),
    };
    let _ = stream.write_all(&bytes);
}

pub(crate) fn grant() -> Grant {
    let address = |address: &str, gateway: &str| GrantedAddress {
        address: address.parse().unwrap(),
        gateway: gateway.parse().unwrap(),
    };
    Grant {
        addresses: vec![
            address("10.244.1.2", "169.254.1.1"),
            address("fd00:10:244::2", "fe80::ecee:eeff:feee:eeee"),
        ],
        gateway_mac: MacAddress([0xee; 6]),
        mtu: 1450,
    }
}

/// Carries the host's side out as the real daemon does, and first proves that the host end was down.
pub(crate) fn good_answer(request: &Request) -> Answer {
    match request {
        Request::Add(add) => {
            let host = &add.host_interface;
            let before = host_ip(&format!("link show dev {host}"));
            let flags = before[0]["flags"].as_array().unwrap();
            assert!(!flags.contains(&json!("UP")), "the host end is down before the policy is there");
            assert_eq!(before[0]["ifindex"], add.host_ifindex);
            let alias = Alias::of(&add.attachment, add.pod.uid.as_deref().unwrap_or_default()).text();
            host_ip(&format!("link set dev {host} alias {alias}"));
            host_ip(&format!("neigh replace 10.244.1.2 lladdr {} dev {host} nud stale", add.pod_mac));
            host_ip(&format!("link set dev {host} up"));
            host_ip(&format!("route replace 10.244.1.2/32 dev {host}"));
            Answer::Granted(grant())
        }
        Request::Check(_) => Answer::Granted(grant()),
        Request::Del(_) | Request::Status => Answer::Done,
        Request::Gc(_) => Answer::Stale(vec![]),
    }
}
