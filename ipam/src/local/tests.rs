use std::fmt::Write;

use api::Condition;
use api::IPBlockSpec;
use api::ip_block::IPBlockStatus;
use api::ip_pool::{IPPoolSpec, IPPoolStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::pool::{EPOCH_ANNOTATION, Family, OUT_OF_BLOCKS, READY};

const V4: &str = "10.244.0.0/30";
const V6: &str = "fd00:10:244::/126";

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(1_800_000_000_000 + millis)
}

fn pool(name: &str, cidr: &str, epoch: i64) -> IPPool {
    let block_size = if cidr.contains(':') { 126 } else { 30 };
    let mut pool = IPPool::new(
        name,
        IPPoolSpec {
            cidr: cidr.into(),
            block_size: Some(block_size),
            nat_outgoing: true,
            disabled: false,
            node_selector: "all()".into(),
        },
    );
    pool.metadata.annotations = Some([(EPOCH_ANNOTATION.to_owned(), epoch.to_string())].into());
    pool
}

fn pools() -> Vec<IPPool> {
    vec![pool("v4", "10.244.0.0/16", 7), pool("v6", "fd00:10:244::/56", 7)]
}

fn block(cidr: &str) -> IPBlock {
    let spec = IPBlockSpec {
        cidr: cidr.into(),
        pool: if cidr.contains(':') { "v6" } else { "v4" }.into(),
        node: "node-1".into(),
        node_uid: "node-uid-1".into(),
        draining: false,
        epoch: 7,
    };
    let name = prefix::object_name(cidr.parse().unwrap());
    let mut block = IPBlock::new(&name, spec);
    block.metadata.uid = Some(format!("uid-of-{name}"));
    block
}

fn identity() -> NodeIdentity {
    NodeIdentity { name: "node-1".into(), uid: "node-uid-1".into(), labels: BTreeMap::new() }
}

/// A node that has been told everything but its blocks.
fn empty() -> Local {
    let mut local = Local::new(Memory::default(), COOLDOWN_MILLIS);
    local.set_node(identity());
    local.set_pools(&pools());
    local
}

fn with_blocks(blocks: &[IPBlock]) -> Local {
    let mut local = empty();
    local.set_blocks(at(0), blocks);
    local
}

fn owner(n: u32) -> Owner {
    Owner::new(format!("uid-{n}"), format!("sandbox-{n}"), "eth0", format!("default/p{n}"))
}

fn ips(text: &str) -> Vec<IpAddr> {
    text.split_whitespace().map(|address| address.parse().unwrap()).collect()
}

/// The object as the API has it once the node's status was written.
fn written(local: &Local, mut object: IPBlock) -> IPBlock {
    let name = object.metadata.name.clone().unwrap();
    for (changed, status) in local.status_writes() {
        if changed == name {
            object.status = Some(status);
        }
    }
    object
}

#[test]
fn one_address_of_each_family_and_the_same_when_asked_twice() {
    let mut local = with_blocks(&[block(V4), block(V6)]);
    let first = local.assign(at(1), &owner(1)).unwrap();
    assert_eq!(first, ips("10.244.0.0 fd00:10:244::"));
    assert_eq!(local.assign(at(2), &owner(1)).unwrap(), first);
    assert_eq!(local.assign(at(3), &owner(2)).unwrap(), ips("10.244.0.1 fd00:10:244::1"));
    assert_eq!(local.release(at(4), &owner(1)), first);
    assert_eq!(local.release(at(5), &owner(1)), ips(""), "a second DEL has nothing to do");
    assert_eq!(local.to_clean(), first);
}

#[test]
fn nothing_is_given_when_one_family_lacks() {
    let mut local = with_blocks(&[block(V4)]);
    let error = local.assign(at(1), &owner(1)).unwrap_err();
    assert_eq!(error.to_string(), "no IPv6 address left on this node in v6; a further block is under way");
    assert!(local.leases().is_empty());
    local.set_blocks(at(2), &[block(V4), block(V6)]);
    assert_eq!(local.assign(at(3), &owner(1)).unwrap().len(), 2);
}

