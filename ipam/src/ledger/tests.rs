use api::IPBlockSpec;
use api::{IPBlock, IPPool};

use super::*;
use crate::pool::EPOCH_ANNOTATION;
use crate::view::{BlockFacts, NetworkFacts, NodeFacts, Objects};

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(1_800_000_000_000 + millis)
}

fn block(cidr: &str, uid: &str, node: &str) -> BlockFacts {
    let cidr: IpNetwork = cidr.parse().unwrap();
    BlockFacts {
        reference: BlockRef {
            cidr,
            name: api::prefix::object_name(cidr),
            uid: uid.into(),
            resource_version: "1".into(),
        },
        pool: "v4".into(),
        node: node.into(),
        node_uid: "n".into(),
        draining: false,
        epoch: 5,
        released: false,
        in_use: 0,
        cooling: 0,
    }
}

/// Two blocks of node `a`, an annotated pool, and another node.
fn view() -> View {
    let mut view = View::default();
    for (cidr, uid) in [("10.0.0.0/28", "u1"), ("10.0.0.16/28", "u2")] {
        let block = block(cidr, uid, "a");
        view.blocks.insert(block.reference.cidr, block);
    }
    for name in ["a", "b"] {
        let facts = NodeFacts {
            uid: format!("uid-{name}"),
            labels: BTreeMap::new(),
            is_ready: true,
            allocatable_pods: 16,
        };
        view.nodes.insert(name.into(), facts);
    }
    view.pool_epochs.insert("v4".into(), 5);
    view
}

