//! Arithmetic on spans, against membership asked one address at a time.

use proptest::prelude::*;

use super::*;

fn prefix(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

fn blocks(cidr: &str, except: &[&str]) -> String {
    let except: Vec<IpNetwork> = except.iter().map(|it| prefix(it)).collect();
    let blocks = Blocks::of(prefix(cidr), &except);
    let elements = elements(&blocks.v4, true).chain(elements(&blocks.v6, false));
    elements.map(|it| it.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn exceptions_are_cut_out() {
    for (why, cidr, except, expected) in [
        ("none", "10.0.0.0/8", &[][..], "10.0.0.0/8"),
        ("at the start", "10.0.0.0/24", &["10.0.0.0/25"], "10.0.0.128/25"),
        ("at the end", "10.0.0.0/24", &["10.0.0.128/25"], "10.0.0.0/25"),
        ("in the middle", "10.0.0.0/30", &["10.0.0.1/32"], "10.0.0.0 10.0.0.2/31"),
        ("all", "10.0.0.0/24", &["10.0.0.0/24"], ""),
        ("nested", "10.0.0.0/24", &["10.0.0.0/25", "10.0.0.64/26"], "10.0.0.128/25"),
        (
            "the last address there is",
            "255.255.255.0/24",
            &["255.255.255.255/32"],
            "255.255.255.0-255.255.255.254",
        ),
        ("everything but one", "0.0.0.0/0", &["128.0.0.0/1"], "0.0.0.0/1"),
        ("IPv6 to its end", "::/0", &["8000::/1"], "::/1"),
        ("IPv6 whole", "::/0", &["::/1", "8000::/1"], ""),
        ("of the other family", "::/0", &["10.0.0.0/8"], "::/0"),
    ] {
        assert_eq!(blocks(cidr, except), expected, "{why}");
    }
}

proptest! {
    #[test]
    fn merged_spans_hold_the_same_and_are_apart(all in prop::collection::vec((0u128..40, 0u128..6), 0..12)) {
        let spans: Vec<Span<u128>> =
            all.iter().map(|(first, more)| Span { first: *first, last: first + more }).collect();
        let merged = merge(spans.clone());
        for value in 0..50u128 {
            let has = |spans: &[Span<u128>]| spans.iter().any(|span| span.contains(&value));
            prop_assert_eq!(has(&spans), has(&merged), "{}", value);
        }
        prop_assert!(merged.windows(2).all(|pair| pair[0].last + 1 < pair[1].first));
    }

    #[test]
    fn what_is_cut_out_is_out(first in 0u128..20, more in 0u128..20, holes in prop::collection::vec((0u128..40, 0u128..6), 0..6)) {
        let span = Span { first, last: first + more };
        let holes: Vec<Span<u128>> = holes
            .iter()
            .map(|(first, more)| Span { first: *first, last: first + more })
            .filter(|it| span.contains(&it.first) && span.contains(&it.last))
            .collect();
        let rest = subtract(span, &merge(holes.clone()));
        for value in 0..50u128 {
            let wanted = span.contains(&value) && !holes.iter().any(|it| it.contains(&value));
            prop_assert_eq!(rest.iter().any(|it| it.contains(&value)), wanted, "{}", value);
        }
    }
}
