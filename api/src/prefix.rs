//! Reading and naming prefixes as the custom resources spell them.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// The prefix, when the text is one with all host bits zero.
///
/// # Errors
/// A sentence that says what is wrong and what was probably meant.
pub fn parse(text: &str) -> Result<IpNetwork, String> {
    let prefix: IpNetwork = text
        .parse()
        .map_err(|_| format!("`{text}` is not a prefix like 10.244.0.0/16 or fd00:10:244::/56"))?;
    let canonical = canonical(prefix);
    if canonical != prefix || !text.contains('/') {
        return Err(format!("`{text}` is not the first address of its prefix; write `{canonical}`"));
    }
    Ok(prefix)
}

/// The same prefix with its host bits zero.
pub fn canonical(prefix: IpNetwork) -> IpNetwork {
    IpNetwork::new(prefix.network(), prefix.prefix()).expect("a prefix keeps its own length")
}

/// The prefix that holds this one address.
pub fn host(address: IpAddr) -> IpNetwork {
    IpNetwork::from(address)
}

/// The name of the object that stands for this prefix: `10-244-3-64-26`, `fd00-10-244--40-122`.
pub fn object_name(prefix: IpNetwork) -> String {
    let address = prefix.network().to_string().replace(['.', ':'], "-");
    // A name may not begin or end with `-`; IPv6 text may begin with `::` only.
    let head = if address.starts_with('-') { "0" } else { "" };
    format!("{head}{address}-{}", prefix.prefix())
}

/// Whether the two prefixes share an address.
pub fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    match (a, b) {
        (IpNetwork::V4(a), IpNetwork::V4(b)) => a.overlaps(b),
        (IpNetwork::V6(a), IpNetwork::V6(b)) => a.overlaps(b),
        _ => false,
    }
}

/// Whether every address of `inner` is one of `outer`.
pub fn covers(outer: IpNetwork, inner: IpNetwork) -> bool {
    outer.prefix() <= inner.prefix() && overlap(outer, inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_prefixes_are_read() {
        // (why, text, expected)
        let cases = [
            ("IPv4", "10.244.0.0/16", Ok("10.244.0.0/16")),
            ("IPv6", "fd00:10:244::/56", Ok("fd00:10:244::/56")),
            (
                "host bits",
                "10.244.0.1/16",
                Err("`10.244.0.1/16` is not the first address of its prefix; write `10.244.0.0/16`"),
            ),
            (
                "no length",
                "10.244.0.0",
                Err("`10.244.0.0` is not the first address of its prefix; write `10.244.0.0/32`"),
            ),
            ("not an address", "pods", Err("`pods` is not a prefix like 10.244.0.0/16 or fd00:10:244::/56")),
        ];
        for (why, text, expected) in cases {
            let read = parse(text).map(|prefix| prefix.to_string());
            assert_eq!(read, expected.map(str::to_owned).map_err(str::to_owned), "{why}");
        }
    }

    #[test]
    fn names_are_valid_for_objects() {
        // (why, prefix, name)
        let cases = [
            ("IPv4 block", "10.244.3.64/26", "10-244-3-64-26"),
            ("IPv6 block", "fd00:10:244::40/122", "fd00-10-244--40-122"),
            ("a zero address", "::/0", "0---0"),
        ];
        for (why, prefix, name) in cases {
            assert_eq!(object_name(prefix.parse().unwrap()), name, "{why}");
        }
    }

    #[test]
    fn overlap_and_cover() {
        // (why, a, b, overlap, a covers b)
        let cases = [
            ("inside", "10.0.0.0/8", "10.244.0.0/16", true, true),
            ("outside in", "10.244.0.0/16", "10.0.0.0/8", true, false),
            ("same", "10.0.0.0/8", "10.0.0.0/8", true, true),
            ("apart", "10.0.0.0/16", "10.1.0.0/16", false, false),
            ("other family", "10.0.0.0/8", "fd00::/8", false, false),
        ];
        for (why, a, b, overlaps, a_covers_b) in cases {
            let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(overlap(a, b), overlaps, "{why}");
            assert_eq!(covers(a, b), a_covers_b, "{why}");
        }
    }
}
