use proptest::prelude::*;

use super::*;

const COOLDOWN_MILLIS: u64 = 1000;

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(1_000_000 + millis)
}

fn block(cidr: &str) -> Block {
    Block::new(cidr.parse().unwrap(), FreeSince::Ever).unwrap()
}

fn owner(n: u32) -> Owner {
    Owner::new(format!("uid-{n}"), format!("sandbox-{n}"), "eth0", "default/p")
}

fn give(block: &mut Block, now: u64, n: u32) -> Result<u16, AssignError> {
    block.assign(at(now), COOLDOWN_MILLIS, owner(n)).map(Ordinal::get)
}

fn take(block: &mut Block, now: u64, number: u32) {
    let ordinal = block.ordinal_numbered(number).unwrap();
    block.release(ordinal, at(now)).unwrap();
}

fn clean(block: &mut Block, number: u32) {
    let ordinal = block.ordinal_numbered(number).unwrap();
    block.cleaned(ordinal);
}

#[test]
fn sizes_and_places() {
    // (why, block, address, ordinal)
    let cases = [
        ("first IPv4 address is usable", "10.0.0.64/26", "10.0.0.64", Some(0)),
        ("last IPv4 address is usable", "10.0.0.64/26", "10.0.0.127", Some(63)),
        ("one below", "10.0.0.64/26", "10.0.0.63", None),
        ("one above", "10.0.0.64/26", "10.0.0.128", None),
        ("single address", "10.0.0.7/32", "10.0.0.7", Some(0)),
        ("largest IPv4 block", "10.0.0.0/20", "10.0.15.255", Some(4095)),
        ("IPv6", "fd00::40/122", "fd00::7f", Some(63)),
        ("largest IPv6 block", "fd00::/116", "fd00::fff", Some(4095)),
        ("other family", "fd00::/116", "10.0.0.1", None),
    ];
    for (why, cidr, address, expected) in cases {
        let block = block(cidr);
        let address = address.parse().unwrap();
        let ordinal = block.ordinal(address);
        assert_eq!(ordinal.map(Ordinal::get), expected, "{why}");
        if let Some(ordinal) = ordinal {
            assert_eq!(block.address(ordinal), address, "{why}: and back");
        }
    }
    for cidr in ["10.0.0.0/19", "fd00::/115", "fd00::/64", "0.0.0.0/0", "::/0"] {
        assert!(Block::new(cidr.parse().unwrap(), FreeSince::Ever).is_err(), "{cidr} is too large");
    }
    assert_eq!(block("10.0.0.0/30").ordinal_numbered(4), None);
}

#[test]
fn longest_unused_first_and_none_within_the_cooldown() {
    let mut block = block("10.0.0.0/30");
    assert_eq!([0, 1].map(|n| give(&mut block, n, 1)), [Ok(0), Ok(1)]);
    take(&mut block, 10, 1);
    take(&mut block, 20, 0);
    clean(&mut block, 0);
    clean(&mut block, 1);
    assert_eq!(give(&mut block, 30, 2), Ok(2), "never used goes first");
    assert_eq!(give(&mut block, 30, 3), Ok(3), "never used goes first");
    let cooling = AssignError::Cooling { ready_at: Some(at(1010)) };
    assert_eq!(give(&mut block, 1009, 4), Err(cooling), "one millisecond too early");
    assert_eq!(give(&mut block, 1010, 4), Ok(1), "the first one released");
    assert_eq!(give(&mut block, 5000, 5), Ok(0));
    assert_eq!(give(&mut block, 5000, 6), Err(AssignError::Full));
}

#[test]
fn unclean_addresses_are_not_given() {
    let mut block = block("10.0.0.9/32");
    give(&mut block, 0, 1).unwrap();
    take(&mut block, 10, 0);
    let waiting = AssignError::Cooling { ready_at: None };
    assert_eq!(give(&mut block, 100_000, 2), Err(waiting));
    clean(&mut block, 0);
    assert_eq!(give(&mut block, 100_000, 2), Ok(0));
}

#[test]
fn a_clock_set_back_does_not_lock_addresses_up() {
    let mut block = block("10.0.0.9/32");
    give(&mut block, 500_000, 1).unwrap();
    take(&mut block, 500_000, 0);
    clean(&mut block, 0);
    assert!(give(&mut block, 0, 2).is_err(), "counts as released now");
    assert_eq!(give(&mut block, COOLDOWN_MILLIS, 2), Ok(0), "and is free one cooldown later");
}

