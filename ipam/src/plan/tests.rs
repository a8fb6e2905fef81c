use std::collections::BTreeSet;

use proptest::prelude::*;

use super::fixture::{Api, at, texts};
use super::*;
use crate::ledger::{NEWCOMER_WAIT_MILLIS, RECLAIM_AFTER_MILLIS};
use crate::view::Objects;

/// A cluster of an IPv4 pool with /28 blocks and these nodes, each of 16 pods, that echo the
/// epoch of a leader that just started.
fn cluster(pool: &str, nodes: &[(&str, &str)]) -> (Api, Ledger) {
    let mut api = Api::default();
    api.add_pool("v4", pool, 28);
    for (name, rack) in nodes {
        api.add_node(name, rack, 16);
    }
    let ledger = Ledger::new(at(0), &api.view(at(0)));
    api.all_echo(ledger.epoch());
    (api, ledger)
}

fn run(api: &Api, ledger: &mut Ledger, now: u64) -> Plan {
    let view = api.view(at(now));
    ledger.observe(at(now), &view);
    plan(at(now), &view, ledger)
}

/// Plans and applies until nothing is left to do; what was done.
fn settle(api: &mut Api, ledger: &mut Ledger, now: u64) -> Vec<String> {
    let mut done = Vec::new();
    for _ in 0..20 {
        let plan = run(api, ledger, now);
        if plan.actions.is_empty() {
            return done;
        }
        for action in &plan.actions {
            if let Action::Delete { block, .. } = action {
                ledger.deleting(at(now), block);
            }
            assert!(api.apply(action), "{action}");
            done.push(action.to_string());
        }
    }
    panic!("no end: {done:?}");
}

#[test]
fn the_first_supply_covers_the_allocatable_pods() {
    let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", ""), ("b", "")]);
    api.add_node("c", "", 40);
    api.all_echo(ledger.epoch());
    let done = settle(&mut api, &mut ledger, 1);
    let expected = [
        "create 10.0.0.0/28 for a (FirstSupply)",
        "create 10.0.0.16/28 for b (FirstSupply)",
        "create 10.0.0.32/28 for c (FirstSupply)",
        "create 10.0.0.48/28 for c (FirstSupply)",
        "create 10.0.0.64/28 for c (FirstSupply)",
    ];
    assert_eq!(done, expected);
}

#[test]
fn both_families_are_supplied() {
    let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", "")]);
    api.add_pool("v6", "fd00::/64", 124);
    api.add_pool("wide", "fd01::/56", 122);
    let done = settle(&mut api, &mut ledger, 1);
    assert_eq!(
        done,
        ["create 10.0.0.0/28 for a (FirstSupply)", "create fd00::/124 for a (FirstSupply)"],
        "of two pools of a family the first has room"
    );
}

#[test]
fn more_comes_before_three_quarters_are_used() {
    // (why, in use, what is done)
    let cases: [(&str, i64, &[&str]); 3] = [
        ("less than three quarters", 11, &[]),
        ("three quarters", 12, &["create 10.0.0.16/28 for a (More)"]),
        ("all", 16, &["create 10.0.0.16/28 for a (More)"]),
    ];
    for (why, in_use, expected) in cases {
        let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", "")]);
        settle(&mut api, &mut ledger, 1);
        api.set_in_use("10.0.0.0/28", in_use);
        assert_eq!(settle(&mut api, &mut ledger, 2), expected, "{why}");
    }
}

#[test]
fn addresses_in_cooldown_count_as_used() {
    let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", "")]);
    settle(&mut api, &mut ledger, 1);
    let freed = |ordinal| api::ip_block::Freed { ordinal, at: at(0).to_rfc3339() };
    let status = api::IPBlockStatus { in_use: 6, freed: (0..6).map(freed).collect(), ..Default::default() };
    api.edit_block("10.0.0.0/28", |block| block.status = Some(status));
    assert_eq!(texts(&run(&api, &mut ledger, 20_000)), Vec::<String>::new(), "they are out of it");
    assert_eq!(texts(&run(&api, &mut ledger, 5_000)), ["create 10.0.0.16/28 for a (More)"]);
}

