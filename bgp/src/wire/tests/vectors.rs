//! Messages that have crashed or misled other speakers, by the name they are known under.

use super::*;

/// Code and subcode of the NOTIFICATION, or how many routes are (withdrawn, announced).
fn outcome(bytes: &Bytes, context: &SessionContext) -> Result<(usize, usize), (u8, u8)> {
    match decode(bytes, context) {
        Ok(Message::Update(update)) => {
            Ok((update.withdrawn.len(), update.announced.iter().map(|routes| routes.prefixes.len()).sum()))
        }
        Ok(other) => panic!("not an UPDATE: {other:?}"),
        Err(error) => Err((error.notification.code, error.notification.subcode)),
    }
}

#[test]
fn opens() {
    let rows = [
        (
            "CVE-2022-40302: RFC 9072 with a parameter cut in its head",
            "04 dead 0005 c0a83901 ff ff 0002 0001",
        ),
        ("CVE-2022-40318: RFC 9072 with one octet of parameters", "04 dead 0005 c0a83901 ff ff 0001 02"),
        ("CVE-2022-43681: nothing after the length", "04 dead 0005 c0a83901 ff"),
        ("RFC 9072 cut before its length", "04 dead 0005 c0a83901 ff ff 00"),
        ("a capability that overruns its parameter", "04 dead 0005 c0a83901 04 02 02 01 04"),
        ("a capability without a length", "04 dead 0005 c0a83901 03 02 01 01"),
        ("octets behind the parameters", "04 dead 0005 c0a83901 00 02"),
        ("a four-octet AS of three octets", "04 dead 0005 c0a83901 07 02 05 41 03 00dead"),
    ];
    for (why, body) in rows {
        let error = decode(&message(1, &hex(body)), &SessionContext::before_open()).expect_err(why);
        let is_expected = matches!((error.notification.code, error.notification.subcode), (2, 0 | 4));
        assert!(is_expected, "{why}: {error}");
    }
}

#[test]
fn capabilities_with_lengths_that_cannot_be() {
    let rows = [
        ("CVE-2012-1820: ORF, a code that we do not know", "03 01 00", 3),
        ("multiprotocol of 3 octets", "01 03 000101", 1),
        ("graceful restart of 1 octet", "40 01 00", 64),
        ("graceful restart of 5 octets", "40 05 0000000101", 64),
        ("extended next hop of 5 octets", "05 05 0001000100", 5),
        ("route refresh with content", "02 01 00", 2),
        ("GoBGP 2730: software version, empty", "4b 00", 75),
    ];
    for (why, capability, code) in rows {
        let capability = hex(capability);
        let mut body = hex("04 fde9 005a 0a000001");
        let length = u8::try_from(capability.len()).unwrap();
        body.extend([length + 2, 2, length]);
        body.extend(&capability);
        let Ok(Message::Open(open)) = decode(&message(1, &body), &SessionContext::before_open()) else {
            panic!("{why}: refused");
        };
        let value = Bytes::copy_from_slice(&capability[2..]);
        assert_eq!(open.capabilities, [Capability::Unknown { code, value }], "{why}");
    }
}

#[test]
fn updates() {
    let mandatory = "40 01 01 00 40 02 06 02 01 0000fde9 40 03 04 0a000001";
    // (why, attributes, nlri, (withdrawn, announced) or the NOTIFICATION)
    let rows = [
        ("CVE-2023-46753: only an unknown transitive attribute", "c0 fe 01 00", "18 c00002", Ok((1, 0))),
        ("CVE-2023-46752: MP_REACH_NLRI with lengths that differ", "80 0e 05 0002 01 ff 00", "", Err((3, 9))),
        (
            "CVE-2023-47234: MP_UNREACH_NLRI, and NLRI without attributes",
            "80 0f 03 0002 01",
            "18 c00002",
            Ok((1, 0)),
        ),
        ("CVE-2023-47235: End-of-RIB with a malformed attribute", "40 01 01 09", "", Err((3, 1))),
        ("CVE-2023-38406: FlowSpec with a length of 0", "80 0f 04 0001 85 00", "", Ok((0, 0))),
        (
            "GoBGP 3305: NEXT_HOP of 1 octet",
            "40 01 01 00 40 02 06 02 01 0000fde9 40 03 01 00",
            "18 c00002",
            Ok((1, 0)),
        ),
        (
            "VU#347067: a corrupted entropy label is passed on",
            &format!("{mandatory} e0 1c 01 ff"),
            "18 c00002",
            Ok((0, 1)),
        ),
        (
            "CVE-2026-37459: a next hop capability whose TLV is too short",
            &format!("{mandatory} c0 27 02 0001"),
            "18 c00002",
            Ok((0, 1)),
        ),
        (
            "GoBGP 3392: ORIGIN without its transitive bit",
            "00 01 01 00 40 02 06 02 01 0000fde9 40 03 04 0a000001",
            "18 c00002",
            Ok((1, 0)),
        ),
        ("an extended length that overruns", &format!("{mandatory} d0 08 ffff 00"), "18 c00002", Ok((1, 0))),
    ];
    for (why, attributes, nlri, expected) in rows {
        let message = update_message(&[], &hex(attributes), &hex(nlri));
        assert_eq!(outcome(&message, &external()), expected, "{why}");
    }
}

#[test]
fn as4_path_before_as_path() {
    // GoBGP 3308: the path must not be read before the one that it is merged into.
    let rows = [
        ("too short to be read", "c0 11 01 02 40 02 04 02 01 fde9 40 01 01 00 40 03 04 0a000001", "65001"),
        (
            "whole",
            "c0 11 0a 02 02 0000fde9 fa56ea00 40 02 06 02 02 fde9 5ba0 40 01 01 00 40 03 04 0a000001",
            "65001 4200000000",
        ),
    ];
    for (why, attributes, path) in rows {
        let message = update_message(&[], &hex(attributes), &hex("18 c00002"));
        let update = decoded_update(&message, &two_octet(), why);
        assert_eq!(update.announced[0].attributes.as_path.to_string(), path, "{why}");
    }
}

#[test]
fn a_notification_echoes_no_more_than_was_sent() {
    // CVE-2017-15865: the attribute's length is not what is sent back.
    let message = update_message(&[], &hex("80 0e 05 0002 01 ff 00"), &[]);
    let error = decode(&message, &external()).expect_err("malformed");
    assert_eq!(error.notification.data, hex("80 0e 05 0002 01 ff 00"));
}
