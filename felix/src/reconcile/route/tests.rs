use proptest::prelude::*;

use super::*;

fn key(source: RouteSource, prefix: &str) -> RouteKey {
    RouteKey { source, prefix: prefix.parse().expect("a prefix") }
}

fn bgp(prefix: &str) -> RouteKey {
    key(RouteSource::Bgp, prefix)
}

fn hop(text: &str) -> NextHop {
    let (gateway, interface) = match text.split_once('%') {
        Some((gateway, interface)) => (gateway, Some(interface.to_owned())),
        None => (text, None),
    };
    NextHop { gateway: gateway.parse().expect("an address"), interface }
}

fn via(hops: &[&str]) -> RouteTarget {
    RouteTarget::Via(hops.iter().map(|text| hop(text)).collect())
}

fn link(interface: &str) -> RouteTarget {
    RouteTarget::Link { interface: interface.into() }
}

type Row = (
    &'static str,
    Vec<(RouteKey, Option<RouteTarget>)>,
    Vec<RouteSource>,
    Vec<(RouteKey, RouteTarget)>,
    Vec<RouteOp>,
);

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_plan_is_the_difference() {
    use RouteSource::{Bgp, Local};
    let a = bgp("10.1.0.0/24");
    let b = bgp("10.2.0.0/24");
    let local_a = key(Local, "10.1.0.0/24");
    // (why, asked for, in sync, observed, expected)
    let cases: Vec<Row> = vec![
        ("nothing at all", vec![], vec![Bgp, Local], vec![], vec![]),
        (
            "new",
            vec![(a, Some(via(&["10.0.0.1"])))],
            vec![],
            vec![],
            vec![RouteOp::Add(a, via(&["10.0.0.1"]))],
        ),
        (
            "there already, by the interface that the kernel chose",
            vec![(a, Some(via(&["10.0.0.1"])))],
            vec![Bgp],
            vec![(a, via(&["10.0.0.1%eth0"]))],
            vec![],
        ),
        (
            "other gateway",
            vec![(a, Some(via(&["10.0.0.1"])))],
            vec![],
            vec![(a, via(&["10.0.0.2%eth0"]))],
            vec![RouteOp::Replace(a, via(&["10.0.0.1"]))],
        ),
        (
            "a shape that we cannot express is replaced",
            vec![(a, Some(RouteTarget::Blackhole))],
            vec![],
            vec![(a, via(&[]))],
            vec![RouteOp::Replace(a, RouteTarget::Blackhole)],
        ),
        (
            "left over, but its source is not in sync",
            vec![],
            vec![Local],
            vec![(a, via(&["10.0.0.1%eth0"]))],
            vec![],
        ),
        (
            "left over, and its source is in sync",
            vec![],
            vec![Bgp],
            vec![(a, via(&["10.0.0.1%eth0"]))],
            vec![RouteOp::Remove(a)],
        ),
        (
            "asked to be absent goes also before the source is in sync",
            vec![(a, None)],
            vec![],
            vec![(a, link("eth0")), (b, link("eth0"))],
            vec![RouteOp::Remove(a)],
        ),
        (
            "via nothing is absence",
            vec![(a, Some(via(&[])))],
            vec![],
            vec![(a, link("eth0"))],
            vec![RouteOp::Remove(a)],
        ),
        ("absent and asked to be absent", vec![(a, None)], vec![], vec![], vec![]),
        (
            "one source does not answer for another's route to the same prefix",
            vec![(a, None), (local_a, Some(RouteTarget::Blackhole))],
            vec![],
            vec![(a, link("eth0")), (local_a, RouteTarget::Blackhole)],
            vec![RouteOp::Remove(a)],
        ),
        (
            "writes before removals",
            vec![(b, Some(link("x")))],
            vec![Bgp],
            vec![(a, link("x"))],
            vec![RouteOp::Add(b, link("x")), RouteOp::Remove(a)],
        ),
    ];
    for (why, asked, in_sync, observed, expected) in cases {
        let mut desired = DesiredRoutes::default();
        for (key, target) in asked {
            desired.set(key, target);
        }
        for source in in_sync {
            desired.mark_in_sync(source);
        }
        assert_eq!(plan(&desired, &observed.into_iter().collect()), expected, "{why}");
    }
}

#[test]
fn next_hops_are_satisfied_one_to_one() {
    // (why, wanted, there, satisfied)
    let cases: [(&str, &[&str], &[&str], bool); 7] = [
        ("the same", &["fe80::1%a", "fe80::1%b"], &["fe80::1%a", "fe80::1%b"], true),
        ("another interface", &["fe80::1%a"], &["fe80::1%b"], false),
        ("any interface", &["10.0.0.1", "10.0.0.2"], &["10.0.0.1%a", "10.0.0.2%b"], true),
        ("one is missing", &["10.0.0.1", "10.0.0.2"], &["10.0.0.1%a"], false),
        ("one too many", &["10.0.0.1"], &["10.0.0.1%a", "10.0.0.1%b"], false),
        ("one hop cannot serve twice", &["fe80::1", "fe80::1%a"], &["fe80::1%a", "fe80::2%b"], false),
        ("the named one first", &["fe80::1", "fe80::1%a"], &["fe80::1%a", "fe80::1%b"], true),
    ];
    for (why, wanted, there, expected) in cases {
        assert_eq!(is_satisfied(&via(wanted), &via(there)), expected, "{why}");
    }
}