#[test]
fn a_rack_has_its_blocks_side_by_side() {
    let nodes = [("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b"), ("c1", "")];
    let (mut api, mut ledger) = cluster("10.0.0.0/20", &nodes);
    settle(&mut api, &mut ledger, 1);
    let rack_of = |cidr: &str| {
        let block = api.blocks.values().find(|block| block.spec.cidr == cidr).unwrap();
        block.spec.node[..1].to_owned()
    };
    // 256 blocks in 16 regions of 16 blocks, a /24 each.
    let cidrs = ["10.0.0.0/28", "10.0.0.16/28", "10.0.1.0/28", "10.0.1.16/28", "10.0.2.0/28"];
    assert_eq!(cidrs.map(rack_of), ["a", "a", "b", "b", "c"]);
    // Seventeen blocks are more than a region: the next one is beside it where that is free.
    let (mut api, mut ledger) = cluster("10.0.0.0/20", &[("a1", "a")]);
    api.add_node("b1", "b", 16 * 17);
    api.all_echo(ledger.epoch());
    settle(&mut api, &mut ledger, 1);
    let of_b: Vec<_> = api.blocks.values().filter(|b| b.spec.node == "b1").map(|b| &b.spec.cidr).collect();
    assert_eq!(of_b.len(), 17);
    assert!(of_b.iter().all(|cidr| cidr.starts_with("10.0.1.") || *cidr == "10.0.2.0/28"), "{of_b:?}");
}

#[test]
fn racks_share_when_the_pool_is_too_small() {
    let nodes = [("a1", "a"), ("b1", "b"), ("c1", "c"), ("d1", "d"), ("a2", "a")];
    let (mut api, mut ledger) = cluster("10.0.0.0/26", &nodes);
    settle(&mut api, &mut ledger, 1);
    let plan = run(&api, &mut ledger, 2);
    assert_eq!(api.blocks.len(), 4, "every block is given");
    let report = &plan.pools["v4"];
    assert_eq!((report.is_ready, report.reason, report.blocks), (false, "OutOfBlocks", 4));
    let expected =
        "all 4 blocks of 10.0.0.0/26 are taken and node d1 needs one; add a pool, or free addresses";
    assert_eq!(report.message, expected);
}

#[test]
fn a_scarce_pool_is_shared() {
    let (mut api, mut ledger) = cluster("10.0.0.0/26", &[]);
    api.add_node("a", "", 64);
    api.all_echo(ledger.epoch());
    settle(&mut api, &mut ledger, 1);
    assert_eq!(api.blocks.len(), 4, "one node may have all while it is alone");
    api.add_node("b", "", 64);
    api.all_echo(ledger.epoch());
    let done = settle(&mut api, &mut ledger, 2);
    assert_eq!(done, ["drain 10.0.0.48/28: another node has no address at all"]);
    api.edit_block("10.0.0.48/28", |block| block.status.get_or_insert_default().released = true);
    api.networks.get_mut("a").unwrap().status.as_mut().unwrap().held_blocks.pop();
    assert_eq!(settle(&mut api, &mut ledger, 3)[0], "delete 10.0.0.48/28 (Released)");
    let done = settle(&mut api, &mut ledger, 40_000);
    assert_eq!(done, ["create 10.0.0.48/28 for b (FirstSupply)"], "after it has rested");
}

#[test]
fn never_used_ranges_go_before_returned_ones() {
    let (mut api, mut ledger) = cluster("10.0.0.0/26", &[("a", ""), ("b", "")]);
    settle(&mut api, &mut ledger, 1);
    for (cidr, now) in [("10.0.0.16/28", 2), ("10.0.0.0/28", 3)] {
        api.edit_block(cidr, |block| {
            block.spec.draining = true;
            block.status = Some(api::IPBlockStatus { released: true, ..Default::default() });
        });
        api.networks.clear();
        settle(&mut api, &mut ledger, now);
    }
    let mut given = Vec::new();
    for n in 0..4 {
        api.add_node(&format!("n{n}"), "", 16);
        api.nodes.remove("a");
        api.nodes.remove("b");
        api.all_echo(ledger.epoch());
        given.extend(settle(&mut api, &mut ledger, 60_000));
    }
    let blocks: Vec<_> = given.iter().map(|text| text.split(' ').nth(1).unwrap()).collect();
    assert_eq!(blocks, ["10.0.0.32/28", "10.0.0.48/28", "10.0.0.16/28", "10.0.0.0/28"]);
}

