//! The daemon as a whole: what is shared, the compartments, and the end.

mod pages;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use felix::{
    kernel::{
        route_writer::RouteWriter,
        socket::{Protocol, Socket},
        sysctl::Sysctls,
    },
    model::route::Ownership,
};
use kube::Client;
use tokio::{net::UnixListener, signal::unix::SignalKind, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    args::Args,
    attachments::{self, AttachmentsContext, AttachmentsView},
    client,
    compartment::Compartment,
    control::ControlContext,
    control_socket, host, http, install,
    logging::LogLevel,
    node_ready,
    policy::{self, PolicyContext, PolicyView},
    report,
    routing::{self, RoutingContext},
    shared::Shared,
    snapshot::Snapshots,
};
use pages::DaemonPages;

/// How long after plugin and configuration could not be written it is tried again.
const INSTALL_PAUSE: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT; the kernel then keeps what it has.
///
/// # Errors
/// What the daemon cannot start without, or the failure of routing.
pub fn run(args: Args, log_level: LogLevel) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("routing")
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(run_compartments(args, log_level))
}

async fn run_compartments(args: Args, log_level: LogLevel) -> Result<()> {
    let started = now();
    let client = client::connect(args.kubeconfig.as_deref(), &args.api_server).await?;
    let sysctls = Sysctls::at(&args.sysctl_dir);
    prepare_host(&sysctls)?;
    let (routes, route_thread) =
        RouteWriter::start(Ownership::NODE).context("kernel routes cannot be read")?;
    let shared = Shared::default();
    let speaker = Arc::new(watch::Sender::new(None));
    let snapshots = Arc::new(Snapshots::new(&args.state_dir));
    let stop = CancellationToken::new();
    let context = Arc::new(ControlContext {
        node_name: args.node_name.clone(),
        started,
        shared: shared.clone(),
        speaker: speaker.clone(),
        attachments: AttachmentsView::default(),
        policy: PolicyView::default(),
        log_level,
    });
    let pages = Arc::new(DaemonPages::new(context.clone(), routes.clone()));
    let policy = start_policy(&client, &context, &snapshots, &pages, &stop)?;
    let attached = AttachmentsContext {
        client: client.clone(),
        node_name: args.node_name.clone(),
        socket: args.run_dir.join("cni.sock"),
        routes: routes.clone(),
        sysctls,
        shared: shared.clone(),
        view: context.attachments.clone(),
        snapshots: snapshots.clone(),
    };
    let attachments = start_attachments(attached, &pages, &stop)?;
    let mut servers = JoinSet::new();
    let control = control_socket::listen(&args.run_dir.join("control.sock"))?;
    servers.spawn(answering(context.clone(), control, stop.child_token()));
    servers.spawn(http::serve(args.http_address, pages, stop.child_token()));
    servers.spawn(reporting(context.clone(), client.clone(), stop.child_token()));
    servers.spawn(looking(&args, shared.clone(), stop.child_token()));
    servers.spawn(telling_ready(context.clone(), client.clone(), stop.child_token()));
    servers.spawn(install_when_ready(args.clone(), shared.clone(), stop.child_token()));
    let context = RoutingContext {
        client,
        node_name: args.node_name,
        routes: routes.clone(),
        shared,
        speaker,
        snapshots,
    };
    let result = until_the_end(context, &mut servers, &stop).await;
    stop.cancel();
    while servers.join_next().await.is_some() {}
    tokio::task::spawn_blocking(move || {
        attachments.join();
        policy.join();
        routes.stop();
        if route_thread.join().is_err() {
            warn!("the route writer ended by a panic");
        }
    })
    .await?;
    result
}

async fn answering(
    context: Arc<ControlContext>,
    listener: UnixListener,
    stop: CancellationToken,
) -> Result<()> {
    control_socket::serve(context, listener, stop).await;
    Ok(())
}

async fn reporting(context: Arc<ControlContext>, client: Client, stop: CancellationToken) -> Result<()> {
    report::run(context, client, stop).await;
    Ok(())
}

