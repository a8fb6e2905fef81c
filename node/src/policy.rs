//! The policy compartment: cluster objects to a program, the program into the kernel.
//!
//! ```text
//! Pod, Namespace, NetworkPolicy, IPPool, IPBlock ──> felix compiler ──delta──> nft writer
//! endpoints (attachments) ─────────────────────────>               ──generation──> attachments
//! ```
//! Nothing is written before every watch has told its first list. Where the API server is silent, the last-good snapshot
//! stands in for the lists that have not come, so that the program stays what it was and pods that start get theirs;
//! whom it does not know it does not allow. A policy that cannot be compiled is set aside by the
//! compiler alone; a panic here restarts this compartment while the kernel keeps its program.

mod blocks;
mod kernel;
mod objects;
mod view;

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use felix::{
    compile::{CompileHook, Compiler, Settings},
    kernel::nft::NftError,
    program::Delta,
};
use kube::Client;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    config::Problem,
    shared::{PolicyProgress, Shared},
    snapshot::{API_SILENCE_MAX, Background, PolicySnapshot, SNAPSHOT_PAUSE, Snapshots},
};
use kernel::Kernel;
use objects::Objects;

pub use view::PolicyView;

/// How many updates go into one transaction at most: enough for a burst, little enough that a pod's start is never
/// behind a long list.
const UPDATES_MAX: usize = 4096;

/// How long after a refusal the whole program is written anew.
const RETRY_TIME: Duration = Duration::from_millis(500);

/// What the compartment is given.
#[derive(Clone)]
pub struct PolicyContext {
    /// The way to the API server.
    pub client: Client,
    /// What the compartments tell each other.
    pub shared: Shared,
    /// What status is made of; written here.
    pub view: PolicyView,
    /// The last-good snapshot.
    pub snapshots: Arc<Snapshots>,
    /// Called before each policy is compiled; a test injects a fault by it.
    pub compile_hook: Option<CompileHook>,
}

/// Runs until `stop`; the kernel keeps its program.
///
/// # Errors
/// What it cannot go on without; it is then started again.
pub async fn run(context: PolicyContext, stop: CancellationToken) -> Result<()> {
    let compiler = match &context.compile_hook {
        Some(hook) => Compiler::with_hook(Settings::default(), hook.clone()),
        None => Compiler::new(Settings::default()),
    };
    let mut policy = Policy {
        objects: Objects::watch(&context),
        kernel: Kernel::open()?,
        compiler,
        context,
        problems: Vec::new(),
        generation: 0,
        writing: Background::default(),
    };
    tokio::select! {
        result = policy.follow() => result,
        () = stop.cancelled() => Ok(()),
    }
}

/// The compartment's state while it runs.
struct Policy {
    context: PolicyContext,
    objects: Objects,
    kernel: Kernel,
    compiler: Compiler,
    /// What was set aside, and why.
    problems: Vec<Problem>,
    /// The generation of endpoints that the compiler has.
    generation: u64,
    /// The snapshot's file.
    writing: Background,
}

impl Policy {
    /// Follows the watches as long as they live.
    async fn follow(&mut self) -> Result<()> {
        self.gather().await?;
        self.write_whole().await;
        info!(policies = self.compiler.model().policies.len(), "policy is in sync");
        let mut keep_at = Some(Instant::now());
        loop {
            // Cancel-safe: a change that is not taken stays in its watch.
            let delta = match keep_at {
                None => self.take_changes().await?,
                Some(at) => {
                    let Ok(delta) = tokio::time::timeout_at(at, self.take_changes()).await else {
                        keep_at = self.keep();
                        continue;
                    };
                    delta?
                }
            };
            keep_at = keep_at.or(Some(Instant::now() + SNAPSHOT_PAUSE));
            match self.kernel.apply(delta).await {
                Ok(()) => self.tell(),
                Err(error) => {
                    self.tell_error(&error);
                    self.write_whole().await;
                }
            }
        }
    }

    /// Waits until all objects are known: from their watches, or from the last-good snapshot if those stay silent.
    async fn gather(&mut self) -> Result<()> {
        let kept = self.context.snapshots.policy();
        let silent_from = Instant::now() + API_SILENCE_MAX;
        while !self.objects.in_sync() {
            let changes = tokio::time::timeout_at(silent_from, self.take_changes());
            // Cancel-safe: a change that is not taken stays in its watch.
            match (changes.await, &kept) {
                (Ok(changes), _) => drop(changes?),
                (Err(_), None) => drop(self.take_changes().await?),
                (Err(_), Some(_)) if !self.objects.has_endpoints() => drop(self.take_changes().await?),
                (Err(_), Some(kept)) => {
                    warn!("the API server is silent; policy starts from the last-good snapshot");
                    self.objects.restore(&mut self.compiler, kept.clone());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Writes the last-good snapshot, unless parts of it would be from a former one; when it is to be tried again if
    /// the former is still being written.
    fn keep(&mut self) -> Option<Instant> {
        if !self.objects.in_sync() {
            return None;
        }
        if self.writing.is_busy() {
            return Some(Instant::now() + SNAPSHOT_PAUSE);
        }
        let kept = PolicySnapshot::of(self.compiler.model());
        let snapshots = self.context.snapshots.clone();
        self.writing.start(move || snapshots.store_policy(&kept));
        None
    }

    /// Brings the kernel to the whole program, however often that takes; objects go on to gather meanwhile, so that
    /// what is wrong may be put right.
    async fn write_whole(&mut self) {
        while let Err(error) = self.kernel.replace(self.compiler.program()).await {
            self.tell_error(&error);
            let _ = tokio::time::timeout(RETRY_TIME, self.take_changes()).await;
        }
        self.tell();
    }

    /// Waits for a change and takes it with all that have come meanwhile; what they do to the program.
    async fn take_changes(&mut self) -> Result<Delta> {
        let mut delta = Delta::default();
        self.objects.wait().await?;
        for _ in 0..UPDATES_MAX {
            let Some(step) = self.objects.take(&mut self.compiler)? else { break };
            delta.append(step.outcome.delta);
            for problem in step.problems {
                warn!(object = %problem.object, cause = %problem.message, "policy is set aside and allows nothing");
            }
            if let Some(generation) = step.generation {
                self.generation = generation;
            }
        }
        self.problems = self.objects.problems();
        Ok(delta)
    }

    /// Publishes what the kernel serves now.
    fn tell(&self) {
        self.context.shared.policy.send_replace(PolicyProgress {
            in_sync: true,
            endpoints_generation: self.generation,
            policies: self.compiler.model().policies.len(),
            problems: self.problems.clone(),
            kernel_error: None,
        });
        // Last, because an ADD waits for the progress and nobody for this.
        self.context.view.update(self.compiler.model());
    }

    fn tell_error(&self, error: &NftError) {
        warn!(%error, "the kernel refuses the program and keeps the former one; the whole is tried again");
        self.context.shared.policy.send_modify(|progress| progress.kernel_error = Some(error.to_string()));
    }
}

/// An endpoint's object as the compiler knows pods.
type PodObject = Arc<k8s_openapi::api::core::v1::Pod>;