#[test]
fn nothing_is_given_until_every_ready_node_has_echoed() {
    let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", ""), ("b", ""), ("c", "")]);
    let (uid_b, uid_c) = (api.node_uid("b"), api.node_uid("c"));
    api.echo("b", &uid_b, ledger.epoch() - 1, &[]);
    let first = run(&api, &mut ledger, 1);
    assert_eq!((texts(&first), first.waiting_for), (vec![], vec!["b".to_owned()]));
    let report = &first.pools["v4"];
    assert_eq!((report.is_ready, report.reason), (false, "WaitingForNodes"));
    assert!(report.message.contains("waiting for b"), "{}", report.message);

    api.set_ready("b", false);
    assert_eq!(run(&api, &mut ledger, 2).actions.len(), 3, "a node that is not Ready is not waited for");
    api.set_ready("b", true);
    api.networks.remove("b");
    assert_eq!(run(&api, &mut ledger, 3).waiting_for, ["b"], "a newcomer's daemon may be starting");
    let later = run(&api, &mut ledger, NEWCOMER_WAIT_MILLIS);
    assert!(later.waiting_for.is_empty());
    assert_eq!(texts(&later).len(), 2, "but without it the node gets nothing: {:?}", texts(&later));
    api.echo("b", "another-uid", ledger.epoch(), &[]);
    assert_eq!(
        run(&api, &mut ledger, NEWCOMER_WAIT_MILLIS).waiting_for,
        ["b"],
        "the daemon of another Node object"
    );
    api.echo("b", &uid_b, ledger.epoch(), &[]);
    api.echo("c", &uid_c, ledger.epoch() + 5, &[]);
    let before = ledger.epoch();
    assert!(!run(&api, &mut ledger, 4).waiting_for.is_empty());
    assert!(ledger.epoch() > before + 5, "a node that knows a newer epoch makes the leader raise its own");
}

#[test]
fn a_node_that_runs_the_daemon_is_waited_for_until_it_has_spoken() {
    // (why, whether a Pod of the daemon is bound to b, whether the leader is another one, who is waited for)
    let cases = [
        ("a backup from before its first word", true, false, vec!["b"]),
        ("the same under another leader", true, true, vec!["b"]),
        ("a node without the daemon stops nobody", false, false, vec![]),
    ];
    for (why, runs_daemon, is_new_leader, expected) in cases {
        let (mut api, mut ledger) = cluster("10.0.0.0/26", &[("a", "")]);
        api.add_node("b", "", 16);
        let backup = api.clone();
        api.all_echo(ledger.epoch());
        settle(&mut api, &mut ledger, 1);
        api = backup;
        let daemons: BTreeSet<String> = runs_daemon.then(|| "b".to_owned()).into_iter().collect();
        let view =
            |api: &Api, now| View::read(at(now), &Objects { daemons: daemons.clone(), ..api.objects() });
        let restored = view(&api, 2);
        if is_new_leader {
            ledger = Ledger::new(at(2), &restored);
        } else {
            assert!(!ledger.observe(at(2), &restored).is_empty(), "{why}");
        }
        let uid = api.node_uid("a");
        api.echo("a", &uid, ledger.epoch(), &[]);
        let later = 2 + NEWCOMER_WAIT_MILLIS;
        let plan = plan(at(later), &view(&api, later), &ledger);
        assert_eq!(plan.waiting_for, expected, "{why}");
        // What b's kernel holds of the first range is not known before.
        assert_eq!(plan.actions.is_empty(), !expected.is_empty(), "{why}: {:?}", texts(&plan));
    }
}

