//! Mutants of what writes routes.

use super::Mutant;
use crate::mutants::killer::Killer;

const PLAN: Killer = Killer::inside("felix", "reconcile::route::tests::a_plan_is_the_difference");

/// Against the kernel, in a network namespace.
const fn kernel(filter: &'static str) -> Killer {
    Killer::beside("felix", "routes", filter)
}

const fn wire(filter: &'static str) -> Killer {
    Killer::inside("felix", filter)
}

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "foreign-protocol-taken",
        breaks: "a route of another protocol with our metric passes for ours",
        file: "felix/src/kernel/route.rs",
        text: "u8::from(message.header.protocol) == ownership.protocol",
        replacement: "u8::from(message.header.protocol) > 0",
        killer: wire("kernel::route::tests::every_shape"),
    },
    Mutant {
        name: "foreign-metric-taken",
        breaks: "a route of our protocol with a foreign metric passes for ours",
        file: "felix/src/kernel/route.rs",
        text: "source: ownership.source(metric)?,",
        replacement: "source: ownership.source(metric).or(ownership.source(ownership.bgp_metric))?,",
        killer: wire("kernel::route::tests::only_our_protocol"),
    },
    Mutant {
        name: "metrics-mixed-up",
        breaks: "learnt routes lie under the metric of local ones",
        file: "felix/src/model/route.rs",
        text: "RouteSource::Bgp => self.bgp_metric,",
        replacement: "RouteSource::Bgp => self.local_metric,",
        killer: kernel("metric_of_their_own"),
    },
    Mutant {
        name: "sweep-before-in-sync",
        breaks: "after a restart routes go before their source has asked for them",
        file: "felix/src/reconcile/route.rs",
        text: "None => self.in_sync.contains(&key.source),",
        replacement: "None => true,",
        killer: kernel("in_sync"),
    },
    Mutant {
        name: "sweep-dropped",
        breaks: "what was left behind stays for ever",
        file: "felix/src/reconcile/route.rs",
        text: "None => self.in_sync.contains(&key.source),",
        replacement: "None => false,",
        killer: kernel("in_sync"),
    },
    Mutant {
        name: "removals-first",
        breaks: "traffic has no route between a removal and a write",
        file: "felix/src/reconcile/route.rs",
        text: "    writes.append(&mut removals);
    writes",
        replacement: "    removals.append(&mut writes);
    removals",
        killer: PLAN,
    },
    Mutant {
        name: "difference-overlooked",
        breaks: "a route with another next hop counts as written",
        file: "felix/src/reconcile/route.rs",
        text: "if !is_satisfied(target, actual) => {",
        replacement: "if !is_satisfied(target, actual) && false => {",
        killer: PLAN,
    },
    Mutant {
        name: "repair-dropped",
        breaks: "a deleted route of ours does not wake the writer",
        file: "felix/src/kernel/route_writer/worker.rs",
        text: "if protocol == self.ownership.protocol => LinkNews::Loss,",
        replacement: "if protocol == self.ownership.protocol => LinkNews::Nothing,",
        killer: kernel("deleted_and_changed"),
    },
    Mutant {
        name: "multipath-truncated",
        breaks: "of several next hops one is written",
        file: "felix/src/kernel/route.rs",
        text: "for hop in hops {",
        replacement: "for hop in hops.iter().take(1) {",
        killer: wire("kernel::route::tests::every_shape"),
    },
    Mutant {
        name: "weights-ignored",
        breaks: "next hops of unequal weight pass for equal ones",
        file: "felix/src/kernel/route.rs",
        text: "(path.hops == 0).then_some(",
        replacement: "(path.hops < u8::MAX).then_some(",
        killer: kernel(""),
    },
    Mutant {
        name: "add-joins-foreign-route",
        breaks: "adding replaces or joins somebody's route",
        file: "felix/src/kernel/route.rs",
        text: "(key, Some(target), libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL)",
        replacement: "(key, Some(target), libc::RTM_NEWROUTE, libc::NLM_F_CREATE)",
        killer: wire("kernel::route::tests::flags"),
    },
    Mutant {
        name: "withdrawn-hop-kept",
        breaks: "a refused route leaves traffic on a next hop that was withdrawn",
        file: "felix/src/kernel/route_writer/refusal.rs",
        text: "Some(_) => Some(RouteOp::Remove(key)),",
        replacement: "Some(_) => None,",
        killer: wire("refusal::tests"),
    },
];
