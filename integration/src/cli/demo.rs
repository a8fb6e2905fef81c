//! `cargo lab demo`: a lab in this process, a tour through it, and nothing left behind.

use std::io;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::net::UnixListener;

use super::tour::tour;
use super::{RouterArgument, supervise};
use crate::lab::control::SOCKET;
use crate::lab::directory::{self, Directory};
use crate::lab::programs::Programs;
use crate::lab::steps::Steps;
use crate::lab::supervisor::{EndSignals, serve};
use crate::lab::topology::{RouterKind, Shape};
use crate::lab::{Lab, user};

/// A router that dies is noticed after three of them.
const BFD_INTERVAL_MILLIS: u16 = 100;
/// Processes are killed, nothing is negotiated: ending takes milliseconds.
const END_LIMIT: Duration = Duration::from_secs(5);

/// What the demo is told.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Demo {
    /// Leave the lab running in this terminal, until Ctrl-C or `cargo lab down --name demo`.
    #[arg(long)]
    keep: bool,
    /// The lab's name.
    #[arg(long, default_value = "demo")]
    name: String,
    /// Take the programs as they were built last.
    #[arg(long)]
    no_build: bool,
    /// The program in the routers.
    #[arg(long, value_enum, default_value_t = RouterArgument::Own)]
    router: RouterArgument,
}

/// Builds, shows, ends.
pub(super) fn run(demo: &Demo) -> Result<()> {
    user::become_root()?;
    // Asked for once: cargo may put a new file in the place of this program.
    let programs = Programs::beside_this()?;
    if !demo.no_build {
        super::leaf_runtime()?.block_on(programs.build(true))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(show(demo, programs))
}

async fn show(demo: &Demo, programs: Programs) -> Result<()> {
    let mut signals = EndSignals::catch()?;
    let directory = Directory::create(&directory::of(&demo.name)?, programs.lab())?;
    let listener = UnixListener::bind(directory.file(SOCKET))?;
    supervise::log_to(&directory.log("lab")?)?;
    let steps = Steps::to(io::stdout());
    let router = match demo.router {
        RouterArgument::Own => RouterKind::Own,
        RouterArgument::Bird => RouterKind::Bird,
    };
    let shape = Shape { router, bfd_interval_millis: Some(BFD_INTERVAL_MILLIS), ..Shape::default() };
    // Not cancel-safe, and need not be: a lab that is being built is dropped whole.
    let lab = tokio::select! {
        lab = Lab::start(shape, programs, directory, &steps) => lab?,
        () = signals.come() => bail!("stopped while starting; nothing is left behind"),
    };
    // As above: what the tour has begun ends with the lab.
    let outcome = tokio::select! {
        outcome = tour(&lab, &steps) => outcome,
        () = signals.come() => Err(anyhow::anyhow!("stopped")),
    };
    if demo.keep {
        steps.say("the lab goes on; Ctrl-C ends it. In another terminal:");
        steps.show(&supervise::usage(&demo.name, lab.kubeconfig()));
        serve(lab, &listener, &mut signals).await;
    } else {
        let _ = tokio::time::timeout(END_LIMIT, lab.end()).await;
    }
    steps.say("the lab has ended and nothing is left behind");
    outcome.context("the tour was cut short; --keep leaves the lab and its logs to look at")
}
