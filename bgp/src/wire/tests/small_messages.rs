//! Headers, OPEN, NOTIFICATION, KEEPALIVE and ROUTE-REFRESH.

use super::*;

fn router_id(text: &str) -> RouterId {
    text.parse().unwrap()
}

#[test]
fn frames() {
    let marker = "ff".repeat(16);
    // (why, buffer, with RFC 8654, expected)
    let rows = [
        ("nothing yet", String::new(), false, Ok(None)),
        ("half a marker", "ffff".to_owned(), false, Ok(None)),
        ("a marker and half a length", format!("{marker} 00"), false, Ok(None)),
        ("a whole header", format!("{marker} 0013 04"), false, Ok(Some(19))),
        ("as long as can be", format!("{marker} 1000"), false, Ok(Some(4096))),
        ("longer", format!("{marker} 1001"), false, Err(Notification::bad_message_length(4097))),
        ("longer, with RFC 8654", format!("{marker} 1001"), true, Ok(Some(4097))),
        ("the longest", format!("{marker} ffff"), true, Ok(Some(65535))),
        ("shorter than a header", format!("{marker} 0012"), true, Err(Notification::bad_message_length(18))),
        ("no marker", "fffe".to_owned(), false, Err(Notification::connection_not_synchronized())),
    ];
    for (why, buffer, extended, expected) in rows {
        assert_eq!(frame_length(&hex(&buffer), extended), expected, "{why}");
    }
}

#[test]
fn headers_that_do_not_fit() {
    let rows = [
        ("an unknown type", message(9, &[]), (1, 3)),
        ("type 0", message(0, &[]), (1, 3)),
        ("KEEPALIVE with content", message(4, &[0]), (1, 2)),
        ("OPEN too short", message(1, &[4; 9]), (1, 2)),
        ("OPEN beyond 4096 octets", message(1, &[4; 4096]), (1, 2)),
        ("UPDATE too short", message(2, &[0; 3]), (1, 2)),
        ("UPDATE beyond 4096 octets", message(2, &[0; 4096]), (1, 2)),
        ("NOTIFICATION too short", message(3, &[6]), (1, 2)),
        ("ROUTE-REFRESH too short", message(5, &[0; 3]), (1, 2)),
        ("ROUTE-REFRESH too long", message(5, &[0, 1, 1, 1, 0]), (7, 1)),
        ("cut", message(4, &[]).slice(..10), (1, 2)),
        ("more than one", Bytes::from([message(4, &[]), message(4, &[])].concat()), (1, 2)),
    ];
    for (why, bytes, expected) in rows {
        let error = decode(&bytes, &external()).expect_err(why);
        assert_eq!((error.notification.code, error.notification.subcode), expected, "{why}");
    }
}