fn looking(args: &Args, shared: Shared, stop: CancellationToken) -> impl Future<Output = Result<()>> + use<> {
    let places =
        host::read::Places { host_root: args.host_root.clone(), cni_conf_dir: args.cni_conf_dir.clone() };
    async move {
        host::read::watch(places, shared, stop).await;
        Ok(())
    }
}

async fn telling_ready(context: Arc<ControlContext>, client: Client, stop: CancellationToken) -> Result<()> {
    node_ready::run(&context, client, stop).await;
    Ok(())
}

/// Routing, the servers and the signals: whichever ends first ends the daemon.
async fn until_the_end(
    context: RoutingContext,
    servers: &mut JoinSet<Result<()>>,
    stop: &CancellationToken,
) -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = tokio::signal::unix::signal(SignalKind::interrupt()).context("SIGINT")?;
    let routing = routing::run(context, stop.child_token());
    tokio::pin!(routing);
    loop {
        tokio::select! {
            result = &mut routing => return result.context("routing"),
            // A server that ended well was stopped or had done its work.
            Some(ended) = servers.join_next() => ended??,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    info!("stopping; the kernel keeps routes and policy, peers keep our paths for the restart time");
    stop.cancel();
    routing.await.context("routing")
}

fn start_policy(
    client: &Client,
    context: &Arc<ControlContext>,
    snapshots: &Arc<Snapshots>,
    pages: &Arc<DaemonPages>,
    stop: &CancellationToken,
) -> Result<Compartment> {
    let given = PolicyContext {
        client: client.clone(),
        shared: context.shared.clone(),
        view: context.policy.clone(),
        snapshots: snapshots.clone(),
        compile_hook: None,
    };
    let failures = pages.failures("policy");
    Compartment::start(
        "policy",
        stop.child_token(),
        move |_| {
            failures.inc();
        },
        move |stop| policy::run(given.clone(), stop),
    )
}

fn start_attachments(
    given: AttachmentsContext,
    pages: &Arc<DaemonPages>,
    stop: &CancellationToken,
) -> Result<Compartment> {
    let failures = pages.failures("attachments");
    Compartment::start(
        "attachments",
        stop.child_token(),
        move |_| {
            failures.inc();
        },
        move |stop| attachments::run(given.clone(), stop),
    )
}

/// Makes the machine a router, and keeps a default route that came by router advertisement.
fn prepare_host(sysctls: &Sysctls) -> Result<()> {
    let mut socket = Socket::open(Protocol::Route).context("no netlink socket")?;
    let kept = sysctls.enable_forwarding(&mut socket).context("forwarding cannot be switched on")?;
    if !kept.is_empty() {
        info!(interfaces = ?kept, "accept_ra=2, because their default route came by router advertisement");
    }
    Ok(())
}

/// The configuration file comes last: from then on the runtime makes pods here.
async fn install_when_ready(args: Args, shared: Shared, stop: CancellationToken) -> Result<()> {
    let mut policy = shared.policy.subscribe();
    let mut blocks = shared.blocks.subscribe();
    let ready = async {
        policy.wait_for(|progress| progress.in_sync).await.map(drop)?;
        blocks.wait_for(|blocks| blocks.in_sync).await.map(drop)
    };
    tokio::select! {
        ready = ready => ready.context("the compartments are gone")?,
        () = stop.cancelled() => return Ok(()),
    }
    // A full or read-only disk is no reason to end routing.
    while let Err(error) = install_files(&args) {
        error!(cause = format!("{error:#}"), "the runtime gets no plugin from us; trying again");
        if tokio::time::timeout(INSTALL_PAUSE, stop.cancelled()).await.is_ok() {
            return Ok(());
        }
    }
    info!("ready: pods get network on this node");
    Ok(())
}

fn install_files(args: &Args) -> Result<()> {
    if let Some(plugin) = &args.cni_plugin {
        install::install_plugin(plugin, &args.cni_bin_dir)?;
    }
    install::install_conflist(&args.cni_conf_dir, &args.run_dir.join("cni.sock"))
}

#[expect(clippy::disallowed_methods, reason = "how long the daemon has been running is for people")]
fn now() -> Instant {
    Instant::now()
}
