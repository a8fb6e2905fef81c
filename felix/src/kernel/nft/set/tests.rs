use proptest::collection::btree_set;
use proptest::prelude::*;

use super::*;

/// What the kernel would dump of these elements.
fn dumped(key: SetKey, interval: bool, elements: &[Element]) -> Vec<RawElement> {
    let mut list = Vec::new();
    for each in elements {
        element(&mut list, Layout::of(key, interval), each);
    }
    attributes(&list).map(|(_, bytes)| RawElement::read(bytes).unwrap()).collect()
}

#[test]
fn intervals_that_touch_and_reach_the_end_survive() {
    let span = |first: [u8; 4], last: [u8; 4]| Element::V4(Span { first: first.into(), last: last.into() });
    // (why, elements, elements in the kernel)
    let cases = [
        ("nothing", vec![], 0),
        ("one value", vec![span([10, 0, 0, 1], [10, 0, 0, 1])], 2),
        ("neighbours", vec![span([10, 0, 0, 0], [10, 0, 0, 255]), span([10, 0, 1, 0], [10, 0, 1, 9])], 4),
        ("from the first value", vec![span([0; 4], [0, 0, 0, 9])], 2),
        ("to the last value", vec![span([255, 0, 0, 0], [255; 4])], 1),
        ("everything", vec![span([0; 4], [255; 4])], 1),
    ];
    for (why, elements, in_kernel) in cases {
        let raw = dumped(SetKey::V4, true, &elements);
        assert_eq!(raw.len(), in_kernel, "{why}");
        let reversed: Vec<_> = raw.iter().rev().cloned().collect();
        assert_eq!(read_elements(SetKey::V4, true, raw), Some(elements.clone()), "{why}");
        assert_eq!(read_elements(SetKey::V4, true, reversed), Some(elements), "{why}, dumped backwards");
    }
}

#[test]
fn foreign_elements_are_refused() {
    let raw = |key: &[u8], is_interval_end| RawElement {
        key: key.to_vec(),
        key_end: None,
        is_interval_end,
        data: Vec::new(),
    };
    let two_starts = vec![raw(&[1, 0, 0, 0], false), raw(&[2, 0, 0, 0], false)];
    assert_eq!(read_elements(SetKey::V4, true, two_starts), None, "intervals overlap");
    assert_eq!(read_elements(SetKey::V4, false, vec![raw(&[1; 3], false)]), None, "too short");
    assert_eq!(read_elements(SetKey::V4, false, vec![raw(&[1; 8], false)]), None, "too long");
    let wildcard = [&b"tort*"[..], &[0; 11], &[10, 0, 0, 1]].concat();
    assert_eq!(read_elements(SetKey::InterfaceV4, false, vec![raw(&wildcard, false)]), None, "no name");
    let protocols = RawElement {
        key: vec![6, 0, 0, 0, 0, 1, 0, 0],
        key_end: Some(vec![7, 0, 0, 0, 0, 1, 0, 0]),
        ..RawElement::default()
    };
    assert_eq!(read_elements(SetKey::Ports, true, vec![protocols]), None, "a range of protocols");
}

fn ordered<T: Ord + Copy>(a: T, b: T) -> Span<T> {
    Span { first: a.min(b), last: a.max(b) }
}

proptest! {
    #[test]
    fn concatenations_survive(
        elements in btree_set(any::<(u32, u32, u8, u16, u16)>(), 0..20),
    ) {
        let elements: Vec<Element> = elements.into_iter().map(|(a, b, protocol, from, to)| {
            Element::V4Ports(ordered(Ipv4Addr::from(a), Ipv4Addr::from(b)), protocol, ordered(from, to))
        }).collect();
        let raw = dumped(SetKey::V4Ports, true, &elements);
        prop_assert_eq!(read_elements(SetKey::V4Ports, true, raw), Some(elements));
    }

    #[test]
    fn disjoint_intervals_survive(bounds in btree_set(any::<u128>(), 0..40)) {
        let bounds: Vec<u128> = bounds.into_iter().collect();
        let elements: Vec<Element> = bounds.chunks_exact(2).map(|pair| {
            Element::V6(Span { first: Ipv6Addr::from(pair[0]), last: Ipv6Addr::from(pair[1]) })
        }).collect();
        let raw = dumped(SetKey::V6, true, &elements);
        prop_assert_eq!(read_elements(SetKey::V6, true, raw), Some(elements));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Some(raw) = RawElement::read(&bytes) {
            for key in [SetKey::V4, SetKey::V6Ports, SetKey::Interfaces] {
                let _ = read_elements(key, false, vec![raw.clone()]);
                let _ = read_elements(key, true, vec![raw.clone(), raw.clone()]);
            }
        }
    }
}