#[test]
fn when_a_block_is_used() {
    let claim = |cidr: &str| BTreeMap::from([(cidr.parse().unwrap(), "node-2".to_owned())]);
    let none = BTreeMap::new;
    let edit = |change: &dyn Fn(&mut IPBlock)| {
        let mut block = block(V4);
        change(&mut block);
        block
    };
    // (why, object, claims, the reason against it)
    let cases = [
        ("as it should be", block(V4), none(), None),
        ("newer epoch than seen", edit(&|b| b.spec.epoch = 8), none(), None),
        ("older epoch", edit(&|b| b.spec.epoch = 6), none(), Some(Pending::OldEpoch)),
        ("another UID", edit(&|b| b.spec.node_uid = "x".into()), none(), Some(Pending::OtherNode)),
        ("draining", edit(&|b| b.spec.draining = true), none(), Some(Pending::Draining)),
        (
            "its object is being deleted",
            edit(&|b| b.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH))),
            none(),
            Some(Pending::Draining),
        ),
        (
            "returned before",
            edit(&|b| b.status = Some(IPBlockStatus { released: true, ..Default::default() })),
            none(),
            Some(Pending::Released),
        ),
        (
            "a path of another node inside",
            block(V4),
            claim("10.244.0.2/32"),
            Some(Pending::Claimed("10.244.0.2/32 by node-2".into())),
        ),
        (
            "a path of another node around",
            block(V4),
            claim("10.244.0.0/24"),
            Some(Pending::Claimed("10.244.0.0/24 by node-2".into())),
        ),
        ("a path of another node beside", block(V4), claim("10.244.0.4/30"), None),
    ];
    for (why, object, claims, expected) in cases {
        let mut local = empty();
        local.set_claims(claims);
        let mut other_family = block(V6);
        other_family.spec.epoch = object.spec.epoch.max(7);
        local.set_blocks(at(0), &[object, other_family]);
        let (_, _, _, pending) = local.blocks().next().unwrap();
        assert_eq!(pending, expected, "{why}");
        let is_used = local.assign(at(1), &owner(1)).is_ok();
        assert_eq!(is_used, expected.is_none(), "{why}: address given");
        let is_held = local.held_blocks().contains(&V4.to_owned());
        assert_eq!(is_held, expected.is_none(), "{why}: held");
    }
}

#[test]
fn objects_that_are_not_ours_are_not_ours() {
    let mut of_another = block(V4);
    of_another.spec.node = "node-2".into();
    let mut misnamed = block(V4);
    misnamed.metadata.name = Some("some-name".into());
    let mut unreadable = block(V4);
    unreadable.spec.cidr = "10.244.0.0/99".into();
    let mut huge = block("10.0.0.0/8");
    huge.spec.pool = "v4".into();
    let local = with_blocks(&[of_another, misnamed, unreadable, huge]);
    assert_eq!(local.blocks().count(), 0);
}

#[test]
fn an_epoch_that_rises_does_not_stop_what_was_begun() {
    let mut local = with_blocks(&[block(V4), block(V6)]);
    local.set_pools(&[pool("v4", "10.244.0.0/16", 9), pool("v6", "fd00:10:244::/56", 9)]);
    assert_eq!(local.epoch(), 9, "to be echoed");
    local.set_blocks(at(1), &[block(V4), block(V6), block("10.244.0.4/30")]);
    assert_eq!(local.held_blocks(), [V4, V6], "the new block waits for its confirmation");
    assert!(local.assign(at(2), &owner(1)).is_ok());
    let mut confirmed = block("10.244.0.4/30");
    confirmed.spec.epoch = 9;
    local.set_blocks(at(3), &[block(V4), block(V6), confirmed]);
    assert_eq!(local.held_blocks(), [V4, "10.244.0.4/30", V6]);
    local.set_pools(&pools());
    assert_eq!(local.epoch(), 9, "an API server restored from a backup does not set it back");
}

#[test]
fn draining_gives_nothing_and_returns_what_is_empty() {
    let mut local = with_blocks(&[block(V4), block(V6)]);
    local.assign(at(1), &owner(1)).unwrap();
    let mut draining = written(&local, block(V4));
    draining.spec.draining = true;
    local.set_blocks(at(2), &[draining.clone(), block(V6)]);
    assert!(local.assign(at(3), &owner(2)).is_err());
    assert_eq!(local.assign(at(3), &owner(1)).unwrap().len(), 2, "what is in use stays");
    assert!(local.advertised().contains(&V4.parse().unwrap()));

    local.release(at(4), &owner(1));
    assert!(!local.advertised().contains(&V4.parse().unwrap()), "withdrawn once it is empty");
    assert_eq!(local.held_blocks(), [V6]);
    let returned = written(&local, draining);
    assert!(returned.status.as_ref().unwrap().released);

    // The service changed its mind, or a backup brought the object back: no.
    for status in [returned.status.clone(), None] {
        let mut undone = returned.clone();
        undone.spec.draining = false;
        undone.status = status;
        local.set_blocks(at(5), &[undone.clone(), block(V6)]);
        assert!(local.assign(at(100_000), &owner(3)).is_err(), "its range may serve others");
        assert!(written(&local, undone).status.unwrap().released, "and says so");
    }
    let mut anew = block(V4);
    anew.metadata.uid = Some("another-uid".into());
    local.set_blocks(at(6), &[anew, block(V6)]);
    local.cleaned(&local.to_clean());
    assert_eq!(local.assign(at(100_000), &owner(3)).unwrap(), ips("10.244.0.1 fd00:10:244::1"));
}

