use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::rib::PeerSource;
use crate::wire::{AsPath, Attributes, Community, NextHop, Origin, RouterId};

/// A path of the neighbor with this number; the closure makes it special.
fn path(number: u8, change: impl FnOnce(&mut Path, &mut PeerSource, &mut Attributes)) -> Path {
    let address = IpAddr::from([10, 0, 0, number]);
    let router_id = RouterId::new(u32::from(number)).unwrap();
    let mut source = PeerSource { address, router_id, is_ebgp: true };
    let mut attributes = Attributes::new(Origin::Igp, AsPath::sequence([65000 + u32::from(number), 64999]));
    let mut path = Path {
        source: Source::Local,
        attributes: Arc::new(attributes.clone()),
        next_hop: Some(NextHop::new(address)),
        rejection: None,
        is_silent: false,
    };
    change(&mut path, &mut source, &mut attributes);
    path.source = Source::Peer(Arc::new(source));
    path.attributes = Arc::new(attributes);
    path
}

fn local() -> Path {
    Path::local(Arc::new(Attributes::new(Origin::Igp, AsPath::default())))
}

fn verdicts(paths: &[Path], multipath_max: usize) -> Vec<Verdict> {
    decide(&paths.iter().collect::<Vec<_>>(), multipath_max)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn each_step_decides_and_says_so() {
    use Verdict::{Best, Lost, Rejected};
    let with_as = |number, asns: &[u32]| {
        path(number, |_, _, attributes| attributes.as_path = AsPath::sequence(asns.to_vec()))
    };
    let med = |number, asn, med| {
        path(number, |_, _, attributes| {
            attributes.as_path = AsPath::sequence([asn]);
            attributes.med = med;
        })
    };
    let internal = |number, local_pref| {
        path(number, |_, source, attributes| {
            source.is_ebgp = false;
            attributes.local_pref = local_pref;
        })
    };
    let reflected = |number, originator: u32, clusters: &[u32]| {
        path(number, |_, source, attributes| {
            source.is_ebgp = false;
            attributes.originator_id = RouterId::new(originator);
            attributes.cluster_list = clusters.to_vec();
        })
    };
    let rejected = path(1, |path, _, _| path.rejection = Some(Rejection::AsLoop));
    let leaving = path(1, |_, _, attributes| attributes.communities = vec![Community::GRACEFUL_SHUTDOWN]);
    // (why, paths, verdicts without multipath)
    let cases: Vec<(&str, Vec<Path>, Vec<Verdict>)> = vec![
        ("nothing", vec![], vec![]),
        ("one", vec![path(1, |_, _, _| {})], vec![Best]),
        (
            "rejected paths never win",
            vec![rejected.clone(), with_as(2, &[1, 2, 3])],
            vec![Rejected(Rejection::AsLoop), Best],
        ),
        ("only rejected", vec![rejected], vec![Rejected(Rejection::AsLoop)]),
        (
            "a silent neighbor comes last",
            vec![path(1, |path, _, _| path.is_silent = true), with_as(2, &[1, 2, 3, 4])],
            vec![Lost(Step::NeighborSilent), Best],
        ),
        ("but it comes", vec![path(1, |path, _, _| path.is_silent = true)], vec![Best]),
        (
            "local preference beats length",
            vec![internal(1, Some(200)), with_as(2, &[1])],
            vec![Best, Lost(Step::LocalPref)],
        ),
        (
            "missing preference is 100",
            vec![internal(1, Some(99)), internal(2, None)],
            vec![Lost(Step::LocalPref), Best],
        ),
        (
            "a leaving neighbor comes last",
            vec![leaving, with_as(2, &[1, 2, 3, 4])],
            vec![Lost(Step::LocalPref), Best],
        ),
        (
            "our own",
            vec![local(), path(2, |_, _, attributes| attributes.as_path = AsPath::default())],
            vec![Best, Lost(Step::LocallyOriginated)],
        ),
        ("shorter path", vec![with_as(1, &[1, 2]), with_as(2, &[3])], vec![Lost(Step::AsPathLength), Best]),
        (
            "origin",
            vec![path(1, |_, _, attributes| attributes.origin = Origin::Incomplete), path(2, |_, _, _| {})],
            vec![Lost(Step::Origin), Best],
        ),
        ("lower MED of one AS", vec![med(1, 7, Some(9)), med(2, 7, Some(8))], vec![Lost(Step::Med), Best]),
        ("missing MED is 0", vec![med(1, 7, Some(1)), med(2, 7, None)], vec![Lost(Step::Med), Best]),
        (
            "MEDs of two ASes are not compared",
            vec![med(1, 7, Some(9)), med(2, 8, Some(1))],
            vec![Best, Lost(Step::RouterId)],
        ),
        (
            "within each AS first",
            vec![med(1, 7, Some(9)), med(2, 8, Some(5)), med(3, 7, Some(1))],
            vec![Lost(Step::Med), Best, Lost(Step::RouterId)],
        ),
        (
            "external over internal",
            vec![internal(1, Some(100)), path(2, |_, _, _| {})],
            vec![Lost(Step::ExternalOverInternal), Best],
        ),
        (
            "lower router ID",
            vec![path(2, |_, _, _| {}), path(1, |_, _, _| {})],
            vec![Lost(Step::RouterId), Best],
        ),
        (
            "the originator's ID counts",
            vec![reflected(1, 9, &[]), reflected(2, 3, &[])],
            vec![Lost(Step::RouterId), Best],
        ),
        (
            "fewer reflections",
            vec![reflected(1, 9, &[1, 2]), reflected(2, 9, &[1])],
            vec![Lost(Step::ClusterListLength), Best],
        ),
        (
            "lower address",
            vec![reflected(2, 9, &[1]), reflected(1, 9, &[1])],
            vec![Lost(Step::PeerAddress), Best],
        ),
    ];
    for (why, paths, expected) in cases {
        assert_eq!(verdicts(&paths, 1), expected, "{why}");
    }
}

#[test]
fn equals_share_the_traffic() {
    use Verdict::{Best, Lost, Multipath};
    let plain = |number| path(number, |_, _, _| {});
    let via = |number, gateway: u8| {
        path(number, |path, _, _| path.next_hop = Some(NextHop::new(IpAddr::from([10, 9, 9, gateway]))))
    };
    let internal = path(3, |_, source, _| source.is_ebgp = false);
    // (why, paths, most next hops, verdicts)
    let cases = [
        ("equal length is enough", vec![plain(2), plain(1)], 64, vec![Multipath, Best]),
        (
            "no more than allowed",
            vec![plain(3), plain(1), plain(2)],
            2,
            vec![Lost(Step::RouterId), Best, Multipath],
        ),
        ("one alone", vec![plain(1), plain(2)], 1, vec![Best, Lost(Step::RouterId)]),
        (
            "never external and internal",
            vec![plain(1), internal],
            64,
            vec![Best, Lost(Step::ExternalOverInternal)],
        ),
        (
            "a next hop counts once",
            vec![via(1, 1), via(2, 1), via(3, 2), via(4, 3)],
            2,
            vec![Best, Multipath, Multipath, Lost(Step::RouterId)],
        ),
    ];
    for (why, paths, multipath_max, expected) in cases {
        assert_eq!(verdicts(&paths, multipath_max), expected, "{why}");
    }
}

fn any_path(number: u8) -> impl Strategy<Value = Path> {
    let preference = (any::<bool>(), prop::option::of(99_u32..102), 0_usize..3);
    let attributes = (0_u32..3, prop::option::of(0_u32..3), prop::option::of(1_u32..4), 0_usize..2, 0_u8..10);
    (preference, attributes).prop_map(
        move |((is_ebgp, local_pref, length), (asn, med, originator, clusters, rejected))| {
            path(number, |path, source, attributes| {
                source.is_ebgp = is_ebgp;
                source.router_id = RouterId::new(1 + u32::from(number) % 3).unwrap();
                attributes.local_pref = local_pref;
                attributes.as_path = AsPath::sequence((0..length).map(|_| asn));
                attributes.med = med;
                attributes.originator_id = originator.and_then(RouterId::new);
                attributes.cluster_list = vec![1; clusters];
                path.next_hop = Some(NextHop::new(IpAddr::from([10, 9, 9, number % 4])));
                path.rejection = (rejected == 0).then_some(Rejection::AsLoop);
                path.is_silent = rejected == 1;
            })
        },
    )
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(
        (paths, order) in (1_u8..8).prop_flat_map(|count| {
            let paths: Vec<_> = (1..=count).map(any_path).collect();
            let order: Vec<usize> = (0..usize::from(count)).collect();
            (paths, Just(order).prop_shuffle())
        }),
        multipath_max in 1_usize..5,
    ) {
        let straight = verdicts(&paths, multipath_max);
        let shuffled: Vec<Path> = order.iter().map(|place| paths[*place].clone()).collect();
        let found = verdicts(&shuffled, multipath_max);
        for (place, verdict) in order.iter().zip(found) {
            prop_assert_eq!(verdict, straight[*place]);
        }
        let usable = paths.iter().filter(|path| path.rejection.is_none()).count();
        let best = straight.iter().filter(|verdict| **verdict == Verdict::Best).count();
        prop_assert_eq!(best, usize::from(usable > 0), "exactly one is best");
    }
}
