//! The IPAM service: watches, leads if it is elected, acts on the plan.
//!
//! ```text
//! watch (one stream per kind) ─▶ Store ─▶ View ─▶ Ledger, plan ─▶ Writer ─▶ API
//! election (a task of its own) ──────────── may I write? ──────────┘
//! ```
//!
//! One loop owns everything but the lease. While the plan is carried out, events wait in the
//! streams; every write has its preconditions, so that this is only a matter of time, not of
//! correctness.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use kube::Client;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::moment::Moment;

mod http;
mod leader;
mod leadership;
mod set_up;
mod store;
mod watch;
mod write;

pub use http::Pages;
use leader::Leader;
use leadership::Leadership;
use store::Store;

/// How often the plan is looked at when nothing happens: for what only time brings, such as
/// ranges that have rested and nodes that are gone for long.
const TICK: Duration = Duration::from_secs(1);

/// Most events that are taken before the plan is looked at: a bound on its age in a storm.
const EVENTS_PER_TURN_MAX: usize = 10_000;

/// How the service is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Namespace of the Lease and of the `ConfigMap` `tortie-config`.
    pub namespace: String,
    /// Name of this replica; no other one may have it.
    pub identity: String,
}

/// Runs until `shutdown`; then the lease is given up.
///
/// # Errors
/// Only if the tasks themselves fail: everything that the API may answer is logged and tried again.
pub async fn run(
    client: Client,
    options: Options,
    pages: Option<Pages>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let (health, health_seen) = tokio::sync::watch::channel(http::Health::default());
    let election_stop = CancellationToken::new();
    let (leadership, election) = leadership::start(client.clone(), options.clone(), election_stop.clone());
    let server = pages.map(|pages| tokio::spawn(http::serve(pages, health_seen, shutdown.clone())));
    let mut leader = Leader::new(client.clone(), &options, leadership.clone());
    act(watch::all(&client, &options.namespace), &mut leader, leadership, &health, &shutdown).await;
    // The lease goes last: nothing may be written once another replica leads.
    election_stop.cancel();
    election.await?;
    if let Some(server) = server {
        server.await?;
    }
    Ok(())
}

async fn act(
    mut events: BoxStream<'static, watch::Event>,
    leader: &mut Leader,
    mut leadership: Leadership,
    health: &tokio::sync::watch::Sender<http::Health>,
    shutdown: &CancellationToken,
) {
    let mut store = Store::default();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // All arms are cancel-safe: a stream's next, a tick, a change and a cancellation lose nothing.
        tokio::select! {
            () = shutdown.cancelled() => return,
            Some(event) = events.next() => {
                store.handle(event);
                for _ in 0..EVENTS_PER_TURN_MAX {
                    let Some(Some(event)) = events.next().now_or_never() else { break };
                    store.handle(event);
                }
            }
            _ = tick.tick() => {}
            () = leadership.changed() => {}
        }
        if store.is_synced() {
            // A turn is a series of short requests; it stops between two of them.
            leader.turn(&mut store, shutdown).await;
        }
        health.send_replace(leader.health(&store));
    }
}

/// The wall clock.
#[expect(clippy::disallowed_methods, reason = "the shell reads the clock for the cores")]
fn now() -> Moment {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Moment::from_unix_millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// What an API error says in one line.
fn cause(error: &kube::Error) -> Arc<str> {
    match error {
        kube::Error::Api(status) => status.message.as_str().into(),
        other => other.to_string().into(),
    }
}

/// Whether the API answered with this HTTP status.
fn is_status(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}
