use super::*;

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(1_800_000_000_000 + millis)
}

fn held_by(holder: &str, renewed: u64) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(15),
        acquire_time: Some(MicroTime(at(0).timestamp())),
        renew_time: Some(MicroTime(at(renewed).timestamp())),
        lease_transitions: Some(3),
        ..LeaseSpec::default()
    }
}

/// Whether the last of these reads, each with its time, makes `a` write, and the transitions written.
fn outcome(reads: &[(u64, Option<LeaseSpec>)]) -> Option<i32> {
    let mut candidate = Candidate::new("a");
    let mut last = Step::Follow;
    for (ticks, lease) in reads {
        last = candidate.step(*ticks, at(*ticks), lease.as_ref());
    }
    match last {
        Step::Write(record) => {
            assert_eq!(record.holder_identity.as_deref(), Some("a"));
            record.lease_transitions
        }
        Step::Follow => None,
    }
}

#[test]
fn every_state_of_the_lease() {
    let b = |renewed| Some(held_by("b", renewed));
    // (why, reads, transitions if it is written)
    let cases = [
        ("no lease", vec![(0, None)], Some(0)),
        ("nobody holds it", vec![(0, Some(held_by("", 0)))], Some(4)),
        ("our own", vec![(0, Some(held_by("a", 0)))], Some(3)),
        ("another's, seen for the first time, however old", vec![(900_000, b(0))], None),
        ("another's, silent for less than its duration", vec![(0, b(0)), (14_999, b(0))], None),
        ("another's, silent for its duration", vec![(0, b(0)), (15_000, b(0))], Some(4)),
        ("another's, renewed meanwhile", vec![(0, b(0)), (14_000, b(14_000)), (15_000, b(14_000))], None),
        ("another's, silent since its renewal", vec![(0, b(0)), (14_000, b(9)), (29_000, b(9))], Some(4)),
        ("taken over by a third", vec![(0, b(0)), (15_000, Some(held_by("c", 0)))], None),
    ];
    for (why, reads, expected) in cases {
        assert_eq!(outcome(&reads), expected, "{why}");
    }
}

#[test]
fn a_renewal_keeps_when_it_was_acquired() {
    let mut candidate = Candidate::new("a");
    let Step::Write(first) = candidate.step(0, at(5), None) else { panic!("acquires") };
    let Step::Write(renewed) = candidate.step(2_000, at(2_005), Some(&first)) else { panic!("renews") };
    assert_eq!(renewed.acquire_time, first.acquire_time);
    assert_ne!(renewed.renew_time, first.renew_time);
}

#[test]
fn a_leader_that_stops_leaves_it_vacant_and_nobody_else_does() {
    let candidate = Candidate::new("a");
    let vacant = candidate.resign(at(1), &held_by("a", 0)).unwrap();
    assert_eq!(outcome(&[(0, Some(vacant))]), Some(4));
    assert_eq!(candidate.resign(at(1), &held_by("b", 0)), None);
}
