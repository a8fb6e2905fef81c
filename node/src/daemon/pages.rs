//! What `/healthz`, `/readyz` and `/metrics` say.

use std::sync::{Arc, atomic::AtomicU64};

use felix::kernel::route_writer::RouteWriter;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{control::ControlContext, http::Pages};

/// The pages and the metrics behind them.
#[derive(Debug)]
pub(super) struct DaemonPages {
    context: Arc<ControlContext>,
    routes: RouteWriter,
    failures: Family<CompartmentLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CompartmentLabel {
    compartment: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabel {
    condition: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

impl DaemonPages {
    pub(super) fn new(context: Arc<ControlContext>, routes: RouteWriter) -> Self {
        Self { context, routes, failures: Family::default() }
    }

    /// The counter of this compartment's failures.
    pub(super) fn failures(&self, compartment: &'static str) -> Counter<u64, AtomicU64> {
        self.failures.get_or_create(&CompartmentLabel { compartment }).clone()
    }

    /// The values of this moment, in a registry of their own.
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("tortie");
        let shared = &self.context.shared;
        let gauge = |registry: &mut Registry, name: &str, help: &str, value: i64| {
            let gauge: Gauge = Gauge::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        };
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let endpoints = count(shared.endpoints.borrow().by_interface.len());
        gauge(&mut registry, "endpoints", "Pods of this node that have network", endpoints);
        let policy = shared.policy.borrow().clone();
        gauge(&mut registry, "policies", "Network policies in force", count(policy.policies));
        let set_aside = count(policy.problems.len());
        gauge(&mut registry, "policies_set_aside", "Network policies that could not be compiled", set_aside);
        let blocks = count(shared.blocks.borrow().blocks.len());
        gauge(&mut registry, "blocks", "Address blocks that this node advertises", blocks);
        let uptime = i64::try_from(self.context.started.elapsed().as_secs()).unwrap_or(i64::MAX);
        let seconds: Gauge = Gauge::default();
        seconds.set(uptime);
        registry.register_with_unit(
            "uptime",
            "For how long the daemon has been running",
            Unit::Seconds,
            seconds,
        );
        registry.register("compartment_failures", "Failures by compartment", self.failures.clone());
        self.register_conditions(&mut registry);
        self.register_routes(&mut registry);
        registry
    }

    fn register_conditions(&self, registry: &mut Registry) {
        let conditions: Family<ConditionLabel, Gauge> = Family::default();
        for condition in self.context.conditions() {
            let label = ConditionLabel { condition: condition.name };
            conditions.get_or_create(&label).set(i64::from(condition.holds));
        }
        registry.register("condition", "1 where the condition holds", conditions);
    }

    fn register_routes(&self, registry: &mut Registry) {
        let status = self.routes.status();
        let installed: Family<SourceLabel, Gauge> = Family::default();
        for (source, number) in &status.installed {
            let label = SourceLabel { source: format!("{source:?}").to_lowercase() };
            installed.get_or_create(&label).set(i64::try_from(*number).unwrap_or(i64::MAX));
        }
        registry.register("routes", "Routes of ours in the kernel", installed);
        let pending: Gauge = Gauge::default();
        pending.set(i64::try_from(status.pending.len()).unwrap_or(i64::MAX));
        registry.register("routes_pending", "Routes that the kernel refuses for now", pending);
    }
}

impl Pages for DaemonPages {
    fn health(&self) -> Result<String, String> {
        Ok("ok".to_owned())
    }

    fn readiness(&self) -> Result<String, String> {
        let shared = &self.context.shared;
        let waits = [
            (!shared.routing.borrow().in_sync).then_some("routing"),
            (!shared.policy.borrow().in_sync).then_some("policy"),
            (!shared.blocks.borrow().in_sync).then_some("addresses"),
        ];
        let waits: Vec<&str> = waits.into_iter().flatten().collect();
        if waits.is_empty() { Ok("ok".to_owned()) } else { Err(format!("waiting for {}", waits.join(", "))) }
    }

    fn metrics(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry()) {
            Ok(()) => text,
            Err(error) => format!("# metrics cannot be written: {error}\n# EOF\n"),
        }
    }
}
