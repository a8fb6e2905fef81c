//! The cluster of the chapters, and how it is asked.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use integration::kubeadm::{KubeadmLab, ProxyMode, testing};
use integration::lab::topology::{RouterKind, Shape, Space};
use integration::probe::{Answer, Job, Outcome, Protocol};
use serde_json::Value;
use tempfile::TempDir;

/// For what takes seconds on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_mins(4);
/// A packet that is on its way takes far less; one that is dropped is waited for this long.
const TIMEOUT_MILLIS: u64 = 1500;

pub(crate) struct Scene {
    pub(crate) lab: KubeadmLab,
    _parent: TempDir,
}

/// A pod as the API server describes it.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) is_ready: bool,
}

/// Whom to ask: an address, a port, how, and who answers; none when nobody shall.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) answers: Vec<String>,
}

impl Scene {
    pub(crate) async fn start() -> Self {
        let shape =
            Shape { racks: 2, nodes: 3, tors_per_rack: 1, router: RouterKind::Bird, ..Shape::default() };
        let lab = env!("CARGO_BIN_EXE_lab");
        let (lab, parent) = testing::start(lab, shape, ProxyMode::Nftables).await.unwrap();
        Self { lab, _parent: parent }
    }

    pub(crate) async fn end(self) {
        self.lab.end().await;
    }

    /// Every control group of this lab's machines.
    pub(crate) fn groups(&self) -> Vec<PathBuf> {
        self.lab.groups()
    }

