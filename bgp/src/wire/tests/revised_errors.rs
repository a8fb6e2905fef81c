//! RFC 7606, row by row: one malformed UPDATE each, and what becomes of its routes.

use super::*;

/// What becomes of the routes 192.0.2.0/24 (and `2001:db8::/32`, where `MP_REACH_NLRI` is there).
#[derive(Debug, PartialEq)]
enum Fate {
    /// Announced, with faults noted for these attributes.
    Announced(&'static [u8]),
    /// Treated as withdrawn.
    Withdrawn,
    /// The session ends with this code and subcode.
    Reset(u8, u8),
}
use Fate::{Announced, Reset, Withdrawn};

const ORIGIN: &str = "40 01 01 00";
const AS_PATH: &str = "40 02 06 02 01 0000fde9";
const AS_PATH_TWO_OCTETS: &str = "40 02 04 02 01 fde9";
const NEXT_HOP: &str = "40 03 04 0a000001";
const LOCAL_PREF: &str = "40 05 04 00000064";
const NLRI: &str = "18 c00002";
const MP_REACH: &str = "80 0e 1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8";

/// The attributes that must be there, as this peer sends them, without one of them.
fn mandatory(context: &SessionContext, left_out: u8) -> String {
    let as_path = if context.four_octet_as { AS_PATH } else { AS_PATH_TWO_OCTETS };
    let all = [(1, ORIGIN), (2, as_path), (3, NEXT_HOP), (5, LOCAL_PREF)];
    let wanted = all.iter().filter(|(code, _)| *code != left_out && (*code != 5 || !context.is_ebgp));
    wanted.map(|(_, attribute)| *attribute).collect::<Vec<_>>().join(" ")
}

fn fate(message: &Bytes, context: &SessionContext) -> Fate {
    match decode(message, context) {
        Err(error) => Reset(error.notification.code, error.notification.subcode),
        Ok(Message::Update(update)) if update.announced.is_empty() => {
            assert!(!update.withdrawn.is_empty(), "the routes are neither announced nor withdrawn");
            Withdrawn
        }
        Ok(Message::Update(update)) => {
            assert!(update.withdrawn.is_empty(), "the routes are announced and withdrawn");
            let codes: Vec<u8> = update.faults.iter().filter_map(|fault| fault.attribute).collect();
            Announced(codes.leak())
        }
        Ok(other) => panic!("not an UPDATE: {other:?}"),
    }
}

/// Each row replaces (or adds) the attribute whose code stands second in it.
fn check(context: &SessionContext, rows: &[(&str, &str, Fate)]) {
    for (why, attribute, expected) in rows {
        let code = hex(attribute).get(1).copied().unwrap_or(0);
        let attributes = hex(&format!("{} {attribute}", mandatory(context, code)));
        let message = update_message(&[], &attributes, &hex(NLRI));
        assert_eq!(fate(&message, context), *expected, "{why}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn from_an_external_peer() {
    let rows = [
        ("ORIGIN of length 0", "40 01 00", Withdrawn),
        ("ORIGIN of length 2", "40 01 02 0000", Withdrawn),
        ("ORIGIN above 2", "40 01 01 03", Withdrawn),
        ("AS_PATH with a segment of unknown type", "40 02 06 05 01 0000fde9", Withdrawn),
        ("AS_PATH with a segment that overruns", "40 02 06 02 02 0000fde9", Withdrawn),
        ("AS_PATH with one octet too many", "40 02 07 02 01 0000fde9 02", Withdrawn),
        ("AS_PATH with an empty segment", "40 02 08 02 01 0000fde9 02 00", Withdrawn),
        ("AS_PATH with AS 0 (RFC 7607)", "40 02 0a 02 02 0000fde9 00000000", Withdrawn),
        ("AS_PATH that does not begin with the peer's AS", "40 02 06 02 01 0000fdea", Withdrawn),
        ("AS_PATH that begins with a set", "40 02 06 01 01 0000fde9", Withdrawn),
        ("AS_PATH with a confederation segment", "40 02 0c 02 01 0000fde9 03 01 0000fde9", Withdrawn),
        ("AS_PATH that is empty", "40 02 00", Withdrawn),
        ("NEXT_HOP of length 1", "40 03 01 00", Withdrawn),
        ("NEXT_HOP of length 5", "40 03 05 0a00000100", Withdrawn),
        ("NEXT_HOP in 0/8", "40 03 04 00000001", Withdrawn),
        ("NEXT_HOP in 127/8", "40 03 04 7f000001", Withdrawn),
        ("NEXT_HOP multicast", "40 03 04 e0000001", Withdrawn),
        ("NEXT_HOP broadcast", "40 03 04 ffffffff", Withdrawn),
        ("MED of length 3", "80 04 03 000000", Withdrawn),
        ("LOCAL_PREF from outside", "40 05 04 00000064", Announced(&[5])),
        ("LOCAL_PREF from outside, of any length", "40 05 01 00", Announced(&[5])),
        ("LOCAL_PREF from outside, with any flags", "c0 05 01 00", Announced(&[5])),
        ("ATOMIC_AGGREGATE with content", "40 06 01 00", Announced(&[6])),
        ("AGGREGATOR as with two-octet AS", "c0 07 06 fde9 0a000001", Announced(&[7])),
        ("AGGREGATOR in AS 0", "c0 07 08 00000000 0a000001", Announced(&[7])),
        ("COMMUNITIES empty", "c0 08 00", Withdrawn),
        ("COMMUNITIES of length 5", "c0 08 05 fde9006400", Withdrawn),
        ("ORIGINATOR_ID from outside", "80 09 04 0a000001", Announced(&[9])),
        ("ORIGINATOR_ID from outside, of any length", "80 09 01 00", Announced(&[9])),
        ("CLUSTER_LIST from outside", "80 0a 04 0a000001", Announced(&[10])),
        ("CLUSTER_LIST from outside, of any length", "80 0a 03 0a0000", Announced(&[10])),
        ("EXTENDED COMMUNITIES empty", "c0 10 00", Withdrawn),
        ("EXTENDED COMMUNITIES of length 9", "c0 10 09 0002fde90000006400", Withdrawn),
        ("AS4_PATH from a four-octet peer", "c0 11 06 02 01 0000fde9", Announced(&[17])),
        ("AS4_PATH malformed, from a four-octet peer", "c0 11 01 02", Announced(&[17])),
        ("AS4_AGGREGATOR from a four-octet peer", "c0 12 08 0000fde9 0a000001", Announced(&[18])),
        ("IPv6 EXTENDED COMMUNITIES of length 8", "c0 19 08 0002fde900000064", Withdrawn),
        ("LARGE_COMMUNITY empty", "c0 20 00", Withdrawn),
        ("LARGE_COMMUNITY of length 11", "c0 20 0b 0000fde900000001000000", Withdrawn),
        ("ONLY_TO_CUSTOMER of length 3", "c0 23 03 00fde9", Withdrawn),
        ("ATTR_SET shorter than its AS", "c0 80 03 00fde9", Withdrawn),
        ("PMSI_TUNNEL, whatever is in it: carried", "c0 16 01 00", Announced(&[])),
        ("AIGP malformed: not transitive, so dropped", "80 1a 01 00", Announced(&[])),
        ("LINK_STATE: not transitive, so dropped", "80 1d 01 00", Announced(&[])),
        ("PREFIX_SID malformed: carried unread", "c0 28 01 00", Announced(&[])),
        ("unknown optional, not transitive: dropped", "80 fe 01 00", Announced(&[])),
        ("unknown optional transitive: carried", "c0 fe 01 00", Announced(&[])),
        ("unknown well-known", "40 fe 01 00", Withdrawn),
        ("type 0", "c0 00 01 00", Announced(&[0])),
        ("ORIGIN optional", "c0 01 01 00", Withdrawn),
        ("ORIGIN not transitive", "00 01 01 00", Withdrawn),
        ("ORIGIN partial", "60 01 01 00", Withdrawn),
        ("ORIGIN with an extended length", "50 01 0001 00", Announced(&[])),
        ("MED transitive", "c0 04 04 00000000", Withdrawn),
        ("MED partial", "a0 04 04 00000000", Announced(&[])),
        ("COMMUNITIES not optional", "40 08 04 fde90064", Withdrawn),
        ("COMMUNITIES not transitive", "80 08 04 fde90064", Withdrawn),
        ("COMMUNITIES partial", "e0 08 04 fde90064", Announced(&[])),
        ("an attribute that overruns the list", "c0 08 08 fde90064", Withdrawn),
        ("an attribute without its length", "c0 08", Withdrawn),
        ("MP_REACH_NLRI cut in the family", "80 0e 02 0002", Reset(3, 9)),
        ("MP_REACH_NLRI cut in the next hop", "80 0e 05 0002 01 10 20", Reset(3, 9)),
        (
            "MP_REACH_NLRI with an IPv6 next hop of 4 octets",
            "80 0e 0e 0002 01 04 0a000001 00 20 20010db8",
            Reset(3, 9),
        ),
        ("MP_REACH_NLRI without the reserved octet", "80 0e 08 0001 01 04 0a000001", Reset(3, 9)),
        ("MP_REACH_NLRI with a prefix that overruns", "80 0e 0b 0001 01 04 0a000001 00 18 c0", Reset(3, 9)),
        (
            "MP_REACH_NLRI with an IPv4 prefix of 33 bits",
            "80 0e 0f 0001 01 04 0a000001 00 21 c000020000",
            Reset(3, 9),
        ),
        (
            "MP_REACH_NLRI of IPv4 with an IPv6 next hop, not negotiated",
            "80 0e 19 0001 01 10 20010db8000000000000000000000001 00 18 c00003",
            Reset(3, 9),
        ),
        ("MP_REACH_NLRI of an unknown family, even malformed", "80 0e 04 4004 47 ff", Announced(&[])),
        ("MP_REACH_NLRI transitive", &MP_REACH.replacen("80", "c0", 1), Withdrawn),
        (
            "MP_REACH_NLRI with an unspecified next hop",
            "80 0e 1a 0002 01 10 00000000000000000000000000000000 00 20 20010db8",
            Withdrawn,
        ),
        ("MP_UNREACH_NLRI cut in the family", "80 0f 02 0002", Reset(3, 9)),
        ("MP_UNREACH_NLRI with a prefix that overruns", "80 0f 05 0002 01 20 20", Reset(3, 9)),
        ("MP_UNREACH_NLRI of an unknown family, even malformed", "80 0f 04 4004 47 ff", Announced(&[])),
    ];
    check(&external(), &rows);
}

#[test]
fn from_an_internal_peer() {
    let rows = [
        ("AS_PATH that is empty", "40 02 00", Announced(&[])),
        ("AS_PATH that begins with any AS", "40 02 06 02 01 0000fdea", Announced(&[])),
        ("LOCAL_PREF of length 3", "40 05 03 000064", Withdrawn),
        ("ORIGINATOR_ID of length 5", "80 09 05 0a00000100", Withdrawn),
        ("ORIGINATOR_ID 0", "80 09 04 00000000", Withdrawn),
        ("CLUSTER_LIST empty", "80 0a 00", Withdrawn),
        ("CLUSTER_LIST of length 6", "80 0a 06 0a0000010a00", Withdrawn),
        ("CLUSTER_LIST and nothing wrong with it", "80 0a 04 0a000001", Announced(&[])),
    ];
    check(&internal(), &rows);
}

#[test]
fn from_a_peer_with_two_octet_as_numbers() {
    let rows = [
        ("AGGREGATOR as with four-octet AS", "c0 07 08 0000fde9 0a000001", Announced(&[7])),
        ("AGGREGATOR in AS 0", "c0 07 06 0000 0a000001", Announced(&[7])),
        ("AS4_PATH with a segment that overruns", "c0 11 06 02 02 0000fde9", Announced(&[17])),
        ("AS4_PATH with one octet", "c0 11 01 02", Announced(&[17])),
        ("AS4_PATH with an empty segment", "c0 11 02 02 00", Announced(&[17])),
        ("AS4_PATH with AS 0", "c0 11 06 02 01 00000000", Announced(&[17])),
        ("AS4_AGGREGATOR of length 6", "c0 12 06 fde9 0a000001", Announced(&[18])),
        ("AS4_PATH with wrong flags", "80 11 06 02 01 0000fde9", Withdrawn),
    ];
    check(&two_octet(), &rows);
}

#[test]
fn attributes_that_are_missing() {
    // (why, peer, attribute left out, fate)
    let rows = [
        ("ORIGIN", external(), 1, Withdrawn),
        ("AS_PATH", external(), 2, Withdrawn),
        ("NEXT_HOP", external(), 3, Withdrawn),
        ("LOCAL_PREF from outside need not be there", external(), 5, Announced(&[])),
        ("LOCAL_PREF from inside", internal(), 5, Withdrawn),
    ];
    for (why, context, code, expected) in rows {
        let message = update_message(&[], &hex(&mandatory(&context, code)), &hex(NLRI));
        assert_eq!(fate(&message, &context), expected, "{why}");
    }
}

#[test]
fn attributes_that_are_repeated() {
    let base = mandatory(&external(), 0);
    let unreach = "80 0f 08 0002 01 20 20010db9";
    let rows = [
        ("the second of two is discarded", format!("{base} 40 01 01 02"), Announced(&[1])),
        ("even if it is malformed", format!("{base} 40 01 07"), Withdrawn),
        ("an unknown one twice", format!("{base} c0 fe 01 00 c0 fe 01 01"), Announced(&[254])),
        ("MP_REACH_NLRI twice", format!("{base} {MP_REACH} {MP_REACH}"), Reset(3, 1)),
        ("MP_UNREACH_NLRI twice", format!("{base} {unreach} {unreach}"), Reset(3, 1)),
    ];
    for (why, attributes, expected) in rows {
        let message = update_message(&[], &hex(&attributes), &hex(NLRI));
        assert_eq!(fate(&message, &external()), expected, "{why}");
    }
}

#[test]
fn framing_and_combinations() {
    let base = mandatory(&external(), 0);
    let bad_origin = mandatory(&external(), 1) + " 40 01 01 09";
    // (why, withdrawn, attributes, nlri, fate)
    let rows = [
        ("a prefix of 33 bits", "", base.as_str(), "21 c000020000", Reset(3, 10)),
        ("a prefix of 255 bits", "", &base, "ff c00002", Reset(3, 10)),
        ("a prefix that overruns", "", &base, "18 c000", Reset(3, 10)),
        ("a withdrawn prefix that overruns", "18 c000", &base, NLRI, Reset(3, 10)),
        ("multicast by itself is passed over", "", &base, "18 c00002 08 e1", Announced(&[])),
        ("the worst of several holds", "", &format!("{bad_origin} 40 06 01 00"), NLRI, Withdrawn),
        ("reset beats withdrawal", "", &format!("{bad_origin} 80 0e 01 00"), NLRI, Reset(3, 9)),
        ("damage without any announced route", "18 c00003", "40 01 01 09", "", Reset(3, 1)),
        ("damage that may hide MP_REACH_NLRI", "", "40 01 01 00 40", "", Reset(3, 1)),
        ("MP_REACH_NLRI is an announced route", "", &format!("{bad_origin} {MP_REACH}"), "", Withdrawn),
        (
            "a bad NEXT_HOP beside MP_REACH_NLRI alone",
            "",
            &{ format!("{} 40 03 01 00 {MP_REACH}", mandatory(&external(), 3)) },
            "",
            Announced(&[3]),
        ),
        (
            "a bad NEXT_HOP beside both",
            "",
            &{ format!("{} 40 03 01 00 {MP_REACH}", mandatory(&external(), 3)) },
            NLRI,
            Withdrawn,
        ),
        (
            "no NEXT_HOP is needed for MP_REACH_NLRI",
            "",
            &{ format!("{} {MP_REACH}", mandatory(&external(), 3)) },
            "",
            Announced(&[]),
        ),
    ];
    for (why, withdrawn, attributes, nlri, expected) in rows {
        let message = update_message(&hex(withdrawn), &hex(attributes), &hex(nlri));
        assert_eq!(fate(&message, &external()), expected, "{why}");
    }
}

#[test]
fn lengths_that_exceed_the_message() {
    let rows = [
        ("withdrawn routes", "0005 00 0000"),
        ("path attributes", "0000 0005 40010100"),
        ("both", "ffff ffff"),
        ("no room for the second length", "0002 1800"),
    ];
    for (why, body) in rows {
        assert_eq!(fate(&message(2, &hex(body)), &external()), Reset(3, 1), "{why}");
    }
}

#[test]
fn what_is_withdrawn_beside_malformed_attributes_stays_withdrawn() {
    let attributes = format!("80 0f 08 0002 01 20 20010db9 {} 40 01 01 09", mandatory(&external(), 1));
    let message = update_message(&hex("18 c00003"), &hex(&attributes), &hex(NLRI));
    let update = decoded_update(&message, &external(), "treated as withdrawn");
    let withdrawn: Vec<String> = update.withdrawn.iter().map(ToString::to_string).collect();
    assert_eq!(withdrawn, ["192.0.3.0/24", "2001:db9::/32", "192.0.2.0/24"]);
    assert_eq!(update.announced, []);
}