fn cidr(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

#[test]
fn what_raises_the_epoch() {
    type Edit = fn(&mut View);
    // (why, what changes in the view, reasons)
    let cases: Vec<(&str, Edit, Vec<Raised>)> = vec![
        ("nothing", |_| {}, vec![]),
        (
            "a block vanished",
            |view| drop(view.blocks.remove(&cidr("10.0.0.0/28"))),
            vec![Raised::BlockVanished(cidr("10.0.0.0/28"))],
        ),
        (
            "a block was made anew by another hand",
            |view| view.blocks.get_mut(&cidr("10.0.0.0/28")).unwrap().reference.uid = "u9".into(),
            vec![Raised::BlockVanished(cidr("10.0.0.0/28"))],
        ),
        (
            "a block more",
            |view| drop(view.blocks.insert(cidr("10.0.0.32/28"), block("10.0.0.32/28", "u3", "b"))),
            vec![],
        ),
        (
            "a pool went back",
            |view| _ = view.pool_epochs.insert("v4".into(), 4),
            vec![Raised::PoolWentBack("v4".into())],
        ),
        ("a pool more", |view| _ = view.pool_epochs.insert("new".into(), 0), vec![]),
        ("a pool less", |view| _ = view.pool_epochs.remove("v4"), vec![]),
        (
            "a node knows a newer one",
            |view| {
                let epoch_seen = 9_000_000_000;
                let network = NetworkFacts { epoch_seen, ..NetworkFacts::default() };
                view.networks.insert("b".into(), network);
            },
            vec![Raised::NewerSeen(9_000_000_000)],
        ),
        (
            "a node was replaced",
            |view| view.nodes.get_mut("a").unwrap().uid = "other".into(),
            vec![Raised::NodeReplaced("a".into())],
        ),
        (
            "a node with blocks is gone",
            |view| drop(view.nodes.remove("a")),
            vec![Raised::NodeGone("a".into())],
        ),
        ("a node without blocks is gone", |view| drop(view.nodes.remove("b")), vec![]),
    ];
    for (why, edit, expected) in cases {
        let mut view = view();
        let mut ledger = Ledger::new(at(0), &view);
        let before = ledger.epoch();
        assert!(ledger.observe(at(1), &view).is_empty(), "{why}: the same again");
        edit(&mut view);
        assert_eq!(ledger.observe(at(2), &view), expected, "{why}");
        assert_eq!(ledger.epoch() > before, !expected.is_empty(), "{why}");
        assert!(ledger.epoch() > view.epoch_max() || expected.is_empty(), "{why}");
        let after = ledger.epoch();
        assert!(ledger.observe(at(3), &view).is_empty(), "{why}: told once");
        assert_eq!(ledger.epoch(), after, "{why}: raised once");
    }
}

#[test]
fn own_deletions_are_no_surprise_but_their_return_is() {
    let mut view = view();
    let mut ledger = Ledger::new(at(0), &view);
    let deleted = view.blocks[&cidr("10.0.0.0/28")].clone();
    ledger.deleting(at(1), &deleted.reference);
    assert!(ledger.observe(at(2), &view).is_empty(), "the deletion is under way");
    view.blocks.remove(&cidr("10.0.0.0/28"));
    assert!(ledger.observe(at(3), &view).is_empty(), "done");
    assert_eq!(ledger.returned().keys().collect::<Vec<_>>(), [&cidr("10.0.0.0/28")]);
    view.blocks.insert(cidr("10.0.0.0/28"), deleted);
    let expected = [Raised::BlockReappeared(cidr("10.0.0.0/28"))];
    assert_eq!(ledger.observe(at(4), &view), expected, "a backup was restored");
    assert!(ledger.returned().is_empty());

    let refused = view.blocks[&cidr("10.0.0.16/28")].reference.clone();
    ledger.deleting(at(5), &refused);
    ledger.not_deleted(&refused);
    view.blocks.remove(&cidr("10.0.0.16/28"));
    let expected = [Raised::BlockVanished(cidr("10.0.0.16/28"))];
    assert_eq!(ledger.observe(at(6), &view), expected, "another hand did it");
}

#[test]
fn a_creation_that_no_view_ever_showed_is_missed() {
    let mut view = view();
    let mut ledger = Ledger::new(at(0), &view);
    let created = block("10.0.0.32/28", "u3", "b");
    ledger.created(created.reference.cidr, created.reference.uid.clone());
    let expected = [Raised::BlockVanished(cidr("10.0.0.32/28"))];
    assert_eq!(ledger.observe(at(1), &view), expected, "a backup from before it was restored at once");
    assert!(ledger.observe(at(2), &view).is_empty(), "told once");

    ledger.created(created.reference.cidr, created.reference.uid.clone());
    view.blocks.insert(created.reference.cidr, created);
    assert!(ledger.observe(at(3), &view).is_empty(), "it is there");
}

#[test]
fn a_creation_without_an_answer_is_in_doubt_until_it_is_seen() {
    let mut view = view();
    let mut ledger = Ledger::new(at(0), &view);
    let created = block("10.0.0.32/28", "u3", "b");
    ledger.not_answered(created.reference.cidr);
    let expected = [Raised::CreationInDoubt(cidr("10.0.0.32/28"))];
    assert_eq!(
        ledger.observe(at(1), &view),
        expected,
        "a node may have begun it before a backup was restored"
    );
    assert!(ledger.observe(at(2), &view).is_empty(), "told once");

    ledger.not_answered(created.reference.cidr);
    view.blocks.insert(created.reference.cidr, created);
    assert!(ledger.observe(at(3), &view).is_empty(), "the watch answered");
}

#[test]
fn a_leader_begins_later_than_all_before_it() {
    let seconds = i64::try_from(at(0).unix_millis() / 1000).unwrap();
    // (why, epoch in view, expected)
    let cases = [
        ("an empty cluster: the clock's seconds", 0, seconds),
        ("after another leader", seconds - 10, seconds),
        ("after another leader whose clock is ahead", seconds + 10, seconds + 11),
    ];
    for (why, epoch, expected) in cases {
        let mut pool = IPPool::new("v4", serde_json::from_str(r#"{"cidr":"10.0.0.0/16"}"#).unwrap());
        pool.metadata.annotations = Some([(EPOCH_ANNOTATION.to_owned(), epoch.to_string())].into());
        let view = View::read(at(0), &Objects { pools: vec![pool], ..Objects::default() });
        assert_eq!(Ledger::new(at(0), &view).epoch(), expected, "{why}");
    }
}

#[test]
fn a_view_leaves_out_what_it_cannot_read() {
    let spec = |cidr: &str| IPBlockSpec {
        cidr: cidr.into(),
        pool: "v4".into(),
        node: "a".into(),
        node_uid: "n".into(),
        draining: false,
        epoch: 1,
    };
    let objects = Objects {
        blocks: vec![
            IPBlock::new("10-0-0-0-28", spec("10.0.0.0/28")),
            IPBlock::new("misnamed", spec("10.0.0.16/28")),
            IPBlock::new("no-range", spec("10.0.0.99/28")),
        ],
        unreadable_blocks: ["10.0.0.32/28".into(), "garbage".into()].into(),
        ..Objects::default()
    };
    let view = View::read(at(0), &objects);
    assert_eq!(view.blocks.keys().collect::<Vec<_>>(), [&cidr("10.0.0.0/28")]);
    assert_eq!(view.foreign, BTreeSet::from([cidr("10.0.0.16/28"), cidr("10.0.0.32/28")]));
}
