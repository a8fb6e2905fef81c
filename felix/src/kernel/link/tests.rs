use super::*;

fn link(index: u32, name: &str, is_up: bool, has_carrier: bool) -> Link {
    let (name, alias) = (name.to_owned(), String::new());
    Link { index, name, alias, mac: None, mtu: 1500, is_up, has_carrier, is_loopback: false }
}

#[test]
fn news_are_judged_by_what_routes_lose_or_gain() {
    let down = link(2, "eth0", false, false);
    let up = link(2, "eth0", true, false);
    let carrier = link(2, "eth0", true, true);
    let alias = Link { alias: "v1".into(), mtu: 9000, mac: Some([2; 6]), ..carrier.clone() };
    let renamed = Link { name: "eth1".into(), ..carrier.clone() };
    // (why, before, after, expected)
    let cases = [
        ("new", None, &down, LinkNews::Gain),
        ("up", Some(&down), &up, LinkNews::Gain),
        ("carrier", Some(&up), &carrier, LinkNews::Gain),
        ("carrier lost", Some(&carrier), &up, LinkNews::Loss),
        ("down", Some(&carrier), &down, LinkNews::Loss),
        ("renamed", Some(&carrier), &renamed, LinkNews::Loss),
        ("alias, MTU and MAC", Some(&carrier), &alias, LinkNews::Nothing),
    ];
    for (why, before, after, expected) in cases {
        let mut links = Links::default();
        if let Some(before) = before {
            links.insert(before.clone());
        }
        assert_eq!(links.insert(after.clone()), expected, "{why}");
    }
}

#[test]
fn names_follow_the_interfaces() {
    let mut links = Links::default();
    links.insert(link(2, "eth0", true, true));
    links.insert(link(3, "eth1", true, true));
    assert_eq!((links.index("eth0"), links.name(3)), (Some(2), "eth1".into()));
    links.insert(link(2, "uplink", true, true));
    assert_eq!((links.index("eth0"), links.index("uplink")), (None, Some(2)), "renamed");
    // The name went to another interface before the old one was heard to be gone.
    links.insert(link(9, "eth1", true, true));
    links.remove(3);
    assert_eq!(links.index("eth1"), Some(9), "the newest owner keeps the name");
    assert_eq!(links.name(77), "if77", "never heard of");
}

#[test]
fn changes_are_messages_that_read_back() {
    let request = |change| {
        let request = change_request(7, &change);
        assert_eq!(request.message_type, libc::RTM_SETLINK);
        let mut payload = request.payload;
        let mask = payload.split_off(12).into_iter().take(4).collect::<Vec<_>>();
        let rest = change_request(7, &change).payload;
        (i32::from_ne_bytes(mask.try_into().expect("four bytes")), rest)
    };
    let (mask, up) = request(LinkChange::Up(true));
    assert_eq!((mask, &up[8..12]), (libc::IFF_UP, &libc::IFF_UP.to_ne_bytes()[..]));
    let (mask, down) = request(LinkChange::Up(false));
    assert_eq!((mask, &down[8..12]), (libc::IFF_UP, &[0; 4][..]));
    let (mask, alias) = request(LinkChange::Alias("v1/x".into()));
    assert_eq!(mask, 0, "an alias changes no flag");
    let found: Vec<(u16, &[u8])> = attributes(&alias[HEADER_BYTES..]).collect();
    assert_eq!(found, [(IFLA_IFALIAS, &b"v1/x"[..])]);
    let (_, mac) = request(LinkChange::Mac([0xee; 6]));
    assert_eq!(attributes(&mac[HEADER_BYTES..]).next(), Some((IFLA_ADDRESS, &[0xee; 6][..])));
}

#[test]
fn names_are_what_the_kernel_would_take() {
    let cases = [
        ("eth0", true),
        ("eth0.100", true),
        ("", false),
        (".", false),
        ("..", false),
        ("a/b", false),
        ("a b", false),
        ("a:b", false),
        ("fifteen-letters", true),
        ("sixteen-letters!", false),
    ];
    for (name, expected) in cases {
        assert_eq!(is_valid_name(name), expected, "{name:?}");
    }
}

proptest::proptest! {
    #[test]
    fn bytes_from_the_kernel_never_panic(payload in proptest::collection::vec(0_u8.., 0..200)) {
        let _ = parse(&payload);
        let _ = crate::kernel::address::parse(&payload);
    }
}