#[test]
fn lost_blocks_are_made_anew_for_their_holders_first() {
    let (mut api, mut ledger) = cluster("10.0.0.0/26", &[("a", ""), ("b", "")]);
    settle(&mut api, &mut ledger, 1);
    api.all_echo(ledger.epoch());
    run(&api, &mut ledger, 2);
    api.blocks.clear();
    let before = ledger.epoch();
    let plan = run(&api, &mut ledger, 3);
    assert!(ledger.epoch() > before && texts(&plan).is_empty(), "first everybody says what it holds");
    assert_eq!(plan.publish, ["v4"]);
    api.publish("v4", ledger.epoch());
    let (uid_a, uid_b) = (api.node_uid("a"), api.node_uid("b"));
    api.echo("a", &uid_a, ledger.epoch(), &["10.0.0.16/28"]);
    api.echo("b", &uid_b, ledger.epoch(), &["10.0.0.5/32", "10.0.0.6/32"]);
    let done = settle(&mut api, &mut ledger, 4);
    let expected = ["create 10.0.0.0/28 for b (Lost)", "create 10.0.0.16/28 for a (Lost)"];
    assert_eq!(done, expected, "a single address stands for its block");
}

#[test]
fn what_a_kernel_holds_is_taken_also_without_an_object() {
    let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", ""), ("b", "")]);
    let (uid_a, uid_b) = (api.node_uid("a"), api.node_uid("b"));
    // Both hold it: no object can be made for one of them, and nobody gets it.
    api.echo("a", &uid_a, ledger.epoch(), &["10.0.0.0/28"]);
    api.echo("b", &uid_b, ledger.epoch(), &["10.0.0.0/28", "192.168.0.0/28"]);
    let plan = run(&api, &mut ledger, 1);
    assert_eq!(
        texts(&plan),
        ["create 10.0.0.16/28 for a (FirstSupply)", "create 10.0.0.32/28 for b (FirstSupply)"]
    );
    let of_a = Conflict {
        held: "10.0.0.0/28".parse().unwrap(),
        holder: "a".into(),
        with: "10.0.0.0/28".parse().unwrap(),
        other: "b".into(),
    };
    assert!(plan.conflicts.contains(&of_a), "{:?}", plan.conflicts);
    assert_eq!(plan.conflicts.len(), 2, "told for both");
}

#[test]
fn a_block_that_a_backup_brought_back_goes_where_its_range_is_held() {
    let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", ""), ("b", "")]);
    settle(&mut api, &mut ledger, 1);
    api.set_in_use("10.0.0.0/28", 11);
    ledger = Ledger::new(at(60_000), &api.view(at(60_000)));
    let (uid_a, uid_b) = (api.node_uid("a"), api.node_uid("b"));
    api.echo("a", &uid_a, ledger.epoch(), &["10.0.0.0/28", "10.0.0.16/28"]);
    api.echo("b", &uid_b, ledger.epoch(), &[]);
    let done = settle(&mut api, &mut ledger, 60_001);
    let expected = [
        "delete 10.0.0.16/28 (HeldByOther)",
        "create 10.0.0.32/28 for b (FirstSupply)",
        "create 10.0.0.16/28 for a (Lost)",
    ];
    assert_eq!(done, expected);
}

#[test]
fn blocks_are_confirmed_after_a_raise_unless_they_are_in_use() {
    let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", ""), ("b", "")]);
    settle(&mut api, &mut ledger, 1);
    ledger = Ledger::new(at(60_000), &api.view(at(60_000)));
    assert!(texts(&run(&api, &mut ledger, 60_001)).is_empty());
    let (uid_a, uid_b) = (api.node_uid("a"), api.node_uid("b"));
    api.echo("a", &uid_a, ledger.epoch(), &["10.0.0.0/28"]);
    api.echo("b", &uid_b, ledger.epoch(), &[]);
    let done = settle(&mut api, &mut ledger, 60_001);
    assert_eq!(done, [format!("confirm 10.0.0.16/28 at epoch {}", ledger.epoch())]);
}