#[test]
fn a_force_deleted_block_keeps_what_is_in_use_and_gives_nothing() {
    let mut local = with_blocks(&[block(V4), block(V6)]);
    let addresses = local.assign(at(1), &owner(1)).unwrap();
    local.set_blocks(at(2), &[block(V6)]);
    assert_eq!(local.held_blocks(), [V4, V6]);
    assert_eq!(local.assign(at(3), &owner(1)).unwrap(), addresses);
    assert!(local.assign(at(3), &owner(2)).is_err());
    let mut anew = block(V4);
    anew.spec.epoch = 9;
    local.set_blocks(at(4), &[anew.clone(), block(V6)]);
    assert_eq!(local.assign(at(5), &owner(2)).unwrap()[0], ips("10.244.0.1")[0]);
    assert_eq!(written(&local, anew).status.unwrap().in_use, 2, "its object is told what it serves");
    local.release_where(at(6), |_| true);
    local.cleaned(&local.to_clean());
    local.set_blocks(at(7), &[block(V6)]);
    assert_eq!(local.held_blocks(), [V6], "without object and empty it is no longer held");
}

#[test]
fn the_kernel_is_believed_before_the_status() {
    let mut before = with_blocks(&[block(V4), block(V6)]);
    for n in 1..=3 {
        before.assign(at(1), &owner(n)).unwrap();
    }
    let (v4, v6) = (written(&before, block(V4)), written(&before, block(V6)));
    // Since the status was written, p2 went and p4 came in its place; the link of p3 vanished.
    let endpoints = [
        Endpoint { owner: owner(1), addresses: ips("10.244.0.0 fd00:10:244::") },
        Endpoint { owner: owner(4), addresses: ips("10.244.0.1 fd00:10:244::1") },
    ];
    let mut local = empty();
    assert!(local.restore(at(2), &endpoints, &[V4.parse().unwrap()]).is_empty());
    local.set_blocks(at(3), &[v4, v6]);
    assert_eq!(local.addresses_of(&owner(4)), ips("10.244.0.1 fd00:10:244::1"));
    assert_eq!(local.addresses_of(&owner(2)), ips(""));
    assert_eq!(local.addresses_of(&owner(3)), ips("10.244.0.2 fd00:10:244::2"), "kept until DEL");
    let newer = Owner::new("uid-3", "another-sandbox", "eth0", "default/p3");
    assert_eq!(local.assign(at(4), &newer).unwrap(), ips("10.244.0.2 fd00:10:244::2"));
    assert_eq!(local.assign(at(4), &owner(5)).unwrap(), ips("10.244.0.3 fd00:10:244::3"));
    assert!(local.assign(at(5), &owner(6)).is_err(), "nothing is left");
}

#[test]
fn a_second_interface_that_went_unseen_gives_its_address_back() {
    let second = Owner::new("uid-1", "sandbox-1", "net1", "default/p1");
    // (why, what the kernel has after the restart, who still has an address)
    let first = Endpoint { owner: owner(1), addresses: ips("10.244.0.0") };
    let both = [first.clone(), Endpoint { owner: second.clone(), addresses: ips("10.244.0.1") }];
    let cases = [
        ("both interfaces", &both[..], "10.244.0.0 10.244.0.1"),
        ("the first alone", &both[..1], "10.244.0.0"),
        ("none: the node was started anew", &[], "10.244.0.0 10.244.0.1"),
    ];
    for (why, endpoints, expected) in cases {
        let mut before = Local::new(Memory::default(), COOLDOWN_MILLIS);
        before.set_node(identity());
        before.set_pools(&pools()[..1]);
        before.set_blocks(at(0), &[block(V4)]);
        before.assign(at(1), &owner(1)).unwrap();
        before.assign(at(1), &second).unwrap();
        let object = written(&before, block(V4));
        let mut local = Local::new(Memory::default(), COOLDOWN_MILLIS);
        local.set_node(identity());
        local.set_pools(&pools()[..1]);
        assert!(local.restore(at(10), endpoints, &[]).is_empty());
        local.set_blocks(at(11), &[object]);
        let held: Vec<IpAddr> = local.leases().into_iter().map(|(address, _)| address).collect();
        assert_eq!(held, ips(expected), "{why}");
    }
}