fn any_target() -> impl Strategy<Value = RouteTarget> {
    prop_oneof![
        proptest::collection::btree_set(0_u8..4, 0..3).prop_map(|hops| RouteTarget::Via(
            hops.into_iter().map(|last| hop(&format!("10.0.0.{last}"))).collect()
        )),
        (0_u8..3).prop_map(|number| link(&format!("tort{number}"))),
        Just(RouteTarget::Blackhole),
    ]
}

fn any_key() -> impl Strategy<Value = RouteKey> {
    (prop_oneof![Just(RouteSource::Bgp), Just(RouteSource::Local)], 0_u8..6)
        .prop_map(|(source, number)| key(source, &format!("10.{number}.0.0/16")))
}

#[derive(Clone, Debug)]
enum Step {
    Set(RouteKey, Option<RouteTarget>),
    InSync(RouteSource),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any_key(), proptest::option::of(any_target())).prop_map(|(key, to)| Step::Set(key, to)),
        1 => Just(Step::InSync(RouteSource::Bgp)),
        1 => Just(Step::InSync(RouteSource::Local)),
    ]
}

fn take(steps: impl IntoIterator<Item = Step>) -> DesiredRoutes {
    let mut desired = DesiredRoutes::default();
    for step in steps {
        match step {
            Step::Set(key, target) => desired.set(key, target),
            Step::InSync(source) => desired.mark_in_sync(source),
        }
    }
    desired
}

fn carry_out(observed: &mut ObservedRoutes, ops: Vec<RouteOp>) {
    for op in ops {
        match op {
            RouteOp::Add(key, target) => assert_eq!(observed.insert(key, target), None),
            RouteOp::Replace(key, target) => assert_ne!(observed.insert(key, target), None),
            RouteOp::Remove(key) => assert_ne!(observed.remove(&key), None),
        }
    }
}

proptest! {
    /// Reversed, squashed to the last word per route, or with everything said twice: the
    /// result is that of the last words alone.
    #[test]
    fn order_does_not_matter(
        steps in proptest::collection::vec(any_step(), 0..24),
        observed in proptest::collection::btree_map(any_key(), any_target(), 0..8),
    ) {
        let mut last: BTreeMap<RouteKey, Option<RouteTarget>> = BTreeMap::new();
        let mut in_sync = BTreeSet::new();
        for step in &steps {
            match step {
                Step::Set(key, target) => { last.insert(*key, target.clone()); }
                Step::InSync(source) => { in_sync.insert(*source); }
            }
        }
        let sets = last.into_iter().map(|(key, target)| Step::Set(key, target));
        let syncs = in_sync.into_iter().map(Step::InSync);
        let squashed: Vec<Step> = sets.chain(syncs).collect();
        let expected = plan(&take(steps), &observed);
        prop_assert_eq!(&plan(&take(squashed.clone()), &observed), &expected);
        prop_assert_eq!(&plan(&take(squashed.iter().rev().cloned()), &observed), &expected);
        let twice = squashed.iter().chain(&squashed).cloned();
        prop_assert_eq!(&plan(&take(twice), &observed), &expected);
    }

    #[test]
    fn a_plan_once_carried_out_leaves_nothing_to_do(
        steps in proptest::collection::vec(any_step(), 0..24),
        observed in proptest::collection::btree_map(any_key(), any_target(), 0..8),
    ) {
        let desired = take(steps);
        let mut actual = observed.clone();
        carry_out(&mut actual, plan(&desired, &observed));
        prop_assert_eq!(plan(&desired, &actual), vec![]);
        for (key, target) in &observed {
            if !desired.is_in_sync(key.source) && !desired.routes.contains_key(key) {
                prop_assert_eq!(actual.get(key), Some(target), "touched what it was not asked about");
            }
        }
    }

    #[test]
    fn planning_key_by_key_is_planning_the_whole(
        steps in proptest::collection::vec(any_step(), 0..24),
        observed in proptest::collection::btree_map(any_key(), any_target(), 0..8),
    ) {
        let desired = take(steps);
        let mut piecewise = observed.clone();
        let keys: BTreeSet<RouteKey> = desired.routes.keys().chain(observed.keys()).copied().collect();
        for key in &keys {
            let ops = plan_keys(&desired, &piecewise, [key]);
            carry_out(&mut piecewise, ops);
        }
        let mut whole = observed.clone();
        carry_out(&mut whole, plan(&desired, &observed));
        prop_assert_eq!(piecewise, whole);
    }
}