#[test]
fn a_node_that_was_replaced() {
    // (why, what the daemon under the new object holds, what is done)
    let cases: [(&str, &[&str], &[&str]); 2] = [
        ("the machine went on", &["10.0.0.0/28"], &["confirm 10.0.0.0/28 at epoch"]),
        (
            "another machine",
            &[],
            &["delete 10.0.0.0/28 (NodeReplaced)", "create 10.0.0.16/28 for a (FirstSupply)"],
        ),
    ];
    for (why, held, expected) in cases {
        let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", "")]);
        settle(&mut api, &mut ledger, 1);
        api.all_echo(ledger.epoch());
        run(&api, &mut ledger, 2);
        let uid = api.add_node("a", "", 16);
        let before = ledger.epoch();
        assert!(texts(&run(&api, &mut ledger, 3)).is_empty(), "{why}: first it says what it holds");
        assert!(ledger.epoch() > before, "{why}: and everybody knows a newer epoch");
        api.echo("a", &uid, ledger.epoch(), held);
        let done = settle(&mut api, &mut ledger, 4);
        assert_eq!(done.len(), expected.len(), "{why}: {done:?}");
        assert!(
            done.iter().zip(expected).all(|(done, expected)| done.starts_with(expected)),
            "{why}: {done:?}"
        );
    }
}

#[test]
fn the_blocks_of_a_deleted_node_are_reclaimed_only_when_it_is_dead() {
    let gone = |sign: bool, pods: bool, wait: u64| {
        let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", "")]);
        settle(&mut api, &mut ledger, 1);
        api.all_echo(ledger.epoch());
        let uid = api.node_uid("a");
        api.nodes.remove("a");
        run(&api, &mut ledger, 10);
        if sign {
            api.echo("a", &uid, ledger.epoch(), &["10.0.0.0/28"]);
        }
        let mut view = api.view(at(10 + wait));
        if pods {
            view.bound_elsewhere.insert("a".into());
        }
        ledger.observe(at(10 + wait), &view);
        texts(&plan(at(10 + wait), &view, &ledger))
    };
    let reclaimed = vec!["delete 10.0.0.0/28 (NodeDead)".to_owned()];
    // (why, sign of life, pods bound, milliseconds since, what is done)
    let cases = [
        ("long gone", false, false, RECLAIM_AFTER_MILLIS, reclaimed),
        ("not long enough", false, false, RECLAIM_AFTER_MILLIS - 1, vec![]),
        ("its daemon still answers", true, false, RECLAIM_AFTER_MILLIS, vec![]),
        ("pods are bound to it", false, true, RECLAIM_AFTER_MILLIS, vec![]),
    ];
    for (why, sign, pods, wait, expected) in cases {
        assert_eq!(gone(sign, pods, wait), expected, "{why}");
    }
}

#[test]
fn draining_and_back() {
    let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", "")]);
    settle(&mut api, &mut ledger, 1);
    api.set_in_use("10.0.0.0/28", 3);
    api.pools.get_mut("v4").unwrap().spec.disabled = true;
    let done = settle(&mut api, &mut ledger, 2);
    assert_eq!(done, ["drain 10.0.0.0/28: its pool is disabled, gone, or does not select the node"]);
    assert_eq!(run(&api, &mut ledger, 3).pools["v4"].reason, "Disabled");
    api.pools.get_mut("v4").unwrap().spec.disabled = false;
    assert_eq!(settle(&mut api, &mut ledger, 4), ["keep 10.0.0.0/28: the node needs it again"]);
    api.pools.get_mut("v4").unwrap().spec.node_selector = "has(other)".into();
    settle(&mut api, &mut ledger, 5);
    api.edit_block("10.0.0.0/28", |block| block.status.as_mut().unwrap().released = true);
    api.pools.get_mut("v4").unwrap().spec.node_selector = "all()".into();
    let done = settle(&mut api, &mut ledger, 6);
    let expected = ["delete 10.0.0.0/28 (Released)", "create 10.0.0.16/28 for a (FirstSupply)"];
    assert_eq!(done, expected, "what was returned is not taken back");
}

#[test]
fn a_returned_block_that_is_not_draining_is_drained_and_deleted() {
    let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", "")]);
    settle(&mut api, &mut ledger, 1);
    api.edit_block("10.0.0.0/28", |block| block.status.get_or_insert_default().released = true);
    let done = settle(&mut api, &mut ledger, 2);
    let expected = [
        "drain 10.0.0.0/28: its node returned it",
        "create 10.0.0.16/28 for a (FirstSupply)",
        "delete 10.0.0.0/28 (Released)",
    ];
    assert_eq!(done, expected);
}