#[test]
fn restoring_what_the_kernel_holds() {
    let mut block = Block::new("10.0.0.0/30".parse().unwrap(), FreeSince::JustNow(at(0))).unwrap();
    let third = block.ordinal_numbered(2).unwrap();
    block.restore(third, Owner::pod("uid-1", ""), at(0)).unwrap();
    block.restore(third, owner(1), at(5)).unwrap();
    assert_eq!(block.leases().next().unwrap().1.owner, owner(1), "the sandbox is known by now");
    let taken = block.restore(third, owner(2), at(6)).unwrap_err();
    assert_eq!(taken.by, owner(1), "{taken}");
    assert!(give(&mut block, 1, 3).is_err(), "others count as just freed");
    block.restore_never_used(block.ordinal_numbered(3).unwrap());
    assert_eq!(give(&mut block, 1, 3), Ok(3), "unless the status knows better");
    block.restore_never_used(third);
    block.restore_released(third, at(0));
    assert_eq!(block.counts(), Counts { size: 4, used: 2, free: 2 }, "never from under an owner");
}

#[derive(Clone, Debug)]
enum Step {
    Assign,
    Release(u32),
    Clean(u32),
    Restore(u32),
    Released(u32),
    NeverUsed(u32),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Assign),
        3 => (0u32..16).prop_map(Step::Release),
        3 => (0u32..16).prop_map(Step::Clean),
        1 => (0u32..16).prop_map(Step::Restore),
        1 => (0u32..16).prop_map(Step::Released),
        1 => (0u32..16).prop_map(Step::NeverUsed),
        2 => (0u64..2000).prop_map(Step::Wait),
    ]
}

proptest! {
    /// No address serves two, none comes back within its cooldown, and each is in one state.
    #[test]
    fn every_address_is_in_one_state(steps in proptest::collection::vec(step(), 0..200)) {
        let mut block = block("10.0.0.0/28");
        let mut model: BTreeMap<u16, Owner> = BTreeMap::new();
        let mut released: BTreeMap<u16, u64> = BTreeMap::new();
        let mut now = 0;
        for (n, step) in (0u32..).zip(steps) {
            match step {
                Step::Assign => {
                    if let Ok(ordinal) = give(&mut block, now, n) {
                        prop_assert!(model.insert(ordinal, owner(n)).is_none());
                        if let Some(released) = released.remove(&ordinal) {
                            prop_assert!(now >= released + COOLDOWN_MILLIS);
                        }
                    }
                }
                Step::Release(number) => {
                    let ordinal = block.ordinal_numbered(number).unwrap();
                    let was = block.release(ordinal, at(now)).map(|lease| lease.owner);
                    prop_assert_eq!(&was, &model.remove(&ordinal.get()));
                    if was.is_some() {
                        released.insert(ordinal.get(), now);
                    }
                }
                Step::Clean(number) => clean(&mut block, number),
                Step::Restore(number) => {
                    let ordinal = block.ordinal_numbered(number).unwrap();
                    if block.restore(ordinal, owner(n), at(now)).is_ok() {
                        model.insert(ordinal.get(), owner(n));
                        released.remove(&ordinal.get());
                    }
                }
                Step::Released(number) => {
                    let ordinal = block.ordinal_numbered(number).unwrap();
                    block.restore_released(ordinal, at(now));
                    if !model.contains_key(&ordinal.get()) {
                        released.insert(ordinal.get(), now);
                    }
                }
                Step::NeverUsed(number) => {
                    let ordinal = block.ordinal_numbered(number).unwrap();
                    block.restore_never_used(ordinal);
                    if !model.contains_key(&ordinal.get()) {
                        released.remove(&ordinal.get());
                    }
                }
                Step::Wait(millis) => now += millis,
            }
            let leases: BTreeMap<_, _> =
                block.leases().map(|(o, lease)| (o.get(), lease.owner.clone())).collect();
            prop_assert_eq!(&leases, &model);
            prop_assert_eq!(block.counts().size, 16);
            prop_assert_eq!(block.released().len(), released.len());
        }
    }
}