    /// What `kubectl` says, asked again while the API server is away: some chapters take it away.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> String {
        self.kubectl_given(arguments, "").await
    }

    pub(crate) async fn apply(&self, manifest: &str) {
        self.kubectl_given(&["apply", "-f", "-"], manifest).await;
    }

    async fn kubectl_given(&self, arguments: &[&str], input: &str) -> String {
        let mut last = String::new();
        let said = self.lab.until("an answer of the API server", LIMIT, async || {
            match self.lab.kubectl(arguments, input).await {
                Err(error) if is_passing(&error.to_string()) => {
                    last = error.to_string();
                    None
                }
                other => Some(other),
            }
        });
        let said = said.await.unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}: {last}"));
        said.unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
    }

    /// Returns once a Deployment or `DaemonSet` has all its pods ready.
    pub(crate) async fn rolled_out(&self, namespace: &str, what: &str) {
        self.kubectl(&["-n", namespace, "rollout", "status", what, "--timeout=240s"]).await;
    }

    pub(crate) async fn pods(&self, namespace: &str, selector: &str) -> Vec<Pod> {
        let text = self.kubectl(&["-n", namespace, "get", "pods", "-l", selector, "-o", "json"]).await;
        let list: Value = serde_json::from_str(&text).unwrap();
        let items = list["items"].as_array().unwrap();
        items.iter().filter(|item| item["metadata"]["deletionTimestamp"].is_null()).map(pod).collect()
    }

    /// Returns once each target is answered by one of its names, or by nobody, when it is asked from a pod.
    pub(crate) async fn ask_from_pod(&self, why: &str, namespace: &str, pod: &str, targets: &[Target]) {
        let ask = async || match self.answers_in_pod(namespace, pod, targets).await {
            Ok(answers) => wrong(targets, &answers),
            Err(error) => vec![error.to_string()],
        };
        self.until_right(&format!("{why}: from {pod}"), ask).await;
    }

    /// What comes of asking from a pod.
    pub(crate) async fn answers_in_pod(
        &self,
        namespace: &str,
        pod: &str,
        targets: &[Target],
    ) -> std::io::Result<Vec<Answer>> {
        let lines: String =
            jobs(targets).iter().map(|job| serde_json::to_string(job).unwrap() + "\n").collect();
        let text =
            self.lab.kubectl(&["-n", namespace, "exec", "-i", pod, "--", "/lab", "ask"], &lines).await?;
        Ok(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// What comes of asking from a node or a host beyond the routers.
    pub(crate) async fn answers_from(&self, space: &Space, targets: &[Target]) -> Vec<Answer> {
        self.lab.underlay().ask(space, &jobs(targets)).await.unwrap()
    }

    /// The same from a node or a host beyond the routers.
    pub(crate) async fn ask_from(&self, why: &str, space: &Space, targets: &[Target]) {
        let ask = async || wrong(targets, &self.answers_from(space, targets).await);
        self.until_right(&format!("{why}: from {space:?}"), ask).await;
    }

    /// Rules follow objects after their moment, and a busy machine answers late: what is wrong has to end, not to be
    /// absent at once.
    async fn until_right(&self, why: &str, mut ask: impl AsyncFnMut() -> Vec<String>) {
        let mut last = Vec::new();
        let right = self.lab.until(why, LIMIT, async || {
            last = ask().await;
            last.is_empty().then_some(())
        });
        let right = right.await;
        right.unwrap_or_else(|error| panic!("{error}\n{}", last.join("\n")));
    }
}

/// Whether kubectl says that the API server is not there, or that a controller has not yet done its part: a new
/// namespace has no service account in its first moment, and no pod is let in without.
fn is_passing(said: &str) -> bool {
    const PASSING: [&str; 7] = [
        "error looking up service account",
        "connection refused",
        "connection reset",
        "EOF",
        "TLS handshake timeout",
        "etcdserver: ",
        "the server is currently unable",
    ];
    PASSING.iter().any(|text| said.contains(text))
}

fn pod(item: &Value) -> Pod {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let addresses = item["status"]["podIPs"].as_array().cloned().unwrap_or_default();
    let conditions = item["status"]["conditions"].as_array().cloned().unwrap_or_default();
    Pod {
        name: text(&item["metadata"]["name"]),
        node: text(&item["spec"]["nodeName"]),
        addresses: addresses.iter().map(|address| text(&address["ip"]).parse().unwrap()).collect(),
        is_ready: conditions
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True"),
    }
}

impl Pod {
    /// Its own name at every address of its.
    pub(crate) fn targets(&self, port: u16, protocol: Protocol) -> Vec<Target> {
        let answers = vec![self.name.clone()];
        let addresses = self.addresses.iter();
        addresses
            .map(|address| Target { address: *address, port, protocol, answers: answers.clone() })
            .collect()
    }
}

fn jobs(targets: &[Target]) -> Vec<Job> {
    let jobs = targets.iter().enumerate().map(|(id, target)| Job {
        id,
        address: target.address,
        port: target.port,
        protocol: target.protocol,
        timeout_millis: TIMEOUT_MILLIS,
    });
    jobs.collect()
}

/// Targets whose answer is not the expected one.
pub(crate) fn wrong(targets: &[Target], answers: &[Answer]) -> Vec<String> {
    let of = |id: usize| answers.iter().find(|answer| answer.id == id).map(|answer| &answer.outcome);
    let is_right = |target: &Target, outcome: Option<&Outcome>| match outcome {
        Some(Outcome::Answered { by, .. }) => target.answers.contains(by),
        Some(_) => target.answers.is_empty(),
        None => false,
    };
    let all = targets.iter().enumerate().map(|(id, target)| (target, of(id)));
    all.filter(|(target, outcome)| !is_right(target, *outcome))
        .map(|(target, outcome)| format!("{target:?} gave {outcome:?}"))
        .collect()
}

/// A container of the lab's server; `stdin` stays open, because it answers until that ends.
pub(crate) fn server(ports: &[&str]) -> String {
    let arguments = ports.iter().map(|port| format!(", --port, {port}")).collect::<Vec<_>>().concat();
    format!(
        "containers: [{{name: server, image: {image}, imagePullPolicy: Never, stdin: true, \
         args: [serve, --name, $(NAME){arguments}], \
         env: [{{name: NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]}}]",
        image = integration::kubeadm::LAB_IMAGE,
    )
}