#[test]
fn an_empty_block_too_many_is_taken_back() {
    // (why, in use of the first two blocks, what is done)
    let cases: [(&str, [i64; 2], usize); 4] = [
        ("as much as before", [12, 3], 0),
        ("the second is empty, the first nearly full", [12, 0], 0),
        ("the second is empty, the first half used", [8, 0], 1),
        ("both are empty", [0, 0], 1),
    ];
    for (why, in_use, expected) in cases {
        let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", "")]);
        settle(&mut api, &mut ledger, 1);
        api.set_in_use("10.0.0.0/28", 16);
        settle(&mut api, &mut ledger, 2);
        api.set_in_use("10.0.0.0/28", in_use[0]);
        api.set_in_use("10.0.0.16/28", in_use[1]);
        assert_eq!(settle(&mut api, &mut ledger, 3).len(), expected, "{why}");
    }
}

#[test]
fn a_faulty_pool_takes_nothing_with_it() {
    let (mut api, mut ledger) = cluster("10.0.0.0/24", &[("a", "")]);
    settle(&mut api, &mut ledger, 1);
    api.add_pool("overlapping", "10.0.0.0/16", 26);
    api.add_pool("impossible", "10.9.0.0/24", 19);
    api.add_node("b", "", 16);
    api.all_echo(ledger.epoch());
    assert_eq!(settle(&mut api, &mut ledger, 2), ["create 10.0.0.16/28 for b (FirstSupply)"]);
    let pools = run(&api, &mut ledger, 3).pools;
    let reasons: Vec<_> =
        pools.iter().map(|(name, pool)| (name.as_str(), pool.is_ready, pool.reason)).collect();
    let expected = [
        ("impossible", false, "InvalidBlockSize"),
        ("overlapping", false, "CIDROverlap"),
        ("v4", true, "Serving"),
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn ranges_of_objects_that_cannot_be_read_are_taken() {
    let (api, ledger) = cluster("10.0.0.0/24", &[("a", "")]);
    let mut objects = api.objects();
    objects.unreadable_blocks.insert("10.0.0.0/27".into());
    let plan = plan(at(1), &View::read(at(1), &objects), &ledger);
    assert_eq!(texts(&plan), ["create 10.0.0.32/28 for a (FirstSupply)"]);
}

proptest! {
    /// The same objects in any order give the same plan, and no plan overlaps anything.
    #[test]
    fn the_order_of_objects_does_not_matter(
        nodes in proptest::collection::vec((0u8..4, 1u32..60, 0i64..17), 1..8),
        seed in any::<u64>(),
    ) {
        let (mut api, mut ledger) = cluster("10.0.0.0/24", &[]);
        api.add_pool("second", "10.1.0.0/26", 29);
        api.add_pool("v6", "fd00::/112", 124);
        for (n, (rack, pods, _)) in nodes.iter().enumerate() {
            api.add_node(&format!("n{n}"), &format!("rack-{rack}"), *pods);
        }
        api.all_echo(ledger.epoch());
        settle(&mut api, &mut ledger, 1);
        let cidrs: Vec<String> = api.blocks.values().map(|block| block.spec.cidr.clone()).collect();
        for (cidr, (_, _, in_use)) in cidrs.iter().zip(nodes.iter().cycle()) {
            api.set_in_use(cidr, *in_use);
        }
        let objects = api.objects();
        let mut shuffled = objects.clone();
        shuffle(&mut shuffled.pools, seed);
        shuffle(&mut shuffled.nodes, seed);
        shuffle(&mut shuffled.blocks, seed);
        shuffle(&mut shuffled.networks, seed);
        let first = plan(at(2), &View::read(at(2), &objects), &ledger);
        prop_assert_eq!(&first, &plan(at(2), &View::read(at(2), &shuffled), &ledger));

        let mut taken: Vec<IpNetwork> = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
        for action in &first.actions {
            if let Action::Create { cidr, .. } = action {
                prop_assert!(taken.iter().all(|other| !api::prefix::overlap(*other, *cidr)), "{cidr}");
                taken.push(*cidr);
            }
        }
    }
}

fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed | 1;
    for index in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(index, usize::try_from(state >> 33).unwrap() % (index + 1));
    }
}
