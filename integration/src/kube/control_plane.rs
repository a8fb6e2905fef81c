//! etcd and kube-apiserver on loopback.

use std::{
    fs,
    io::{self, Read},
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::time::{Instant, MissedTickBehavior};

use super::{KubeError, build, process::Process};

/// How long the server may take to get ready: ten times what it takes on an idle machine.
const READY_LIMIT: Duration = Duration::from_mins(2);

/// How often it is asked whether it is.
const READY_INTERVAL: Duration = Duration::from_millis(100);

/// Where both programs are.
#[derive(Debug)]
pub(super) struct Programs {
    etcd: PathBuf,
    kube_apiserver: PathBuf,
}

impl Programs {
    /// Builds what is not there yet.
    pub(super) fn built(progress: &mut dyn FnMut(&str)) -> Result<Self, KubeError> {
        Ok(Self {
            etcd: build::built(&build::ETCD, progress)?,
            kube_apiserver: build::built(&build::KUBE_APISERVER, progress)?,
        })
    }
}

/// What the server notes of each request, in the folder of its data.
const AUDIT_POLICY: &str = "audit-policy.json";

/// Where it notes who did what and whether that was allowed: one line of JSON for each request.
pub const AUDIT_LOG: &str = "audit.log";

/// Both programs, running.
pub(super) struct ControlPlane {
    etcd: Process,
    kube_apiserver: Process,
    kubeconfig: PathBuf,
}

impl ControlPlane {
    /// Starts both, with everything they write in `directory`, and waits until they are ready.
    pub(super) async fn start(programs: &Programs, directory: &Path) -> Result<Self, KubeError> {
        fs::create_dir_all(directory)?;
        // Certificates and key are looked up by absolute path.
        let directory = directory.canonicalize()?;
        let [store, peer, secure] = free_ports()?;
        let token = token()?;
        fs::write(directory.join("tokens.csv"), format!("{token},admin,admin,\"system:masters\"\n"))?;
        fs::write(directory.join(AUDIT_POLICY), audit_policy())?;
        let kubeconfig = directory.join("kube-apiserver.kubeconfig");
        fs::write(&kubeconfig, kubeconfig_text(&directory, secure, &token))?;
        let etcd =
            Process::start(&programs.etcd, &etcd_flags(&directory, store, peer), directory.join("etcd.log"))?;
        let flags = apiserver_flags(&directory, store, secure);
        let kube_apiserver =
            Process::start(&programs.kube_apiserver, &flags, directory.join("kube-apiserver.log"))?;
        let mut plane = Self { etcd, kube_apiserver, kubeconfig };
        plane.wait().await?;
        Ok(plane)
    }

    /// A client with all rights.
    pub(super) async fn client(&self) -> Result<Client, KubeError> {
        let fault = |error: &dyn std::fmt::Display| KubeError::Client(error.to_string());
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).map_err(|error| fault(&error))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let mut config = config.map_err(|error| fault(&error))?;
        // A watch is silent for as long as nothing happens.
        config.read_timeout = None;
        Client::try_from(config).map_err(|error| fault(&error))
    }

    /// Stops both, the server first.
    pub(super) async fn stop(self) -> io::Result<()> {
        self.kube_apiserver.stop().await?;
        self.etcd.stop().await
    }

    async fn wait(&mut self) -> Result<(), KubeError> {
        let limit = Instant::now() + READY_LIMIT;
        let mut ticks = tokio::time::interval(READY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for (program, process) in [("etcd", &mut self.etcd), ("kube-apiserver", &mut self.kube_apiserver)]
            {
                if let Some(why) = process.ended()? {
                    return Err(KubeError::NotReady { program, why, log: process.log().to_owned() });
                }
            }
            // The certificate is written by the server itself, so that there is no client before.
            let why = match self.client().await {
                Ok(client) => match is_ready(client).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            if Instant::now() > limit {
                let log = self.kube_apiserver.log().to_owned();
                return Err(KubeError::NotReady { program: "kube-apiserver", why, log });
            }
        }
    }
}

/// Ready means that objects can be made: the namespaces that every cluster has come last.
async fn is_ready(client: Client) -> Result<(), kube::Error> {
    let request = http_request("/readyz");
    client.request_text(request).await?;
    Api::<Namespace>::all(client).get("default").await.map(drop)
}

fn http_request(path: &str) -> hyper::Request<Vec<u8>> {
    let mut request = hyper::Request::new(Vec::new());
    *request.uri_mut() = path.parse().expect("a constant path is a URI");
    request
}

/// Ports that are free now. Another program may take one before it is used; then the start fails.
fn free_ports() -> io::Result<[u16; 3]> {
    let listeners = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    let [store, peer, secure] = &listeners;
    Ok([store.local_addr()?.port(), peer.local_addr()?.port(), secure.local_addr()?.port()])
}

/// A secret of 128 bits.
fn token() -> io::Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

fn etcd_flags(directory: &Path, client: u16, peer: u16) -> Vec<String> {
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    vec![
        format!("--data-dir={}", directory.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // The data is worth nothing once the server is gone.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

fn apiserver_flags(directory: &Path, store: u16, secure: u16) -> Vec<String> {
    let (certificates, tokens) = (directory.display(), directory.join("tokens.csv"));
    // The key that the server makes for its certificate signs the tokens of service accounts, too.
    let key = directory.join("apiserver.key");
    vec![
        format!("--etcd-servers=http://127.0.0.1:{store}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={secure}"),
        "--advertise-address=127.0.0.1".to_owned(),
        // A loopback address is no valid endpoint of the service `kubernetes`.
        "--endpoint-reconciler-type=none".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        format!("--cert-dir={certificates}"),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", key.display()),
        format!("--service-account-signing-key-file={}", key.display()),
        "--authorization-mode=RBAC".to_owned(),
        format!("--audit-policy-file={}", directory.join(AUDIT_POLICY).display()),
        format!("--audit-log-path={}", directory.join(AUDIT_LOG).display()),
        format!("--token-auth-file={}", tokens.display()),
        // Nobody makes the service accounts that this would ask for.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--v=1".to_owned(),
    ]
}

/// Who asked for what, without bodies, once the answer has begun: that of a watch has no end.
fn audit_policy() -> String {
    let policy = serde_json::json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    });
    format!("{policy:#}\n")
}

fn kubeconfig_text(directory: &Path, port: u16, token: &str) -> String {
    let authority = directory.join("apiserver.crt");
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "kube",
        "clusters": [{"name": "kube", "cluster": {
            "server": format!("https://127.0.0.1:{port}"), "certificate-authority": authority,
        }}],
        "users": [{"name": "kube", "user": {"token": token}}],
        "contexts": [{"name": "kube", "context": {"cluster": "kube", "user": "kube"}}],
    });
    format!("{config:#}\n")
}