/// Each row is read as written on the right and, where the form is the one that we write, back.
#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn opens() {
    let graceful = GracefulRestart {
        restarting: true,
        notification: true,
        restart_time_secs: 120,
        families: vec![GracefulFamily { family: Family::Ipv6Unicast, forwarding: true }],
    };
    // (why, optional parameters, AS, capabilities, whether we write it so)
    let rows = [
        ("no parameter", "00", 65001, vec![], true),
        (
            "IPv4",
            "08 02 06 01 04 0001 00 01",
            65001,
            vec![Capability::MultiProtocol(Family::Ipv4Unicast)],
            true,
        ),
        (
            "a family that we do not know",
            "08 02 06 01 04 4004 00 47",
            65001,
            vec![Capability::MultiProtocolOther { afi: 0x4004, safi: 71 }],
            true,
        ),
        (
            "route refresh and extended messages",
            "06 02 04 02 00 06 00",
            65001,
            vec![Capability::RouteRefresh, Capability::ExtendedMessage],
            true,
        ),
        ("route refresh by its old code", "04 02 02 80 00", 65001, vec![Capability::RouteRefresh], false),
        (
            "several parameters",
            "08 02 02 02 00 02 02 46 00",
            65001,
            vec![Capability::RouteRefresh, Capability::EnhancedRouteRefresh],
            false,
        ),
        (
            "a four-octet AS",
            "08 02 06 41 04 fa56ea00",
            4_200_000_000,
            vec![Capability::FourOctetAs(4_200_000_000)],
            true,
        ),
        (
            "IPv4 over IPv6",
            "0a 02 08 05 06 0001 0001 0002",
            65001,
            vec![Capability::ExtendedNextHop(vec![ExtendedNextHop::IPV4_OVER_IPV6])],
            true,
        ),
        (
            "graceful restart",
            "0a 02 08 40 06 c078 0002 01 80",
            65001,
            vec![Capability::GracefulRestart(graceful)],
            true,
        ),
        (
            "one that we do not know",
            "06 02 04 49 02 abcd",
            65001,
            vec![Capability::Unknown { code: 73, value: Bytes::from_static(&[0xab, 0xcd]) }],
            true,
        ),
        ("RFC 9072", "ff ff 0005 02 0002 02 00", 65001, vec![Capability::RouteRefresh], false),
        (
            "RFC 9072 with another length before it",
            "01 ff 0005 02 0002 02 00",
            65001,
            vec![Capability::RouteRefresh],
            false,
        ),
        ("RFC 9072 without parameters", "ff ff 0000", 65001, vec![], false),
    ];
    for (why, parameters, asn, capabilities, is_ours) in rows {
        let field = if asn > 65535 { "5ba0" } else { "fde9" };
        let bytes = message(1, &hex(&format!("04 {field} 005a 0a000001 {parameters}")));
        let open = Open { asn, hold_time_secs: 90, router_id: router_id("10.0.0.1"), capabilities };
        let context = SessionContext::before_open();
        assert_eq!(decode(&bytes, &context), Ok(Message::Open(open.clone())), "{why}");
        if is_ours {
            assert_eq!(encode(&Message::Open(open), context.encoding()), Ok(vec![bytes]), "{why}");
        }
    }
}

#[test]
fn opens_that_are_refused() {
    let rows = [
        ("version 3", "03 fde9 005a 0a000001 00", (2, 1)),
        ("AS 0", "04 0000 005a 0a000001 00", (2, 2)),
        ("AS 0 in four octets", "04 fde9 005a 0a000001 08 02 06 41 04 00000000", (2, 2)),
        ("hold time 1", "04 fde9 0001 0a000001 00", (2, 6)),
        ("hold time 2", "04 fde9 0002 0a000001 00", (2, 6)),
        ("BGP Identifier 0", "04 fde9 005a 00000000 00", (2, 3)),
        ("authentication, which was withdrawn", "04 fde9 005a 0a000001 03 01 01 00", (2, 4)),
    ];
    for (why, body, expected) in rows {
        let error = decode(&message(1, &hex(body)), &SessionContext::before_open()).expect_err(why);
        assert_eq!((error.notification.code, error.notification.subcode), expected, "{why}");
    }
    let least = message(1, &hex("04 fde9 0003 ffffffff 00"));
    assert!(
        decode(&least, &SessionContext::before_open()).is_ok(),
        "hold time 3, identifier 255.255.255.255"
    );
}

#[test]
fn long_lists_of_capabilities() {
    for count in [1, 60, 63, 64, 200] {
        let capability = Capability::Unknown { code: 200, value: Bytes::from_static(&[1, 2]) };
        let open = Open {
            asn: 65001,
            hold_time_secs: 90,
            router_id: router_id("10.0.0.1"),
            capabilities: vec![capability; count],
        };
        let bytes = encode(&Message::Open(open.clone()), external().encoding()).unwrap();
        assert_eq!(decode(&bytes[0], &external()), Ok(Message::Open(open)), "{count} of them");
    }
}