#[test]
fn the_kernel_alone_is_enough() {
    let endpoints = [Endpoint { owner: owner(1), addresses: ips("10.244.0.1 fd00:10:244::1") }];
    let mut local = empty();
    local.restore(at(0), &endpoints, &[V4.parse().unwrap()]);
    assert_eq!(local.held_blocks(), [V4, "fd00:10:244::1/128"], "an unknown block is held by its address");
    assert_eq!(local.assign(at(1), &owner(1)).unwrap(), endpoints[0].addresses);
    local.set_blocks(at(2), &[]);
    assert_eq!(local.held_blocks(), [V4, "fd00:10:244::1/128"]);
    local.set_blocks(at(3), &[block(V4), block(V6)]);
    assert_eq!(local.held_blocks(), [V4, V6], "the stray found its block");
    assert!(local.assign(at(3), &owner(2)).is_err(), "every free IPv4 address counts as just freed");
    local.cleaned(&local.to_clean());
    let addresses = local.assign(at(COOLDOWN_MILLIS), &owner(2)).unwrap();
    assert_eq!(addresses, ips("10.244.0.0 fd00:10:244::"));
}

#[test]
fn two_workloads_of_one_address_are_told() {
    let endpoints = [1, 2].map(|n| Endpoint { owner: owner(n), addresses: ips("10.244.0.1 fd00:10:244::1") });
    let mut local = empty();
    let refused = local.restore(at(0), &endpoints, &[V4.parse().unwrap()]);
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|(_, refused)| *refused == owner(2)));
}

#[test]
fn a_restored_object_with_an_old_status_gives_nobody_an_address() {
    let mut object = block(V4);
    object.spec.epoch = 3;
    object.status = Some(IPBlockStatus {
        in_use: 1,
        allocations: vec![api::ip_block::Allocation {
            ordinal: 0,
            pod_uid: "uid-1".into(),
            pod: "default/p1".into(),
            since: at(0).to_rfc3339(),
        }],
        ..Default::default()
    });
    let mut local = with_blocks(&[object, block(V6)]);
    assert!(local.assign(at(1), &owner(1)).is_err());
    assert_eq!(local.advertised(), [V6.parse().unwrap()]);
}

#[test]
fn the_status_says_who_has_what_since_when_and_what_was_freed() {
    let mut local = with_blocks(&[block(V4), block(V6)]);
    local.assign(at(1), &owner(1)).unwrap();
    local.assign(at(2), &owner(2)).unwrap();
    local.release(at(500), &owner(1));
    let since = |address: &str| local.since(address.parse().unwrap());
    assert_eq!((since("10.244.0.0"), since("10.244.0.1")), (None, Some(at(2))));
    let writes = local.status_writes();
    let (name, status) = &writes[0];
    assert_eq!(local.object_uid(name), Some("uid-of-10-244-0-0-30"));
    let mut text = format!("{name} {}", status.in_use);
    for a in &status.allocations {
        write!(text, " [{} {} {} {}]", a.ordinal, a.pod_uid, a.pod, a.since).unwrap();
    }
    for freed in &status.freed {
        write!(text, " ({} {})", freed.ordinal, freed.at).unwrap();
    }
    let expected = "10-244-0-0-30 1 [1 uid-2 default/p2 2027-01-15T08:00:00.002Z] (0 2027-01-15T08:00:00.5Z)";
    assert_eq!(text, expected);
    let objects = [written(&local, block(V4)), written(&local, block(V6))];
    local.set_blocks(at(501), &objects);
    assert!(local.status_writes().is_empty(), "written once");
}

#[test]
fn errors_name_the_pool_and_what_helps() {
    let mut other = pool("v4", "10.244.0.0/16", 7);
    other.spec.node_selector = "rack == 'a'".into();
    let mut disabled = pool("v4", "10.244.0.0/16", 7);
    disabled.spec.disabled = true;
    let mut out = pool("v4", "10.244.0.0/16", 7);
    let condition = Condition::new(READY, false, OUT_OF_BLOCKS, "", "");
    out.status = Some(IPPoolStatus { conditions: vec![condition], ..Default::default() });
    let mut old = block(V4);
    old.spec.epoch = 1;
    let no_pool =
        "no IPPool serves this node; create one, enable one, or let its nodeSelector select the node";
    // (why, pools, blocks, error)
    let cases = [
        ("no pool", vec![], vec![], no_pool),
        ("selects other nodes", vec![other], vec![block(V4)], no_pool),
        ("disabled", vec![disabled], vec![block(V4)], no_pool),
        (
            "nothing yet",
            vec![pool("v4", "10.244.0.0/16", 7)],
            vec![],
            "no IPv4 address left on this node in v4; a further block is under way",
        ),
        (
            "the pool has no block left",
            vec![out],
            vec![],
            "no IPv4 address left on this node in v4; add a pool or free addresses",
        ),
        (
            "not confirmed",
            vec![pool("v4", "10.244.0.0/16", 7)],
            vec![old],
            "no IPv4 address left on this node in v4; a further block is under way; \
             block 10.244.0.0/30 waits for the IPAM service to confirm it",
        ),
    ];
    for (why, pools, blocks, expected) in cases {
        let mut local = Local::new(Memory { epoch: 7, ..Memory::default() }, COOLDOWN_MILLIS);
        local.set_node(identity());
        local.set_pools(&pools);
        local.set_blocks(at(0), &blocks);
        let error = local.assign(at(1), &owner(1)).unwrap_err();
        assert_eq!(error.to_string(), expected, "{why}");
    }
}

