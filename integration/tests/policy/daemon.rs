//! The node daemon's own compartments in the test's process, on a thread inside the node's namespaces: what differs
//! from the real daemon is one argument.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use felix::compile::CompileHook;
use felix::kernel::route_writer::RouteWriter;
use felix::model::route::Ownership;
use integration::lab::testing::TestLab;
use integration::probe::Endpoint;
use nix::sched::{CloneFlags, setns, unshare};
use node::attachments::{self, AttachmentsContext, AttachmentsView};
use node::control::ControlContext;
use node::logging::{self, LogFormat, LogLevel};
use node::policy::{self, PolicyContext, PolicyView};
use node::routing::{self, RoutingContext};
use node::shared::Shared;
use node::snapshot::Snapshots;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What takes the place of the policy compartment.
#[derive(Clone)]
pub(crate) enum PolicyPart {
    /// The real one, with a fault injected into the compiler.
    Hooked(CompileHook),
    /// One that says that it is done and writes nothing.
    Idle,
}

/// A daemon that runs until it is stopped.
pub(crate) struct InProcess {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl InProcess {
    /// Takes the place of the node's own daemon, which must be down.
    pub(crate) fn start(lab: &TestLab, node: &str, part: PolicyPart) -> Self {
        let holder = lab.process_of(&Endpoint::Node(node.into())).unwrap();
        let spaces = ["net", "mnt"].map(|kind| File::open(format!("/proc/{holder}/ns/{kind}")).unwrap());
        let (stop, name) = (CancellationToken::new(), node.to_owned());
        let stopping = stop.clone();
        let thread = std::thread::spawn(move || {
            // A mount namespace can be entered only by a thread that shares its root with no other.
            unshare(CloneFlags::CLONE_FS).unwrap();
            let [network, mounts] = &spaces;
            setns(network, CloneFlags::CLONE_NEWNET).unwrap();
            setns(mounts, CloneFlags::CLONE_NEWNS).unwrap();
            // Its helper threads are started from here, so that they are where this one is.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&name, part, stopping));
        });
        Self { stop, thread }
    }

    /// Ends it; the kernel keeps what it has.
    pub(crate) fn stop(self) {
        self.stop.cancel();
        self.thread.join().unwrap();
    }
}

async fn run(node: &str, part: PolicyPart, stop: CancellationToken) {
    let client =
        node::client::connect(Some(Path::new("/run/lab/kubeconfig")), &api::server::ApiServer::default())
            .await
            .unwrap();
    let (routes, writer_thread) = RouteWriter::start(Ownership::NODE).unwrap();
    let shared = Shared::default();
    let snapshots = Arc::new(Snapshots::new(Path::new("/var/lib/tortie")));
    let speaker = Arc::new(watch::Sender::new(None));
    let control = Arc::new(ControlContext {
        node_name: node.into(),
        started: Instant::now(),
        shared: shared.clone(),
        speaker: speaker.clone(),
        attachments: AttachmentsView::default(),
        policy: PolicyView::default(),
        log_level: log_level(),
    });
    let attached = AttachmentsContext {
        client: client.clone(),
        node_name: node.into(),
        socket: "/run/tortie/cni.sock".into(),
        routes: routes.clone(),
        sysctls: felix::kernel::sysctl::Sysctls::default(),
        shared: shared.clone(),
        view: control.attachments.clone(),
        snapshots: snapshots.clone(),
    };
    let routing_context = RoutingContext {
        client: client.clone(),
        node_name: node.into(),
        routes: routes.clone(),
        shared: shared.clone(),
        speaker,
        snapshots: snapshots.clone(),
    };
    let compiled = PolicyContext {
        client: client.clone(),
        shared: shared.clone(),
        view: control.policy.clone(),
        snapshots,
        compile_hook: if let PolicyPart::Hooked(hook) = &part { Some(hook.clone()) } else { None },
    };
    let policy = async {
        match part {
            PolicyPart::Hooked(_) => policy::run(compiled, stop.clone()).await.unwrap(),
            PolicyPart::Idle => pretend(&shared, stop.clone()).await,
        }
    };
    let (routing, attachments, (), ()) = tokio::join!(
        routing::run(routing_context, stop.clone()),
        attachments::run(attached, stop.clone()),
        policy,
        node::report::run(control, client, stop.clone()),
    );
    routing.unwrap();
    attachments.unwrap();
    routes.stop();
    writer_thread.join().unwrap();
}

/// Tells at once that the kernel serves every endpoint, and does nothing about it.
async fn pretend(shared: &Shared, stop: CancellationToken) {
    let mut endpoints = shared.endpoints.subscribe();
    loop {
        let generation = endpoints.borrow_and_update().generation;
        shared.policy.send_modify(|progress| {
            progress.in_sync = true;
            progress.endpoints_generation = generation;
        });
        tokio::select! {
            changed = endpoints.changed() => changed.unwrap(),
            () = stop.cancelled() => return,
        }
    }
}

/// Logging starts once in a process.
fn log_level() -> LogLevel {
    static LOG: OnceLock<LogLevel> = OnceLock::new();
    LOG.get_or_init(|| logging::start(LogFormat::Text, "warn").unwrap()).clone()
}
