//! The election carried out: reads and writes the Lease, and tells until when this replica leads.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Options, cause, is_status, now};
use crate::election::{Candidate, RENEWAL_VALID_MILLIS, RETRY_MILLIS, Step};

/// Name of the Lease.
const LEASE: &str = "tortie-ipam";

/// Longest that one request about the lease may take: several fit into a renewal's validity.
const REQUEST_MAX: Duration = Duration::from_secs(3);

/// Whether this replica leads.
#[derive(Clone, Debug)]
pub(super) struct Leadership {
    until: watch::Receiver<Option<Instant>>,
}

impl Leadership {
    /// Whether it leads at this moment.
    pub(super) fn is_held(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// When it began or ended to lead. For ever if the election is over.
    pub(super) async fn changed(&mut self) {
        let was = self.is_held();
        let is_new = |until: &Option<Instant>| until.is_some_and(|until| Instant::now() < until) != was;
        if self.until.wait_for(is_new).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Starts the election in a task of its own, so that a long plan delays no renewal. When `stop`
/// is cancelled it gives up the lease and ends.
pub(super) fn start(
    client: Client,
    options: Options,
    stop: CancellationToken,
) -> (Leadership, JoinHandle<()>) {
    let (sender, until) = watch::channel(None);
    (Leadership { until }, tokio::spawn(campaign(client, options, sender, stop)))
}

async fn campaign(
    client: Client,
    options: Options,
    until: watch::Sender<Option<Instant>>,
    stop: CancellationToken,
) {
    let leases: Api<Lease> = Api::namespaced(client, &options.namespace);
    let mut candidate = Candidate::new(&options.identity);
    let start = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(RETRY_MILLIS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Both arms are cancel-safe.
        tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => {}
        }
        let begun = Instant::now();
        let round = tokio::time::timeout(REQUEST_MAX, round(&leases, &mut candidate, start)).await;
        let leads = match round {
            Ok(Ok(leads)) => leads,
            Ok(Err(error)) => unanswered(&until, &cause(&error)),
            Err(_) => unanswered(&until, "no answer in time"),
        };
        publish(&until, leads, begun, &options.identity);
    }
    if until.borrow().is_some() {
        let _ = tokio::time::timeout(REQUEST_MAX, resign(&leases, &candidate)).await;
    }
    until.send_replace(None);
}

/// Without an answer the last renewal counts until it expires.
fn unanswered(until: &watch::Sender<Option<Instant>>, cause: &str) -> Option<bool> {
    warn!(
        object = format!("Lease {LEASE}"),
        cause,
        remedy = "none needed: it is tried again",
        "lease not renewed"
    );
    let is_over = until.borrow().is_some_and(|until| Instant::now() >= until);
    is_over.then_some(false)
}

fn publish(until: &watch::Sender<Option<Instant>>, leads: Option<bool>, begun: Instant, identity: &str) {
    let was = until.borrow().is_some();
    match leads {
        Some(true) => {
            until.send_replace(Some(begun + Duration::from_millis(RENEWAL_VALID_MILLIS)));
        }
        Some(false) => {
            until.send_replace(None);
        }
        None => {}
    }
    let is = until.borrow().is_some();
    if is != was {
        let event = if is { "this replica leads" } else { "this replica follows" };
        info!(object = format!("Lease {LEASE}"), identity, "{event}");
    }
}

/// Reads and, if the machine says so, writes. Whether this replica leads now.
async fn round(leases: &Api<Lease>, candidate: &mut Candidate, start: Instant) -> kube::Result<Option<bool>> {
    let lease = leases.get_opt(LEASE).await?;
    let ticks = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let step = candidate.step(ticks, now(), lease.as_ref().and_then(|lease| lease.spec.as_ref()));
    let Step::Write(spec) = step else { return Ok(Some(false)) };
    match write(leases, lease, spec).await {
        Ok(()) => Ok(Some(true)),
        // Another replica was first.
        Err(error) if is_status(&error, 409) => Ok(Some(false)),
        Err(error) => Err(error),
    }
}

async fn write(leases: &Api<Lease>, lease: Option<Lease>, spec: LeaseSpec) -> kube::Result<()> {
    let parameters = PostParams::default();
    if let Some(mut lease) = lease {
        lease.spec = Some(spec);
        leases.replace(LEASE, &parameters, &lease).await?;
    } else {
        let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
        leases.create(&parameters, &Lease { metadata, spec: Some(spec) }).await?;
    }
    Ok(())
}

async fn resign(leases: &Api<Lease>, candidate: &Candidate) -> kube::Result<()> {
    let Some(lease) = leases.get_opt(LEASE).await? else { return Ok(()) };
    let vacant = lease.spec.as_ref().and_then(|spec| candidate.resign(now(), spec));
    if let Some(spec) = vacant {
        info!(object = format!("Lease {}", lease.name_any()), "given up");
        write(leases, Some(lease), spec).await?;
    }
    Ok(())
}