#[test]
fn notifications() {
    let rows = [
        (Notification::hold_timer_expired(), "Hold Timer Expired"),
        (Notification::collision(), "Cease / Connection Collision Resolution"),
        (Notification::unsupported_version(), "OPEN Message Error / Unsupported Version Number"),
        (Notification::admin_shutdown(""), "Cease / Administrative Shutdown"),
        (Notification::admin_shutdown("back at 9"), "Cease / Administrative Shutdown: back at 9"),
        (Notification::admin_reset("a\nb"), "Cease / Administrative Reset: a\\nb"),
        (
            Notification { code: 6, subcode: 2, data: Bytes::from_static(&[2, 0xff, 0xfe]) },
            "Cease / Administrative Shutdown: 0xfffe",
        ),
        (
            Notification { code: 6, subcode: 2, data: Bytes::from_static(&[9, b'a']) },
            "Cease / Administrative Shutdown",
        ),
        (Notification { code: 6, subcode: 77, data: Bytes::new() }, "Cease / subcode 77"),
        (Notification { code: 99, subcode: 1, data: Bytes::new() }, "code 99 subcode 1"),
    ];
    for (notification, expected) in rows {
        assert_eq!(notification.to_string(), expected);
        let bytes = &encode(&Message::Notification(notification.clone()), external().encoding()).unwrap()[0];
        assert_eq!(decode(bytes, &external()), Ok(Message::Notification(notification)), "{expected}");
    }
}

#[test]
fn a_long_shutdown_text_is_cut_between_characters() {
    let notification = Notification::admin_shutdown(&"ä".repeat(200));
    assert_eq!(notification.data.len(), 255, "254 octets of text, for each character has two");
    assert_eq!(notification.shutdown_text(), Some("ä".repeat(127)));
}

#[test]
fn a_hard_reset_says_what_is_behind_it() {
    let hard = Notification::hard_reset(&Notification::peer_deconfigured());
    assert!(hard.is_hard_reset());
    assert_eq!(hard.data, Bytes::from_static(&[6, 3]));
    assert_eq!(hard.to_string(), "Cease / Hard Reset: Cease / Peer De-configured");
    let nested = Notification::hard_reset(&hard);
    assert_eq!(nested.to_string(), "Cease / Hard Reset", "no reason is unwrapped without end");
    let empty = Notification { data: Bytes::new(), ..hard };
    assert_eq!(empty.to_string(), "Cease / Hard Reset");
}

#[test]
fn route_refreshes() {
    let rows = [
        ("0001 00 01", 1, 1, RouteRefreshKind::Request, Some(Family::Ipv4Unicast)),
        ("0002 01 01", 2, 1, RouteRefreshKind::Begin, Some(Family::Ipv6Unicast)),
        ("0002 02 01", 2, 1, RouteRefreshKind::End, Some(Family::Ipv6Unicast)),
        ("4004 07 47", 0x4004, 71, RouteRefreshKind::Other(7), None),
    ];
    for (body, afi, safi, kind, family) in rows {
        let refresh = RouteRefresh { afi, safi, kind };
        let bytes = message(5, &hex(body));
        assert_eq!(refresh.family(), family);
        assert_eq!(decode(&bytes, &external()), Ok(Message::RouteRefresh(refresh)));
        assert_eq!(encode(&Message::RouteRefresh(refresh), external().encoding()), Ok(vec![bytes]));
    }
}

#[test]
fn keepalives() {
    let bytes = encode_keepalive();
    assert_eq!(bytes, message(4, &[]));
    assert_eq!(decode(&bytes, &external()), Ok(Message::Keepalive));
}

#[test]
fn words_that_people_write() {
    assert_eq!("64512:100".parse(), Ok(Community(0xfc00_0064)));
    assert_eq!(Community::GRACEFUL_SHUTDOWN.to_string(), "65535:0");
    for wrong in ["", "1", "1:", "65536:1", "1:65536", "1:2:3", "a:b"] {
        assert!(wrong.parse::<Community>().is_err(), "{wrong}");
    }
    for wrong in ["1:2", "1:2:3:4", "4294967296:1:1"] {
        assert!(wrong.parse::<LargeCommunity>().is_err(), "{wrong}");
    }
    for wrong in ["+002fde900000064", "02", "0002fde90000006400"] {
        assert!(wrong.parse::<ExtendedCommunity>().is_err(), "{wrong}");
    }
    for wrong in ["0.0.0.0", "1.2.3", "1", "::1"] {
        assert!(wrong.parse::<RouterId>().is_err(), "{wrong}");
    }
}