#[test]
fn more_is_wanted_from_three_quarters_on() {
    let mut local = with_blocks(&[block(V4), block(V6)]);
    let mut wanted = vec![local.wants_more(Family::V4)];
    for n in 1..=3 {
        local.assign(at(1), &owner(n)).unwrap();
        wanted.push(local.wants_more(Family::V4));
    }
    assert_eq!(wanted, [false, false, false, true]);
}

#[test]
fn a_conflict_is_told_and_new_addresses_come_from_elsewhere() {
    let mut local = with_blocks(&[block(V4), block(V6), block("10.244.0.4/30")]);
    local.assign(at(1), &owner(1)).unwrap();
    local.set_claims([(V4.parse().unwrap(), "node-2".to_owned())].into());
    let condition = local.address_conflict(at(2));
    assert!(condition.holds());
    let expected = "10.244.0.0/30 overlaps 10.244.0.0/30 by node-2; \
                    new addresses come from other blocks until one side gave it up";
    assert_eq!(condition.message, expected);
    assert!(local.held_blocks().contains(&V4.to_owned()), "what was begun is kept");
    assert_eq!(local.assign(at(3), &owner(2)).unwrap()[0], ips("10.244.0.4")[0]);
    local.set_claims(BTreeMap::new());
    assert!(!local.address_conflict(at(4)).holds());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Add(u32),
    Del(u32),
    WriteStatus,
    Crash,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u32..12).prop_map(Step::Add),
        3 => (0u32..12).prop_map(Step::Del),
        2 => Just(Step::WriteStatus),
        1 => Just(Step::Crash),
        2 => (0u64..2 * COOLDOWN_MILLIS).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever the moment of a crash: nobody has another's address, and every workload keeps its own.
    #[test]
    fn a_crash_loses_and_doubles_nothing(steps in proptest::collection::vec(step(), 0..100)) {
        let cidrs = ["10.244.0.0/29", "fd00:10:244::/125"];
        let mut objects: Vec<IPBlock> = cidrs.map(block).to_vec();
        let mut local = with_blocks(&objects);
        let mut kernel: BTreeMap<u32, Vec<IpAddr>> = BTreeMap::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Add(n) => {
                    if let Ok(addresses) = local.assign(at(now), &owner(n)) {
                        let before = kernel.insert(n, addresses.clone());
                        prop_assert!(before.is_none_or(|before| before == addresses));
                    }
                }
                Step::Del(n) => {
                    local.release(at(now), &owner(n));
                    local.cleaned(&local.to_clean());
                    kernel.remove(&n);
                }
                Step::WriteStatus => {
                    objects = objects.into_iter().map(|object| written(&local, object)).collect();
                    local.set_blocks(at(now), &objects);
                    prop_assert!(local.status_writes().is_empty());
                }
                Step::Crash => {
                    local = empty();
                    let endpoints: Vec<_> = kernel
                        .iter()
                        .map(|(n, addresses)| Endpoint { owner: owner(*n), addresses: addresses.clone() })
                        .collect();
                    let blackholes = cidrs.map(|cidr| cidr.parse().unwrap());
                    prop_assert!(local.restore(at(now), &endpoints, &blackholes).is_empty());
                    local.set_blocks(at(now), &objects);
                    local.cleaned(&local.to_clean());
                    local.release_where(at(now), |owner| owner.attachment.is_none());
                }
                Step::Wait(millis) => now += millis,
            }
            let mut all: Vec<IpAddr> = kernel.values().flatten().copied().collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            prop_assert_eq!(all.len(), count, "an address was given twice");
            for (n, addresses) in &kernel {
                prop_assert_eq!(&local.addresses_of(&owner(*n)), addresses);
            }
        }
    }
}
